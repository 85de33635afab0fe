//! Several programs on one database: each respects what another one acknowledged.

use serde_json::json;

use crate::support::{Process, Session, TestApp, TestDatabase, booking};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_on_one_node_frees_the_time_on_the_other_at_once() {
    let first = TestApp::start().await;
    let admin = first.founder("ada").await;
    let (doctor, patient, other) = (admin.new_doctor().await, admin.new_patient().await, admin.new_patient().await);
    // The first node has the schedule in memory before the second one starts.
    admin.new_appointment(doctor, patient, "08:00").await;
    let second = TestApp::start_on(first.database.clone()).await;
    let there = admin.at(second.address);
    for round in 0..20 {
        let (here, there) = if round % 2 == 0 { (&admin, &there) } else { (&there, &admin) };
        let id = here.new_appointment(doctor, patient, "10:00").await;
        there.post("/api/appointments", booking(doctor, other, "10:00")).await.expect_problem(409, "slot-taken");
        here.delete(&format!("/api/appointments/{id}")).await.expect(204);
        let id = there.new_appointment(doctor, other, "10:00").await;
        there.delete(&format!("/api/appointments/{id}")).await.expect(204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_deactivated_on_one_node_is_not_booked_on_the_other() {
    let first = TestApp::start().await;
    let second = TestApp::start_on(first.database.clone()).await;
    let admin = first.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    let there = admin.at(second.address);
    there.new_appointment(doctor, patient, "10:00").await;
    admin.patch(&format!("/api/doctors/{doctor}"), json!({ "is_active": false })).await.expect(200);
    there.post("/api/appointments", booking(doctor, patient, "11:00")).await.expect_problem(409, "doctor-inactive");
    admin.patch(&format!("/api/doctors/{doctor}"), json!({ "is_active": true })).await.expect(200);
    there.new_appointment(doctor, patient, "11:00").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_continues_after_the_other_ends() {
    let mut first = TestApp::start().await;
    let second = TestApp::start_on(first.database.clone()).await;
    let admin = first.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    let id = admin.new_appointment(doctor, patient, "10:00").await;
    let there = admin.at(second.address);
    there.post("/api/appointments", booking(doctor, patient, "10:00")).await.expect(409);
    first.stop().await;
    there.delete(&format!("/api/appointments/{id}")).await.expect(204);
    there.new_appointment(doctor, patient, "10:00").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_book_one_time_once_even_if_one_is_killed() {
    let database = TestDatabase::create().await;
    let (first, second) = (Process::start(&database.url), Process::start(&database.url));
    let body = json!({ "email": "ada@example.com", "password": crate::support::PASSWORD, "clinic_name": "Harbour" });
    let registered = Session::anonymous(first.address).post("/api/auth/register", body).await.expect(201);
    let admin = Session::of(first.address, &registered.body);
    let doctor = admin.new_doctor().await;
    let mut patients = Vec::new();
    for _ in 0..64 {
        patients.push(admin.new_patient().await);
    }
    for round in 0..20 {
        let time = format!("{:02}:{:02}", 8 + round / 2, round % 2 * 30);
        let racing = patients.iter().enumerate().map(|(n, patient)| {
            let session = admin.at(if n % 2 == 0 { first.address } else { second.address });
            let body = booking(doctor, *patient, &time);
            tokio::spawn(async move { session.post("/api/appointments", body).await })
        });
        let mut answers = Vec::new();
        for answer in racing.collect::<Vec<_>>() {
            answers.push(answer.await.expect("an answer"));
        }
        crate::booking_races::assert_one_winner(&answers);
    }
    assert_eq!(database.overlapping_pairs().await, 0);

    // SIGKILL: acknowledged bookings remain, and the other node continues.
    first.kill();
    let there = admin.at(second.address);
    assert_eq!(there.get("/api/appointments?limit=200").await.expect(200).ids().len(), 20);
    there.new_appointment(doctor, patients[0], "20:00").await;
}
