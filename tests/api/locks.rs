//! A locked row delays only the requests that need that row.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tokio::time::{sleep, timeout};

use crate::support::{Session, TestApp, TestDatabase, booking, waiting};

/// Long enough for any request that is not blocked.
const LONG: Duration = Duration::from_secs(100);

/// The clinic with a locked row.
struct Locked {
    admin: Session,
    doctor: i64,
    patient: i64,
}

/// Asserts that all bookings of clinic B succeed while a row of clinic A is locked and A's bookings keep arriving.
async fn others_are_booked(lock: impl FnOnce(&Locked) -> String) {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let a = Locked { doctor: admin.new_doctor().await, patient: admin.new_patient().await, admin };
    let b = app.founder("bea").await;
    let mut doctors = Vec::new();
    for _ in 0..16 {
        doctors.push((b.new_doctor().await, b.new_patient().await));
    }
    a.admin.new_appointment(a.doctor, a.patient, "00:00").await;
    let mut db = app.database.connect().await;
    let mut held = db.begin().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock(&a))).execute(&mut *held).await.unwrap();

    let knocking: Vec<_> = (1..9).map(|n| tokio::spawn(knock(a.admin.clone(), a.doctor, a.patient, n))).collect();
    let booking_all: Vec<_> =
        doctors.into_iter().map(|(doctor, patient)| tokio::spawn(book_13(b.clone(), doctor, patient))).collect();
    for booked in booking_all {
        timeout(LONG, booked).await.expect("bookings of another clinic are blocked").expect("bookings that succeed");
    }
    // The lock was held all the time.
    held.rollback().await.unwrap();
    knocking.into_iter().for_each(|knocking| knocking.abort());
    let made = "SELECT count(*) FROM appointments WHERE clinic_id = (SELECT max(clinic_id) FROM clinics)";
    assert_eq!(app.database.count(made).await, 16 * 13);
}

/// Books one time repeatedly and ignores the answers.
async fn knock(admin: Session, doctor: i64, patient: i64, n: usize) {
    loop {
        let _ = admin.post("/api/appointments", booking(doctor, patient, &format!("{n:02}:00"))).await;
    }
}

