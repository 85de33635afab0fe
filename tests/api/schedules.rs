//! The schedule actors: pending writes, passivation, failure, bounded admission.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, TimeZone, Utc};
use clinicd::actors::repository;
use clinicd::actors::repository::{Error, Repository};
use clinicd::actors::schedule::{Limits, ScheduleError, Schedules};
use clinicd::domain::appointments::BookingRequest;
use clinicd::domain::calendar::Violation;
use clinicd::domain::{AccountId, Caller, ClinicId, DoctorId, PatientId, Visibility};
use clinicd::postgres::Database;
use uuid::Uuid;

use crate::support::{Session, TestApp, booking};

/// Starts the actors without HTTP, on a database that a program has filled.
async fn actors(app: &TestApp, limits: Limits) -> (Repository, Schedules) {
    let database = Database::open(Some(&app.database.url), "unused".as_ref()).await.unwrap();
    let settings = repository::Settings { options: database.options(), workers: 2, booking_writers: 1 };
    let repository = Repository::start(settings).await.unwrap();
    let schedules = Schedules::start(repository.clone(), limits).await.unwrap();
    (repository, schedules)
}

fn request(admin: &Session, doctor: i64, patient: i64, hour: u32) -> BookingRequest {
    BookingRequest {
        caller: Caller {
            clinic: ClinicId(admin.clinic),
            account: AccountId(admin.id),
            role: "admin".into(),
            doctor: None,
            request: Uuid::now_v7(),
            retry: None,
        },
        bookable: Visibility::WHOLE_CLINIC,
        doctor: DoctorId(doctor),
        patient: PatientId(patient),
        start: Utc.with_ymd_and_hms(2031, 3, 5, hour, 0, 0).unwrap(),
        length: Some(TimeDelta::minutes(30)),
        reason: String::new(),
        hold: None,
    }
}

/// Creates a clinic with a doctor and a patient, and stops the program that created it.
async fn filled() -> (TestApp, Session, i64, i64) {
    let (app, admin, doctors, patient) = filled_with(1).await;
    (app, admin, doctors[0], patient)
}

