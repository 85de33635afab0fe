//! Refusals are correct: no request is refused because of another one that fails, and a refusal lists the reasons of
//! both sides.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{Answer, Proxy, Session, TestApp, TestDatabase, booking, moved};

const SLOT_TAKEN: &str = "Doctor already has an appointment at this time.";
const PATIENT_BUSY: &str = "Patient already has an appointment at this time.";

/// The reason of the bookings, by which the proxy recognizes their transactions.
const MARK: &str = "the-reason-of-this-request";

/// Books an appointment of `minutes` minutes.
async fn book_long(admin: &Session, doctor: i64, patient: i64, time: &str, minutes: i64) -> i64 {
    let mut body = booking(doctor, patient, time);
    body["duration_minutes"] = minutes.into();
    admin.post("/api/appointments", body).await.expect(201).id()
}

/// Sends all bookings at once, in this order. Returns the answers in this order too.
async fn book_at_once(admin: &Session, bodies: Vec<Value>) -> Vec<Answer> {
    let asking = bodies.into_iter().map(|body| {
        let admin = admin.clone();
        tokio::spawn(async move { admin.post("/api/appointments", body).await })
    });
    let mut answers = Vec::new();
    for answer in asking.collect::<Vec<_>>() {
        answers.push(answer.await.expect("an answer"));
    }
    answers
}

