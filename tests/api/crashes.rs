//! What was committed and could not be told: the acknowledgement of the commit is lost, or the program is killed
//! before it answers.

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

    proxy.next(Acknowledgement::IsKeptBack);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_whose_commit_was_not_acknowledged_is_found_and_answered() {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start(&database).await;
    let mut through_proxy = settings(&database);
    through_proxy.database.database_url = Some(proxy.url.clone());
    let app = TestApp::start_with(database, through_proxy).await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    for (n, time) in ["10:00", "11:00", "12:00"].into_iter().enumerate() {
        proxy.next(Acknowledgement::IsCut);
        let booked = admin.post("/api/appointments", booking(doctor, patient, time)).await.expect(201);
        proxy.lost().await;
        assert_eq!(app.database.count("SELECT count(*) FROM appointments").await, 1 + n as i64);
        admin.get(&format!("/api/appointments/{}", booked.id())).await.expect(200);
        admin.post("/api/appointments", booking(doctor, patient, time)).await.expect_problem(409, "slot-taken");
    }
    assert_eq!(app.database.count("SELECT count(*) FROM audit_events WHERE resource = 'appointments'").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_change_whose_commit_was_not_acknowledged_says_so_and_is_done_once_for_its_key() {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start(&database).await;
    let mut through_proxy = settings(&database);
    through_proxy.database.database_url = Some(proxy.url.clone());
    let app = TestApp::start_with(database, through_proxy).await;
    let admin = app.founder("ada").await;
    let body = patient();
    let create = || admin.send(Method::POST, "/api/patients", Some(body.clone()), &[("idempotency-key", "k")]);
    proxy.next(Acknowledgement::IsCut);
    let first = create().await;
    // It was done: either that is found at once, or the client is told that it must look.
    if first.status != 201 {
        first.expect_problem(503, "outcome-unknown");
    }
    let again = create().await.expect(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(app.database.count("SELECT count(*) FROM patients").await, 1);
}
