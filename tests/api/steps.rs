//! The operations for the steps of an appointment, and the history that they write.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{TestApp, booking};

#[tokio::test(flavor = "multi_thread")]
async fn each_step_is_taken_once_and_a_refusal_names_the_next() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    let path = format!("/api/appointments/{}", admin.new_appointment(doctor, patient, "10:00").await);
    let step = async |step: &str| admin.send(Method::POST, &format!("{path}/{step}"), None, &[]).await;
    for (name, status) in [("confirm", "CONFIRMED"), ("check-in", "CHECKED_IN"), ("complete", "COMPLETED")] {
        assert_eq!(step(name).await.expect(200).body["status"], status);
        let again = step(name).await.expect_problem(409, "invalid-transition");
        assert_eq!(again.errors("status").len(), 1);
    }
    for name in ["cancel", "no-show", "confirm"] {
        let refused = step(name).await.expect_problem(409, "invalid-transition");
        assert!(refused.body["detail"].as_str().unwrap().contains("allowed next: none"), "{}", refused.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_and_a_no_show_free_the_time() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient, other) = (admin.new_doctor().await, admin.new_patient().await, admin.new_patient().await);
    for name in ["cancel", "no-show"] {
        let id = admin.new_appointment(doctor, patient, "10:00").await;
        admin.send(Method::POST, &format!("/api/appointments/{id}/{name}"), None, &[]).await.expect(200);
        let next = admin.new_appointment(doctor, other, "10:00").await;
        admin.delete(&format!("/api/appointments/{next}")).await.expect(204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reschedule_operation_moves_in_one_step_or_not_at_all() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient, other) = (admin.new_doctor().await, admin.new_patient().await, admin.new_patient().await);
    admin.new_appointment(doctor, other, "11:00").await;
    let path = format!("/api/appointments/{}", admin.new_appointment(doctor, patient, "10:00").await);
    let to = |time: &str| Some(json!({ "appointment_datetime": format!("2031-03-05T{time}:00Z") }));
    let reschedule = format!("{path}/reschedule");
    let moved = admin.send(Method::POST, &reschedule, to("10:15"), &[("If-Match", "\"1\"")]).await.expect(200);
    assert_eq!(moved.body["appointment_datetime"], "2031-03-05T10:15:00+00:00");
    admin.send(Method::POST, &reschedule, to("12:00"), &[("If-Match", "\"1\"")]).await.expect_problem(412, "stale");
    admin.send(Method::POST, &reschedule, to("10:45"), &[]).await.expect_problem(409, "slot-taken");
    let kept = admin.get(&path).await.expect(200);
    assert_eq!(kept.body["appointment_datetime"], "2031-03-05T10:15:00+00:00");
    admin.send(Method::POST, &format!("{path}/cancel"), None, &[]).await.expect(200);
    admin.send(Method::POST, &reschedule, to("12:00"), &[]).await.expect_problem(409, "invalid-transition");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_says_who_did_what_and_when() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let staff = app.user(&admin, "sam", "staff").await;
    let (doctor, patient) = (admin.new_doctor().await, staff.new_patient().await);
    let path = format!("/api/appointments/{}", staff.new_appointment(doctor, patient, "10:00").await);
    let to = json!({ "appointment_datetime": "2031-03-05T11:00:00Z" });
    staff.post(&format!("{path}/reschedule"), to).await.expect(200);
    admin.send(Method::POST, &format!("{path}/confirm"), None, &[]).await.expect(200);
    // A change of only the reason is not a step.
    admin.patch(&path, json!({ "reason": "Follow-up" })).await.expect(200);
    admin.patch(&path, json!({ "status": "CANCELLED" })).await.expect(200);

    let history = admin.get(&format!("{path}/history")).await.expect(200);
    let told: Vec<_> = history.body.as_array().unwrap().iter().collect();
    let statuses: Vec<_> =
        told.iter().map(|event| (&event["from_status"], &event["to_status"], &event["by"])).collect();
    let (scheduled, confirmed) = (json!("SCHEDULED"), json!("CONFIRMED"));
    assert_eq!(
        statuses,
        [
            (&confirmed, &json!("CANCELLED"), &json!(admin.id)),
            (&scheduled, &confirmed, &json!(admin.id)),
            (&scheduled, &scheduled, &json!(staff.id)),
            (&Value::Null, &scheduled, &json!(staff.id)),
        ]
    );
    assert_eq!(told[2]["from_time"]["start"], "2031-03-05T10:00:00+00:00");
    assert_eq!(told[2]["to_time"]["start"], "2031-03-05T11:00:00+00:00");
    assert_eq!(told[3]["to_time"]["start"], "2031-03-05T10:00:00+00:00", "it was booked for ten");
    assert_eq!(told[3]["from_time"], Value::Null);
    assert!(told.iter().all(|event| event["at"].is_string()));
    // The history is paged, and visible only to those who may see the appointment.
    let first = admin.get(&format!("{path}/history?limit=3")).await.expect(200);
    let link = first.header("link").to_owned();
    let next = link.trim_start_matches('<').split('>').next().unwrap();
    assert_eq!(admin.get(next).await.expect(200).body.as_array().unwrap().len(), 1);
    let stranger = app.user(&admin, "eve", "staff").await;
    stranger.get(&format!("{path}/history")).await.expect_problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_cancels_is_in_the_history() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    let id = admin.post("/api/appointments", booking(doctor, patient, "10:00")).await.expect(201).id();
    admin.delete(&format!("/api/doctors/{doctor}?cancel_appointments=true")).await.expect(204);
    let history = admin.get(&format!("/api/appointments/{id}/history")).await.expect(200);
    assert_eq!(history.body[0]["to_status"], "CANCELLED");
}
