//! Concurrent requests: exactly one client gets a free time.

use serde_json::json;

use crate::support::{Answer, Session, TestApp, booking};

const CLIENTS: usize = 64;
const ROUNDS: usize = 20;

/// Registers `count` patients, a few at a time.
async fn patients(admin: &Session, count: usize) -> Vec<i64> {
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        ids.push(admin.new_patient().await);
    }
    ids
}

/// Sends all requests at once.
async fn race(requests: Vec<(Session, serde_json::Value)>) -> Vec<Answer> {
    let running = requests
        .into_iter()
        .map(|(session, body)| tokio::spawn(async move { session.post("/api/appointments", body).await }));
    let running: Vec<_> = running.collect();
    let mut answers = Vec::with_capacity(running.len());
    for request in running {
        answers.push(request.await.expect("an answer"));
    }
    answers
}

/// Asserts that one answer is a 201 and every other one a 409 with three alternative times.
#[track_caller]
pub fn assert_one_winner(answers: &[Answer]) {
    let won = answers.iter().filter(|answer| answer.status == 201).count();
    let lost: Vec<_> = answers.iter().filter(|answer| answer.status == 409).collect();
    let others: Vec<_> = answers.iter().filter(|answer| !matches!(answer.status, 201 | 409)).collect();
    assert!(others.is_empty(), "an answer is neither 201 nor 409: {:?}", others[0].text);
    assert_eq!((won, lost.len()), (1, answers.len() - 1));
    for answer in lost {
        let offered = answer.body["next_slots"].as_array().expect("next_slots");
        assert_eq!(offered.len(), 3, "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_cannot_take_the_same_slot() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let doctor = admin.new_doctor().await;
    let patients = patients(&admin, CLIENTS).await;
    for round in 0..ROUNDS {
        let time = format!("{:02}:{:02}", 8 + round / 2, round % 2 * 30);
        let requests = patients.iter().map(|patient| (admin.clone(), booking(doctor, *patient, &time)));
        assert_one_winner(&race(requests.collect()).await);
    }
    assert_eq!(app.database.count("SELECT count(*) FROM appointments").await, ROUNDS as i64);
    assert_eq!(app.database.overlapping_pairs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_on_one_database_cannot_give_a_slot_twice() {
    let first = TestApp::start().await;
    let second = TestApp::start_on(first.database.clone()).await;
    let admin = first.founder("ada").await;
    let doctor = admin.new_doctor().await;
    let patients = patients(&admin, CLIENTS).await;
    for round in 0..ROUNDS {
        let time = format!("{:02}:{:02}", 8 + round / 2, round % 2 * 30);
        let requests = patients.iter().enumerate().map(|(n, patient)| {
            let node = if n % 2 == 0 { first.address } else { second.address };
            (admin.at(node), booking(doctor, *patient, &time))
        });
        assert_one_winner(&race(requests.collect()).await);
    }
    assert_eq!(first.database.count("SELECT count(*) FROM appointments").await, ROUNDS as i64);
    assert_eq!(first.database.overlapping_pairs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_patient_is_not_booked_with_many_doctors_at_once() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let patient = admin.new_patient().await;
    let mut doctors = Vec::new();
    for _ in 0..16 {
        doctors.push(admin.new_doctor().await);
    }
    for round in 0..ROUNDS {
        let time = format!("{:02}:{:02}", 8 + round / 2, round % 2 * 30);
        let requests = doctors.iter().map(|doctor| (admin.clone(), booking(*doctor, patient, &time)));
        let answers = race(requests.collect()).await;
        assert_one_winner(&answers);
        for lost in answers.iter().filter(|answer| answer.status == 409) {
            assert_eq!(lost.body["type"], "/problems/patient-busy");
        }
    }
    assert_eq!(app.database.overlapping_pairs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_free_times_are_booked_under_concurrent_requests() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    let requests =
        (0..96).map(|n| (admin.clone(), booking(doctor, patient, &format!("{:02}:{:02}", n / 4, n % 4 * 15))));
    let requests = requests.map(|(session, mut body)| {
        body["duration_minutes"] = 15.into();
        (session, body)
    });
    let answers = race(requests.collect()).await;
    assert!(answers.iter().all(|answer| answer.status == 201));
    assert_eq!(app.database.count("SELECT count(*) FROM appointments").await, 96);
    let audited = "SELECT count(*) FROM audit_events WHERE resource = 'appointments' AND action = 'create'";
    assert_eq!(app.database.count(audited).await, 96);
    assert_eq!(app.database.overlapping_pairs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn clinics_that_book_at_once_share_transactions_but_no_rows() {
    let app = TestApp::start().await;
    let mut requests = Vec::new();
    let mut clinics = Vec::new();
    for name in ["ada", "bea", "eve"] {
        let admin = app.founder(name).await;
        let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
        requests.extend((0..24).map(|n| (admin.clone(), booking(doctor, patient, &format!("{n:02}:00")))));
        // Each clinic also tries to book another clinic's patient during the other bookings.
        requests.push((admin.clone(), booking(doctor, patient + 1000, "23:30")));
        clinics.push(admin);
    }
    requests.sort_by_key(|(_, body)| body["appointment_datetime"].to_string());
    let answers = race(requests).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 72);
    assert_eq!(answers.iter().filter(|answer| answer.status == 422).count(), 3);
    for admin in clinics {
        let listed = admin.get("/api/appointments?limit=200").await.expect(200);
        let own = listed.body.as_array().unwrap().iter().all(|row| row["created_by"] == admin.id);
        assert!(own && listed.ids().len() == 24, "{}", listed.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_moves_onto_one_free_time_have_one_winner() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let doctor = admin.new_doctor().await;
    let mut appointments = Vec::new();
    for n in 0..16 {
        let patient = admin.new_patient().await;
        let time = format!("{:02}:{:02}", 8 + n / 2, n % 2 * 30);
        appointments.push(admin.new_appointment(doctor, patient, &time).await);
    }
    let moves = appointments.into_iter().map(|id| {
        let admin = admin.clone();
        let body = json!({ "appointment_datetime": "2031-03-05T20:00:00Z" });
        tokio::spawn(async move { admin.patch(&format!("/api/appointments/{id}"), body).await })
    });
    let (mut won, mut lost) = (0, 0);
    for answer in moves.collect::<Vec<_>>() {
        match answer.await.expect("an answer").status {
            200 => won += 1,
            409 => lost += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((won, lost), (1, 15));
    assert_eq!(app.database.overlapping_pairs().await, 0);
}
