//! The waitlist: who is offered a freed time, how long the offer lasts, and how it ends.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Session, TestApp, TestDatabase, booking, waiting};

async fn clinic() -> (TestApp, Session, i64, i64) {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    (app, admin, doctor, patient)
}

async fn wait_for(admin: &Session, body: Value) -> i64 {
    admin.post("/api/waitlist", body).await.expect(201).id()
}

/// Returns the entry when it has this status.
async fn once(admin: &Session, entry: i64, status: &str) -> Answer {
    for _ in 0..200 {
        let found = admin.get(&format!("/api/waitlist/{entry}")).await.expect(200);
        if found.body["status"] == status {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("entry {entry} is never {status}");
}

async fn status(admin: &Session, entry: i64) -> String {
    let found = admin.get(&format!("/api/waitlist/{entry}")).await.expect(200);
    found.body["status"].as_str().unwrap().to_owned()
}

async fn accept(admin: &Session, entry: i64) -> Answer {
    admin.send(Method::POST, &format!("/api/waitlist/{entry}/accept"), None, &[]).await
}

/// Ends every hold, as if its time had passed.
const END_HOLDS: &str = "UPDATE calendar_versions SET version = version + 1;
    UPDATE appointments a SET held_until = now() - interval '1 second', calendar_version = v.version
    FROM calendar_versions v WHERE v.doctor_id = a.doctor_id AND held_until IS NOT NULL;";

/// Lets every hold expire now, so that its alarm is due.
async fn expire_holds(database: &TestDatabase) {
    let mut db = database.connect().await;
    let expire = format!("{END_HOLDS} UPDATE waitlist_alarms SET due_at = now()");
    sqlx::raw_sql(sqlx::AssertSqlSafe(expire)).execute(&mut db).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_offered_now_is_part_of_an_entrys_version() {
    let (app, admin, doctor, patient) = clinic().await;
    let taken =
        [admin.new_appointment(doctor, patient, "10:00").await, admin.new_appointment(doctor, patient, "14:00").await];
    let entry = wait_for(&admin, waiting(doctor, admin.new_patient().await)).await;
    let path = format!("/api/waitlist/{entry}");
    let before = admin.get(&path).await.expect(200);
    let unchanged = [("if-none-match", before.header("etag"))];
    admin.send(Method::GET, &path, None, &unchanged).await.expect(304);
    admin.delete(&format!("/api/appointments/{}", taken[0])).await.expect(204);
    let first = once(&admin, entry, "OFFERED").await;
    assert_eq!(admin.send(Method::GET, &path, None, &unchanged).await.expect(200).body, first.body);
    // A client that saw the first offer cannot accept the second one.
    expire_holds(&app.database).await;
    admin.delete(&format!("/api/appointments/{}", taken[1])).await.expect(204);
    let mut second = once(&admin, entry, "OFFERED").await;
    while second.body["offer"]["time"] == first.body["offer"]["time"] {
        second = admin.get(&path).await.expect(200);
    }
    let accept = format!("{path}/accept");
    let seen = [("if-match", first.header("etag"))];
    admin.send(Method::POST, &accept, None, &seen).await.expect_problem(412, "stale");
    let seen = [("if-match", second.header("etag")), ("idempotency-key", "k")];
    let accepted = admin.send(Method::POST, &accept, None, &seen).await.expect(201);
    let again = admin.send(Method::POST, &accept, None, &seen).await.expect(201);
    assert_eq!((again.text.as_str(), again.header("idempotency-replayed")), (accepted.text.as_str(), "true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_hold_does_not_block_another_time() {
    let (app, admin, doctor, patient) = clinic().await;
    let taken =
        [admin.new_appointment(doctor, patient, "10:00").await, admin.new_appointment(doctor, patient, "14:00").await];
    let entry = wait_for(&admin, waiting(doctor, admin.new_patient().await)).await;
    admin.delete(&format!("/api/appointments/{}", taken[0])).await.expect(204);
    let first = once(&admin, entry, "OFFERED").await;
    // Its own alarm is not due; the alarm of the other time comes first.
    sqlx::raw_sql(END_HOLDS).execute(&mut app.database.connect().await).await.unwrap();
    admin.delete(&format!("/api/appointments/{}", taken[1])).await.expect(204);
    for _ in 0..200 {
        if once(&admin, entry, "OFFERED").await.body["offer"]["time"] != first.body["offer"]["time"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the other time is never offered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_is_booked_over_an_expired_hold() {
    let (app, admin, doctor, patient) = clinic().await;
    let taken = admin.new_appointment(doctor, patient, "10:00").await;
    let entry = wait_for(&admin, waiting(doctor, admin.new_patient().await)).await;
    admin.delete(&format!("/api/appointments/{taken}")).await.expect(204);
    once(&admin, entry, "OFFERED").await;
    // Its alarm is not due, so the waitlist does not remove it.
    sqlx::raw_sql(END_HOLDS).execute(&mut app.database.connect().await).await.unwrap();
    let mut series = booking(doctor, patient, "10:00");
    series["rrule"] = "FREQ=DAILY;COUNT=2".into();
    admin.post("/api/appointment-series", series).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_time_is_held_for_an_entry_and_accepted() {
    let (app, admin, doctor, patient) = clinic().await;
    let taken = admin.new_appointment(doctor, patient, "10:00").await;
    let waits = admin.new_patient().await;
    let entry = wait_for(&admin, waiting(doctor, waits)).await;
    accept(&admin, entry).await.expect_problem(409, "no-offer");
    admin.delete(&format!("/api/appointments/{taken}")).await.expect(204);
    let offered = once(&admin, entry, "OFFERED").await;
    assert_eq!(offered.body["offer"]["time"]["start"], "2031-03-05T10:00:00+00:00");
    assert!(offered.body["offer"]["held_until"].is_string());
    // No list shows the hold, but it occupies the time.
    assert_eq!(admin.get(&format!("/api/appointments?patient={waits}")).await.expect(200).body, json!([]));
    let other = admin.new_patient().await;
    admin.post("/api/appointments", booking(doctor, other, "10:00")).await.expect_problem(409, "slot-taken");
    let accepted = accept(&admin, entry).await.expect(201);
    assert_eq!((&accepted.body["patient"], &accepted.body["status"]), (&json!(waits), &json!("SCHEDULED")));
    assert_eq!(status(&admin, entry).await, "ACCEPTED");
    assert_eq!(admin.get(accepted.header("location")).await.expect(200).body, accepted.body);
    accept(&admin, entry).await.expect_problem(409, "offer-accepted");
    admin.delete(&format!("/api/waitlist/{entry}")).await.expect_problem(409, "offer-accepted");
    // An accepted hold is an ordinary appointment and does not expire.
    expire_holds(&app.database).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(admin.get(accepted.header("location")).await.expect(200).body["status"], "SCHEDULED");
    admin.post("/api/appointments", booking(doctor, other, "10:00")).await.expect_problem(409, "slot-taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_offer_goes_to_the_next_entry() {
    let (app, admin, doctor, patient) = clinic().await;
    let taken = admin.new_appointment(doctor, patient, "10:00").await;
    let mut entries = Vec::new();
    for _ in 0..2 {
        entries.push(wait_for(&admin, waiting(doctor, admin.new_patient().await)).await);
    }
    admin.delete(&format!("/api/appointments/{taken}")).await.expect(204);
    once(&admin, entries[0], "OFFERED").await;
    assert_eq!(status(&admin, entries[1]).await, "WAITING");
    expire_holds(&app.database).await;
    once(&admin, entries[1], "OFFERED").await;
    assert_eq!(status(&admin, entries[0]).await, "WAITING", "it let the offer expire and waits for another time");
    accept(&admin, entries[0]).await.expect_problem(409, "no-offer");
    // No entry is left for the offer, so the time is free.
    expire_holds(&app.database).await;
    once(&admin, entries[1], "WAITING").await;
    for _ in 0..100 {
        let free = admin.post("/api/appointments/check", booking(doctor, patient, "10:00")).await.expect(200);
        if free.body["bookable"] == true {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    admin.new_appointment(doctor, patient, "10:00").await;
    // Another time is offered to the first entry again.
    let again = admin.new_appointment(doctor, patient, "14:00").await;
    admin.delete(&format!("/api/appointments/{again}")).await.expect(204);
    once(&admin, entries[0], "OFFERED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_freed_times_are_two_offers() {
    let (_app, admin, doctor, patient) = clinic().await;
    let taken =
        [admin.new_appointment(doctor, patient, "10:00").await, admin.new_appointment(doctor, patient, "11:00").await];
    let mut entries = Vec::new();
    for _ in 0..3 {
        entries.push(wait_for(&admin, waiting(doctor, admin.new_patient().await)).await);
    }
    for id in taken {
        admin.delete(&format!("/api/appointments/{id}")).await.expect(204);
    }
    let first = once(&admin, entries[0], "OFFERED").await;
    let second = once(&admin, entries[1], "OFFERED").await;
    assert_ne!(first.body["offer"]["time"], second.body["offer"]["time"]);
    assert_eq!(status(&admin, entries[2]).await, "WAITING");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_freed_time_is_shared_among_matching_entries() {
    let (_app, admin, doctor, patient) = clinic().await;
    let mut long = booking(doctor, patient, "10:00");
    long["duration_minutes"] = 90.into();
    let taken = admin.post("/api/appointments", long).await.expect(201).id();
    let afternoon = json!({ "earliest_time": "12:00" });
    let mut late = waiting(doctor, admin.new_patient().await);
    late["earliest_time"] = afternoon["earliest_time"].clone();
    let late = wait_for(&admin, late).await;
    let mut second_half = waiting(doctor, admin.new_patient().await);
    second_half["earliest_time"] = "10:30".into();
    let second_half = wait_for(&admin, second_half).await;
    let any = wait_for(&admin, waiting(doctor, admin.new_patient().await)).await;
    admin.delete(&format!("/api/appointments/{taken}")).await.expect(204);
    let half = once(&admin, second_half, "OFFERED").await;
    assert_eq!(half.body["offer"]["time"]["start"], "2031-03-05T10:30:00+00:00");
    let first = once(&admin, any, "OFFERED").await;
    assert_eq!(first.body["offer"]["time"]["start"], "2031-03-05T10:00:00+00:00");
    assert_eq!(status(&admin, late).await, "WAITING", "no part of the time is in the afternoon");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_doctor_of_a_specialization_fits_unless_patient_is_busy() {
    let (_app, admin, doctor, patient) = clinic().await;
    let elsewhere = admin.new_doctor().await;
    let taken = admin.new_appointment(doctor, patient, "10:00").await;
    // The first entry's patient has another appointment then, so the second entry gets the offer.
    let busy = admin.new_patient().await;
    admin.new_appointment(elsewhere, busy, "10:15").await;
    let of_specialization = |patient: i64| json!({ "patient": patient, "specialization": "cardiology", "first_day": "2031-03-01", "last_day": "2031-03-09" });
    let passed_over = wait_for(&admin, of_specialization(busy)).await;
    let other_field = json!({ "patient": patient, "specialization": "Dermatology", "first_day": "2031-03-01", "last_day": "2031-03-09" });
    let other_field = wait_for(&admin, other_field).await;
    let offered = wait_for(&admin, of_specialization(admin.new_patient().await)).await;
    admin.send(Method::POST, &format!("/api/appointments/{taken}/no-show"), None, &[]).await.expect(200);
    let found = once(&admin, offered, "OFFERED").await;
    assert_eq!(found.body["offer"]["doctor"], doctor);
    assert_eq!(status(&admin, passed_over).await, "WAITING");
    assert_eq!(status(&admin, other_field).await, "WAITING");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_entry_frees_its_hold() {
    let (_app, admin, doctor, patient) = clinic().await;
    let taken = admin.new_appointment(doctor, patient, "10:00").await;
    let first = wait_for(&admin, waiting(doctor, admin.new_patient().await)).await;
    let second = wait_for(&admin, waiting(doctor, admin.new_patient().await)).await;
    // A reschedule frees the old time as well.
    let to = json!({ "appointment_datetime": "2031-03-06T10:00:00Z" });
    admin.post(&format!("/api/appointments/{taken}/reschedule"), to).await.expect(200);
    once(&admin, first, "OFFERED").await;
    admin.delete(&format!("/api/waitlist/{first}")).await.expect(204);
    assert_eq!(status(&admin, first).await, "WITHDRAWN");
    once(&admin, second, "OFFERED").await;
    accept(&admin, second).await.expect(201);
    admin.delete(&format!("/api/waitlist/{first}")).await.expect_problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_expires_frees_its_time_on_every_node() {
    let database = TestDatabase::create().await;
    let mut one = TestApp::start_on(database.clone()).await;
    let other = TestApp::start_on(database.clone()).await;
    let admin = one.founder("ada").await;
    let there = admin.at(other.address);
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    let taken = admin.new_appointment(doctor, patient, "10:00").await;
    let entry = wait_for(&admin, waiting(doctor, admin.new_patient().await)).await;
    admin.delete(&format!("/api/appointments/{taken}")).await.expect(204);
    once(&there, entry, "OFFERED").await;
    there.post("/api/appointments", booking(doctor, patient, "10:00")).await.expect_problem(409, "slot-taken");
    // The node that may have made the hold stops. The other one finds it expired.
    one.stop().await;
    expire_holds(&database).await;
    // A booking of the time removes the hold at once.
    there.new_appointment(doctor, patient, "10:00").await;
    once(&there, entry, "WAITING").await;
    assert_eq!(database.overlapping_pairs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_freed_while_no_node_ran_is_offered_later() {
    let database = TestDatabase::create().await;
    let mut app = TestApp::start_on(database.clone()).await;
    let admin = app.founder("ada").await;
    let doctor = admin.new_doctor().await;
    let entry = wait_for(&admin, waiting(doctor, admin.new_patient().await)).await;
    app.stop().await;
    // The state of a program that stopped between its commit and its offer.
    let mut db = database.connect().await;
    sqlx::query(
        "INSERT INTO waitlist_alarms (clinic_id, doctor_id, during)
         VALUES ($1, $2, '[2031-03-05 10:00+00, 2031-03-05 10:30+00)')",
    )
    .bind(admin.clinic)
    .bind(doctor)
    .execute(&mut db)
    .await
    .unwrap();
    let next = TestApp::start_on(database).await;
    let offered = once(&admin.at(next.address), entry, "OFFERED").await;
    assert_eq!(offered.body["offer"]["time"]["end"], "2031-03-05T10:30:00+00:00");
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_enter_own_patients_and_doctors_see_their_entries() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (staff, colleague) = (app.user(&admin, "sam", "staff").await, app.user(&admin, "kim", "staff").await);
    let login = app.user(&admin, "elena", "doctor").await;
    let doctor = admin.new_doctor_login(login.id).await;
    let login = app.login("elena@example.com").await;
    let patient = staff.new_patient().await;
    let entry = wait_for(&staff, waiting(doctor, patient)).await;
    let refused = colleague.post("/api/waitlist", waiting(doctor, patient)).await.expect_problem(422, "invalid");
    assert_eq!(refused.errors("patient"), ["There is no such patient."]);
    assert_eq!(staff.get("/api/waitlist").await.expect(200).ids(), [entry]);
    assert_eq!(login.get("/api/waitlist").await.expect(200).ids(), [entry]);
    assert_eq!(colleague.get("/api/waitlist").await.expect(200).body, json!([]));
    colleague.get(&format!("/api/waitlist/{entry}")).await.expect_problem(404, "not-found");
    colleague.delete(&format!("/api/waitlist/{entry}")).await.expect_problem(404, "not-found");
    accept(&colleague, entry).await.expect_problem(404, "not-found");
    login.delete(&format!("/api/waitlist/{entry}")).await.expect_problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_entry_is_refused_by_field() {
    let (_app, admin, doctor, patient) = clinic().await;
    for (change, field) in [
        (json!({ "specialization": "Cardiology" }), "non_field_errors"),
        (json!({ "doctor": null }), "non_field_errors"),
        (json!({ "last_day": "2031-03-04" }), "last_day"),
        (json!({ "earliest_time": "12:00", "latest_time": "11:00" }), "latest_time"),
        (json!({ "earliest_time": "25:00" }), "earliest_time"),
        (json!({ "doctor": 999_999 }), "doctor"),
        (json!({ "patient": 999_999 }), "patient"),
    ] {
        let mut body = waiting(doctor, patient);
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let refused = admin.post("/api/waitlist", body).await.expect_problem(422, "invalid");
        assert_eq!(refused.errors(field).len(), 1, "{change}: {}", refused.text);
    }
}
