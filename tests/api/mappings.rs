//! Mappings: which doctor is assigned to which patient.

use serde_json::{Value, json};

use crate::support::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_is_made_read_changed_and_deleted() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (p, d) = (admin.new_patient().await, admin.new_doctor().await);
    let body = json!({ "patient": p, "doctor": d, "reason_for_visit": "Annual check-up", "notes": "Left knee" });
    let made = admin.post("/api/mappings", body).await.expect(201);
    assert_eq!(made.body["patient"], json!({ "id": p, "first_name": "Maya", "last_name": "Okafor" }));
    let of_doctor = json!({ "id": d, "first_name": "Elena", "last_name": "Marsh", "specialization": "Cardiology" });
    assert_eq!(made.body["doctor"], of_doctor);
    assert_eq!((&made.body["reason_for_visit"], &made.body["notes"]), (&json!("Annual check-up"), &json!("Left knee")));
    assert_eq!((&made.body["is_active"], &made.body["assigned_by"]), (&json!(true), &json!(admin.id)));
    assert!(made.body["assigned_at"].is_string());
    let path = format!("/api/mappings/{}", made.id());
    assert_eq!(made.header("location"), path);
    assert_eq!(admin.get(&path).await.expect(200).body, made.body);
    let changed = admin.patch(&path, json!({ "notes": null, "is_active": false })).await.expect(200);
    assert_eq!((&changed.body["notes"], &changed.body["is_active"]), (&Value::Null, &json!(false)));
    assert_eq!(changed.body["reason_for_visit"], "Annual check-up");
    admin.delete(&path).await.expect(204);
    admin.get(&path).await.expect_problem(404, "not-found");
    admin.new_mapping(p, d).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_is_mapped_once() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (p, d) = (admin.new_patient().await, admin.new_doctor().await);
    admin.new_mapping(p, d).await;
    let refused = admin.post("/api/mappings", json!({ "patient": p, "doctor": d })).await.expect_problem(409, "taken");
    assert_eq!(refused.errors("non_field_errors"), ["This doctor is already assigned to this patient."]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_patients_and_doctors_are_named_by_field() {
    let app = TestApp::start().await;
    let (admin, stranger) = (app.founder("ada").await, app.founder("eve").await);
    let (p, d) = (admin.new_patient().await, admin.new_doctor().await);
    let (foreign_patient, foreign_doctor) = (stranger.new_patient().await, stranger.new_doctor().await);
    for (patient, doctor, fields) in [
        (999_999, d, vec!["patient"]),
        (p, 999_999, vec!["doctor"]),
        (foreign_patient, foreign_doctor, vec!["doctor", "patient"]),
    ] {
        let refused = admin.post("/api/mappings", json!({ "patient": patient, "doctor": doctor })).await.expect(422);
        let named: Vec<_> = refused.body["errors"].as_object().unwrap().keys().collect();
        assert_eq!(named.len(), fields.len());
        for field in fields {
            assert_eq!(refused.errors(field).len(), 1, "{field}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_carry_patient_and_doctor_and_are_filtered() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (p, q, d, e) =
        (admin.new_patient().await, admin.new_patient().await, admin.new_doctor().await, admin.new_doctor().await);
    let (pd, pe, qd) = (admin.new_mapping(p, d).await, admin.new_mapping(p, e).await, admin.new_mapping(q, d).await);
    admin.patch(&format!("/api/mappings/{pe}"), json!({ "is_active": false })).await.expect(200);
    let listed = admin.get("/api/mappings").await.expect(200);
    assert_eq!(listed.ids(), [qd, pe, pd]);
    assert_eq!((&listed.body[0]["patient"]["id"], &listed.body[0]["doctor"]["id"]), (&json!(q), &json!(d)));
    for (query, expected) in [
        (format!("patient={p}"), vec![pe, pd]),
        (format!("doctor={d}"), vec![qd, pd]),
        ("is_active=false".into(), vec![pe]),
    ] {
        assert_eq!(admin.get(&format!("/api/mappings?{query}")).await.expect(200).ids(), expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patients_name_and_doctors_are_found_at_either_path() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (p, d) = (admin.new_patient().await, admin.new_doctor().await);
    let mapping = admin.new_mapping(p, d).await;
    for path in ["/api/mappings/by-patient", "/api/mappings/patient"] {
        let found = admin.get(&format!("{path}/{p}")).await.expect(200);
        assert_eq!((&found.body["patient"], &found.body["patient_name"]), (&json!(p), &json!("Maya Okafor")));
        assert_eq!(found.body["doctors"][0]["id"], mapping);
        assert_eq!(found.body["doctors"][0]["doctor"]["id"], d);
        admin.get(&format!("{path}/999999")).await.expect_problem(404, "not-found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_map_own_patients_and_doctors_read_own_mappings() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let staff = app.user(&admin, "sam", "staff").await;
    let login = app.user(&admin, "elena", "doctor").await;
    let (d, other) = (admin.new_doctor_login(login.id).await, admin.new_doctor().await);
    let (own, admins) = (staff.new_patient().await, admin.new_patient().await);
    let staffs_mapping = staff.new_mapping(own, d).await;
    let hidden = admin.new_mapping(admins, other).await;
    let refused = staff.post("/api/mappings", json!({ "patient": admins, "doctor": d })).await.expect(422);
    assert_eq!(refused.errors("patient"), ["There is no such patient."]);
    assert_eq!(staff.get("/api/mappings").await.expect(200).ids(), [staffs_mapping]);
    staff.delete(&format!("/api/mappings/{hidden}")).await.expect_problem(404, "not-found");

    assert_eq!(login.get("/api/mappings").await.expect(200).ids(), [staffs_mapping]);
    login.get(&format!("/api/mappings/{hidden}")).await.expect(404);
    let path = format!("/api/mappings/{staffs_mapping}");
    login.patch(&path, json!({ "notes": "x" })).await.expect_problem(403, "forbidden");
    login.delete(&path).await.expect_problem(403, "forbidden");
    login.post("/api/mappings", json!({ "patient": admins, "doctor": d })).await.expect_problem(403, "forbidden");
    // The mappings of another doctor of the same patient are not shown.
    admin.new_mapping(own, other).await;
    let seen = login.get(&format!("/api/mappings/by-patient/{own}")).await.expect(200);
    assert_eq!(seen.body["doctors"].as_array().unwrap().len(), 1);
    assert_eq!(login.get(&format!("/api/patients/{own}/doctors")).await.expect(200).ids(), [d]);
}
