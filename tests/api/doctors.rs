//! Doctors.

use serde_json::{Value, json};

use crate::support::{TestApp, booking, doctor};

#[tokio::test(flavor = "multi_thread")]
async fn a_doctors_record_keeps_every_field() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let user = app.user(&admin, "elena", "doctor").await;
    let body = json!({
        "first_name": "Elena",
        "last_name": "Marsh",
        "specialization": "Cardiology",
        "license_number": "MD-20417",
        "email": "elena.marsh@example.com",
        "phone_number": "+1 555 0160",
        "gender": "F",
        "years_of_experience": 14,
        "office_address": "Room 210",
        "max_appointments_per_day": 16,
        "slot_minutes": 20,
        "time_zone": "America/New_York",
        "is_active": true,
        "user": user.id,
    });
    let made = admin.post("/api/doctors", body.clone()).await.expect(201);
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(&made.body[field], value, "{field}");
    }
    let path = format!("/api/doctors/{}", made.id());
    assert_eq!((made.header("location"), made.version()), (&*path, "1"));
    assert_eq!(user.get(&path).await.expect(200).body, made.body);
    assert_eq!(user.get("/api/auth/me").await.expect(200).body["doctor"], made.id());

    let patched =
        admin.patch(&path, json!({ "phone_number": null, "time_zone": null, "user": null })).await.expect(200);
    for cleared in ["phone_number", "time_zone", "user"] {
        assert!(patched.body[cleared].is_null(), "{cleared}");
    }
    assert_eq!(patched.body["office_address"], "Room 210");
    assert_eq!(user.get("/api/auth/me").await.expect(200).body["doctor"], Value::Null);
    let replaced = admin.put(&path, doctor()).await.expect(200);
    assert_eq!((&replaced.body["office_address"], &replaced.body["slot_minutes"]), (&Value::Null, &json!(30)));
}

#[tokio::test(flavor = "multi_thread")]
async fn licence_email_and_login_belong_to_one_doctor_of_a_clinic() {
    let app = TestApp::start().await;
    let (admin, other_clinic) = (app.founder("ada").await, app.founder("eve").await);
    let user = app.user(&admin, "elena", "doctor").await.id;
    let mut first = doctor();
    first["user"] = user.into();
    let id = admin.post("/api/doctors", first.clone()).await.expect(201).id();
    for field in ["license_number", "email", "user"] {
        let mut second = doctor();
        second[field] = first[field].clone();
        let refused = admin.post("/api/doctors", second).await.expect_problem(409, "taken");
        assert_eq!(refused.errors(field).len(), 1, "{field}");
    }
    let mut elsewhere = first.clone();
    elsewhere["user"] = Value::Null;
    other_clinic.post("/api/doctors", elsewhere.clone()).await.expect(201);
    // A user of another clinic and an unknown user cannot be linked.
    for user in [other_clinic.id, 999_999] {
        let mut body = doctor();
        body["user"] = user.into();
        assert_eq!(admin.post("/api/doctors", body).await.expect(422).errors("user").len(), 1);
    }
    admin.delete(&format!("/api/doctors/{id}")).await.expect(204);
    admin.post("/api/doctors", first).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_zone_is_refused() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let mut body = doctor();
    body["time_zone"] = "Mars/Olympus".into();
    assert_eq!(admin.post("/api/doctors", body).await.expect(422).errors("time_zone").len(), 1);
    let path = format!("/api/doctors/{}", admin.new_doctor().await);
    assert_eq!(admin.patch(&path, json!({ "time_zone": "CET+9" })).await.expect(422).errors("time_zone").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_reads_doctors_and_only_administrators_change_them() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let id = admin.new_doctor().await;
    let path = format!("/api/doctors/{id}");
    for role in ["staff", "doctor"] {
        let user = app.user(&admin, role, role).await;
        assert_eq!(user.get("/api/doctors").await.expect(200).ids(), [id]);
        user.get(&path).await.expect(200);
        user.post("/api/doctors", doctor()).await.expect_problem(403, "forbidden");
        user.put(&path, doctor()).await.expect_problem(403, "forbidden");
        user.patch(&path, json!({ "is_active": false })).await.expect_problem(403, "forbidden");
        user.delete(&path).await.expect_problem(403, "forbidden");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doctors_are_searched_and_filtered() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let new = async |first: &str, specialization: &str, is_active: bool| {
        let mut body = doctor();
        body["first_name"] = first.into();
        body["specialization"] = specialization.into();
        body["is_active"] = is_active.into();
        admin.post("/api/doctors", body).await.expect(201).id()
    };
    let ann = new("Ann", "Cardiology", true).await;
    let bob = new("Bob", "Dermatology", false).await;
    for (query, expected) in [
        ("", vec![bob, ann]),
        ("search=ann", vec![ann]),
        ("search=derma", vec![bob]),
        ("search=cardio%20marsh%20ann", vec![ann]),
        ("search=an", vec![ann]),
        ("search=nn", vec![]),
        ("search=der%25a", vec![]),
        ("specialization=cardiology", vec![ann]),
        ("specialization=cardio", vec![]),
        ("is_active=false", vec![bob]),
        ("is_active=true", vec![ann]),
    ] {
        assert_eq!(admin.get(&format!("/api/doctors?{query}")).await.expect(200).ids(), expected, "{query}");
    }
    admin.get("/api/doctors?is_active=maybe").await.expect(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deactivated_doctor_takes_no_bookings_and_keeps_those_made() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (d, p) = (admin.new_doctor().await, admin.new_patient().await);
    let appointment = admin.new_appointment(d, p, "10:00").await;
    admin.patch(&format!("/api/doctors/{d}"), json!({ "is_active": false })).await.expect(200);
    let refused = admin.post("/api/appointments", booking(d, p, "11:00")).await.expect_problem(409, "doctor-inactive");
    assert_eq!((refused.errors("doctor").len(), &refused.body["next_slots"]), (1, &json!([])));
    let both = admin.post("/api/appointments", booking(d, p, "10:00")).await.expect_problem(409, "doctor-inactive");
    assert_eq!(both.errors("non_field_errors").len(), 2, "all broken rules are listed: {}", both.text);
    assert_eq!(admin.get(&format!("/api/appointments/{appointment}")).await.expect(200).body["status"], "SCHEDULED");
    admin.patch(&format!("/api/doctors/{d}"), json!({ "is_active": true })).await.expect(200);
    admin.new_appointment(d, p, "11:00").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctors_patients_are_those_assigned_now() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (d, colleague) = (admin.new_doctor().await, admin.new_doctor().await);
    let staff = app.user(&admin, "sam", "staff").await;
    let (admins, staffs) = (admin.new_patient().await, staff.new_patient().await);
    admin.new_mapping(admins, d).await;
    admin.new_mapping(staffs, d).await;
    admin.new_mapping(admins, colleague).await;
    let path = format!("/api/doctors/{d}/patients");
    assert_eq!(admin.get(&path).await.expect(200).ids(), [staffs, admins]);
    assert_eq!(staff.get(&path).await.expect(200).ids(), [staffs]);
    let login = app.user(&admin, "elena", "doctor").await;
    let own = admin.new_doctor_login(login.id).await;
    admin.new_mapping(admins, own).await;
    assert_eq!(login.get(&format!("/api/doctors/{own}/patients")).await.expect(200).ids(), [admins]);
    assert_eq!(login.get(&path).await.expect(200).body, json!([]), "a colleague's patients");
}