async fn filled_with(count: usize) -> (TestApp, Session, Vec<i64>, i64) {
    let mut app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let mut doctors = Vec::new();
    for _ in 0..count {
        doctors.push(admin.new_doctor().await);
    }
    let patient = admin.new_patient().await;
    app.stop().await;
    (app, admin, doctors, patient)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_because_of_a_write_that_is_not_committed() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient, other) = (admin.new_doctor().await, admin.new_patient().await, admin.new_patient().await);
    admin.new_appointment(doctor, patient, "08:00").await;

    let mut db = app.database.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE appointments IN SHARE MODE").execute(&mut db).await.unwrap();
    let book = |patient| {
        let admin = admin.clone();
        tokio::spawn(async move { admin.post("/api/appointments", booking(doctor, patient, "10:00")).await })
    };
    let pending = [book(patient), book(other)];
    // A committed booking is already a reason for a refusal.
    admin.post("/api/appointments", booking(doctor, other, "08:00")).await.expect_problem(409, "slot-taken");
    assert!(pending.iter().all(|pending| !pending.is_finished()), "both wait for the lock");
    sqlx::raw_sql("ROLLBACK").execute(&mut db).await.unwrap();
    let mut answers = Vec::new();
    for pending in pending {
        answers.push(pending.await.unwrap());
    }
    crate::booking_races::assert_one_winner(&answers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_that_fails_leaves_its_time_free() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    admin.post("/api/appointments", booking(doctor, 999_999, "10:00")).await.expect(422);
    admin.new_appointment(doctor, patient, "10:00").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_constraint_holds_for_a_writer_without_a_stamp() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient, other) = (admin.new_doctor().await, admin.new_patient().await, admin.new_patient().await);
    admin.new_appointment(doctor, patient, "08:00").await;
    // Another program without stamps takes a time.
    let mut db = app.database.connect_unstamped().await;
    sqlx::query(
        "INSERT INTO appointments (clinic_id, reference, doctor_id, patient_id, during, created_by, calendar_version)
         VALUES ($1, gen_random_uuid(), $2, $3, '[2031-03-05 10:00+00, 2031-03-05 10:30+00)', $4, 1)",
    )
    .bind(admin.clinic)
    .bind(doctor)
    .bind(other)
    .bind(admin.id)
    .execute(&mut db)
    .await
    .unwrap();
    let refused = admin.post("/api/appointments", booking(doctor, patient, "10:00")).await;
    let refused = refused.expect_problem(409, "slot-taken");
    assert_eq!(refused.body["conflicts"][0]["start"], "2031-03-05T10:00:00+00:00");
    assert_eq!(app.database.overlapping_pairs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_schedule_leaves_memory_and_loses_nothing() {
    let (app, admin, doctor, patient) = filled().await;
    let limits = Limits { idle: Duration::from_millis(200), ..Limits::default() };
    let (_repository, schedules) = actors(&app, limits).await;
    schedules.book(request(&admin, doctor, patient, 10)).await.unwrap();
    assert_eq!(schedules.resident(), 1);
    for _ in 0..50 {
        if schedules.resident() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(schedules.resident(), 0, "an idle schedule is passivated");
    let refused = schedules.book(request(&admin, doctor, patient, 10)).await;
    let Err(ScheduleError::Refused(refused)) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.violations, [Violation::SlotTaken, Violation::PatientBusy]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_schedules_in_memory_is_bounded() {
    let (app, admin, doctors, patient) = filled_with(20).await;
    let limits = Limits { resident: 4, ..Limits::default() };
    let (_repository, schedules) = actors(&app, limits).await;
    for (hour, doctor) in (0..).zip(&doctors) {
        schedules.book(request(&admin, *doctor, patient, hour)).await.unwrap();
        // One schedule may be leaving when the next one arrives.
        assert!(schedules.resident() <= 6, "{} after {hour}", schedules.resident());
    }
    for (hour, doctor) in (0..).zip(doctors) {
        let refused = schedules.book(request(&admin, doctor, patient, hour)).await;
        let Err(ScheduleError::Refused(refused)) = refused else { panic!("{refused:?}") };
        assert!(refused.violations.contains(&Violation::SlotTaken), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_during_passivation_reaches_the_next_activation() {
    let (app, admin, doctor, patient) = filled().await;
    let limits = Limits { idle: Duration::from_millis(2), ..Limits::default() };
    let (_repository, schedules) = actors(&app, limits).await;
    for hour in 0..24 {
        schedules.book(request(&admin, doctor, patient, hour)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(u64::from(hour % 5))).await;
        let refused = schedules.book(request(&admin, doctor, patient, hour)).await;
        assert!(matches!(refused, Err(ScheduleError::Refused(_))), "{refused:?}");
    }
    assert_eq!(app.database.count("SELECT count(*) FROM appointments").await, 24);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_activation_leaves_nothing_behind() {
    let (app, admin, doctor, _) = filled().await;
    let (_repository, schedules) = actors(&app, Limits::default()).await;
    let mut db = app.database.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE appointments IN ACCESS EXCLUSIVE MODE").execute(&mut db).await.unwrap();
    let clinic = ClinicId(admin.clinic);
    for doctor in [doctor, 999_999] {
        let asking = schedules.clone();
        let asking = tokio::spawn(async move { asking.calendar(clinic, DoctorId(doctor)).await.is_ok() });
        tokio::time::sleep(Duration::from_millis(100)).await;
        asking.abort();
    }
    assert_eq!(schedules.resident(), 2, "both are being read");
    sqlx::raw_sql("COMMIT").execute(&mut db).await.unwrap();
    for _ in 0..100 {
        if schedules.resident() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(schedules.resident(), 1, "only the doctor who exists has a schedule");
    schedules.calendar(clinic, DoctorId(doctor)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn admission_is_bounded_per_doctor_and_refuses_at_once() {
    let (app, admin, doctor, patient) = filled().await;
    let limits = Limits { per_doctor: 4, ..Limits::default() };
    let (_repository, schedules) = actors(&app, limits).await;
    schedules.book(request(&admin, doctor, patient, 0)).await.unwrap();

    let mut db = app.database.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE appointments IN SHARE MODE").execute(&mut db).await.unwrap();
    let schedules = Arc::new(schedules);
    let waiting: Vec<_> = (1..5)
        .map(|hour| {
            let (schedules, request) = (schedules.clone(), request(&admin, doctor, patient, hour));
            tokio::spawn(async move { schedules.book(request).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let refused = schedules.book(request(&admin, doctor, patient, 6)).await;
    assert!(matches!(refused, Err(ScheduleError::Repository(Error::Overloaded))), "{refused:?}");
    sqlx::raw_sql("ROLLBACK").execute(&mut db).await.unwrap();
    for booked in waiting {
        booked.await.unwrap().expect("admitted requests are served");
    }
    schedules.book(request(&admin, doctor, patient, 6)).await.expect("there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_a_gone_caller_is_not_executed() {
    let (app, admin, doctor, patient) = filled().await;
    let limits = Limits { patience: Duration::from_millis(100), ..Limits::default() };
    let (_repository, schedules) = actors(&app, limits).await;
    let unanswered = tokio::time::timeout(Duration::ZERO, schedules.book(request(&admin, doctor, patient, 10))).await;
    assert!(unanswered.is_err(), "the caller leaves before it asks");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(app.database.count("SELECT count(*) FROM appointments").await, 0);
}
