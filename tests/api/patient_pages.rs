//! Pages of patients are answered from memory, and yet show every change.

use serde_json::json;

use crate::support::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_patients_shows_every_change_of_any_node() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let names = || async {
        let page = admin.get("/api/patients").await.expect(200).body;
        page.as_array().unwrap().iter().map(|row| row["first_name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(names().await.is_empty());
    let (first, second) = (admin.new_patient().await, admin.new_patient().await);
    let before = names().await;
    assert_eq!((before.len(), names().await), (2, before.clone()));
    // A writer at the database that does not maintain versions.
    let mut db = app.database.connect().await;
    let run = |statement: String| sqlx::AssertSqlSafe(statement);
    sqlx::raw_sql(run(format!("UPDATE patients SET first_name = 'Changed' WHERE id = {first}")))
        .execute(&mut db)
        .await
        .unwrap();
    assert_eq!(names().await, [before[0].as_str(), "Changed"]);
    admin.patch(&format!("/api/patients/{second}"), json!({ "first_name": "Second" })).await.expect(200);
    assert_eq!(names().await, ["Second", "Changed"]);
    admin.delete(&format!("/api/patients/{second}")).await.expect(204);
    assert_eq!(names().await, ["Changed"]);
    sqlx::raw_sql(run(format!("UPDATE patients SET deleted_at = NULL WHERE id = {second}")))
        .execute(&mut db)
        .await
        .unwrap();
    assert_eq!(names().await, ["Second", "Changed"]);
    // After a lost connection its cached pages are not used.
    sqlx::raw_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()")
        .execute(&mut db)
        .await
        .unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(names().await, ["Second", "Changed"]);
    admin.new_patient().await;
    assert_eq!(names().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_an_owner_or_of_a_doctor_shows_every_change_too() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let staff = app.user(&admin, "staff", "staff").await;
    let user = app.user(&admin, "doctor", "doctor").await;
    let doctor = admin.new_doctor_login(user.id).await;
    let (first, second) = (staff.new_patient().await, staff.new_patient().await);
    let of = |caller: &crate::support::Session| {
        let caller = caller.clone();
        async move { caller.get("/api/patients").await.expect(200).ids() }
    };
    for _ in 0..2 {
        assert_eq!((of(&staff).await, of(&user).await), (vec![second, first], vec![]));
    }
    let mapping = admin.new_mapping(first, doctor).await;
    assert_eq!(of(&user).await, [first]);
    admin.new_mapping(second, doctor).await;
    assert_eq!(of(&user).await, [second, first]);
    staff.patch(&format!("/api/patients/{first}"), json!({ "first_name": "Changed" })).await.expect(200);
    for caller in [&staff, &user] {
        assert_eq!(caller.get("/api/patients").await.expect(200).body[1]["first_name"], "Changed");
    }
    admin.patch(&format!("/api/mappings/{mapping}"), json!({ "is_active": false })).await.expect(200);
    assert_eq!(of(&user).await, [second]);
    admin.patch(&format!("/api/mappings/{mapping}"), json!({ "is_active": true })).await.expect(200);
    assert_eq!(of(&user).await, [second, first]);
    admin.post(&format!("/api/patients/{second}/transfer"), json!({ "user": admin.id })).await.expect(200);
    assert_eq!(of(&staff).await, [first]);
    admin.delete(&format!("/api/patients/{first}")).await.expect(204);
    assert_eq!((of(&staff).await, of(&user).await), (vec![], vec![second]));
}
