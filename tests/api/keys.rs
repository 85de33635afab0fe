//! A request with an `Idempotency-Key` and an unknown outcome: a retry is never refused because of the first attempt.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::support::{Acknowledgement, Answer, Proxy, Session, TestApp, TestDatabase, booking};

const KEY: &str = "the-key-of-this-request";
/// The reason of the booking, by which the proxy recognizes its transaction.
const MARK: &str = "the-reason-of-this-request";

fn keyed(session: &Session, body: &Value) -> JoinHandle<Answer> {
    let (session, body) = (session.clone(), body.clone());
    tokio::spawn(async move {
        let key = [("idempotency-key", KEY)];
        session.send(Method::POST, "/api/appointments", Some(body), &key).await
    })
}

/// Asserts that the answer is the outcome or says that it is not known yet. A refusal would be final.
#[track_caller]
fn assert_open_or_booked(answer: &Answer) {
    let kind = answer.body["type"].as_str().unwrap_or_default();
    let is_open = answer.status == 503 || (answer.status, kind) == (409, "/problems/idempotency-key-in-use");
    assert!(answer.status == 201 || is_open, "{}: {}", answer.status, answer.text);
}

/// Returns the answer when the outcome is known.
async fn booked(session: &Session, body: &Value) -> Answer {
    for _ in 0..300 {
        let answer = keyed(session, body).await.unwrap();
        assert_open_or_booked(&answer);
        if answer.status == 201 {
            return answer;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("the outcome never became known");
}

/// Starts a node behind a proxy and `others` nodes beside it, and prepares a booking.
async fn nodes(others: usize) -> (Proxy, TestApp, Vec<TestApp>, Vec<Session>, Value) {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start(&database).await;
    let app = TestApp::start_behind(&proxy, &database).await;
    let admin = app.founder("ada").await;
    let mut body = booking(admin.new_doctor().await, admin.new_patient().await, "10:00");
    body["reason"] = MARK.into();
    proxy.mark(MARK);
    let (mut apps, mut sessions) = (Vec::new(), vec![admin.clone()]);
    for _ in 0..others {
        let other = TestApp::start_on(database.clone()).await;
        sessions.push(admin.at(other.address));
        apps.push(other);
    }
    // Every node has the schedule in memory.
    for (session, time) in sessions.iter().zip(["08:00", "09:00"]) {
        let (doctor, patient) = (body["doctor"].as_i64().unwrap(), body["patient"].as_i64().unwrap());
        session.new_appointment(doctor, patient, time).await;
    }
    (proxy, app, apps, sessions, body)
}

/// Repeats the request while its commit is delayed and the first attempt has been answered. Asserts that every node
/// finally returns the same outcome.
async fn learns_the_outcome(others: usize) {
    let (proxy, app, _apps, sessions, body) = nodes(others).await;
    proxy.hold_commit();
    let first = keyed(&sessions[0], &body);
    proxy.held().await;
    let first = first.await.unwrap();
    assert_open_or_booked(&first);
    for session in sessions.iter().chain(&sessions[..1]) {
        assert_open_or_booked(&keyed(session, &body).await.unwrap());
    }
    proxy.release();
    let mut ids = Vec::new();
    for session in &sessions {
        ids.push(booked(session, &body).await.id());
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let made = "SELECT count(*) FROM appointments WHERE lower(during) = '2031-03-05 10:00+00'";
    assert_eq!(app.database.count(made).await, 1);
    assert_eq!(app.database.count("SELECT count(*) FROM idempotency_keys").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_attempt_sent_again_is_not_refused_by_its_own_claim() {
    learns_the_outcome(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_attempt_sent_to_another_node_is_not_refused_either() {
    learns_the_outcome(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_given_up_and_sent_again_is_not_refused() {
    for others in [0, 1] {
        let (proxy, app, _apps, sessions, body) = nodes(others).await;
        proxy.hold_commit();
        let first = keyed(&sessions[0], &body);
        proxy.held().await;
        first.abort();
        let mut again: Vec<_> = sessions.iter().map(|session| keyed(session, &body)).collect();
        // The retries may wait for the first attempt.
        let mut early = Vec::new();
        for again in &mut again {
            early.push(timeout(Duration::from_secs(2), again).await);
        }
        proxy.release();
        for (early, again) in early.into_iter().zip(again) {
            let answer = match early {
                Ok(answer) => answer,
                Err(_) => again.await,
            };
            assert_open_or_booked(&answer.unwrap());
        }
        let ids = [booked(&sessions[0], &body).await.id(), booked(&sessions[others], &body).await.id()];
        assert_eq!(ids[0], ids[1]);
        let made = "SELECT count(*) FROM appointments WHERE lower(during) = '2031-03-05 10:00+00'";
        assert_eq!(app.database.count(made).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_with_a_lost_answer_is_found() {
    let (proxy, app, _apps, sessions, body) = nodes(1).await;
    proxy.next(Acknowledgement::Withhold);
    let first = keyed(&sessions[0], &body);
    proxy.lost().await;
    first.abort();
    let there = booked(&sessions[1], &body).await;
    assert_eq!(there.header("idempotency-replayed"), "true");
    assert_eq!(booked(&sessions[0], &body).await.id(), there.id());
    let made = "SELECT count(*) FROM appointments WHERE lower(during) = '2031-03-05 10:00+00'";
    assert_eq!(app.database.count(made).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_look_up_of_a_key_never_becomes_a_refusal() {
    // The connection is lost at each statement in which a node mentions the key, while another node commits the same
    // request.
    for nth in 1..=3 {
        let database = TestDatabase::create().await;
        let (proxy, others) = (Proxy::start(&database).await, Proxy::start(&database).await);
        let app = TestApp::start_behind(&proxy, &database).await;
        let other = TestApp::start_behind(&others, &database).await;
        let admin = app.founder("ada").await;
        let there = admin.at(other.address);
        let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
        for (session, time) in [(&admin, "08:00"), (&there, "09:00")] {
            session.new_appointment(doctor, patient, time).await;
        }
        let mut body = booking(doctor, patient, "10:00");
        body["reason"] = MARK.into();
        others.mark(MARK);
        others.hold_commit();
        let committing = keyed(&there, &body);
        others.held().await;
        proxy.hold_request(KEY, nth);
        let asking = keyed(&admin, &body);
        // Until the retry waits for the other node's row, or has already hit the fault.
        let mut db = database.connect().await;
        for _ in 0..40 {
            let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
            let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&mut db).await.unwrap();
            if waiting > 0 || timeout(Duration::from_millis(50), proxy.held()).await.is_ok() {
                break;
            }
        }
        others.release();
        if nth > 1 {
            let _ = timeout(Duration::from_secs(5), proxy.held()).await;
        }
        proxy.cut();
        let committed = committing.await.unwrap().expect(201);
        let asked = asking.await.unwrap();
        assert_open_or_booked(&asked);
        assert_eq!(booked(&admin, &body).await.id(), committed.id());
    }
}
