//! Series of appointments: all or nothing, or only the times that can be booked; cancelled one by one or from one on.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Session, TestApp, booking};

fn series(doctor: i64, patient: i64, rrule: &str) -> Value {
    let mut body = booking(doctor, patient, "10:00");
    body["rrule"] = rrule.into();
    body
}

async fn clinic() -> (TestApp, Session, i64, i64) {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    (app, admin, doctor, patient)
}

fn starts(body: &Value) -> Vec<String> {
    let appointments = body["appointments"].as_array().unwrap().iter();
    appointments.map(|one| one["appointment_datetime"].as_str().unwrap()[..16].to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_is_booked_at_the_doctors_wall_clock_time() {
    let (app, admin, doctor, patient) = clinic().await;
    let zone = json!({ "time_zone": "America/New_York" });
    admin.patch(&format!("/api/doctors/{doctor}/scheduling"), zone).await.expect(200);
    // Across the clock change of 2031-03-09.
    let booked =
        admin.post("/api/appointment-series", series(doctor, patient, "FREQ=WEEKLY;COUNT=3")).await.expect(201);
    assert_eq!(starts(&booked.body), ["2031-03-05T10:00", "2031-03-12T09:00", "2031-03-19T09:00"]);
    assert_eq!(booked.body["skipped"], json!([]));
    assert_eq!(booked.header("location"), format!("/api/appointment-series/{}", booked.id()));
    let read = admin.get(booked.header("location")).await.expect(200);
    assert_eq!(read.body["appointments"], booked.body["appointments"]);
    let one = admin.get(&format!("/api/appointments/{}", read.body["appointments"][1]["id"])).await.expect(200);
    assert_eq!(one.body["series"], booked.id());
    // Monthly rules, and daily rules with weekdays.
    for (rule, count) in [("FREQ=MONTHLY;BYDAY=1WE;COUNT=4", 4), ("FREQ=DAILY;UNTIL=20310307;BYDAY=TH,FR", 2)] {
        let other = admin.new_patient().await;
        let mut body = series(doctor, other, rule);
        body["appointment_datetime"] = "2031-03-05T20:00:00Z".into();
        let booked = admin.post("/api/appointment-series", body).await.expect(201);
        assert_eq!(starts(&booked.body).len(), count, "{rule}");
    }
    let events = "SELECT count(*) FROM audit_events WHERE resource = 'appointment-series'";
    assert_eq!(app.database.count(events).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_from_the_second_of_a_doubled_hour_starts_there() {
    let (_app, admin, doctor, patient) = clinic().await;
    let zone = json!({ "time_zone": "America/New_York" });
    admin.patch(&format!("/api/doctors/{doctor}/scheduling"), zone).await.expect(200);
    // On 2031-11-02 New York has 01:30 at 05:30Z and at 06:30Z.
    for (first, patient) in [("06:30", patient), ("05:30", admin.new_patient().await)] {
        let mut body = series(doctor, patient, "FREQ=DAILY;COUNT=1");
        body["appointment_datetime"] = format!("2031-11-02T{first}:00Z").into();
        let booked = admin.post("/api/appointment-series", body).await.expect(201);
        assert_eq!(starts(&booked.body), [format!("2031-11-02T{first}")]);
    }
    let mut body = series(doctor, patient, "FREQ=DAILY;COUNT=2");
    body["appointment_datetime"] = "2031-11-02T06:00:00Z".into();
    let booked = admin.post("/api/appointment-series", body).await.expect(201);
    assert_eq!(starts(&booked.body), ["2031-11-02T06:00", "2031-11-03T06:00"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_keeps_the_microseconds_of_its_first_start() {
    let (_app, admin, doctor, patient) = clinic().await;
    let mut body = series(doctor, patient, "FREQ=DAILY;COUNT=2");
    body["appointment_datetime"] = "2031-03-05T10:00:00.123456789Z".into();
    let booked = admin.post("/api/appointment-series", body).await.expect(201);
    let read = admin.get(booked.header("location")).await.expect(200);
    for answer in [booked, read] {
        let booked: Vec<_> = answer.body["appointments"].as_array().unwrap().iter().collect();
        assert_eq!(booked.len(), 2);
        assert_eq!(booked[0]["appointment_datetime"], "2031-03-05T10:00:00.123456+00:00");
        assert_eq!(booked[1]["appointment_datetime"], "2031-03-06T10:00:00.123456+00:00");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_that_leaves_the_kept_years_is_refused_as_a_whole() {
    let (app, admin, doctor, patient) = clinic().await;
    let mut body = series(doctor, patient, "");
    body["appointment_datetime"] = "2200-12-29T10:00:00Z".into();
    for skip in [false, true] {
        for rule in ["FREQ=DAILY;COUNT=5", "FREQ=DAILY;UNTIL=22010105"] {
            (body["rrule"], body["skip_conflicts"]) = (rule.into(), skip.into());
            let refused = admin.post("/api/appointment-series", body.clone()).await.expect_problem(422, "invalid");
            let sentence = "Only the first 3 appointments fit into the years 1900 to 2200: end the rule by COUNT=3.";
            assert_eq!(refused.errors("rrule"), [sentence], "{rule}");
        }
    }
    assert_eq!(app.database.count("SELECT count(*) FROM appointments").await, 0);
    body["rrule"] = "FREQ=DAILY;COUNT=3".into();
    let booked = admin.post("/api/appointment-series", body).await.expect(201);
    assert_eq!(starts(&booked.body), ["2200-12-29T10:00", "2200-12-30T10:00", "2200-12-31T10:00"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_with_both_count_and_until_is_refused() {
    let (app, admin, doctor, patient) = clinic().await;
    let body = series(doctor, patient, "FREQ=DAILY;COUNT=2;UNTIL=20310331");
    let refused = admin.post("/api/appointment-series", body).await.expect_problem(422, "invalid");
    assert_eq!(refused.errors("rrule"), ["A rule ends by COUNT or by UNTIL, not by both: leave one out."]);
    assert_eq!(app.database.count("SELECT count(*) FROM appointments").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_or_nothing_lists_conflicts_and_skipping_books_the_rest() {
    let (app, admin, doctor, patient) = clinic().await;
    let elsewhere = admin.new_doctor().await;
    // The doctor is busy on the second day and away on the third, and the patient is busy on the fourth.
    let other = admin.new_patient().await;
    let on = |doctor: i64, patient: i64, day: &str| json!({ "doctor": doctor, "patient": patient, "appointment_datetime": format!("2031-03-{day}T10:15:00Z") });
    admin.post("/api/appointments", on(doctor, other, "06")).await.expect(201);
    let away = json!({ "starts_at": "2031-03-07T00:00:00Z", "ends_at": "2031-03-08T00:00:00Z" });
    admin.post(&format!("/api/doctors/{doctor}/time-off"), away).await.expect(201);
    let mut body = series(doctor, patient, "FREQ=DAILY;COUNT=5");
    let refused = admin.post("/api/appointment-series", body.clone()).await.expect_problem(409, "series-conflict");
    let rules: Vec<_> = refused.body["occurrences"].as_array().unwrap().iter().collect();
    assert_eq!(rules.len(), 2);
    assert_eq!(
        (&rules[0]["start"], &rules[0]["violations"][0]["rule"]),
        (&json!("2031-03-06T10:00:00+00:00"), &json!("slot-taken"))
    );
    assert_eq!(rules[1]["violations"][0]["rule"], "time-off");
    assert_eq!(app.database.count("SELECT count(*) FROM appointments").await, 1, "nothing was booked");

    admin.post("/api/appointments", on(elsewhere, patient, "08")).await.expect(201);
    body["skip_conflicts"] = true.into();
    let booked = admin.post("/api/appointment-series", body).await.expect(201);
    assert_eq!(starts(&booked.body), ["2031-03-05T10:00", "2031-03-09T10:00"]);
    let skipped: Vec<_> =
        booked.body["skipped"].as_array().unwrap().iter().map(|one| &one["violations"][0]["rule"]).collect();
    assert_eq!(skipped, ["slot-taken", "time-off", "patient-busy"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_refused_by_the_database_leaves_nothing_behind() {
    let (app, admin, doctor, patient) = clinic().await;
    let elsewhere = admin.new_doctor().await;
    let mut busy = booking(elsewhere, patient, "10:00");
    busy["appointment_datetime"] = "2031-03-07T10:00:00Z".into();
    admin.post("/api/appointments", busy).await.expect(201);
    let body = series(doctor, patient, "FREQ=DAILY;COUNT=4");
    let refused = admin.post("/api/appointment-series", body).await.expect_problem(409, "series-conflict");
    assert_eq!(refused.body["occurrences"][0]["violations"][0]["rule"], "patient-busy");
    assert_eq!(app.database.count("SELECT count(*) FROM appointment_series").await, 0);
    assert_eq!(app.database.count("SELECT count(*) FROM appointments").await, 1);
    // Its claims are released, so another patient can have the times.
    let other = admin.new_patient().await;
    admin.post("/api/appointment-series", series(doctor, other, "FREQ=DAILY;COUNT=4")).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_counts_its_own_appointments_against_the_day() {
    let (_app, admin, doctor, patient) = clinic().await;
    admin
        .patch(&format!("/api/doctors/{doctor}/scheduling"), json!({ "max_appointments_per_day": 1 }))
        .await
        .expect(200);
    admin.post("/api/appointment-series", series(doctor, patient, "FREQ=DAILY;COUNT=3")).await.expect(201);
    let other = admin.new_patient().await;
    admin.post("/api/appointments", booking(doctor, other, "15:00")).await.expect_problem(409, "day-full");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_a_series_is_cancelled_or_this_and_following() {
    let (_app, admin, doctor, patient) = clinic().await;
    let booked = admin.post("/api/appointment-series", series(doctor, patient, "FREQ=DAILY;COUNT=5")).await.expect(201);
    let ids: Vec<_> =
        booked.body["appointments"].as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap()).collect();
    let cancel = async |id: i64, scope: &str| {
        admin.send(Method::POST, &format!("/api/appointments/{id}/cancel{scope}"), None, &[]).await
    };
    assert_eq!(cancel(ids[1], "").await.expect(200).body["status"], "CANCELLED");
    let from_fourth = cancel(ids[3], "?scope=this_and_following").await.expect(200);
    assert_eq!((from_fourth.id(), &from_fourth.body["status"]), (ids[3], &json!("CANCELLED")));
    let series_now = admin.get(&format!("/api/appointment-series/{}", booked.id())).await.expect(200);
    let statuses: Vec<_> =
        series_now.body["appointments"].as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["SCHEDULED", "CANCELLED", "SCHEDULED", "CANCELLED", "CANCELLED"]);
    // The times are free at once, and the history contains the cancellations.
    let other = admin.new_patient().await;
    let body = json!({ "doctor": doctor, "patient": other, "appointment_datetime": "2031-03-09T10:00:00Z" });
    admin.post("/api/appointments", body).await.expect(201);
    let history = admin.get(&format!("/api/appointments/{}/history", ids[4])).await.expect(200);
    assert_eq!(history.body[0]["to_status"], "CANCELLED");
    cancel(ids[3], "?scope=this_and_following").await.expect_problem(409, "invalid-transition");
    let single = admin.new_appointment(doctor, other, "17:00").await;
    cancel(single, "?scope=this_and_following").await.expect_problem(409, "not-in-series");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_cannot_be_a_series_and_unknown_patients_are_named() {
    let (app, admin, doctor, patient) = clinic().await;
    for rule in ["FREQ=SECONDLY;COUNT=2", "FREQ=DAILY", "FREQ=DAILY;COUNT=101", "DAILY", "FREQ=DAILY;COUNT=2;BYHOUR=3"]
    {
        let refused = admin.post("/api/appointment-series", series(doctor, patient, rule)).await;
        assert_eq!(refused.expect_problem(422, "invalid").errors("rrule").len(), 1, "{rule}");
    }
    let rule = "FREQ=DAILY;COUNT=2";
    let refused = admin.post("/api/appointment-series", series(doctor, 999_999, rule)).await.expect(422);
    assert_eq!(refused.errors("patient"), ["There is no such patient."]);
    let refused = admin.post("/api/appointment-series", series(999_999, patient, rule)).await.expect(422);
    assert_eq!(refused.errors("doctor"), ["There is no such doctor."]);
    // Another user's patient is treated as unknown.
    let staff = app.user(&admin, "sam", "staff").await;
    let refused = staff.post("/api/appointment-series", series(doctor, patient, rule)).await.expect(422);
    assert_eq!(refused.errors("patient"), ["There is no such patient."]);
    assert_eq!(app.database.count("SELECT count(*) FROM appointment_series").await, 0);
}