/// Runs 50 rounds of 32 clients that book one time. Some book for `failing`, who cannot be booked. Asserts that exactly
/// one of the others gets the time.
async fn one_of_the_others_gets_it(admin: &Session, failing: i64, statuses: &[u16]) {
    let doctor = admin.new_doctor().await;
    let mut patients = Vec::new();
    for _ in 0..31 {
        patients.push(admin.new_patient().await);
    }
    for round in 0..50 {
        let count = 1 + round * 7 % 31;
        let time = format!("{:02}:{:02}", round / 4, round % 4 * 15);
        let asking = std::iter::repeat_n(failing, count).chain(patients.iter().copied().take(32 - count));
        let bodies = asking.map(|patient| {
            let mut body = booking(doctor, patient, &time);
            body["duration_minutes"] = 15.into();
            body
        });
        let answers = book_at_once(admin, bodies.collect()).await;
        let (failed, others) = answers.split_at(count);
        for answer in failed {
            assert!(statuses.contains(&answer.status), "{}: {}", answer.status, answer.text);
        }
        let won = others.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(won, 1, "round {round}: {count} failed and {} others asked: {}", others.len(), others[0].text);
        for answer in others.iter().filter(|answer| answer.status != 201) {
            let answer = answer.clone().expect_problem(409, "slot-taken");
            assert_eq!(answer.body["next_slots"].as_array().expect("next_slots").len(), 3, "{}", answer.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_patients_booking_refuses_nobody_else() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (elsewhere, busy) = (admin.new_doctor().await, admin.new_patient().await);
    book_long(&admin, elsewhere, busy, "00:00", 24 * 60).await;
    one_of_the_others_gets_it(&admin, busy, &[409]).await;
    assert_eq!(app.database.overlapping_pairs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_patients_booking_refuses_nobody_else() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    one_of_the_others_gets_it(&admin, 1_000_000, &[409, 422]).await;
    assert_eq!(app.database.overlapping_pairs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appointment_that_moves_within_its_day_counts_once() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let patient = admin.new_patient().await;
    for _ in 0..30 {
        let doctor = admin.new_doctor().await;
        let limits = json!({ "max_appointments_per_day": 2 });
        admin.patch(&format!("/api/doctors/{doctor}/scheduling"), limits).await.expect(200);
        let other = admin.new_patient().await;
        let path = format!("/api/appointments/{}", admin.new_appointment(doctor, other, "09:00").await);
        let patch = moved("10:00");
        let mover = admin.clone();
        let moving = tokio::spawn(async move { mover.patch(&path, patch).await });
        let mut body = booking(doctor, patient, "11:00");
        body["patient"] = admin.new_patient().await.into();
        // The move is pending or done. Either way one place of two is left.
        let booked = admin.post("/api/appointments", body).await;
        moving.await.unwrap().expect(200);
        booked.expect(201);
        admin.post("/api/appointments", booking(doctor, patient, "12:00")).await.expect_problem(409, "day-full");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_waits_for_its_commit_counts_once() {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start(&database).await;
    let app = TestApp::start_behind(&proxy, &database).await;
    let admin = app.founder("ada").await;
    let (doctor, patient, other) = (admin.new_doctor().await, admin.new_patient().await, admin.new_patient().await);
    let limits = json!({ "max_appointments_per_day": 2 });
    admin.patch(&format!("/api/doctors/{doctor}/scheduling"), limits).await.expect(200);
    let path = format!("/api/appointments/{}", admin.new_appointment(doctor, patient, "09:00").await);
    proxy.mark(MARK);
    proxy.hold_commit();
    let (mover, mut patch) = (admin.clone(), moved("10:00"));
    patch["reason"] = MARK.into();
    let moving = tokio::spawn(async move { mover.patch(&path, patch).await });
    proxy.held().await;
    let booker = admin.clone();
    let body = booking(doctor, other, "11:00");
    let mut booked = tokio::spawn(async move { booker.post("/api/appointments", body).await });
    // The booking may wait for the move's outcome.
    let early = timeout(Duration::from_secs(2), &mut booked).await;
    proxy.release();
    moving.await.unwrap().expect(200);
    let booked = match early {
        Ok(booked) => booked,
        Err(_) => booked.await,
    };
    booked.unwrap().expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_a_busy_patient_names_only_the_patient() {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start(&database).await;
    let app = TestApp::start_behind(&proxy, &database).await;
    let other = TestApp::start_on(database).await;
    let admin = app.founder("ada").await;
    let there = admin.at(other.address);
    let (doctor, elsewhere, patient) = (admin.new_doctor().await, admin.new_doctor().await, admin.new_patient().await);
    admin.new_appointment(doctor, patient, "00:00").await;
    // In round n, the patient becomes busy just before the nth request that the booking sends to the database.
    for nth in 1..=22 {
        let time = format!("{nth:02}:00");
        let standing = format!("/api/appointments/{}", there.new_appointment(elsewhere, patient, &time).await);
        proxy.hold_request("", nth);
        let (booker, body) = (admin.clone(), booking(doctor, patient, &time));
        let mut booked = tokio::spawn(async move { booker.post("/api/appointments", body).await });
        let mut early = None;
        tokio::select! {
            biased;
            () = proxy.held() => {}
            answer = &mut booked => early = Some(answer),
        }
        let canceller = there.clone();
        let mut cancelling = tokio::spawn(async move { canceller.delete(&standing).await });
        // The cancel may wait for the booking's outcome.
        let gone = timeout(Duration::from_secs(2), &mut cancelling).await;
        proxy.release();
        match gone {
            Ok(gone) => gone,
            Err(_) => cancelling.await,
        }
        .unwrap()
        .expect(204);
        let booked = match early {
            Some(booked) => booked,
            None => booked.await,
        };
        let booked = booked.unwrap();
        if booked.status != 201 {
            booked.expect_problem(409, "patient-busy");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_lists_the_patients_and_the_doctors_conflicts() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, elsewhere) = (admin.new_doctor().await, admin.new_doctor().await);
    let (patient, other) = (admin.new_patient().await, admin.new_patient().await);
    book_long(&admin, elsewhere, patient, "10:00", 120).await;
    admin.new_appointment(doctor, other, "10:00").await;
    let refused = admin.post("/api/appointments", booking(doctor, patient, "10:00")).await;
    let refused = refused.expect_problem(409, "slot-taken");
    assert_eq!(refused.errors("non_field_errors"), [SLOT_TAKEN, PATIENT_BUSY], "{}", refused.text);
    assert_eq!(refused.body["conflicts"].as_array().unwrap().len(), 2, "{}", refused.text);

    let away = json!({ "starts_at": "2031-03-05T16:00:00Z", "ends_at": "2031-03-05T17:00:00Z" });
    admin.post(&format!("/api/doctors/{doctor}/time-off"), away).await.expect(201);
    book_long(&admin, elsewhere, patient, "16:00", 30).await;
    let refused = admin.post("/api/appointments", booking(doctor, patient, "16:00")).await;
    let refused = refused.expect_problem(409, "time-off");
    assert_eq!(refused.errors("appointment_datetime"), ["Doctor has time off at this time."], "{}", refused.text);
    assert_eq!(refused.errors("non_field_errors"), [PATIENT_BUSY], "{}", refused.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_offered_instead_suit_the_patient_as_well() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, elsewhere) = (admin.new_doctor().await, admin.new_doctor().await);
    let (patient, other) = (admin.new_patient().await, admin.new_patient().await);
    book_long(&admin, elsewhere, patient, "10:30", 60).await;
    admin.new_appointment(doctor, other, "10:00").await;
    let own = admin.new_appointment(doctor, patient, "08:00").await;
    let refused = [
        admin.post("/api/appointments", booking(doctor, patient, "10:00")).await,
        admin.patch(&format!("/api/appointments/{own}"), moved("10:00")).await,
    ];
    for refused in refused {
        let refused = refused.expect_problem(409, "slot-taken");
        let offered = refused.body["next_slots"].as_array().expect("next_slots");
        let starts: Vec<_> = offered.iter().map(|slot| slot["start"].as_str().unwrap()).collect();
        let suiting = ["2031-03-05T11:30:00+00:00", "2031-03-05T12:00:00+00:00", "2031-03-05T12:30:00+00:00"];
        assert_eq!(starts, suiting, "{}", refused.text);
    }
}
