//! The demo clinic shows useful schedules from the start.

use std::collections::BTreeSet;

use chrono::Days;
use serde_json::{Value, json};

use crate::support::{Session, TestApp, TestDatabase, settings};

async fn demo() -> (TestApp, Session) {
    let database = TestDatabase::create().await;
    let mut settings = settings(&database);
    settings.no_demo = false;
    let app = TestApp::start_with(database, settings).await;
    let login = json!({ "email": "admin@demo.example", "password": "demo-clinic-admin" });
    let answer = app.anonymous().post("/api/auth/login", login).await.expect(200);
    let admin = Session::of(app.address, &answer.body);
    (app, admin)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_clinic_has_useful_slots_breaks_and_time_off() {
    let (_app, admin) = demo().await;
    let (from, to) = (clinicd::clock::now(), clinicd::clock::now() + Days::new(14));
    let asked = format!("from={}&to={}", from.format("%FT%TZ"), to.format("%FT%TZ"));
    let all = admin.get(&format!("/api/slots?{asked}")).await.expect(200);
    let slots = all.body.as_array().unwrap();
    assert!(slots.len() >= 20, "{}", all.text);
    for doctor in admin.get("/api/doctors").await.expect(200).ids() {
        let own = admin.get(&format!("/api/doctors/{doctor}/slots?{asked}")).await.expect(200);
        let days: BTreeSet<_> =
            own.body.as_array().unwrap().iter().map(|slot| slot["local_start"].to_string()[..11].to_owned()).collect();
        assert!(days.len() >= 2, "doctor {doctor} works on several days: {}", own.text);
        let hours = admin.get(&format!("/api/doctors/{doctor}/working-hours")).await.expect(200);
        let weekdays = |hours: &Value| -> Vec<String> {
            hours["windows"].as_array().unwrap().iter().map(|window| window["weekday"].to_string()).collect()
        };
        let of = weekdays(&hours.body);
        assert!(of.iter().collect::<BTreeSet<_>>().len() < of.len() || doctor == 4, "breaks: {}", hours.text);
    }
    let away = admin.get("/api/doctors/1/time-off").await.expect(200);
    assert_eq!(away.body[0]["reason"], "Congress");
    let at = away.body[0]["starts_at"].as_str().unwrap().replace("+00:00", "Z").replace("T00:", "T10:");
    let explained = admin.get(&format!("/api/doctors/1/slots/explain?at={at}")).await.expect(200);
    assert_eq!(explained.body["bookable"], false, "{}", explained.text);
    assert_eq!(admin.get("/api/clinic/closures").await.expect(200).body[0]["reason"], "Christmas");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_appointments_follow_their_doctors_rules() {
    let (_app, admin) = demo().await;
    assert_eq!(admin.get("/api/appointments").await.expect(200).ids().len(), 6);
    for doctor in admin.get("/api/doctors").await.expect(200).ids() {
        let path = format!("/api/doctors/{doctor}/scheduling");
        let unchanged = admin.patch(&path, json!({})).await.expect(200);
        assert_eq!(unchanged.body["appointments_outside"], json!([]), "{}", unchanged.text);
    }
}
