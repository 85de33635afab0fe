//! Committed work without an answer: the acknowledgement of the commit is lost, or the program is killed before it
//! answers.

use reqwest::Method;
use serde_json::json;

use crate::support::{
    Acknowledgement, PASSWORD, Process, Proxy, Session, TestApp, TestDatabase, booking, patient, settings,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_commit_and_answer_replays_the_stored_answer() {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start(&database).await;
    let (doomed, other) = (Process::start(&proxy.url), Process::start(&database.url));
    let body = json!({ "email": "ada@example.com", "password": PASSWORD, "clinic_name": "Harbour" });
    let registered = Session::anonymous(other.address).post("/api/auth/register", body).await.expect(201);
    let admin = Session::of(other.address, &registered.body);
    let wish = booking(admin.new_doctor().await, admin.new_patient().await, "10:00");

    proxy.next(Acknowledgement::Withhold);
    let request = reqwest::Client::new().post(format!("http://{}/api/appointments", doomed.address)).json(&wish);
    let request = request.bearer_auth(admin.access.as_ref().unwrap()).header("idempotency-key", "k");
    let asking = tokio::spawn(request.send());
    proxy.lost().await;
    doomed.kill();
    assert!(asking.await.unwrap().is_err(), "no answer came");
    assert_eq!(database.count("SELECT count(*) FROM appointments").await, 1);

    let restarted = Process::start(&database.url);
    let mut answers = Vec::new();
    for node in [&other, &restarted] {
        let key = [("idempotency-key", "k")];
        let again = admin.at(node.address).send(Method::POST, "/api/appointments", Some(wish.clone()), &key).await;
        let again = again.expect(201);
        assert_eq!(again.header("idempotency-replayed"), "true");
        answers.push(again.text);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(database.count("SELECT count(*) FROM appointments").await, 1);
}

/// Starts the program with a proxy between it and its database.
async fn behind_a_proxy() -> (TestApp, Proxy) {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start(&database).await;
    let mut settings = settings(&database);
    settings.database.database_url = Some(proxy.url.clone());
    (TestApp::start_with(database, settings).await, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_with_an_unacknowledged_commit_is_found() {
    let (app, proxy) = behind_a_proxy().await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    for (n, time) in ["10:00", "11:00", "12:00"].into_iter().enumerate() {
        proxy.next(Acknowledgement::CutConnection);
        let booked = admin.post("/api/appointments", booking(doctor, patient, time)).await.expect(201);
        proxy.lost().await;
        assert_eq!(app.database.count("SELECT count(*) FROM appointments").await, 1 + n as i64);
        admin.get(&format!("/api/appointments/{}", booked.id())).await.expect(200);
        admin.post("/api/appointments", booking(doctor, patient, time)).await.expect_problem(409, "slot-taken");
    }
    assert_eq!(app.database.count("SELECT count(*) FROM audit_events WHERE resource = 'appointments'").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_that_arrives_after_it_was_given_up_is_not_made() {
    let (app, proxy) = behind_a_proxy().await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    admin.new_appointment(doctor, patient, "09:00").await;
    let mut late = booking(doctor, patient, "10:00");
    late["reason"] = "Late".into();
    proxy.mark("Late");
    proxy.hold_commit();
    let answer = admin.post("/api/appointments", late).await;
    proxy.held().await;
    let made = "SELECT count(*) FROM appointments WHERE reason = 'Late'";
    let before = app.database.count(made).await;
    proxy.release();
    if answer.status == 503 && answer.text.contains("outcome-unknown") {
        return;
    }
    assert_eq!(before, i64::from(answer.status == 201), "{}", answer.text);
    // The booking must not appear later either, even on a slow server.
    for _ in 0..20 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert_eq!(app.database.count(made).await, before, "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unacknowledged_change_is_reported_and_done_once_per_key() {
    let (app, proxy) = behind_a_proxy().await;
    let admin = app.founder("ada").await;
    let body = patient();
    let create = || admin.send(Method::POST, "/api/patients", Some(body.clone()), &[("idempotency-key", "k")]);
    proxy.next(Acknowledgement::CutConnection);
    let first = create().await;
    // It was done: either the lookup finds it at once, or the client is told to read the data.
    if first.status != 201 {
        first.expect_problem(503, "outcome-unknown");
    }
    let again = create().await.expect(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(app.database.count("SELECT count(*) FROM patients").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_before_an_outage_is_never_reported_as_not_made() {
    let (app, proxy) = behind_a_proxy().await;
    let admin = app.founder("ada").await;
    let (doctor, known) = (admin.new_doctor().await, admin.new_patient().await);
    let appointment = format!("/api/appointments/{}", admin.new_appointment(doctor, known, "10:00").await);
    let mut series = booking(doctor, known, "12:00");
    series["rrule"] = "FREQ=DAILY;COUNT=3".into();
    let key = [("idempotency-key", "k")];
    for (method, path, body, key) in [
        (Method::PATCH, appointment.as_str(), json!({ "reason": "Follow-up" }), &key[..0]),
        (Method::POST, "/api/appointment-series", series, &key[..0]),
        (Method::POST, "/api/patients", patient(), &key[..]),
    ] {
        proxy.next(Acknowledgement::CutAll);
        let told = admin.send(method, path, Some(body), key).await;
        proxy.open();
        told.expect_problem(503, "outcome-unknown");
        while admin.get("/readyz").await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    assert_eq!(admin.get(&appointment).await.expect(200).body["reason"], "Follow-up");
    assert_eq!(app.database.count("SELECT count(*) FROM appointments").await, 1 + 3);
    assert_eq!(app.database.count("SELECT count(*) FROM patients").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_freed_by_an_unacknowledged_change_can_be_booked() {
    let (app, proxy) = behind_a_proxy().await;
    let admin = app.founder("ada").await;
    let (doctor, gone, next) = (admin.new_doctor().await, admin.new_patient().await, admin.new_patient().await);
    admin.new_appointment(doctor, gone, "10:00").await;
    proxy.next(Acknowledgement::CutConnection);
    let deleted = admin.delete(&format!("/api/patients/{gone}?cancel_appointments=true")).await;
    deleted.expect_problem(503, "outcome-unknown");
    admin.get(&format!("/api/patients/{gone}")).await.expect(404);
    admin.post("/api/appointments", booking(doctor, next, "10:00")).await.expect(201);
}
