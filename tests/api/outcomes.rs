//! Outcomes that arrive late, in another order, or twice: copies equal the database, and each client learns the outcome
//! of its own change.

use std::sync::Arc;
use std::time::Duration;

use clinicd::domain::{ClinicId, DoctorId};
use serde_json::json;
use sqlx::Connection;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::support::{Acknowledgement, Answer, Proxy, Session, TestApp, TestDatabase, booking, moved};

/// The reason of the bookings, by which the proxy recognizes their transactions.
const MARK: &str = "the-reason-of-this-request";

/// Asserts that a node's copy equals the database after a short time.
async fn assert_remembers(app: &TestApp, admin: &Session, doctor: i64) {
    let (clinic, doctor) = (ClinicId(admin.clinic), DoctorId(doctor));
    for _ in 0..100 {
        let stored = app.services.repository.load_calendar(clinic, doctor).await.unwrap();
        if app.services.schedules.calendar(clinic, doctor).await.unwrap() == stored.calendar {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let stored = app.services.repository.load_calendar(clinic, doctor).await.unwrap();
    let remembered = app.services.schedules.calendar(clinic, doctor).await.unwrap();
    assert_eq!(remembered, stored.calendar, "the schedule of doctor {doctor}");
}

/// Runs `between` before the request ends if possible, otherwise while it waits, and returns the answer.
async fn ended(mut asking: JoinHandle<Answer>, between: impl FnOnce()) -> Answer {
    let early = timeout(Duration::from_secs(2), &mut asking).await;
    between();
    match early {
        Ok(answer) => answer,
        Err(_) => asking.await,
    }
    .expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_overtakes_its_booking_frees_the_time() {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start(&database).await;
    let app = TestApp::start_behind(&proxy, &database).await;
    let admin = app.founder("ada").await;
    let (doctor, patient, other) = (admin.new_doctor().await, admin.new_patient().await, admin.new_patient().await);
    admin.new_appointment(doctor, patient, "08:00").await;
    proxy.mark(MARK);
    // The booking is committed, but its node does not know that yet. Another client finds the appointment and cancels
    // it.
    proxy.next(Acknowledgement::ForwardOnRelease);
    let (booker, mut body) = (admin.clone(), booking(doctor, patient, "10:00"));
    body["reason"] = MARK.into();
    let booking_it = tokio::spawn(async move { booker.post("/api/appointments", body).await });
    proxy.lost().await;
    let id = admin.get("/api/appointments").await.expect(200).ids()[0];
    let canceller = admin.clone();
    let cancelling = tokio::spawn(async move { canceller.delete(&format!("/api/appointments/{id}")).await });
    ended(cancelling, || proxy.release()).await.expect(204);
    assert_eq!(booking_it.await.unwrap().expect(201).id(), id);
    admin.post("/api/appointments", booking(doctor, other, "10:00")).await.expect(201);
    assert_remembers(&app, &admin, doctor).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_equals_the_database_under_lists_and_cancels() {
    let database = TestDatabase::create().await;
    let proxy = Arc::new(Proxy::start(&database).await);
    proxy.mark(MARK);
    let app = TestApp::start_behind(&proxy, &database).await;
    let admin = app.founder("ada").await;
    let mut doctors = Vec::new();
    for _ in 0..8 {
        doctors.push((admin.new_doctor().await, admin.new_patient().await));
    }
    for _ in 0..3 {
        let (finish, finished) = watch::channel(false);
        let cancelling: Vec<_> = (0..4).map(|n| tokio::spawn(cancel_all(admin.clone(), n, finished.clone()))).collect();
        let delaying = tokio::spawn(delay_outcomes(proxy.clone()));
        let mut booking_all = Vec::new();
        for (doctor, patient) in &doctors {
            // Eight at once with each doctor.
            for part in 0..8 {
                booking_all.push(tokio::spawn(book_part_of_a_day(admin.clone(), *doctor, *patient, part)));
            }
        }
        for booking in booking_all {
            booking.await.unwrap();
        }
        delaying.abort();
        proxy.next(Acknowledgement::Forward);
        proxy.release();
        finish.send_replace(true);
        for cancelling in cancelling {
            cancelling.await.unwrap();
        }
        for (doctor, patient) in &doctors {
            assert_remembers(&app, &admin, *doctor).await;
            let id = admin.new_appointment(*doctor, *patient, "10:00").await;
            admin.delete(&format!("/api/appointments/{id}")).await.expect(204);
        }
    }
}

/// Books every quarter of an hour of three hours.
async fn book_part_of_a_day(admin: Session, doctor: i64, patient: i64, part: usize) {
    for n in 0..12 {
        let mut body = booking(doctor, patient, &format!("{:02}:{:02}", part * 3 + n / 4, n % 4 * 15));
        body["duration_minutes"] = 15.into();
        body["reason"] = MARK.into();
        admin.post("/api/appointments", body).await.expect(201);
    }
}

/// Delays the outcomes of some bookings, so that lists contain appointments that their node does not know yet.
async fn delay_outcomes(proxy: Arc<Proxy>) {
    loop {
        proxy.next(Acknowledgement::ForwardOnRelease);
        proxy.lost().await;
        sleep(Duration::from_millis(50)).await;
        proxy.release();
    }
}

/// Lists appointments and cancels every fourth one at once, until all bookings are finished and none is left.
async fn cancel_all(admin: Session, which: i64, finished: watch::Receiver<bool>) {
    loop {
        let is_last = *finished.borrow();
        let mut ids = admin.get("/api/appointments?status=SCHEDULED&limit=32").await.expect(200).ids();
        if ids.is_empty() && is_last {
            return;
        }
        ids.retain(|id| id % 4 == which);
        for id in ids {
            admin.delete(&format!("/api/appointments/{id}")).await.expect(204);
        }
    }
}

/// Starts a program behind a proxy and another one beside it. Both know an appointment at 10:00.
async fn two_movers() -> (TestApp, TestApp, Proxy, Session, String) {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start(&database).await;
    let app = TestApp::start_behind(&proxy, &database).await;
    proxy.mark(MARK);
    let other = TestApp::start_on(database).await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    let appointment = format!("/api/appointments/{}", admin.new_appointment(doctor, patient, "10:00").await);
    admin.at(other.address).get(&format!("/api/doctors/{doctor}/slots")).await.expect(200);
    (app, other, proxy, admin, appointment)
}

fn spawn_move(session: &Session, appointment: &str) -> JoinHandle<Answer> {
    let (session, appointment) = (session.clone(), appointment.to_owned());
    let mut patch = moved("11:00");
    patch["reason"] = MARK.into();
    tokio::spawn(async move { session.patch(&appointment, patch).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_sent_again_is_no_conflict_with_itself() {
    for to_the_other in [false, true] {
        let (_app, other, proxy, admin, appointment) = two_movers().await;
        let again = if to_the_other { admin.at(other.address) } else { admin.clone() };
        proxy.hold_commit();
        let first = spawn_move(&admin, &appointment);
        proxy.held().await;
        // The client gives up and sends the request again.
        first.abort();
        let again = spawn_move(&again, &appointment);
        let again = ended(again, || proxy.release()).await.expect(200);
        assert_eq!(again.body["appointment_datetime"], "2031-03-05T11:00:00+00:00");
        admin.patch(&appointment, moved("11:00")).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn identical_moves_on_two_nodes_are_audited_each() {
    let (app, other, proxy, admin, appointment) = two_movers().await;
    let made = "SELECT count(*) FROM audit_events WHERE resource = 'appointments' AND action = 'update'";
    proxy.hold_commit();
    let here = spawn_move(&admin, &appointment);
    proxy.held().await;
    let there = spawn_move(&admin.at(other.address), &appointment);
    // The second move waits for the first one's row, or does something else. Then the acknowledgement of the first
    // commit is lost.
    let mut db = app.database.connect().await;
    for _ in 0..40 {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        if sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut db).await.unwrap() > 0 {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    db.close().await.unwrap();
    proxy.cut();
    let answers = [here.await.unwrap(), there.await.unwrap()];
    let acknowledged = answers.iter().filter(|answer| answer.status == 200).count();
    for answer in &answers {
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text);
    }
    assert!(acknowledged > 0, "no answer acknowledged the move: {}", answers[1].text);
    assert_eq!(app.database.count(made).await, acknowledged as i64, "audited changes and acknowledged ones");
    let moved = admin.get(&appointment).await.expect(200);
    assert_eq!(moved.body["appointment_datetime"], json!("2031-03-05T11:00:00+00:00"));
}
