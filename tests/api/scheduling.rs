//! The limits of a doctor's appointments over HTTP: the rows of the scheduling table. Each test has the name of its
//! row.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Session, TestApp, TestDatabase, booking};

/// The Wednesday on which `booking` books.
const WEDNESDAY: &str = "2031-03-05";

/// Creates a clinic with a doctor and a patient.
async fn clinic() -> (TestApp, Session, i64, i64) {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    (app, admin, doctor, patient)
}

fn window(weekday: &str, start: &str, end: &str) -> Value {
    json!({ "weekday": weekday, "start": start, "end": end })
}

async fn set_hours(admin: &Session, doctor: i64, windows: Value) -> Answer {
    // Before every day on which the tests book.
    let body = json!({ "effective_from": "2026-01-01", "windows": windows });
    admin.put(&format!("/api/doctors/{doctor}/working-hours"), body).await.expect(200)
}

async fn set_scheduling(admin: &Session, doctor: i64, body: Value) -> Answer {
    admin.patch(&format!("/api/doctors/{doctor}/scheduling"), body).await.expect(200)
}

async fn book(admin: &Session, doctor: i64, patient: i64, at: &str) -> Answer {
    admin.post("/api/appointments", json!({ "doctor": doctor, "patient": patient, "appointment_datetime": at })).await
}

/// Returns the local starts that are offered between two instants, as HH:MM.
async fn offered(admin: &Session, doctor: i64, from: &str, to: &str) -> Vec<String> {
    let slots = admin.get(&format!("/api/doctors/{doctor}/slots?from={from}&to={to}")).await.expect(200);
    let starts = slots.body.as_array().unwrap().iter().map(|slot| slot["local_start"].as_str().unwrap());
    starts.map(|start| start[11..16].to_owned()).collect()
}

