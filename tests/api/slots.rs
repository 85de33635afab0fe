//! Free times: an offered time can be booked, any other is explained, and a dry run writes nothing.

use serde_json::{Value, json};

use crate::support::{Session, TestApp, booking};

async fn working_doctor(admin: &Session, specialization: &str, start: &str, end: &str) -> i64 {
    let mut body = crate::support::doctor();
    body["specialization"] = specialization.into();
    let doctor = admin.post("/api/doctors", body).await.expect(201).id();
    let windows = json!([{ "weekday": "wednesday", "start": start, "end": end }]);
    let hours = json!({ "effective_from": "2026-01-01", "windows": windows });
    admin.put(&format!("/api/doctors/{doctor}/working-hours"), hours).await.expect(200);
    doctor
}

fn starts(slots: &Value) -> Vec<&str> {
    slots.as_array().unwrap().iter().map(|slot| slot["start"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offered_slot_can_be_booked_and_is_then_not_offered() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let doctor = working_doctor(&admin, "Cardiology", "09:00", "12:00").await;
    let limits = json!({ "time_zone": "America/New_York", "buffer_after_minutes": 10, "max_appointments_per_day": 4 });
    admin.patch(&format!("/api/doctors/{doctor}/scheduling"), limits).await.expect(200);
    let path = format!("/api/doctors/{doctor}/slots?from=2031-03-05T00:00:00Z&to=2031-03-06T00:00:00Z");
    let mut booked = 0;
    loop {
        let slots = admin.get(&path).await.expect(200);
        let Some(slot) = slots.body.as_array().unwrap().first().cloned() else { break };
        assert_eq!((&slot["doctor"], &slot["time_zone"]), (&json!(doctor), &json!("America/New_York")));
        let (start, local) = (slot["start"].as_str().unwrap(), slot["local_start"].as_str().unwrap());
        assert!(local.ends_with("-05:00"), "{local}");
        let instant = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap();
        assert_eq!(instant(start), instant(local));
        let body = json!({ "doctor": doctor, "patient": admin.new_patient().await, "appointment_datetime": start });
        admin.post("/api/appointments", body).await.expect(201);
        booked += 1;
    }
    assert_eq!(booked, 3, "09:00, 10:00 and 11:00: the buffer takes the half hours between");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_of_many_doctors_answers_the_earliest_first() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let early = working_doctor(&admin, "Cardiology", "08:00", "09:00").await;
    let late = working_doctor(&admin, "cardiology", "08:30", "09:30").await;
    working_doctor(&admin, "Dermatology", "07:00", "08:00").await;
    let away = working_doctor(&admin, "Cardiology", "06:00", "08:00").await;
    admin.patch(&format!("/api/doctors/{away}"), json!({ "is_active": false })).await.expect(200);
    let path = "/api/slots?specialization=Cardiology&from=2031-03-05T00:00:00Z&to=2031-03-06T00:00:00Z";
    let found = admin.get(path).await.expect(200);
    let of: Vec<_> = found.body.as_array().unwrap().iter().map(|slot| (&slot["start"], &slot["doctor"])).collect();
    let at = |time: &str| json!(format!("2031-03-05T{time}:00+00:00"));
    let expected = [(at("08:00"), early), (at("08:30"), early), (at("08:30"), late), (at("09:00"), late)];
    let expected: Vec<_> = expected.iter().map(|(start, doctor)| (start.clone(), json!(doctor))).collect();
    assert_eq!(of, expected.iter().map(|(start, doctor)| (start, doctor)).collect::<Vec<_>>());
    assert_eq!(starts(&admin.get(&format!("{path}&limit=1")).await.expect(200).body).len(), 1);
    let staff = app.user(&admin, "sam", "staff").await;
    assert_eq!(staff.get(path).await.expect(200).body, found.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_at_most_31_days_and_its_ends_are_checked() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let doctor = admin.new_doctor().await;
    let path = format!("/api/doctors/{doctor}/slots");
    let month = admin.get(&format!("{path}?from=2031-03-01T00:00:00Z&to=2031-04-01T00:00:00Z")).await.expect(200);
    assert_eq!(month.body.as_array().unwrap().len(), 31 * 48);
    for query in [
        "from=2031-03-01T00:00:00Z&to=2031-04-01T00:00:01Z",
        "from=2031-03-01T00:00:00Z&to=2031-02-01T00:00:00Z",
        "from=2031-03-01",
        "from=2031-03-01T00:00:00Z&duration_minutes=4",
        "from=2205-03-01T00:00:00Z",
    ] {
        admin.get(&format!("{path}?{query}")).await.expect_problem(422, "invalid");
        admin.get(&format!("/api/slots?{query}")).await.expect_problem(422, "invalid");
    }
    admin.get("/api/doctors/999999/slots").await.expect_problem(404, "not-found");
    admin.get(&format!("{path}/explain")).await.expect_problem(422, "invalid");
    // No past time is offered, and a search up to the end of the supported years is valid.
    assert_eq!(starts(&admin.get(&format!("{path}?from=2020-03-01T00:00:00Z")).await.expect(200).body).len(), 0);
    admin.get(&format!("{path}?from=2200-12-25T00:00:00Z&to=2200-12-31T23:59:00Z")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_is_not_offered_lists_the_broken_rules() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let doctor = working_doctor(&admin, "Cardiology", "09:00", "12:00").await;
    admin.new_appointment(doctor, admin.new_patient().await, "10:00").await;
    let explain = async |time: &str| {
        let path = format!("/api/doctors/{doctor}/slots/explain?at=2031-03-05T{time}:00Z");
        admin.get(&path).await.expect(200).body
    };
    let broken = |explained: &Value| -> Vec<String> {
        let rules = explained["rules"].as_array().unwrap();
        assert_eq!(rules.len(), 10, "every rule is listed");
        let broken = rules.iter().filter(|rule| rule["allowed"] == false);
        broken.map(|rule| rule["rule"].as_str().unwrap().to_owned()).collect()
    };
    let free = explain("09:00").await;
    assert_eq!((&free["bookable"], &free["offered"], broken(&free)), (&json!(true), &json!(true), vec![]));
    let between = explain("09:10").await;
    assert_eq!((&between["bookable"], &between["offered"]), (&json!(true), &json!(false)));
    assert_eq!(between["on_slot_grid"], false);
    let taken = explain("10:00").await;
    assert_eq!((&taken["bookable"], broken(&taken)), (&json!(false), vec!["slot-taken".to_owned()]));
    assert_eq!(taken["conflicts"][0]["start"], "2031-03-05T10:00:00+00:00");
    assert_eq!(broken(&explain("12:00").await), ["outside-working-hours"]);
    let past = admin.get(&format!("/api/doctors/{doctor}/slots/explain?at=2026-01-07T10:00:00Z")).await.expect(200);
    assert_eq!(broken(&past.body), ["in-the-past"]);
    let detail = past.body["rules"][0]["detail"].as_str().unwrap();
    assert_eq!(detail, "The appointment must start in the future.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_returns_the_decision_and_writes_nothing() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let doctor = working_doctor(&admin, "Cardiology", "09:00", "12:00").await;
    let elsewhere = admin.new_doctor().await;
    let (patient, other) = (admin.new_patient().await, admin.new_patient().await);
    let check = async |body: Value| admin.post("/api/appointments/check", body).await.expect(200).body;
    let rules = |checked: &Value| -> Vec<String> {
        let violations = checked["violations"].as_array().unwrap().iter();
        violations.map(|violation| violation["rule"].as_str().unwrap().to_owned()).collect()
    };
    let free = check(booking(doctor, patient, "09:00")).await;
    assert_eq!((&free["bookable"], rules(&free)), (&json!(true), vec![]));

    admin.new_appointment(doctor, other, "09:00").await;
    admin.new_appointment(elsewhere, patient, "09:15").await;
    let both = check(booking(doctor, patient, "09:00")).await;
    assert_eq!((&both["bookable"], rules(&both)), (&json!(false), vec!["slot-taken".into(), "patient-busy".into()]));
    assert_eq!(both["conflicts"].as_array().unwrap().len(), 2);
    // 09:30 would suit the doctor but not the patient.
    assert_eq!(starts(&both["next_slots"])[0], "2031-03-05T10:00:00+00:00");
    // The booking itself gets the same refusal.
    let refused = admin.post("/api/appointments", booking(doctor, patient, "09:00")).await.expect(409);
    assert_eq!(refused.body["type"], "/problems/slot-taken");
    assert_eq!(rules(&check(booking(doctor, 999_999, "09:30")).await), ["no-such-patient"]);
    assert_eq!(rules(&check(booking(999_999, patient, "09:30")).await), ["no-such-doctor"]);
    assert_eq!(app.database.count("SELECT count(*) FROM appointments").await, 2);
    let written = "SELECT count(*) FROM audit_events WHERE resource = 'appointments'";
    assert_eq!(app.database.count(written).await, 2, "the two bookings");
}
