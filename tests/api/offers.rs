//! Offers of the waitlist: a suitable time, held at most until its start, and checked against every rule again.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Answer, Session, TestApp, booking, waiting};

async fn clinic() -> (TestApp, Session, i64, i64) {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    (app, admin, doctor, patient)
}

/// Returns the entry when a time is offered to it.
async fn offered(admin: &Session, entry: i64) -> Answer {
    for _ in 0..300 {
        let found = admin.get(&format!("/api/waitlist/{entry}")).await.expect(200);
        if found.body["status"] == "OFFERED" {
            return found;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("entry {entry} is never offered a time");
}

fn instant(value: &Value) -> DateTime<Utc> {
    value.as_str().expect("a time").parse().expect("a time")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_busy_at_first_is_offered_a_later_part() {
    let (_app, admin, doctor, patient) = clinic().await;
    let mut long = booking(doctor, patient, "10:00");
    long["duration_minutes"] = 120.into();
    let taken = admin.post("/api/appointments", long).await.expect(201).id();
    let (elsewhere, waits) = (admin.new_doctor().await, admin.new_patient().await);
    admin.new_appointment(elsewhere, waits, "10:00").await;
    admin.new_appointment(elsewhere, waits, "10:45").await;
    let entry = admin.post("/api/waitlist", waiting(doctor, waits)).await.expect(201).id();
    admin.delete(&format!("/api/appointments/{taken}")).await.expect(204);
    let offered = offered(&admin, entry).await;
    // The patient is free from 11:15 on.
    let time = &offered.body["offer"]["time"];
    let (from, to) = (instant(&json!("2031-03-05T11:15:00Z")), instant(&json!("2031-03-05T12:00:00Z")));
    assert!(instant(&time["start"]) >= from && instant(&time["end"]) <= to, "{}", offered.text);
    admin.send(Method::POST, &format!("/api/waitlist/{entry}/accept"), None, &[]).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_ends_at_its_start_at_the_latest() {
    let (app, admin, doctor, patient) = clinic().await;
    // A hold lasts half an hour, but this time starts sooner.
    let mut db = app.database.connect().await;
    let now: DateTime<Utc> = sqlx::query_scalar("SELECT date_trunc('minute', now())").fetch_one(&mut db).await.unwrap();
    let start = now + TimeDelta::minutes(10);
    let body = json!({ "doctor": doctor, "patient": patient, "appointment_datetime": start.to_rfc3339() });
    let taken = admin.post("/api/appointments", body).await.expect(201).id();
    let day = |days| (now + TimeDelta::days(days)).format("%F").to_string();
    let mut wanted = waiting(doctor, admin.new_patient().await);
    (wanted["first_day"], wanted["last_day"]) = (day(0).into(), day(1).into());
    let entry = admin.post("/api/waitlist", wanted).await.expect(201).id();
    admin.delete(&format!("/api/appointments/{taken}")).await.expect(204);
    let offered = offered(&admin, entry).await;
    let offer = &offered.body["offer"];
    assert_eq!(instant(&offer["time"]["start"]), start, "{}", offered.text);
    assert!(instant(&offer["held_until"]) <= start, "{}", offered.text);
}

/// Asserts that accepting the offered 10:00 is refused by a rule that changed after the offer.
async fn is_asked_again(method: Method, path: &str, change: Value, kind: &str) {
    let (_app, admin, doctor, patient) = clinic().await;
    let taken = admin.new_appointment(doctor, patient, "10:00").await;
    let entry = admin.post("/api/waitlist", waiting(doctor, admin.new_patient().await)).await.expect(201).id();
    admin.delete(&format!("/api/appointments/{taken}")).await.expect(204);
    offered(&admin, entry).await;
    let path = path.replace("{doctor}", &doctor.to_string());
    let changed = admin.send(method, &path, Some(change), &[]).await;
    assert!(matches!(changed.status, 200 | 201), "{}", changed.text);
    let accepted = admin.send(Method::POST, &format!("/api/waitlist/{entry}/accept"), None, &[]).await;
    accepted.expect_problem(409, kind);
    assert_eq!(admin.get("/api/appointments?status=SCHEDULED").await.expect(200).body, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_of_a_doctor_who_became_inactive_is_not_accepted() {
    is_asked_again(Method::PATCH, "/api/doctors/{doctor}", json!({ "is_active": false }), "doctor-inactive").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_within_new_time_off_is_not_accepted() {
    let away = json!({ "starts_at": "2031-03-05T00:00:00Z", "ends_at": "2031-03-06T00:00:00Z" });
    is_asked_again(Method::POST, "/api/doctors/{doctor}/time-off", away, "time-off").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_of_a_day_that_the_clinic_closed_is_not_accepted() {
    let closed = json!({ "first_day": "2031-03-05" });
    is_asked_again(Method::POST, "/api/clinic/closures", closed, "clinic-closed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_outside_of_new_hours_is_not_accepted() {
    let weekdays = ["monday", "tuesday", "wednesday", "thursday", "friday"];
    let windows = weekdays.map(|weekday| json!({ "weekday": weekday, "start": "14:00", "end": "18:00" }));
    let hours = json!({ "windows": windows });
    is_asked_again(Method::PUT, "/api/doctors/{doctor}/working-hours", hours, "outside-working-hours").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_no_longer_keeps_the_buffers_is_not_accepted() {
    let (_app, admin, doctor, patient) = clinic().await;
    let taken = admin.new_appointment(doctor, patient, "10:00").await;
    let entry = admin.post("/api/waitlist", waiting(doctor, admin.new_patient().await)).await.expect(201).id();
    admin.new_appointment(doctor, patient, "10:30").await;
    admin.delete(&format!("/api/appointments/{taken}")).await.expect(204);
    offered(&admin, entry).await;
    let limits = json!({ "buffer_after_minutes": 15 });
    admin.patch(&format!("/api/doctors/{doctor}/scheduling"), limits).await.expect(200);
    let accepted = admin.send(Method::POST, &format!("/api/waitlist/{entry}/accept"), None, &[]).await;
    accepted.expect_problem(409, "too-close");
}
