//! The clinic's users and their roles.

use serde_json::json;

use crate::support::{PASSWORD, TestApp, doctor};

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_creates_changes_and_removes_users() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let body = json!({ "email": "Sam@example.com", "password": PASSWORD, "role": "staff", "first_name": "Sam" });
    let made = admin.post("/api/users", body).await.expect(201);
    assert_eq!(made.header("location"), format!("/api/users/{}", made.id()));
    assert_eq!((&made.body["email"], &made.body["role"]), (&json!("sam@example.com"), &json!("staff")));
    let path = format!("/api/users/{}", made.id());
    assert_eq!(admin.get(&path).await.expect(200).body, made.body);
    assert_eq!(admin.get("/api/users").await.expect(200).ids(), [made.id(), admin.id]);

    let changed = admin.patch(&path, json!({ "role": "doctor" })).await.expect(200);
    assert_eq!((&changed.body["role"], changed.version()), (&json!("doctor"), "2"));
    admin.delete(&path).await.expect(204);
    admin.get(&path).await.expect_problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_checked_by_field() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let body = json!({ "email": "sam@example.com", "password": "password1", "role": "nurse" });
    let refused = admin.post("/api/users", body).await.expect(422);
    assert_eq!(refused.errors("role"), ["Must be one of admin, staff, doctor."]);
    assert_eq!(refused.errors("password").len(), 1);
    let body = json!({ "email": "ada@example.com", "password": PASSWORD, "role": "staff" });
    assert_eq!(admin.post("/api/users", body).await.expect_problem(409, "taken").errors("email").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_and_doctors_do_not_administer_users() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    for role in ["staff", "doctor"] {
        let user = app.user(&admin, role, role).await;
        user.get("/api/users").await.expect_problem(403, "forbidden");
        let itself = format!("/api/users/{}", user.id);
        user.patch(&itself, json!({ "role": "admin" })).await.expect_problem(403, "forbidden");
        let body = json!({ "email": "x@example.com", "password": PASSWORD, "role": "admin" });
        user.post("/api/users", body).await.expect_problem(403, "forbidden");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_or_removed_user_loses_access_at_once() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    for (name, change) in [
        ("demoted", Some(json!({ "role": "doctor" }))),
        ("deactivated", Some(json!({ "is_active": false }))),
        ("removed", None),
    ] {
        let user = app.user(&admin, name, "staff").await;
        user.get("/api/patients").await.expect(200);
        let path = format!("/api/users/{}", user.id);
        let is_out = change.as_ref().is_none_or(|change| change["is_active"] == false);
        match change {
            Some(change) => admin.patch(&path, change).await.expect(200),
            None => admin.delete(&path).await.expect(204),
        };
        user.get("/api/patients").await.expect_problem(401, "unauthenticated");
        let refreshed = user.post("/api/auth/token/refresh", json!({ "refresh": user.refresh })).await;
        assert_eq!(refreshed.status, if is_out { 401 } else { 200 }, "{name}");
        let login = json!({ "email": format!("{name}@example.com"), "password": PASSWORD });
        let login = app.anonymous().post("/api/auth/login", login).await;
        assert_eq!(login.status, if is_out { 403 } else { 200 }, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_administrator_cannot_be_demoted_or_removed() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let path = format!("/api/users/{}", admin.id);
    admin.patch(&path, json!({ "role": "staff" })).await.expect_problem(409, "last-administrator");
    admin.patch(&path, json!({ "is_active": false })).await.expect_problem(409, "last-administrator");
    admin.delete(&path).await.expect_problem(409, "last-administrator");
    assert_eq!(admin.get(&path).await.expect(200).version(), "1");
    app.user(&admin, "bea", "admin").await;
    admin.delete(&path).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_administrators_cannot_demote_each_other_at_once() {
    let app = TestApp::start().await;
    for round in 0..5 {
        let ada = app.founder(&format!("ada{round}")).await;
        let bea = app.user(&ada, &format!("bea{round}"), "admin").await;
        let demote = json!({ "role": "staff" });
        let (of_ada, of_bea) = (format!("/api/users/{}", ada.id), format!("/api/users/{}", bea.id));
        let (one, other) = tokio::join!(ada.patch(&of_bea, demote.clone()), bea.patch(&of_ada, demote));
        let mut statuses = [one.status, other.status];
        statuses.sort();
        // The loser either is the last administrator or is no longer one.
        assert!(matches!(statuses, [200, 409] | [200, 401]), "{statuses:?}");
    }
    let without = "SELECT count(*) FROM clinics c WHERE NOT EXISTS (
        SELECT FROM memberships m WHERE m.clinic_id = c.clinic_id AND m.role = 'admin' AND m.is_active)";
    assert_eq!(app.database.count(without).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_user_remains_the_author_but_not_the_doctor() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let staff = app.user(&admin, "sam", "staff").await;
    let patient = staff.new_patient().await;
    let login = app.user(&admin, "elena", "doctor").await;
    let mut body = doctor();
    body["user"] = login.id.into();
    let profile = admin.post("/api/doctors", body).await.expect(201).id();
    admin.delete(&format!("/api/users/{}", staff.id)).await.expect(204);
    admin.delete(&format!("/api/users/{}", login.id)).await.expect(204);
    let patient = admin.get(&format!("/api/patients/{patient}")).await.expect(200);
    assert_eq!(patient.body["created_by"], staff.id);
    assert!(admin.get(&format!("/api/doctors/{profile}")).await.expect(200).body["user"].is_null());
}
