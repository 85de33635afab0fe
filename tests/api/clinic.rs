//! The record of the clinic.

use reqwest::Method;
use serde_json::json;

use crate::support::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn the_clinic_is_read_and_changed_by_its_administrator() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let clinic = admin.get("/api/clinic").await.expect(200);
    assert_eq!((&clinic.body["name"], &clinic.body["time_zone"]), (&json!("ada's clinic"), &json!("UTC")));
    let body = json!({ "name": "Harbour", "time_zone": "America/New_York" });
    let changed =
        admin.send(Method::PATCH, "/api/clinic", Some(body.clone()), &[("If-Match", "\"1\"")]).await.expect(200);
    assert_eq!((&changed.body["name"], &changed.body["time_zone"]), (&json!("Harbour"), &json!("America/New_York")));
    let stale = admin.send(Method::PATCH, "/api/clinic/", Some(body), &[("If-Match", "\"1\"")]).await;
    stale.expect_problem(412, "stale");
    let refused = admin.patch("/api/clinic", json!({ "time_zone": "Mars/Olympus" })).await.expect(422);
    assert_eq!(refused.errors("time_zone").len(), 1);
    let staff = app.user(&admin, "sam", "staff").await;
    staff.patch("/api/clinic", json!({ "name": "Mine" })).await.expect_problem(403, "forbidden");
    // Every user sees the clinic's name and time zone in their own account.
    let me = staff.get("/api/auth/me").await.expect(200);
    assert_eq!(me.body["clinics"][0]["clinic_name"], "Harbour");
}
