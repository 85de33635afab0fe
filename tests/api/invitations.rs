//! Invitations to join a clinic.

use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, Session, TestApp};

async fn accept(app: &TestApp, email: &str, invitation: &Value) -> Answer {
    let body = json!({ "email": email, "password": PASSWORD, "invitation": invitation });
    app.anonymous().post("/api/auth/register", body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_joins_its_clinic_with_its_role_once() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let invited = admin.post("/api/invitations", json!({ "role": "staff" })).await.expect(201);
    let secret = &invited.body["invitation"];

    let listed = admin.get("/api/invitations").await.expect(200);
    assert_eq!(listed.ids(), [invited.id()]);
    assert!(!listed.text.contains(secret.as_str().unwrap().split('.').nth(1).unwrap()), "the secret is shown once");

    let joined = Session::of(app.address, &accept(&app, "sam@example.com", secret).await.expect(201).body);
    assert_eq!(joined.clinic, admin.clinic);
    assert_eq!(joined.get("/api/auth/me").await.expect(200).body["role"], "staff");
    let again = accept(&app, "pat@example.com", secret).await.expect(422);
    assert_eq!(again.errors("invitation").len(), 1);
    assert_eq!(app.database.count("SELECT count(*) FROM accounts").await, 2);
    assert!(!admin.get("/api/invitations").await.expect(200).body[0]["accepted_at"].is_null());
    let path = format!("/api/invitations/{}", invited.id());
    admin.delete(&path).await.expect_problem(409, "already-accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_for_an_address_is_for_nobody_else() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let body = json!({ "role": "doctor", "email": "Elena@example.com" });
    let invited = admin.post("/api/invitations", body).await.expect(201);
    accept(&app, "eve@example.com", &invited.body["invitation"]).await.expect(422);
    accept(&app, "elena@example.com", &invited.body["invitation"]).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_or_withdrawn_invitation_is_refused() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let expired = admin.post("/api/invitations", json!({ "role": "staff" })).await.expect(201);
    let mut db = app.database.connect().await;
    sqlx::raw_sql("UPDATE invitations SET expires_at = now()").execute(&mut db).await.unwrap();
    accept(&app, "sam@example.com", &expired.body["invitation"]).await.expect(422);
    let taken_back = admin.post("/api/invitations", json!({ "role": "staff" })).await.expect(201);
    admin.delete(&format!("/api/invitations/{}", taken_back.id())).await.expect(204);
    accept(&app, "sam@example.com", &taken_back.body["invitation"]).await.expect(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_invite_and_only_to_a_known_role() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let refused = admin.post("/api/invitations", json!({ "role": "nurse" })).await.expect(422);
    assert_eq!(refused.errors("role"), ["Must be one of admin, staff, doctor."]);
    let staff = app.user(&admin, "sam", "staff").await;
    staff.post("/api/invitations", json!({ "role": "admin" })).await.expect_problem(403, "forbidden");
    staff.get("/api/invitations").await.expect_problem(403, "forbidden");
}