async fn book_13(admin: Session, doctor: i64, patient: i64) {
    for n in 0..13 {
        admin.new_appointment(doctor, patient, &format!("{n:02}:00")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_doctor_blocks_no_other_clinic() {
    others_are_booked(|a| format!("SELECT FROM doctors WHERE id = {} FOR UPDATE", a.doctor)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_patient_blocks_no_other_clinic() {
    others_are_booked(|a| format!("SELECT FROM patients WHERE id = {} FOR UPDATE", a.patient)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_clinic_blocks_no_other_clinic() {
    others_are_booked(|a| format!("SELECT FROM clinics WHERE clinic_id = {} FOR UPDATE", a.admin.clinic)).await;
}

/// Sets alarms for a doctor's free times, as a program leaves them that stops between its commit and its offer.
async fn free(db: &mut PgConnection, clinic: i64, doctor: i64, hours: impl Iterator<Item = u32>) {
    for hour in hours {
        sqlx::query(
            "INSERT INTO waitlist_alarms (clinic_id, doctor_id, during)
             VALUES ($1, $2, tstzrange('2031-03-05 00:00+00'::timestamptz + $3 * interval '1 hour',
                 '2031-03-05 00:00+00'::timestamptz + ($3 + 1) * interval '1 hour'))",
        )
        .bind(clinic)
        .bind(doctor)
        .bind(i32::try_from(hour).unwrap())
        .execute(&mut *db)
        .await
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_doctor_delays_no_other_clinics_offer() {
    let database = TestDatabase::create().await;
    let mut app = TestApp::start_on(database.clone()).await;
    let (a, b) = (app.founder("ada").await, app.founder("bea").await);
    let (locked, doctor) = (a.new_doctor().await, b.new_doctor().await);
    for _ in 0..12 {
        a.post("/api/waitlist", waiting(locked, a.new_patient().await)).await.expect(201);
    }
    let entry = b.post("/api/waitlist", waiting(doctor, b.new_patient().await)).await.expect(201).id();
    app.stop().await;
    let mut db = database.connect().await;
    free(&mut db, a.clinic, locked, 8..20).await;
    free(&mut db, b.clinic, doctor, 10..11).await;
    let mut held = db.begin().await.unwrap();
    sqlx::query("SELECT FROM doctors WHERE id = $1 FOR UPDATE").bind(locked).execute(&mut *held).await.unwrap();
    let next = TestApp::start_on(database).await;
    let b = b.at(next.address);
    let offered = async {
        while b.get(&format!("/api/waitlist/{entry}")).await.expect(200).body["status"] != "OFFERED" {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(30), offered).await.expect("the offer of another clinic is blocked");
    held.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_doctor_does_not_deadlock_with_a_cancel() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let mut patients = Vec::new();
    for _ in 0..12 {
        patients.push(admin.new_patient().await);
    }
    for _ in 0..25 {
        let doctor = admin.new_doctor().await;
        // An entry waits for the freed times, and its alarm also needs the doctor's row.
        admin.post("/api/waitlist", waiting(doctor, admin.new_patient().await)).await.expect(201);
        let mut requests = Vec::new();
        for (n, patient) in patients.iter().enumerate() {
            let id = admin.new_appointment(doctor, *patient, &format!("{:02}:00", 8 + n)).await;
            requests.push(format!("/api/appointments/{id}"));
            if n == 5 {
                requests.push(format!("/api/doctors/{doctor}?cancel_appointments=true"));
            }
        }
        let deleting = requests.into_iter().map(|path| {
            let admin = admin.clone();
            tokio::spawn(async move { admin.send(Method::DELETE, &path, None, &[]).await })
        });
        for deleted in deleting.collect::<Vec<_>>() {
            let deleted = deleted.await.unwrap();
            assert!(deleted.status < 500, "{}: {}", deleted.status, deleted.text);
        }
        admin.get(&format!("/api/doctors/{doctor}")).await.expect(404);
    }
    let left = "SELECT count(*) FROM appointments WHERE status <> 'CANCELLED' AND held_until IS NULL";
    assert_eq!(app.database.count(left).await, 0);
    expect_no_deadlock(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_doctor_does_not_deadlock_with_a_transfer() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let staff = [app.user(&admin, "sam", "staff").await.id, app.user(&admin, "pat", "staff").await.id];
    let mut patients = Vec::new();
    for _ in 0..12 {
        patients.push(admin.new_patient().await);
    }
    for round in 0..15 {
        let doctor = admin.new_doctor().await;
        // The last patient has the first appointment, so the order of appointment ids differs from the order of patient
        // ids.
        for (n, patient) in patients.iter().rev().enumerate() {
            admin.new_appointment(doctor, *patient, &format!("{:02}:00", 8 + n)).await;
        }
        let to = json!({ "user": staff[round % 2] });
        let transfers =
            patients.iter().map(|id| (Method::POST, format!("/api/patients/{id}/transfer"), Some(to.clone())));
        let mut requests: Vec<_> = transfers.collect();
        requests.insert(4, (Method::DELETE, format!("/api/doctors/{doctor}?cancel_appointments=true"), None));
        let sending = requests.into_iter().map(|(method, path, body)| {
            let admin = admin.clone();
            tokio::spawn(async move { admin.send(method, &path, body, &[]).await })
        });
        for sent in sending.collect::<Vec<_>>() {
            let sent = sent.await.unwrap();
            assert!(sent.status < 300, "{}: {}", sent.status, sent.text);
        }
    }
    let others = "SELECT count(*) FROM appointments a JOIN patients p ON p.id = a.patient_id
                  WHERE a.patient_owner <> p.created_by OR a.status <> 'CANCELLED'";
    assert_eq!(app.database.count(others).await, 0);
    expect_no_deadlock(app).await;
}

/// Stops the program and asserts that the server counted no deadlock.
async fn expect_no_deadlock(mut app: TestApp) {
    // A connection reports its statistics when it ends.
    app.stop().await;
    let connections =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while app.database.count(connections).await > 0 {
        sleep(Duration::from_millis(50)).await;
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(app.database.count(deadlocks).await, 0);
}
