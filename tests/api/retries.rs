//! `Idempotency-Key`: a repeated request is executed once and gets the first answer.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection;

use crate::support::{Answer, Session, TestApp, booking, doctor, patient, unique, waiting};

async fn keyed(session: &Session, path: &str, key: &str, body: &Value) -> Answer {
    session.send(Method::POST, path, Some(body.clone()), &[("Idempotency-Key", key)]).await
}

/// Asserts that an answer repeats another.
fn assert_replayed(again: &Answer, first: &Answer) {
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    for header in ["location", "etag"] {
        assert_eq!(again.header(header), first.header(header));
    }
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), ("", "true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_gets_the_stored_answer_even_after_a_cancel() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let body = booking(admin.new_doctor().await, admin.new_patient().await, "10:00");
    let first = keyed(&admin, "/api/appointments", "k", &body).await.expect(201);
    admin.post(&format!("/api/appointments/{}/cancel", first.id()), json!({})).await.expect(200);
    let again = keyed(&admin, "/api/appointments", "k", &body).await.expect(201);
    assert_replayed(&again, &first);
    assert_eq!(again.body["status"], "SCHEDULED");
    assert_eq!(app.database.count("SELECT count(*) FROM appointments").await, 1);
    assert_eq!(
        app.database
            .count("SELECT count(*) FROM audit_events WHERE action = 'create' AND resource = 'appointments'")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_that_creates_does_so_once_per_key() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (d, p) = (admin.new_doctor().await, admin.new_patient().await);
    let mut series = booking(d, p, "12:00");
    series["rrule"] = "FREQ=DAILY;COUNT=3".into();
    let user = json!({ "email": "sam@example.com", "password": crate::support::PASSWORD, "role": "staff" });
    let away = json!({ "starts_at": "2031-04-06T00:00:00Z", "ends_at": "2031-04-07T00:00:00Z" });
    let operations = [
        ("/api/patients".to_owned(), patient()),
        ("/api/doctors".to_owned(), doctor()),
        ("/api/mappings".to_owned(), json!({ "patient": p, "doctor": d })),
        ("/api/appointments".to_owned(), booking(d, p, "10:00")),
        ("/api/appointment-series".to_owned(), series),
        ("/api/users".to_owned(), user),
        (format!("/api/doctors/{d}/time-off"), away),
        ("/api/clinic/closures".to_owned(), json!({ "first_day": "2031-12-24" })),
        ("/api/waitlist".to_owned(), waiting(d, p)),
    ];
    let rows =
        "SELECT (SELECT count(*) FROM patients) + (SELECT count(*) FROM doctors) + (SELECT count(*) FROM mappings)
        + (SELECT count(*) FROM appointments) + (SELECT count(*) FROM appointment_series)
        + (SELECT count(*) FROM memberships) + (SELECT count(*) FROM time_off)
        + (SELECT count(*) FROM clinic_closures) + (SELECT count(*) FROM waitlist_entries)";
    for (path, body) in operations {
        let first = keyed(&admin, &path, &path, &body).await.expect(201);
        let made = app.database.count(rows).await;
        assert_replayed(&keyed(&admin, &path, &path, &body).await.expect(201), &first);
        assert_eq!(app.database.count(rows).await, made, "{path} was done again");
    }
    // The list above has every operation of the contract that creates something. The exceptions are two whose answers
    // contain a secret that is not stored, and one that is tested with the waitlist.
    let mut creating = std::collections::BTreeSet::new();
    for operations in crate::support::contract()["paths"].as_object().unwrap().values() {
        let post = &operations["post"];
        if post["responses"]["201"].is_object() {
            let takes_key = post["parameters"].to_string().contains("\"Idempotency-Key\"");
            creating.insert((post["operationId"].as_str().unwrap(), takes_key));
        }
    }
    assert_eq!(creating.iter().filter(|(_, takes_key)| *takes_key).count(), 9 + 1);
    let without: Vec<_> =
        creating.iter().filter(|(_, takes_key)| !takes_key).map(|(operation, _)| *operation).collect();
    assert_eq!(without, ["createInvitation", "register"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_one_request_of_one_account() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let other = app.user(&admin, "bea", "admin").await;
    let (first, second) = (patient(), patient());
    let made = keyed(&admin, "/api/patients", "k", &first).await.expect(201);
    let refused = keyed(&admin, "/api/patients", "k", &second).await;
    refused.expect_problem(422, "idempotency-key-reused");
    let refused = keyed(&admin, "/api/doctors", "k", &doctor()).await;
    refused.expect_problem(422, "idempotency-key-reused");
    let others = keyed(&other, "/api/patients", "k", &second).await.expect(201);
    assert_ne!(others.id(), made.id());
    keyed(&admin, "/api/patients", &"k".repeat(201), &patient()).await.expect_problem(422, "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_expires_after_a_day() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (mut body, mut db) = (patient(), app.database.connect().await);
    let first = keyed(&admin, "/api/patients", "k", &body).await.expect(201);
    let age = "UPDATE idempotency_keys SET created_at = now() - interval '25 hours'";
    sqlx::raw_sql(age).execute(&mut db).await.unwrap();
    body["email"] = format!("later.{}@example.com", unique()).into();
    let later = keyed(&admin, "/api/patients", "k", &body).await.expect(201);
    assert_ne!(later.id(), first.id());
    assert_eq!(app.database.count("SELECT count(*) FROM idempotency_keys").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_not_stored_for_its_key() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (d, p) = (admin.new_doctor().await, admin.new_patient().await);
    let taken = admin.new_appointment(d, p, "10:00").await;
    let body = booking(d, admin.new_patient().await, "10:00");
    keyed(&admin, "/api/appointments", "k", &body).await.expect_problem(409, "slot-taken");
    admin.delete(&format!("/api/appointments/{taken}")).await.expect(204);
    let booked = keyed(&admin, "/api/appointments", "k", &body).await.expect(201);
    assert_replayed(&keyed(&admin, "/api/appointments", "k", &body).await, &booked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_during_the_first_attempt_gets_409() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let body = booking(admin.new_doctor().await, admin.new_patient().await, "10:00");
    admin.post("/api/appointments/check", body.clone()).await.expect(200);
    let mut db = app.database.connect().await;
    let mut held = db.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE appointments IN SHARE MODE").execute(&mut *held).await.unwrap();
    // The client gives up, but its request continues.
    let gone = keyed(&admin, "/api/appointments", "k", &body);
    assert!(tokio::time::timeout(Duration::from_millis(500), gone).await.is_err());
    let again = keyed(&admin, "/api/appointments", "k", &body).await;
    again.expect_problem(409, "idempotency-key-in-use");
    held.rollback().await.unwrap();
    for _ in 0..100 {
        let answer = keyed(&admin, "/api/appointments", "k", &body).await;
        if answer.status == 201 {
            assert_eq!(answer.header("idempotency-replayed"), "true");
            assert_eq!(app.database.count("SELECT count(*) FROM appointments").await, 1);
            return;
        }
        answer.expect_problem(409, "idempotency-key-in-use");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the abandoned request never ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_get_the_same_request_do_it_once() {
    let first = TestApp::start().await;
    let mut second = TestApp::start_on(first.database.clone()).await;
    let admin = first.founder("ada").await;
    let there = admin.at(second.address);
    let (d, p) = (admin.new_doctor().await, admin.new_patient().await);
    for round in 0..10 {
        // Without a unique constraint, and with one.
        let mut anybody = patient();
        anybody.as_object_mut().unwrap().remove("email");
        for (path, body) in
            [("/api/patients", anybody), ("/api/appointments", booking(d, p, &format!("{:02}:00", 8 + round)))]
        {
            let key = format!("{path} {round}");
            let (here, there) = tokio::join!(keyed(&admin, path, &key, &body), keyed(&there, path, &key, &body));
            assert_eq!(here.expect(201).text, there.expect(201).text);
        }
    }
    assert_eq!(first.database.count("SELECT count(*) FROM patients").await, 11);
    assert_eq!(first.database.count("SELECT count(*) FROM appointments").await, 10);

    // The other node knows every answer of the node that is gone.
    let body = booking(d, p, "20:00");
    let booked = keyed(&there, "/api/appointments", "last", &body).await.expect(201);
    second.stop().await;
    assert_replayed(&keyed(&admin, "/api/appointments", "last", &body).await, &booked);
}
