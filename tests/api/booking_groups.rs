//! Grouped bookings: one transaction for bookings of several clinics, each decided by itself.

use reqwest::Method;
use serde_json::json;

use crate::support::{Proxy, TestApp, TestDatabase, booking};

#[tokio::test(flavor = "multi_thread")]
async fn grouped_bookings_count_one_by_one_against_the_capacity() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let doctor = admin.new_doctor().await;
    admin
        .patch(&format!("/api/doctors/{doctor}/scheduling"), json!({ "max_appointments_per_day": 2 }))
        .await
        .expect(200);
    let mut patients = Vec::new();
    for _ in 0..4 {
        patients.push(admin.new_patient().await);
    }
    // The schedule's copy has no appointment. The database gets one directly, as from another node.
    admin.post("/api/appointments/check", booking(doctor, patients[0], "06:00")).await.expect(200);
    let mut db = app.database.connect().await;
    let insert = format!(
        "WITH stamp AS (
             UPDATE calendar_versions SET version = version + 1 WHERE doctor_id = {doctor} RETURNING version
         )
         INSERT INTO appointments (clinic_id, reference, doctor_id, patient_id, during, created_by, calendar_version)
         SELECT {}, gen_random_uuid(), {doctor}, {}, '[2031-03-05 07:00Z, 2031-03-05 07:30Z)', {}, version FROM stamp",
        admin.clinic, patients[0], admin.id,
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&mut db).await.unwrap();
    // While the writer is busy, two more bookings queue up and become one group.
    let mut held = sqlx::Connection::begin(&mut db).await.unwrap();
    sqlx::raw_sql("LOCK TABLE appointments IN SHARE MODE").execute(&mut *held).await.unwrap();
    let mut booking_all = tokio::task::JoinSet::new();
    let busy = [admin.new_doctor().await, admin.new_doctor().await];
    for (n, other) in busy.into_iter().enumerate() {
        let (admin, patient) = (admin.clone(), patients[3 - n]);
        booking_all.spawn(async move { admin.post("/api/appointments", booking(other, patient, "09:00")).await });
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    for (n, time) in ["10:00", "12:00"].into_iter().enumerate() {
        let (admin, patient) = (admin.clone(), patients[n + 1]);
        booking_all.spawn(async move { admin.post("/api/appointments", booking(doctor, patient, time)).await });
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    held.rollback().await.unwrap();
    let answers = booking_all.join_all().await;
    let of_doctor: Vec<_> =
        answers.iter().filter(|answer| answer.body["doctor"] == doctor || answer.status != 201).collect();
    let booked = of_doctor.iter().filter(|answer| answer.status == 201).count();
    assert_eq!((of_doctor.len(), booked), (2, 1), "{of_doctor:?}");
    let of_day = format!("SELECT count(*) FROM appointments WHERE doctor_id = {doctor}");
    let of_day: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(of_day)).fetch_one(&mut db).await.unwrap();
    assert_eq!(of_day, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_and_the_wait_of_groups_are_measured() {
    let app = TestApp::start().await;
    let before = app.anonymous().get("/metrics").await.expect(200);
    assert!(!before.text.contains("Okafor"));
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    admin.post("/api/appointments", booking(doctor, patient, "10:00")).await.expect(201);
    admin.post("/api/appointments", booking(doctor, patient, "10:00")).await.expect(409);
    let metrics = app.anonymous().get("/metrics").await.expect(200);
    for name in ["clinicd_group_size_count{kind=\"bookings\"}", "clinicd_group_wait_seconds_count{kind=\"bookings\"}"] {
        let line = metrics.text.lines().find(|line| line.starts_with(name));
        let count = line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        assert!(count.is_some_and(|count| count >= 1), "{name}: {}", metrics.text);
    }
    assert_eq!(metrics.body, json!(null), "it is text");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_hangs_blocks_no_other_doctor() {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start(&database).await;
    let app = TestApp::start_behind(&proxy, &database).await;
    let admin = app.founder("ada").await;
    let mut doctors = Vec::new();
    for _ in 0..6 {
        doctors.push((admin.new_doctor().await, admin.new_patient().await));
    }
    // All of them use one writer, which the doctor's id selects.
    doctors.retain(|(doctor, _)| doctor % 2 == 0);
    for (doctor, patient) in &doctors {
        admin.new_appointment(*doctor, *patient, "00:00").await;
    }
    proxy.mark("the-one-that-hangs");
    // First as a single statement, then as a transaction that holds its locks.
    for (hour, keyed) in [(8, false), (12, true)] {
        proxy.hold_commit();
        let (doctor, patient) = doctors[0];
        let mut body = booking(doctor, patient, &format!("{hour:02}:00"));
        body["reason"] = "the-one-that-hangs".into();
        let booker = admin.clone();
        let hanging = tokio::spawn(async move {
            let headers = [("idempotency-key", "hangs")];
            booker.send(Method::POST, "/api/appointments", Some(body), if keyed { &headers } else { &[] }).await
        });
        proxy.held().await;
        for hours in 0..3 {
            for (doctor, patient) in &doctors[1..] {
                admin.new_appointment(*doctor, *patient, &format!("{:02}:00", hour + hours)).await;
            }
        }
        assert!(!hanging.is_finished(), "the commit did not hang");
        proxy.release();
        hanging.await.unwrap().expect(201);
    }
    assert_eq!(database.count("SELECT count(*) FROM appointments").await, 3 + 2 * (1 + 2 * 3));
}
