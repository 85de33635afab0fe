//! The statuses of an appointment, and the effect of their steps on its time.

use serde_json::json;

use crate::support::{Session, TestApp, booking};

const STATUSES: [&str; 6] = ["SCHEDULED", "CONFIRMED", "CHECKED_IN", "COMPLETED", "CANCELLED", "NO_SHOW"];

/// Returns the steps that lead to a status, and the statuses that may follow it.
fn way_to(status: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match status {
        "SCHEDULED" => (&[], &["CONFIRMED", "CANCELLED", "NO_SHOW"]),
        "CONFIRMED" => (&["CONFIRMED"], &["CHECKED_IN", "CANCELLED", "NO_SHOW"]),
        "CHECKED_IN" => (&["CONFIRMED", "CHECKED_IN"], &["COMPLETED"]),
        "COMPLETED" => (&["CONFIRMED", "CHECKED_IN", "COMPLETED"], &[]),
        "CANCELLED" => (&["CANCELLED"], &["SCHEDULED"]),
        _ => (&["NO_SHOW"], &[]),
    }
}

async fn lead_to(admin: &Session, id: i64, status: &str) {
    for step in way_to(status).0 {
        let body = json!({ "status": step });
        admin.patch(&format!("/api/appointments/{id}"), body).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_step_names_the_allowed_steps() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let patient = admin.new_patient().await;
    for from in STATUSES {
        let allowed = way_to(from).1;
        for to in STATUSES.into_iter().filter(|to| *to != from) {
            let doctor = admin.new_doctor().await;
            let id = admin.new_appointment(doctor, patient, "10:00").await;
            lead_to(&admin, id, from).await;
            let answer = admin.patch(&format!("/api/appointments/{id}"), json!({ "status": to })).await;
            if allowed.contains(&to) {
                assert_eq!(answer.expect(200).body["status"], to);
            } else {
                let refused = answer.expect_problem(409, "invalid-transition");
                let named = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
                let detail = refused.body["detail"].as_str().unwrap();
                assert!(detail.contains(&named), "{from} -> {to}: {detail}");
            }
            // The next round books the same patient at the same time.
            app.database.change_calendars("DELETE FROM appointment_events; DELETE FROM appointments").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_time_is_free_from_the_moment_of_the_answer() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient, other) = (admin.new_doctor().await, admin.new_patient().await, admin.new_patient().await);
    for free_by in ["DELETE", "CANCELLED", "NO_SHOW"] {
        let id = admin.new_appointment(doctor, patient, "10:00").await;
        let path = format!("/api/appointments/{id}");
        match free_by {
            "DELETE" => admin.delete(&path).await.expect(204),
            status => admin.patch(&path, json!({ "status": status })).await.expect(200),
        };
        let next = admin.new_appointment(doctor, other, "10:00").await;
        admin.delete(&format!("/api/appointments/{next}")).await.expect(204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_un_cancel_is_decided_like_a_booking() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient, other) = (admin.new_doctor().await, admin.new_patient().await, admin.new_patient().await);
    let path = format!("/api/appointments/{}", admin.new_appointment(doctor, patient, "10:00").await);
    admin.delete(&path).await.expect(204);

    let in_the_way = admin.new_appointment(doctor, other, "10:15").await;
    let refused = admin.patch(&path, json!({ "status": "SCHEDULED" })).await.expect_problem(409, "slot-taken");
    assert_eq!(refused.body["next_slots"].as_array().unwrap().len(), 3);
    assert_eq!(admin.get(&path).await.body["status"], "CANCELLED");

    admin.delete(&format!("/api/appointments/{in_the_way}")).await.expect(204);
    admin.patch(&path, json!({ "status": "SCHEDULED" })).await.expect(200);
    admin.post("/api/appointments", booking(doctor, other, "10:00")).await.expect_problem(409, "slot-taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_started_or_finished_appointment_cannot_be_rescheduled() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let patient = admin.new_patient().await;
    for status in ["CHECKED_IN", "COMPLETED", "CANCELLED", "NO_SHOW"] {
        let doctor = admin.new_doctor().await;
        let id = admin.new_appointment(doctor, patient, "10:00").await;
        lead_to(&admin, id, status).await;
        let body = json!({ "appointment_datetime": "2031-03-06T10:00:00Z" });
        let refused = admin.patch(&format!("/api/appointments/{id}"), body).await;
        refused.expect_problem(409, "invalid-transition");
        app.database.change_calendars("DELETE FROM appointment_events; DELETE FROM appointments").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_appointment_keeps_its_time() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient, other) = (admin.new_doctor().await, admin.new_patient().await, admin.new_patient().await);
    let id = admin.new_appointment(doctor, patient, "10:00").await;
    lead_to(&admin, id, "COMPLETED").await;
    admin.post("/api/appointments", booking(doctor, other, "10:00")).await.expect_problem(409, "slot-taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_a_deleted_doctor_can_be_corrected() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    let cancelled = format!("/api/appointments/{}", admin.new_appointment(doctor, patient, "10:00").await);
    // An appointment of yesterday that is still open.
    let mut db = app.database.connect().await;
    let past: i64 = sqlx::query_scalar(
        "WITH stamp AS (
             UPDATE calendar_versions SET version = version + 1 WHERE clinic_id = $1 AND doctor_id = $2
             RETURNING version
         )
         INSERT INTO appointments (clinic_id, reference, doctor_id, patient_id, during, created_by, calendar_version)
         SELECT $1, gen_random_uuid(), $2, $3,
             tstzrange(now() - interval '1 day', now() - interval '1 day' + interval '30 minutes'), $4, version
         FROM stamp
         RETURNING id",
    )
    .bind(admin.clinic)
    .bind(doctor)
    .bind(patient)
    .bind(admin.id)
    .fetch_one(&mut db)
    .await
    .unwrap();
    admin.delete(&format!("/api/doctors/{doctor}?cancel_appointments=true")).await.expect(204);
    let missed = admin.patch(&format!("/api/appointments/{past}"), json!({ "status": "NO_SHOW" })).await.expect(200);
    assert_eq!(missed.body["status"], "NO_SHOW");
    admin.patch(&cancelled, json!({ "reason": "doctor left" })).await.expect(200);
    let refused = admin.patch(&cancelled, json!({ "status": "SCHEDULED" })).await.expect(422);
    assert_eq!(refused.errors("doctor").len(), 1);
}
