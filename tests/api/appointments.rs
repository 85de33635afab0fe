//! Booking, reading and rescheduling appointments: the rows of docs/scheduling.md.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Session, TestApp, booking};

const SLOT_TAKEN: &str = "Doctor already has an appointment at this time.";

/// A clinic with one doctor and two patients.
async fn clinic(app: &TestApp) -> (Session, i64, i64, i64) {
    let admin = app.founder("ada").await;
    let doctor = admin.new_doctor().await;
    let (first, second) = (admin.new_patient().await, admin.new_patient().await);
    (admin, doctor, first, second)
}

fn starts(slots: &Value) -> Vec<&str> {
    slots.as_array().expect("slots").iter().map(|slot| slot["start"].as_str().expect("a start")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_goes_through_every_layer() {
    let app = TestApp::start().await;
    let (admin, doctor, patient, _) = clinic(&app).await;

    let mut body = booking(doctor, patient, "10:00");
    body["reason"] = "  Check-up ".into();
    let booked = admin.post("/api/appointments", body).await.expect(201);
    assert_eq!(booked.header("location"), format!("/api/appointments/{}", booked.id()));
    assert_eq!(booked.version(), "1");
    let expected = json!({
        "doctor": doctor,
        "patient": patient,
        "appointment_datetime": "2031-03-05T10:00:00+00:00",
        "duration_minutes": 30,
        "ends_at": "2031-03-05T10:30:00+00:00",
        "reason": "Check-up",
        "status": "SCHEDULED",
        "created_by": admin.id,
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&booked.body[field], value, "{field}");
    }
    let read = admin.get(&format!("/api/appointments/{}", booked.id())).await.expect(200);
    assert_eq!(read.body, booked.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_intervals_let_neighbours_be_booked() {
    let app = TestApp::start().await;
    let (admin, doctor, patient, other) = clinic(&app).await;
    admin.new_appointment(doctor, patient, "10:00").await;
    admin.new_appointment(doctor, other, "10:30").await;
    admin.new_appointment(doctor, other, "09:30").await;
    assert_eq!(app.database.overlapping_pairs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_overlap_is_refused_with_alternatives() {
    let app = TestApp::start().await;
    let (admin, doctor, patient, other) = clinic(&app).await;
    admin.new_appointment(doctor, patient, "10:00").await;
    admin.new_appointment(doctor, patient, "11:00").await;

    for (time, minutes) in [("10:00", 30), ("09:45", 30), ("10:25", 30), ("10:10", 5), ("09:00", 180)] {
        let mut body = booking(doctor, other, time);
        body["duration_minutes"] = minutes.into();
        let refused = admin.post("/api/appointments", body).await.expect_problem(409, "slot-taken");
        assert_eq!(refused.body["detail"], SLOT_TAKEN);
        assert_eq!(refused.errors("non_field_errors"), [SLOT_TAKEN]);
        assert_eq!(starts(&refused.body["conflicts"])[0], "2031-03-05T10:00:00+00:00");
        assert_eq!(starts(&refused.body["next_slots"]).len(), 3);
    }
    let refused = admin.post("/api/appointments", booking(doctor, other, "10:00")).await.expect(409);
    let offered = ["2031-03-05T10:30:00+00:00", "2031-03-05T11:30:00+00:00", "2031-03-05T12:00:00+00:00"];
    assert_eq!(starts(&refused.body["next_slots"]), offered);
    for start in offered {
        let body = json!({ "doctor": doctor, "patient": other, "appointment_datetime": start });
        admin.post("/api/appointments", body).await.expect(201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_cannot_be_with_two_doctors_at_once() {
    let app = TestApp::start().await;
    let (admin, doctor, patient, _) = clinic(&app).await;
    let other_doctor = admin.new_doctor().await;
    admin.new_appointment(doctor, patient, "10:00").await;

    let refused = admin
        .post("/api/appointments", booking(other_doctor, patient, "10:15"))
        .await
        .expect_problem(409, "patient-busy");
    assert_eq!(refused.errors("non_field_errors"), ["Patient already has an appointment at this time."]);
    // The other doctor is free at 10:00, but the patient is not. The offered times suit both.
    assert_eq!(starts(&refused.body["next_slots"])[0], "2031-03-05T10:30:00+00:00");
    admin.new_appointment(other_doctor, patient, "10:30").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_a_busy_doctor_and_a_busy_patient() {
    let app = TestApp::start().await;
    let (admin, doctor, patient, other) = clinic(&app).await;
    let other_doctor = admin.new_doctor().await;
    admin.new_appointment(doctor, patient, "10:00").await;
    let moved = admin.new_appointment(other_doctor, other, "10:00").await;
    // The copy shows only the doctor's appointments. The move is allowed by the copy, so the database decides it.
    let to_taken = json!({ "appointment_datetime": "2031-03-05T12:00:00Z" });
    admin.patch(&format!("/api/appointments/{moved}"), to_taken).await.expect(200);
    admin.new_appointment(doctor, other, "10:45").await;
    let back = json!({ "appointment_datetime": "2031-03-05T10:45:00Z" });
    let refused = admin.patch(&format!("/api/appointments/{moved}"), back).await.expect_problem(409, "patient-busy");
    assert_eq!(starts(&refused.body["conflicts"]), ["2031-03-05T10:45:00+00:00"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_past_time_cannot_be_booked() {
    let app = TestApp::start().await;
    let (admin, doctor, patient, _) = clinic(&app).await;
    let body = json!({ "doctor": doctor, "patient": patient, "appointment_datetime": "2020-03-05T10:00:00Z" });
    let refused = admin.post("/api/appointments", body).await.expect_problem(422, "in-the-past");
    assert_eq!(refused.errors("appointment_datetime"), ["The appointment must start in the future."]);
    assert_eq!(starts(&refused.body["next_slots"]).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_duration_defaults_to_the_doctors_slot_then_30_minutes() {
    let app = TestApp::start().await;
    let (admin, doctor, patient, _) = clinic(&app).await;
    let appointment = admin.post("/api/appointments", booking(doctor, patient, "08:00")).await.expect(201);
    assert_eq!(appointment.body["duration_minutes"], 30);

    admin.patch(&format!("/api/doctors/{doctor}"), json!({ "slot_minutes": 45 })).await.expect(200);
    let appointment = admin.post("/api/appointments", booking(doctor, patient, "10:00")).await.expect(201);
    assert_eq!(appointment.body["duration_minutes"], 45);

    for (day, minutes, status) in [(10, 4, 422), (12, 5, 201), (14, 1440, 201), (16, 1441, 422)] {
        let mut body = booking(doctor, patient, "12:00");
        body["appointment_datetime"] = format!("2031-03-{day}T12:00:00Z").into();
        body["duration_minutes"] = minutes.into();
        let answer = admin.post("/api/appointments", body).await.expect(status);
        assert_eq!(answer.errors("duration_minutes").len(), usize::from(status == 422), "{minutes}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_doctors_and_patients_are_named_by_field() {
    let app = TestApp::start().await;
    let (admin, doctor, patient, _) = clinic(&app).await;
    let refused = admin.post("/api/appointments", booking(999_999, patient, "10:00")).await.expect(422);
    assert_eq!(refused.errors("doctor"), ["There is no such doctor."]);
    let refused = admin.post("/api/appointments", booking(doctor, 999_999, "10:00")).await.expect(422);
    assert_eq!(refused.errors("patient"), ["There is no such patient."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reschedule_keeps_the_id_and_moves_the_time_in_one_step() {
    let app = TestApp::start().await;
    let (admin, doctor, patient, other) = clinic(&app).await;
    let id = admin.new_appointment(doctor, patient, "10:00").await;
    let path = format!("/api/appointments/{id}");

    // An appointment does not conflict with its own time.
    let shifted = admin.patch(&path, json!({ "appointment_datetime": "2031-03-05T10:15:00Z" })).await.expect(200);
    assert_eq!((shifted.id(), shifted.version()), (id, "2"));
    assert_eq!(shifted.body["ends_at"], "2031-03-05T10:45:00+00:00");

    // The old time is free at once, and the new one is taken.
    let neighbour = admin.post(
        "/api/appointments",
        json!({
            "doctor": doctor, "patient": other, "appointment_datetime": "2031-03-05T09:45:00Z", "duration_minutes": 30,
        }),
    );
    neighbour.await.expect(201);
    admin.post("/api/appointments", booking(doctor, other, "10:30")).await.expect_problem(409, "slot-taken");

    // A move onto another appointment changes nothing.
    let onto = json!({ "appointment_datetime": "2031-03-05T09:30:00Z" });
    admin.patch(&path, onto).await.expect_problem(409, "slot-taken");
    let unmoved = admin.get(&path).await.expect(200);
    assert_eq!(unmoved.body, shifted.body);
    assert_eq!(app.database.overlapping_pairs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reschedule_onto_the_patients_other_appointment_is_refused() {
    let app = TestApp::start().await;
    let (admin, doctor, patient, _) = clinic(&app).await;
    let other_doctor = admin.new_doctor().await;
    admin.new_appointment(other_doctor, patient, "14:00").await;
    let id = admin.new_appointment(doctor, patient, "10:00").await;
    let onto = json!({ "appointment_datetime": "2031-03-05T14:15:00Z" });
    let refused = admin.patch(&format!("/api/appointments/{id}"), onto).await.expect_problem(409, "patient-busy");
    assert_eq!(starts(&refused.body["next_slots"])[0], "2031-03-05T14:30:00+00:00");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reschedule_of_a_stale_version_is_412_and_changes_nothing() {
    let app = TestApp::start().await;
    let (admin, doctor, patient, _) = clinic(&app).await;
    let path = format!("/api/appointments/{}", admin.new_appointment(doctor, patient, "10:00").await);
    admin.patch(&path, json!({ "reason": "changed" })).await.expect(200);

    let body = json!({ "appointment_datetime": "2031-03-05T12:00:00Z" });
    let stale = admin.send(Method::PATCH, &path, Some(body.clone()), &[("If-Match", "\"1\"")]).await;
    stale.expect_problem(412, "stale");
    admin.send(Method::DELETE, &path, None, &[("If-Match", "\"1\"")]).await.expect_problem(412, "stale");
    assert_eq!(admin.get(&path).await.body["appointment_datetime"], "2031-03-05T10:00:00+00:00");
    admin.send(Method::PATCH, &path, Some(body), &[("If-Match", "\"2\"")]).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appointment_can_be_lengthened_only_into_free_time() {
    let app = TestApp::start().await;
    let (admin, doctor, patient, other) = clinic(&app).await;
    let path = format!("/api/appointments/{}", admin.new_appointment(doctor, patient, "10:00").await);
    admin.new_appointment(doctor, other, "11:00").await;
    let longer = admin.patch(&path, json!({ "duration_minutes": 60 })).await.expect(200);
    assert_eq!(longer.body["ends_at"], "2031-03-05T11:00:00+00:00");
    admin.patch(&path, json!({ "duration_minutes": 65 })).await.expect_problem(409, "slot-taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_by_doctor_patient_status_and_time() {
    let app = TestApp::start().await;
    let (admin, doctor, patient, other) = clinic(&app).await;
    let other_doctor = admin.new_doctor().await;
    let first = admin.new_appointment(doctor, patient, "10:00").await;
    let second = admin.new_appointment(other_doctor, other, "11:00").await;
    let third = admin.new_appointment(doctor, other, "12:00").await;
    admin.patch(&format!("/api/appointments/{third}"), json!({ "status": "CONFIRMED" })).await.expect(200);

    for (query, expected) in [
        (String::new(), vec![third, second, first]),
        (format!("?doctor={doctor}"), vec![third, first]),
        (format!("?patient={other}"), vec![third, second]),
        ("?status=CONFIRMED".into(), vec![third]),
        ("?from=2031-03-05T10:30:00Z&to=2031-03-05T12:00:00Z".into(), vec![second]),
        ("?from=2031-03-05T10:29:59Z&to=2031-03-05T12:00:01Z".into(), vec![third, second, first]),
        (format!("?doctor={doctor}&status=SCHEDULED"), vec![first]),
    ] {
        let listed = admin.get(&format!("/api/appointments{query}")).await.expect(200);
        assert_eq!(listed.ids(), expected, "{query}");
    }
    admin.get("/api/appointments?status=LATE").await.expect(422);
    admin.get("/api/appointments?from=yesterday").await.expect(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_many_days_is_found_behind_many_later_bookings() {
    let app = TestApp::start().await;
    let (admin, doctor, patient, _) = clinic(&app).await;
    let mut early = Vec::new();
    for time in ["09:00", "10:00", "11:00"] {
        early.insert(0, admin.new_appointment(doctor, patient, time).await);
    }
    let status = format!("/api/appointments/{}/cancel", early[1]);
    admin.post(&status, json!({})).await.expect(200);
    let mut db = app.database.connect_unstamped().await;
    let later = format!(
        "SET session_replication_role = replica;
         INSERT INTO appointments
             (clinic_id, reference, doctor_id, patient_id, patient_owner, during, created_by, calendar_version)
         SELECT clinic_id, gen_random_uuid(), doctor_id, patient_id, patient_owner,
             tstzrange(lower(during) + n * interval '1 day', upper(during) + n * interval '1 day'), created_by, 1
         FROM appointments, generate_series(100, 10200) AS n
         WHERE id = {}",
        early[0],
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(later)).execute(&mut db).await.unwrap();

    let days = "/api/appointments?from=2031-03-01T00:00:00Z&to=2031-03-15T00:00:00Z";
    assert_eq!(admin.get(days).await.expect(200).ids(), early);
    let page = admin.get(&format!("{days}&limit=2")).await.expect(200);
    assert_eq!(page.ids(), early[..2]);
    let next = page.header("link").trim_start_matches('<').split_once('>').expect("a link").0.to_owned();
    assert_eq!(admin.get(&next).await.expect(200).ids(), early[2..]);
    assert_eq!(admin.get(&format!("{days}&status=CANCELLED")).await.expect(200).ids(), [early[1]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_find_their_own_patients_appointments_of_a_status() {
    let app = TestApp::start().await;
    let (admin, doctor, patient, _) = clinic(&app).await;
    let staff = app.user(&admin, "sam", "staff").await;
    let own = staff.new_patient().await;
    let of_another = admin.new_appointment(doctor, patient, "09:00").await;
    let cancelled = admin.new_appointment(doctor, own, "10:00").await;
    admin.new_appointment(doctor, own, "11:00").await;
    for id in [of_another, cancelled] {
        admin.post(&format!("/api/appointments/{id}/cancel"), json!({})).await.expect(200);
    }
    assert_eq!(staff.get("/api/appointments?status=CANCELLED").await.expect(200).ids(), [cancelled]);
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_book_and_see_only_their_own_patients() {
    let app = TestApp::start().await;
    let (admin, doctor, admins_patient, _) = clinic(&app).await;
    let staff = app.user(&admin, "sam", "staff").await;
    let own = staff.new_patient().await;
    let appointment = staff.new_appointment(doctor, own, "10:00").await;
    let hidden = admin.new_appointment(doctor, admins_patient, "11:00").await;

    let refused = staff.post("/api/appointments", booking(doctor, admins_patient, "12:00")).await.expect(422);
    assert_eq!(refused.errors("patient"), ["There is no such patient."]);
    assert_eq!(staff.get("/api/appointments").await.expect(200).ids(), [appointment]);
    staff.get(&format!("/api/appointments/{hidden}")).await.expect_problem(404, "not-found");
    staff.patch(&format!("/api/appointments/{hidden}"), json!({ "reason": "x" })).await.expect(404);
    staff.delete(&format!("/api/appointments/{hidden}")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_changes_the_status_but_not_the_time_of_their_own() {
    let app = TestApp::start().await;
    let (admin, other_doctor, patient, _) = clinic(&app).await;
    let login = app.user(&admin, "elena", "doctor").await;
    let doctor = admin.new_doctor_login(login.id).await;
    let own = admin.new_appointment(doctor, patient, "10:00").await;
    let colleagues = admin.new_appointment(other_doctor, patient, "11:00").await;

    assert_eq!(login.get("/api/appointments").await.expect(200).ids(), [own]);
    login.get(&format!("/api/appointments/{colleagues}")).await.expect(404);
    login.post("/api/appointments", booking(doctor, patient, "13:00")).await.expect_problem(403, "forbidden");

    let path = format!("/api/appointments/{own}");
    login.patch(&path, json!({ "status": "CONFIRMED" })).await.expect(200);
    let time = json!({ "appointment_datetime": "2031-03-05T14:00:00Z" });
    login.patch(&path, time).await.expect_problem(403, "forbidden");
    login.patch(&path, json!({ "status": "CHECKED_IN", "reason": "x" })).await.expect_problem(403, "forbidden");
    login.patch(&format!("/api/appointments/{colleagues}"), json!({ "status": "CONFIRMED" })).await.expect(404);
    assert_eq!(admin.get(&path).await.body["status"], "CONFIRMED");
    login.delete(&path).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_is_answered_exactly_as_it_reads_back() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let mut fine = booking(admin.new_doctor().await, admin.new_patient().await, "10:00");
    fine["appointment_datetime"] = "2031-03-05T10:00:00.0000004Z".into();
    let booked = admin.post("/api/appointments", fine).await.expect(201);
    assert_eq!(booked.body["appointment_datetime"], "2031-03-05T10:00:00+00:00");
    let read = admin.get(&format!("/api/appointments/{}", booked.id())).await.expect(200);
    assert_eq!(read.body, booked.body);
}