/// Returns the ids of the appointments that an answer lists as outside the rules, with the rules that each breaks.
fn outside(answer: &Answer) -> Vec<(i64, Vec<String>)> {
    let listed = answer.body["appointments_outside"].as_array().expect("a list");
    let rules = |one: &Value| {
        let violations = one["violations"].as_array().unwrap().iter();
        violations.map(|violation| violation["rule"].as_str().unwrap().to_owned()).collect()
    };
    listed.iter().map(|one| (one["appointment"]["id"].as_i64().unwrap(), rules(one))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn working_hours_limit_bookings_once_they_are_set() {
    let (_app, admin, doctor, patient) = clinic().await;
    let hours = admin.get(&format!("/api/doctors/{doctor}/working-hours")).await.expect(200);
    assert_eq!((&hours.body["windows"], &hours.body["planned"]), (&Value::Null, &json!([])));
    book(&admin, doctor, patient, "2031-03-05T03:00:00Z").await.expect(201);
    set_hours(&admin, doctor, json!([window("wednesday", "09:00", "12:00")])).await;
    let refused = book(&admin, doctor, patient, "2031-03-05T11:45:00Z").await;
    let refused = refused.expect_problem(409, "outside-working-hours");
    assert_eq!(refused.errors("appointment_datetime").len(), 1);
    assert_eq!(refused.body["next_slots"][0]["start"], "2031-03-12T09:00:00+00:00");
    book(&admin, doctor, patient, "2031-03-05T11:30:00Z").await.expect(201);
    // Without working hours any time can be booked again.
    let unset = json!({ "effective_from": "2026-01-01", "windows": null });
    admin.put(&format!("/api/doctors/{doctor}/working-hours"), unset).await.expect(200);
    book(&admin, doctor, patient, "2031-03-05T22:00:00Z").await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_apply_from_their_day_and_a_stale_change_is_refused() {
    let (_app, admin, doctor, _) = clinic().await;
    let path = format!("/api/doctors/{doctor}/working-hours");
    let now = admin.put(&path, json!({ "windows": [window("wednesday", "09:00", "10:00")] })).await.expect(200);
    let first = now.header("etag").to_owned();
    let later = json!({ "effective_from": "2031-03-10", "windows": [window("wednesday", "14:00", "15:00")] });
    let planned = admin.send(Method::PUT, &path, Some(later.clone()), &[("If-Match", &first)]).await.expect(200);
    assert_eq!(planned.body["windows"], json!([window("wednesday", "09:00", "10:00")]));
    assert_eq!(planned.body["planned"][0]["effective_from"], "2031-03-10");
    assert_eq!(admin.get(&path).await.expect(200).version(), planned.version());
    admin.send(Method::PUT, &path, Some(later), &[("If-Match", &first)]).await.expect_problem(412, "stale");
    assert_eq!(
        offered(&admin, doctor, "2031-03-05T00:00:00Z", "2031-03-13T00:00:00Z").await,
        ["09:00", "09:30", "14:00", "14:30"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn overlapping_hours_merge_and_offer_each_start_once() {
    let (_app, admin, doctor, _) = clinic().await;
    let windows = json!([window("wednesday", "09:00", "10:30"), window("wednesday", "10:00", "11:30")]);
    set_hours(&admin, doctor, windows).await;
    let slots = offered(&admin, doctor, "2031-03-05T00:00:00Z", "2031-03-06T00:00:00Z").await;
    assert_eq!(slots, ["09:00", "09:30", "10:00", "10:30", "11:00"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_across_midnight_belong_to_the_day_they_start_on() {
    let (_app, admin, doctor, patient) = clinic().await;
    set_hours(&admin, doctor, json!([window("wednesday", "22:00", "02:00")])).await;
    let night = ("2031-03-05T00:00:00Z", "2031-03-07T00:00:00Z");
    let open = offered(&admin, doctor, night.0, night.1).await;
    assert_eq!(open, ["22:00", "22:30", "23:00", "23:30", "00:00", "00:30", "01:00", "01:30"]);
    let kept = book(&admin, doctor, patient, "2031-03-06T01:00:00Z").await.expect(201).id();
    let closed = admin.post("/api/clinic/closures", json!({ "first_day": "2031-03-06" })).await.expect(201);
    assert_eq!(outside(&closed), [(kept, vec!["clinic-closed".to_owned()])]);
    assert_eq!(offered(&admin, doctor, night.0, night.1).await, ["22:00", "22:30", "23:00", "23:30"]);
    book(&admin, doctor, patient, "2031-03-06T00:00:00Z").await.expect_problem(409, "clinic-closed");
    // The clinic is open again when the closure is deleted.
    admin.delete(&format!("/api/clinic/closures/{}", closed.id())).await.expect(204);
    assert_eq!(offered(&admin, doctor, night.0, night.1).await.len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_off_over_appointments_is_accepted_and_lists_them() {
    let (_app, admin, doctor, patient) = clinic().await;
    set_hours(&admin, doctor, json!([window("wednesday", "09:00", "10:00"), window("wednesday", "10:30", "12:00")]))
        .await;
    let kept = book(&admin, doctor, patient, "2031-03-05T11:00:00Z").await.expect(201).id();
    let path = format!("/api/doctors/{doctor}/time-off");
    let away = json!({ "starts_at": "2031-03-05T11:00:00Z", "ends_at": "2031-03-05T13:00:00Z", "reason": "Dentist" });
    let entered = admin.post(&path, away).await.expect(201);
    assert_eq!(outside(&entered), [(kept, vec!["time-off".to_owned()])]);
    assert_eq!(entered.body["reason"], "Dentist");
    assert_eq!(admin.get(&format!("/api/appointments/{kept}")).await.expect(200).body["status"], "SCHEDULED");
    assert_eq!(
        offered(&admin, doctor, "2031-03-05T00:00:00Z", "2031-03-06T00:00:00Z").await,
        ["09:00", "09:30", "10:30"],
        "neither the break nor the time off"
    );
    let other = admin.new_patient().await;
    book(&admin, doctor, other, "2031-03-05T11:30:00Z").await.expect_problem(409, "time-off");
    book(&admin, doctor, other, "2031-03-05T10:00:00Z").await.expect_problem(409, "outside-working-hours");
    assert_eq!(admin.get(&path).await.expect(200).ids(), [entered.id()]);
    admin.delete(&format!("{path}/{}", entered.id())).await.expect(204);
    admin.delete(&format!("{path}/{}", entered.id())).await.expect_problem(404, "not-found");
    book(&admin, doctor, other, "2031-03-05T11:30:00Z").await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longer_buffer_separates_two_appointments() {
    let (_app, admin, doctor, patient) = clinic().await;
    set_scheduling(&admin, doctor, json!({ "buffer_before_minutes": 5, "buffer_after_minutes": 15 })).await;
    set_hours(&admin, doctor, json!([window("wednesday", "09:00", "12:00")])).await;
    book(&admin, doctor, patient, "2031-03-05T10:00:00Z").await.expect(201);
    let other = admin.new_patient().await;
    let refused = book(&admin, doctor, other, "2031-03-05T10:44:00Z").await.expect_problem(409, "too-close");
    assert_eq!(refused.body["conflicts"][0]["start"], "2031-03-05T10:00:00+00:00");
    book(&admin, doctor, other, "2031-03-05T09:20:00Z").await.expect_problem(409, "too-close");
    book(&admin, doctor, other, "2031-03-05T10:45:00Z").await.expect(201);
    // The buffer before the first appointment may be outside the hours.
    book(&admin, doctor, other, "2031-03-05T09:00:00Z").await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn capacity_counts_active_appointments_by_local_start_day() {
    let (_app, admin, doctor, patient) = clinic().await;
    let limits = json!({ "max_appointments_per_day": 2, "time_zone": "America/New_York" });
    set_scheduling(&admin, doctor, limits).await;
    // 2031-11-02 has 25 hours in New York, from 04:00Z to 05:00Z of the next day.
    let first = book(&admin, doctor, patient, "2031-11-02T04:00:00Z").await.expect(201).id();
    book(&admin, doctor, patient, "2031-11-03T04:30:00Z").await.expect(201);
    let full = book(&admin, doctor, patient, "2031-11-02T15:00:00Z").await.expect_problem(409, "day-full");
    assert_eq!(full.body["next_slots"][0]["start"], "2031-11-03T05:00:00+00:00");
    book(&admin, doctor, patient, "2031-11-03T05:00:00Z").await.expect(201);
    // A cancelled appointment does not count, and one of the two may move within its day.
    admin.delete(&format!("/api/appointments/{first}")).await.expect(204);
    let again = book(&admin, doctor, patient, "2031-11-02T15:00:00Z").await.expect(201).id();
    let body = json!({ "appointment_datetime": "2031-11-02T16:00:00Z" });
    admin.post(&format!("/api/appointments/{again}/reschedule"), body).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn notice_and_horizon_refuse_what_is_too_soon_too_far_or_past() {
    let (_app, admin, doctor, patient) = clinic().await;
    set_scheduling(&admin, doctor, json!({ "min_notice_minutes": 120, "max_horizon_days": 30 })).await;
    let in_minutes = |minutes: i64| (clinicd::clock::now() + chrono::TimeDelta::minutes(minutes)).to_rfc3339();
    let refused = book(&admin, doctor, patient, &in_minutes(115)).await.expect_problem(422, "too-soon");
    assert_eq!(refused.body["next_slots"].as_array().unwrap().len(), 3);
    book(&admin, doctor, patient, &in_minutes(125)).await.expect(201);
    book(&admin, doctor, patient, &in_minutes(32 * 24 * 60)).await.expect_problem(422, "too-far");
    book(&admin, doctor, patient, &in_minutes(29 * 24 * 60)).await.expect(201);
    let past = book(&admin, doctor, patient, &in_minutes(-5)).await.expect_problem(422, "in-the-past");
    assert_eq!(past.errors("appointment_datetime").len(), 2, "it is too soon as well");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_broken_rules_are_all_listed_in_one_answer() {
    let (_app, admin, doctor, patient) = clinic().await;
    book(&admin, doctor, patient, "2031-03-05T10:00:00Z").await.expect(201);
    set_hours(&admin, doctor, json!([window("monday", "09:00", "10:00")])).await;
    set_scheduling(&admin, doctor, json!({ "max_appointments_per_day": 1 })).await;
    let away = json!({ "starts_at": "2031-03-05T00:00:00Z", "ends_at": "2031-03-06T00:00:00Z" });
    admin.post(&format!("/api/doctors/{doctor}/time-off"), away).await.expect(201);
    admin.post("/api/clinic/closures", json!({ "first_day": WEDNESDAY })).await.expect(201);
    let refused = admin.post("/api/appointments", booking(doctor, patient, "10:15")).await.expect(409);
    assert_eq!(refused.errors("appointment_datetime").len(), 3, "{}", refused.text);
    assert_eq!(refused.errors("non_field_errors").len(), 3, "{}", refused.text);
    assert_eq!(refused.body["next_slots"][0]["start"], "2031-03-10T09:00:00+00:00");
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_in_a_dst_gap_and_overlap_follow_the_rfc() {
    let (_app, admin, doctor, _) = clinic().await;
    set_scheduling(&admin, doctor, json!({ "time_zone": "America/New_York", "slot_minutes": 60 })).await;
    let sundays = json!([window("sunday", "01:00", "04:00")]);
    set_hours(&admin, doctor, sundays).await;
    // Clocks go from 02:00 to 03:00 on 2031-03-09, so three hours on the clock last two.
    let gap = offered(&admin, doctor, "2031-03-09T00:00:00Z", "2031-03-10T00:00:00Z").await;
    assert_eq!(gap, ["01:00", "03:00"]);
    // Clocks go back from 02:00 to 01:00 on 2031-11-02, so four hours on the clock last five.
    set_hours(&admin, doctor, json!([window("sunday", "00:00", "04:00")])).await;
    let path = format!("/api/doctors/{doctor}/slots?from=2031-11-02T00:00:00Z&to=2031-11-03T00:00:00Z");
    let overlap = admin.get(&path).await.expect(200);
    let starts: Vec<_> = overlap.body.as_array().unwrap().iter().map(|slot| slot["local_start"].clone()).collect();
    let expected = ["00:00:00-04:00", "01:00:00-04:00", "01:00:00-05:00", "02:00:00-05:00", "03:00:00-05:00"];
    assert_eq!(starts, expected.map(|time| json!(format!("2031-11-02T{time}"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_zone_keeps_instants_and_lists_appointments_outside() {
    let (_app, admin, doctor, patient) = clinic().await;
    set_scheduling(&admin, doctor, json!({ "time_zone": "America/New_York" })).await;
    set_hours(&admin, doctor, json!([window("wednesday", "09:00", "12:00")])).await;
    let id = book(&admin, doctor, patient, "2031-03-05T14:00:00Z").await.expect(201).id();
    let changed = set_scheduling(&admin, doctor, json!({ "time_zone": "Europe/Berlin" })).await;
    assert_eq!(outside(&changed), [(id, vec!["outside-working-hours".to_owned()])]);
    let kept = admin.get(&format!("/api/appointments/{id}")).await.expect(200);
    assert_eq!(kept.body["appointment_datetime"], "2031-03-05T14:00:00+00:00");
    let slots = admin.get(&format!("/api/doctors/{doctor}/slots?from=2031-03-05T00:00:00Z")).await.expect(200);
    assert_eq!(slots.body[0]["start"], "2031-03-05T08:00:00+00:00");
    // A doctor without a time zone uses the clinic's.
    set_scheduling(&admin, doctor, json!({ "time_zone": null })).await;
    let changed = admin.patch("/api/clinic", json!({ "time_zone": "Asia/Tokyo" })).await.expect(200);
    assert_eq!(outside(&changed), [(id, vec!["outside-working-hours".to_owned()])]);
    let slots = admin.get(&format!("/api/doctors/{doctor}/slots?from=2031-03-04T00:00:00Z")).await.expect(200);
    assert_eq!(slots.body[0]["start"], "2031-03-05T00:00:00+00:00");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_hours_or_limits_keep_and_list_appointments_outside() {
    let (_app, admin, doctor, patient) = clinic().await;
    let early = book(&admin, doctor, patient, "2031-03-05T08:00:00Z").await.expect(201).id();
    let late = book(&admin, doctor, patient, "2031-03-05T10:00:00Z").await.expect(201).id();
    let hours = set_hours(&admin, doctor, json!([window("wednesday", "09:00", "12:00")])).await;
    assert_eq!(outside(&hours), [(early, vec!["outside-working-hours".to_owned()])]);
    let limits = set_scheduling(&admin, doctor, json!({ "max_appointments_per_day": 1 })).await;
    assert_eq!(outside(&limits).len(), 2);
    assert_eq!(outside(&limits)[1], (late, vec!["day-full".to_owned()]));
    let listed = admin.get(&format!("/api/appointments?doctor={doctor}&status=SCHEDULED")).await.expect(200);
    assert_eq!(listed.ids(), [late, early]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slot_grid_does_not_depend_on_the_request() {
    let (_app, admin, doctor, _) = clinic().await;
    set_hours(&admin, doctor, json!([window("wednesday", "09:10", "11:00")])).await;
    let all = offered(&admin, doctor, "2031-03-05T00:00:00Z", "2031-03-06T00:00:00Z").await;
    assert_eq!(all, ["09:10", "09:40", "10:10"]);
    for minute in [11, 25, 40, 41] {
        let from = format!("2031-03-05T09:{minute}:00Z");
        let later = offered(&admin, doctor, &from, "2031-03-06T00:00:00Z").await;
        assert!(all.ends_with(&later) && later.len() < 3, "{from}: {later:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deactivated_doctor_has_no_slots_but_keeps_appointments() {
    let (_app, admin, doctor, patient) = clinic().await;
    let id = book(&admin, doctor, patient, "2031-03-05T10:00:00Z").await.expect(201).id();
    let changed = admin.patch(&format!("/api/doctors/{doctor}"), json!({ "is_active": false })).await.expect(200);
    assert_eq!(outside(&changed), [(id, vec!["doctor-inactive".to_owned()])]);
    assert_eq!(offered(&admin, doctor, "2031-03-05T00:00:00Z", "2031-03-06T00:00:00Z").await, [""; 0]);
    let refused = book(&admin, doctor, patient, "2031-03-05T12:00:00Z").await;
    let refused = refused.expect_problem(409, "doctor-inactive");
    assert_eq!(refused.body["next_slots"], json!([]));
    assert_eq!(admin.get(&format!("/api/appointments/{id}")).await.expect(200).body["status"], "SCHEDULED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reschedule_and_an_un_cancel_follow_the_booking_rules() {
    let (_app, admin, doctor, patient) = clinic().await;
    set_hours(&admin, doctor, json!([window("wednesday", "09:00", "12:00")])).await;
    let path = format!("/api/appointments/{}", book(&admin, doctor, patient, "2031-03-05T09:00:00Z").await.id());
    let out = json!({ "appointment_datetime": "2031-03-05T12:00:00Z" });
    admin.post(&format!("{path}/reschedule"), out).await.expect_problem(409, "outside-working-hours");
    admin.delete(&path).await.expect(204);
    admin.post("/api/clinic/closures", json!({ "first_day": WEDNESDAY })).await.expect(201);
    admin.patch(&path, json!({ "status": "SCHEDULED" })).await.expect_problem(409, "clinic-closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_change_applies_on_the_other_node_at_once() {
    let database = TestDatabase::create().await;
    let one = TestApp::start_on(database.clone()).await;
    let other = TestApp::start_on(database).await;
    let admin = one.founder("ada").await;
    let there = admin.at(other.address);
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    for round in 0..10 {
        let day = format!("2031-03-{:02}", 10 + round);
        // Both nodes have the schedule in memory.
        book(&admin, doctor, patient, &format!("{day}T08:00:00Z")).await.expect(201);
        book(&there, doctor, patient, &format!("{day}T09:00:00Z")).await.expect(201);
        let away = json!({ "starts_at": format!("{day}T10:00:00Z"), "ends_at": format!("{day}T11:00:00Z") });
        let entered = admin.post(&format!("/api/doctors/{doctor}/time-off"), away).await.expect(201);
        assert_eq!(outside(&entered), []);
        book(&there, doctor, patient, &format!("{day}T10:30:00Z")).await.expect_problem(409, "time-off");
    }
    admin.post("/api/clinic/closures", json!({ "first_day": "2031-03-25" })).await.expect(201);
    book(&there, doctor, patient, "2031-03-25T10:00:00Z").await.expect_problem(409, "clinic-closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_together_respect_buffers_and_capacity() {
    let database = TestDatabase::create().await;
    let one = TestApp::start_on(database.clone()).await;
    let other = TestApp::start_on(database.clone()).await;
    let admin = one.founder("ada").await;
    let nodes = [admin.clone(), admin.at(other.address)];
    let doctor = admin.new_doctor().await;
    set_scheduling(&admin, doctor, json!({ "buffer_after_minutes": 30, "max_appointments_per_day": 5 })).await;
    let mut patients = Vec::new();
    for _ in 0..24 {
        patients.push(admin.new_patient().await);
    }
    // Every quarter of an hour of a morning, from both nodes at once.
    let mut booking = Vec::new();
    for (n, patient) in patients.into_iter().enumerate() {
        let session = nodes[n % 2].clone();
        let at = format!("2031-03-05T{:02}:{:02}:00Z", 6 + n / 4, n % 4 * 15);
        booking.push(tokio::spawn(async move { book(&session, doctor, patient, &at).await }));
    }
    let mut booked = 0;
    for answer in booking {
        let answer = answer.await.unwrap();
        assert!([201, 409].contains(&answer.status), "{}", answer.text);
        booked += i32::from(answer.status == 201);
    }
    assert!((1..=5).contains(&booked), "{booked} booked");
    let too_close =
        "SELECT count(*) FROM appointments a JOIN appointments b ON a.id < b.id AND a.doctor_id = b.doctor_id
         AND tstzrange(lower(a.during) - interval '30 minutes', upper(a.during) + interval '30 minutes') && b.during";
    assert_eq!(database.count(too_close).await, 0);
    assert_eq!(database.count("SELECT count(*) FROM appointments").await, i64::from(booked));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_changes_only_their_own_hours() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let login = app.user(&admin, "elena", "doctor").await;
    let (own, colleague) = (admin.new_doctor_login(login.id).await, admin.new_doctor().await);
    let login = app.login("elena@example.com").await;
    let hours = json!({ "windows": [window("monday", "09:00", "12:00")] });
    login.put(&format!("/api/doctors/{own}/working-hours"), hours.clone()).await.expect(200);
    login.put(&format!("/api/doctors/{colleague}/working-hours"), hours).await.expect_problem(404, "not-found");
    login.get(&format!("/api/doctors/{colleague}/working-hours")).await.expect(200);
    login.post("/api/clinic/closures", json!({ "first_day": WEDNESDAY })).await.expect_problem(403, "forbidden");
    let staff = app.user(&admin, "sam", "staff").await;
    staff.patch(&format!("/api/doctors/{own}/scheduling"), json!({})).await.expect_problem(403, "forbidden");
    staff.get("/api/clinic/closures").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_hours_time_off_and_closures_are_refused_by_field() {
    let (_app, admin, doctor, _) = clinic().await;
    let path = format!("/api/doctors/{doctor}/working-hours");
    for wrong in [
        json!([window("someday", "09:00", "10:00")]),
        json!([window("monday", "9:00", "10:00")]),
        json!([window("monday", "24:00", "10:00")]),
        json!([{ "weekday": "monday", "start": "09:00" }]),
        json!(vec![window("monday", "09:00", "10:00"); 101]),
    ] {
        let refused = admin.put(&path, json!({ "windows": wrong })).await.expect_problem(422, "invalid");
        assert_eq!(refused.errors("windows").len(), 1, "{}", refused.text);
    }
    admin.put(&path, json!({})).await.expect_problem(422, "invalid");
    let path = format!("/api/doctors/{doctor}/time-off");
    for (from, to) in [("2031-03-05", "2031-03-05"), ("2031-03-06", "2031-03-05"), ("2031-03-05", "2033-03-05")] {
        let body = json!({ "starts_at": format!("{from}T00:00:00Z"), "ends_at": format!("{to}T00:00:00Z") });
        let refused = admin.post(&path, body).await.expect_problem(422, "invalid");
        assert_eq!(refused.errors("ends_at").len(), 1);
    }
    for last in ["2031-03-04", "2032-03-06"] {
        let body = json!({ "first_day": "2031-03-05", "last_day": last });
        let refused = admin.post("/api/clinic/closures", body).await.expect_problem(422, "invalid");
        assert_eq!(refused.errors("last_day").len(), 1);
    }
}
