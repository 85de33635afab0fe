//! Work in groups: several clinics' rows in one round trip, each under its own context.

use std::sync::Arc;

use serde_json::json;

use crate::support::{TestApp, booking};

#[tokio::test(flavor = "multi_thread")]
async fn patients_that_are_read_in_one_group_are_seen_by_their_own_clinic_and_role_only() {
    let app = TestApp::start().await;
    let mut clinics = Vec::new();
    for name in ["ada", "bea", "cem"] {
        let admin = app.founder(name).await;
        let staff = app.user(&admin, &format!("{name}.staff"), "staff").await;
        let (of_admin, of_staff) = (admin.new_patient().await, staff.new_patient().await);
        clinics.push((admin, staff, of_admin, of_staff));
    }
    let clinics = Arc::new(clinics);
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..180 {
        let clinics = clinics.clone();
        asking.spawn(async move {
            let (own, other) = (n % 3, (n / 3) % 3);
            let (admin, staff, ..) = &clinics[own];
            let (.., of_admin, of_staff) = &clinics[other];
            let (caller, id) = match n / 9 % 4 {
                0 => (admin, of_admin),
                1 => (admin, of_staff),
                2 => (staff, of_staff),
                _ => (staff, of_admin),
            };
            // Staff see their own patients; nobody sees another clinic's.
            let is_seen = own == other && n / 9 % 4 != 3;
            let answer = caller.get(&format!("/api/patients/{id}")).await.expect(if is_seen { 200 } else { 404 });
            assert!(!is_seen || answer.id() == *id, "{}", answer.text);
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.expect("an answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_and_the_wait_of_groups_are_measured() {
    let app = TestApp::start().await;
    let before = app.anonymous().get("/metrics").await.expect(200);
    assert!(!before.text.contains("Okafor"));
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    admin.post("/api/appointments", booking(doctor, patient, "10:00")).await.expect(201);
    admin.post("/api/appointments", booking(doctor, patient, "10:00")).await.expect(409);
    let metrics = app.anonymous().get("/metrics").await.expect(200);
    for name in ["clinicd_group_size_count{kind=\"bookings\"}", "clinicd_group_wait_seconds_count{kind=\"bookings\"}"] {
        let line = metrics.text.lines().find(|line| line.starts_with(name));
        let count = line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        assert!(count.is_some_and(|count| count >= 1), "{name}: {}", metrics.text);
    }
    assert_eq!(metrics.body, json!(null), "it is text");
}
