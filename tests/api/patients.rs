//! Patients: the record, who sees it, and deletion. This file also tests the lists and preconditions of all resources.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{TestApp, booking, doctor, patient};

#[tokio::test(flavor = "multi_thread")]
async fn a_patients_record_keeps_every_field() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let body = json!({
        "first_name": " Maya ",
        "last_name": "Okafor",
        "date_of_birth": "1988-04-12",
        "gender": "F",
        "phone_number": "+1 555 0134",
        "email": "Maya@Example.com",
        "address": "12 Harbour Street",
        "medical_history": "Penicillin allergy.",
        "emergency_contact_name": "Tobi Okafor",
        "emergency_contact_phone": "+1 555 0135",
    });
    let made = admin.post("/api/patients", body.clone()).await.expect(201);
    assert_eq!(made.header("location"), format!("/api/patients/{}", made.id()));
    let mut expected = body;
    expected["first_name"] = "Maya".into();
    expected["email"] = "maya@example.com".into();
    expected["date_of_birth_estimated"] = false.into();
    expected["created_by"] = admin.id.into();
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&made.body[field], value, "{field}");
    }
    assert!(made.body["age"].as_i64().unwrap() >= 37);
    assert!(made.body["created_at"].is_string() && made.body["updated_at"].is_string());
    assert_eq!(admin.get(&format!("/api/patients/{}", made.id())).await.expect(200).body, made.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_age_is_kept_as_an_estimated_year_and_says_so() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let made = admin.post("/api/patients", json!({ "first_name": "A", "last_name": "B", "age": 40 })).await.expect(201);
    assert_eq!((&made.body["age"], &made.body["date_of_birth_estimated"]), (&json!(40), &json!(true)));
    assert!(made.body["date_of_birth"].as_str().unwrap().ends_with("-01-01"));
    let path = format!("/api/patients/{}", made.id());
    let known = admin.patch(&path, json!({ "date_of_birth": "1990-06-15" })).await.expect(200);
    assert_eq!(known.body["date_of_birth_estimated"], false);
    let unknown = admin.patch(&path, json!({ "date_of_birth": null })).await.expect(200);
    assert_eq!((&unknown.body["age"], &unknown.body["gender"]), (&Value::Null, &json!("U")));
    for (field, body) in [
        ("date_of_birth", json!({ "date_of_birth": "2199-01-01" })),
        ("date_of_birth", json!({ "date_of_birth": "1990-02-30" })),
        ("age", json!({ "age": 151 })),
        ("age", json!({ "age": 12, "date_of_birth": "1990-06-15" })),
        ("gender", json!({ "gender": "X" })),
    ] {
        assert_eq!(admin.patch(&path, body).await.expect(422).errors(field).len(), 1, "{field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_is_unique_unless_a_duplicate_is_allowed() {
    let app = TestApp::start().await;
    let (admin, other_clinic) = (app.founder("ada").await, app.founder("eve").await);
    let mut body = patient();
    body["email"] = "family@example.com".into();
    admin.post("/api/patients", body.clone()).await.expect(201);
    body["email"] = "Family@example.com".into();
    let refused = admin.post("/api/patients", body.clone()).await.expect_problem(409, "taken");
    assert_eq!(refused.errors("email").len(), 1);
    other_clinic.post("/api/patients", body.clone()).await.expect(201);
    body["allow_duplicate"] = true.into();
    admin.post("/api/patients", body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_distinguishes_absent_from_null_and_a_put_replaces() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let body = json!({ "first_name": "Maya", "last_name": "Okafor", "phone_number": "1", "address": "2", "age": 30 });
    let path = format!("/api/patients/{}", admin.post("/api/patients", body).await.expect(201).id());
    let patched = admin.patch(&path, json!({ "phone_number": null, "last_name": "Lind" })).await.expect(200);
    assert_eq!((&patched.body["phone_number"], &patched.body["address"]), (&Value::Null, &json!("2")));
    assert_eq!((&patched.body["last_name"], patched.version()), (&json!("Lind"), "2"));
    let refused = admin.patch(&path, json!({ "last_name": null })).await.expect(422);
    assert_eq!(refused.errors("last_name"), ["This field may not be null."]);
    let replaced = admin.put(&path, json!({ "first_name": "Maya", "last_name": "Lind" })).await.expect(200);
    for cleared in ["address", "age", "date_of_birth"] {
        assert!(replaced.body[cleared].is_null(), "{cleared}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_version_is_412_for_every_row_that_can_be_changed() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (p, d) = (admin.new_patient().await, admin.new_doctor().await);
    let m = admin.new_mapping(p, d).await;
    let user = app.user(&admin, "sam", "staff").await.id;
    for (method, path, body) in [
        (Method::PUT, format!("/api/patients/{p}"), Some(patient())),
        (Method::PATCH, format!("/api/patients/{p}"), Some(json!({}))),
        (Method::DELETE, format!("/api/patients/{p}"), None),
        (Method::POST, format!("/api/patients/{p}/transfer"), Some(json!({ "user": user }))),
        (Method::PUT, format!("/api/doctors/{d}"), Some(doctor())),
        (Method::PATCH, format!("/api/doctors/{d}"), Some(json!({}))),
        (Method::DELETE, format!("/api/doctors/{d}"), None),
        (Method::PATCH, format!("/api/mappings/{m}"), Some(json!({}))),
        (Method::DELETE, format!("/api/mappings/{m}"), None),
        (Method::PATCH, format!("/api/users/{user}"), Some(json!({}))),
        (Method::DELETE, format!("/api/users/{user}"), None),
    ] {
        for stale in ["\"7\"", "W/\"1\"", "nonsense"] {
            let refused = admin.send(method.clone(), &path, body.clone(), &[("If-Match", stale)]).await;
            refused.expect_problem(412, "stale");
        }
        assert_eq!(admin.get(path.trim_end_matches("/transfer")).await.expect(200).version(), "1");
    }
    let body = Some(json!({ "gender": "O" }));
    let path = format!("/api/patients/{p}");
    admin.send(Method::PATCH, &path, body.clone(), &[("If-Match", "\"1\"")]).await.expect(200);
    admin.send(Method::PATCH, &path, body, &[("If-Match", "*")]).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_searched_and_filtered() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let staff = app.user(&admin, "sam", "staff").await;
    let new = async |first: &str, email: &str, phone: &str| {
        let body = json!({ "first_name": first, "last_name": "Lind", "email": email, "phone_number": phone });
        admin.post("/api/patients", body).await.expect(201).id()
    };
    let ann = new("Ann", "ann@example.com", "111").await;
    let odd = new("100%_", "odd@example.com", "222").await;
    let of_staff = staff.new_patient().await;
    for (query, expected) in [
        ("search=ANN", vec![ann]),
        ("search=ann%20lind", vec![ann]),
        ("search=odd@ex", vec![odd]),
        ("search=222", vec![odd]),
        ("search=0%25_", vec![odd]),
        ("search=0_%25", vec![]),
        ("search=%25_", vec![]),
        ("search=nobody", vec![]),
        (&format!("created_by={}", staff.id), vec![of_staff]),
        ("", vec![of_staff, odd, ann]),
    ] {
        assert_eq!(admin.get(&format!("/api/patients?{query}")).await.expect(200).ids(), expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn following_the_links_of_a_list_returns_every_row_once() {
    let app = TestApp::start().await;
    let (admin, other) = (app.founder("ada").await, app.founder("eve").await);
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(admin.new_patient().await);
    }
    made.reverse();
    let (mut path, mut met, mut pages) = ("/api/patients/?limit=3&search=okafor".to_owned(), Vec::new(), 0);
    loop {
        let page = admin.get(&path).await.expect(200);
        met.extend(page.ids());
        pages += 1;
        // A new row does not shift the pages.
        if pages == 1 {
            admin.new_patient().await;
        }
        let link = page.header("link").to_owned();
        let Some(next) = link.strip_prefix('<').and_then(|link| link.split('>').next()) else { break };
        assert!(link.ends_with("; rel=\"next\""), "{link}");
        let elsewhere = next.replace("search=okafor", "search=lind");
        admin.get(&elsewhere).await.expect(422);
        assert_eq!(other.get(next).await.expect(422).errors("cursor").len(), 1, "another clinic");
        path = next.to_owned();
    }
    assert_eq!((met, pages), (made, 3));
    for wrong in ["limit=0", "limit=201", "limit=-1", "limit=many", "limit=99999999999999999999", "cursor=garbage"] {
        admin.get(&format!("/api/patients?{wrong}")).await.expect_problem(422, "invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_fifty_rows_unless_asked_otherwise() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let mut db = app.database.connect().await;
    sqlx::query(
        "INSERT INTO patients (clinic_id, first_name, last_name, created_by)
         SELECT $1, 'P' || n, 'Q', $2 FROM generate_series(1, 210) AS n",
    )
    .bind(admin.clinic)
    .bind(admin.id)
    .execute(&mut db)
    .await
    .unwrap();
    assert_eq!(admin.get("/api/patients").await.expect(200).ids().len(), 50);
    let most = admin.get("/api/patients?limit=200").await.expect(200);
    assert_eq!(most.ids().iter().collect::<BTreeSet<_>>().len(), 200);
    assert!(most.ids().is_sorted_by(|a, b| a > b), "newest first");
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_see_only_their_own_patients() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (sam, pat) = (app.user(&admin, "sam", "staff").await, app.user(&admin, "pat", "staff").await);
    let own = sam.new_patient().await;
    let path = format!("/api/patients/{own}");
    assert_eq!(pat.get("/api/patients").await.expect(200).body, json!([]));
    for (method, body) in
        [(Method::GET, None), (Method::PUT, Some(patient())), (Method::PATCH, Some(json!({}))), (Method::DELETE, None)]
    {
        pat.send(method, &path, body, &[]).await.expect_problem(404, "not-found");
    }
    pat.get(&format!("{path}/doctors")).await.expect(404);
    pat.get(&format!("{path}/appointments")).await.expect(404);
    sam.patch(&path, json!({ "gender": "F" })).await.expect(200);

    // Only an administrator may change an owner, and the new owner must be a member.
    let to_pat = json!({ "user": pat.id });
    sam.post(&format!("{path}/transfer"), to_pat.clone()).await.expect_problem(403, "forbidden");
    let nobody = admin.post(&format!("{path}/transfer"), json!({ "user": 999_999 })).await.expect(422);
    assert_eq!(nobody.errors("user").len(), 1);
    let moved = admin.post(&format!("{path}/transfer"), to_pat).await.expect(200);
    assert_eq!(moved.body["created_by"], pat.id);
    sam.get(&path).await.expect(404);
    pat.delete(&path).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_sees_only_patients_with_an_active_mapping() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let login = app.user(&admin, "elena", "doctor").await;
    let profile = admin.new_doctor_login(login.id).await;
    let (assigned, stranger) = (admin.new_patient().await, admin.new_patient().await);
    let mapping = admin.new_mapping(assigned, profile).await;
    assert_eq!(login.get("/api/patients").await.expect(200).ids(), [assigned]);
    login.get(&format!("/api/patients/{stranger}")).await.expect_problem(404, "not-found");
    login.patch(&format!("/api/patients/{assigned}"), json!({})).await.expect_problem(403, "forbidden");
    admin.patch(&format!("/api/mappings/{mapping}"), json!({ "is_active": false })).await.expect(200);
    assert_eq!(login.get("/api/patients").await.expect(200).body, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_patient_is_gone_but_kept_and_frees_the_email() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let body = patient();
    let path = format!("/api/patients/{}", admin.post("/api/patients", body.clone()).await.expect(201).id());
    admin.delete(&path).await.expect(204);
    admin.get(&path).await.expect_problem(404, "not-found");
    admin.delete(&path).await.expect(404);
    assert_eq!(admin.get("/api/patients").await.expect(200).body, json!([]));
    assert_eq!(app.database.count("SELECT count(*) FROM patients WHERE deleted_at IS NOT NULL").await, 1);
    admin.post("/api/patients", body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn upcoming_appointments_prevent_a_deletion_unless_cancelled() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (d, p, other) = (admin.new_doctor().await, admin.new_patient().await, admin.new_patient().await);
    let appointment = admin.new_appointment(d, p, "10:00").await;
    for path in [format!("/api/patients/{p}"), format!("/api/doctors/{d}")] {
        admin.delete(&path).await.expect_problem(409, "has-future-appointments");
        admin.get(&path).await.expect(200);
    }
    admin.delete(&format!("/api/patients/{p}?cancel_appointments=true")).await.expect(204);
    let kept = admin.get(&format!("/api/appointments/{appointment}")).await.expect(200);
    assert_eq!(kept.body["status"], "CANCELLED");
    admin.post("/api/appointments", booking(d, p, "12:00")).await.expect(422);
    // The freed time can be booked at once. Then the doctor is deleted together with all upcoming appointments.
    admin.new_appointment(d, other, "10:00").await;
    admin.delete(&format!("/api/doctors/{d}?cancel_appointments=true")).await.expect(204);
    admin.post("/api/appointments", booking(d, other, "14:00")).await.expect(422);
    assert_eq!(app.database.count("SELECT count(*) FROM appointments WHERE status = 'CANCELLED'").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patients_doctors_and_appointments_are_listed() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (d, ended, p) = (admin.new_doctor().await, admin.new_doctor().await, admin.new_patient().await);
    admin.new_mapping(p, d).await;
    let mapping = admin.new_mapping(p, ended).await;
    admin.patch(&format!("/api/mappings/{mapping}"), json!({ "is_active": false })).await.expect(200);
    let appointment = admin.new_appointment(d, p, "10:00").await;
    let doctors = admin.get(&format!("/api/patients/{p}/doctors")).await.expect(200);
    assert_eq!((doctors.ids(), &doctors.body[0]["specialization"]), (vec![d], &json!("Cardiology")));
    assert_eq!(admin.get(&format!("/api/patients/{p}/appointments")).await.expect(200).ids(), [appointment]);
}
