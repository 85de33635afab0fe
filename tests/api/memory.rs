//! A schedule's copy equals the database after any changes, on every node.

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use clinicd::domain::{ClinicId, DoctorId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{TestRng, TestRunner};
use serde_json::json;

use crate::support::{Session, TestApp};

/// A change by a user. Times are quarters of an hour in one week.
#[derive(Debug, Clone)]
enum Step {
    Book { patient: usize, start: i64, quarters: i64 },
    Cancel(usize),
    Reschedule(usize, i64),
    TimeOff { start: i64, quarters: i64 },
    Back(usize),
    Hours { start: u32, end: u32 },
    Limits { buffer: i64, most: Option<i64> },
    Closure(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let start = || 0i64..5 * 96;
    prop_oneof![
        8 => (0usize..3, start(), 1i64..9)
            .prop_map(|(patient, start, quarters)| Step::Book { patient, start, quarters }),
        3 => (0usize..20).prop_map(Step::Cancel),
        4 => (0usize..20, start()).prop_map(|(n, to)| Step::Reschedule(n, to)),
        1 => (start(), 1i64..40).prop_map(|(start, quarters)| Step::TimeOff { start, quarters }),
        1 => (0usize..4).prop_map(Step::Back),
        1 => (0u32..12, 12u32..24).prop_map(|(start, end)| Step::Hours { start, end }),
        1 => (0i64..4, prop::option::of(3i64..9)).prop_map(|(n, most)| Step::Limits { buffer: n * 5, most }),
        1 => (0i64..5).prop_map(Step::Closure),
    ]
}

fn at(quarter: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2031, 3, 3, 0, 0, 0).unwrap() + TimeDelta::minutes(15 * quarter)
}

fn text(at: DateTime<Utc>) -> String {
    at.format("%FT%TZ").to_string()
}

/// One doctor, three patients, and the changes so far.
struct Practice {
    doctor: i64,
    patients: Vec<i64>,
    appointments: Vec<i64>,
    time_off: Vec<i64>,
}

impl Practice {
    /// Applies a step. A refusal is a valid answer too.
    async fn apply(&mut self, caller: &Session, step: &Step) {
        let of_doctor = format!("/api/doctors/{}", self.doctor);
        let weekdays = ["monday", "tuesday", "wednesday", "thursday", "friday"];
        match *step {
            Step::Book { patient, start, quarters } => {
                let body = json!({
                    "doctor": self.doctor,
                    "patient": self.patients[patient],
                    "appointment_datetime": text(at(start)),
                    "duration_minutes": quarters * 15,
                });
                let answer = caller.post("/api/appointments", body).await;
                match answer.status {
                    201 => self.appointments.push(answer.id()),
                    _ => drop(answer.expect(409)),
                }
            }
            Step::Cancel(n) => {
                let Some(id) = self.appointments.get(n) else { return };
                caller.post(&format!("/api/appointments/{id}/cancel"), json!({})).await.expect(200);
                self.appointments.remove(n);
            }
            Step::Reschedule(n, to) => {
                let Some(id) = self.appointments.get(n) else { return };
                let body = json!({ "appointment_datetime": text(at(to)) });
                let answer = caller.post(&format!("/api/appointments/{id}/reschedule"), body).await;
                assert!(matches!(answer.status, 200 | 409), "{}", answer.text);
            }
            Step::TimeOff { start, quarters } => {
                let body = json!({ "starts_at": text(at(start)), "ends_at": text(at(start + quarters)) });
                let answer = caller.post(&format!("{of_doctor}/time-off"), body).await.expect(201);
                self.time_off.push(answer.id());
            }
            Step::Back(n) => {
                let Some(id) = self.time_off.get(n) else { return };
                caller.delete(&format!("{of_doctor}/time-off/{id}")).await.expect(204);
                self.time_off.remove(n);
            }
            Step::Hours { start, end } => {
                let window = |weekday| {
                    json!({
                        "weekday": weekday, "start": format!("{start:02}:00"), "end": format!("{:02}:00", end % 24),
                    })
                };
                let body = json!({ "windows": weekdays.map(window) });
                caller.put(&format!("{of_doctor}/working-hours"), body).await.expect(200);
            }
            Step::Limits { buffer, most } => {
                let body = json!({ "buffer_after_minutes": buffer, "max_appointments_per_day": most });
                caller.patch(&format!("{of_doctor}/scheduling"), body).await.expect(200);
            }
            Step::Closure(day) => {
                let day = (at(day * 96)).format("%F").to_string();
                let body = json!({ "first_day": day, "last_day": day });
                let id = caller.post("/api/clinic/closures", body).await.expect(201).id();
                caller.delete(&format!("/api/clinic/closures/{id}")).await.expect(204);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_equals_a_fresh_load_after_any_changes_on_two_nodes() {
    let first = TestApp::start().await;
    let second = TestApp::start_on(first.database.clone()).await;
    let admin = first.founder("ada").await;
    let mut runner =
        TestRunner::new_with_rng(ProptestConfig::default(), TestRng::deterministic_rng(Default::default()));
    for _ in 0..6 {
        let patients = vec![admin.new_patient().await, admin.new_patient().await, admin.new_patient().await];
        let doctor = admin.new_doctor().await;
        let mut practice = Practice { doctor, patients, appointments: Vec::new(), time_off: Vec::new() };
        let steps = vec((prop::bool::ANY, step()), 40).new_tree(&mut runner).unwrap().current();
        for (at_second, step) in &steps {
            let node = if *at_second { second.address } else { first.address };
            practice.apply(&admin.at(node), step).await;
            for app in [&first, &second] {
                is_current(app, &admin, doctor, step).await;
            }
        }
        assert!(!practice.appointments.is_empty(), "nothing was booked by {steps:?}");
    }
    assert_eq!(first.database.overlapping_pairs().await, 0);
}

/// Asserts that a node's calendar equals the database as soon as the answer has arrived.
async fn is_current(app: &TestApp, admin: &Session, doctor: i64, after: &Step) {
    let (clinic, doctor) = (ClinicId(admin.clinic), DoctorId(doctor));
    let stored = app.services.repository.load_calendar(clinic, doctor).await.unwrap();
    let remembered = app.services.schedules.calendar(clinic, doctor).await.unwrap();
    assert_eq!(remembered, stored.calendar, "after {after:?}");
}
