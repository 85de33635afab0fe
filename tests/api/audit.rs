//! The audit trail: every write leaves a row in its own transaction, and so does every denial by the policy.

use serde_json::json;

use crate::support::{Answer, Session, TestApp, booking, doctor, patient, waiting};

#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
struct Row {
    account_id: i64,
    role: String,
    action: String,
    resource: String,
    resource_id: Option<i64>,
    outcome: String,
}

/// Returns the audit rows of a request, found by its id.
async fn left_by(app: &TestApp, session: &Session, answer: &Answer) -> Vec<Row> {
    let mut db = app.database.connect().await;
    sqlx::query_as(
        "SELECT account_id, role, action, resource, resource_id, outcome FROM audit_events
         WHERE clinic_id = $1 AND request_id = $2::text::uuid AND at > now() - interval '1 minute' ORDER BY id",
    )
    .bind(session.clinic)
    .bind(answer.header("x-request-id"))
    .fetch_all(&mut db)
    .await
    .unwrap()
}

fn row(session: &Session, role: &str, action: &str, resource: &str, id: Option<i64>, outcome: &str) -> Row {
    Row {
        account_id: session.id,
        role: role.into(),
        action: action.into(),
        resource: resource.into(),
        resource_id: id,
        outcome: outcome.into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_leaves_one_row_with_who_what_and_which() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let user = app.user(&admin, "sam", "staff").await.id;

    let mut done = Vec::new();
    let new_patient = admin.post("/api/patients", patient()).await.expect(201);
    let new_doctor = admin.post("/api/doctors", doctor()).await.expect(201);
    let (p, d) = (new_patient.id(), new_doctor.id());
    done.push((new_patient, "create", "patients", p));
    done.push((new_doctor, "create", "doctors", d));
    let new_mapping = admin.post("/api/mappings", json!({ "patient": p, "doctor": d })).await.expect(201);
    let m = new_mapping.id();
    done.push((new_mapping, "create", "mappings", m));
    let booked = admin.post("/api/appointments", booking(d, p, "10:00")).await.expect(201);
    let a = booked.id();
    done.push((booked, "create", "appointments", a));
    let path = format!("/api/appointments/{a}");
    done.push((admin.patch(&path, json!({ "reason": "x" })).await.expect(200), "update", "appointments", a));
    done.push((
        admin.patch(&path, json!({ "status": "CONFIRMED" })).await.expect(200),
        "transition",
        "appointments",
        a,
    ));
    done.push((admin.delete(&path).await.expect(204), "transition", "appointments", a));
    let path = format!("/api/patients/{p}");
    done.push((admin.put(&path, patient()).await.expect(200), "update", "patients", p));
    done.push((admin.patch(&path, json!({ "gender": "O" })).await.expect(200), "update", "patients", p));
    let to = json!({ "user": user });
    done.push((admin.post(&format!("{path}/transfer"), to).await.expect(200), "transfer", "patients", p));
    let path = format!("/api/doctors/{d}");
    done.push((admin.put(&path, doctor()).await.expect(200), "update", "doctors", d));
    done.push((admin.patch(&path, json!({ "slot_minutes": 20 })).await.expect(200), "update", "doctors", d));
    let path = format!("/api/mappings/{m}");
    done.push((admin.patch(&path, json!({ "notes": "x" })).await.expect(200), "update", "mappings", m));
    done.push((admin.delete(&path).await.expect(204), "delete", "mappings", m));
    done.push((admin.delete(&format!("/api/patients/{p}")).await.expect(204), "delete", "patients", p));
    done.push((admin.delete(&format!("/api/doctors/{d}")).await.expect(204), "delete", "doctors", d));
    let path = "/api/clinic";
    done.push((admin.patch(path, json!({ "name": "New" })).await.expect(200), "update", "clinic", admin.clinic));
    let invited = admin.post("/api/invitations", json!({ "role": "staff" })).await.expect(201);
    let i = invited.id();
    done.push((invited, "create", "invitations", i));
    done.push((admin.delete(&format!("/api/invitations/{i}")).await.expect(204), "delete", "invitations", i));
    let path = format!("/api/users/{user}");
    done.push((admin.patch(&path, json!({ "role": "doctor" })).await.expect(200), "update", "users", user));
    done.push((admin.delete(&path).await.expect(204), "delete", "users", user));
    let me = admin.patch("/api/auth/me", json!({ "first_name": "Ada" })).await.expect(200);
    done.push((me, "update", "users", admin.id));

    for (answer, action, resource, id) in done {
        let expected = [row(&admin, "admin", action, resource, Some(id), "done")];
        assert_eq!(left_by(&app, &admin, &answer).await, expected, "{action} {resource}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_schedule_leaves_one_row() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (d, p) = (admin.new_doctor().await, admin.new_patient().await);
    let path = format!("/api/doctors/{d}");

    let mut done = Vec::new();
    let hours = json!({ "windows": [{ "weekday": "wednesday", "start": "09:00", "end": "17:00" }] });
    let put = admin.put(&format!("{path}/working-hours"), hours).await.expect(200);
    done.push((put, "update", "schedules", d));
    let patched = admin.patch(&format!("{path}/scheduling"), json!({ "slot_minutes": 20 })).await.expect(200);
    done.push((patched, "update", "doctors", d));
    let away = json!({ "starts_at": "2031-03-06T00:00:00Z", "ends_at": "2031-03-07T00:00:00Z" });
    let away = admin.post(&format!("{path}/time-off"), away).await.expect(201);
    let back = format!("{path}/time-off/{}", away.id());
    done.push((away, "update", "schedules", d));
    done.push((admin.delete(&back).await.expect(204), "update", "schedules", d));
    let days = json!({ "first_day": "2031-12-24", "last_day": "2031-12-26" });
    let closure = admin.post("/api/clinic/closures", days).await.expect(201);
    let c = closure.id();
    done.push((closure, "update", "schedules", c));
    let reopened = admin.delete(&format!("/api/clinic/closures/{c}")).await.expect(204);
    done.push((reopened, "update", "schedules", c));
    let waits = admin.post("/api/waitlist", waiting(d, p)).await.expect(201);
    let w = waits.id();
    done.push((waits, "create", "waitlist", w));
    done.push((admin.delete(&format!("/api/waitlist/{w}")).await.expect(204), "delete", "waitlist", w));
    let a = admin.new_appointment(d, p, "10:00").await;
    let path = format!("/api/appointments/{a}");
    let to = json!({ "appointment_datetime": "2031-03-05T11:00:00Z" });
    done.push((admin.post(&format!("{path}/reschedule"), to).await.expect(200), "update", "appointments", a));
    for step in ["confirm", "check-in", "complete"] {
        let taken = admin.post(&format!("{path}/{step}"), json!({})).await.expect(200);
        done.push((taken, "transition", "appointments", a));
    }
    for (answer, action, resource, id) in done {
        let expected = [row(&admin, "admin", action, resource, Some(id), "done")];
        assert_eq!(left_by(&app, &admin, &answer).await, expected, "{action} {resource}");
    }

    let mut repeat = booking(d, p, "12:00");
    repeat["rrule"] = "FREQ=WEEKLY;COUNT=2".into();
    let series = admin.post("/api/appointment-series", repeat).await.expect(201);
    let booked = left_by(&app, &admin, &series).await;
    let mut kinds: Vec<_> = booked.iter().map(|row| (row.action.as_str(), row.resource.as_str())).collect();
    kinds.sort_unstable();
    let each = ("create", "appointments");
    assert_eq!(kinds, [("create", "appointment-series"), each, each], "{booked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_up_and_sessions_leave_their_rows() {
    let app = TestApp::start().await;
    let body = json!({ "email": "ada@example.com", "password": crate::support::PASSWORD });
    let registered = app.anonymous().post("/api/auth/register", body.clone()).await.expect(201);
    let admin = Session::of(app.address, &registered.body);
    let rows = left_by(&app, &admin, &registered).await;
    let kinds: Vec<_> = rows.iter().map(|row| (row.action.as_str(), row.resource.as_str())).collect();
    assert_eq!(kinds, [("create", "clinic"), ("create", "users"), ("create", "sessions")]);

    let login = app.anonymous().post("/api/auth/login", body).await.expect(200);
    assert_eq!(left_by(&app, &admin, &login).await, [row(&admin, "admin", "create", "sessions", None, "done")]);
    let refresh = json!({ "refresh": login.body["refresh"] });
    let refreshed = app.anonymous().post("/api/auth/token/refresh", refresh).await.expect(200);
    assert_eq!(left_by(&app, &admin, &refreshed).await, [row(&admin, "admin", "update", "sessions", None, "done")]);
    let refresh = json!({ "refresh": refreshed.body["refresh"] });
    let left = admin.post("/api/auth/logout", refresh).await.expect(204);
    assert_eq!(left_by(&app, &admin, &left).await, [row(&admin, "admin", "delete", "sessions", None, "done")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_the_policy_leaves_a_row() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let staff = app.user(&admin, "sam", "staff").await;
    let refused = staff.post("/api/doctors", doctor()).await.expect(403);
    assert_eq!(left_by(&app, &staff, &refused).await, [row(&staff, "staff", "create", "doctors", None, "denied")]);
    let refused = staff.get("/api/users").await.expect(403);
    assert_eq!(left_by(&app, &staff, &refused).await, [row(&staff, "staff", "read", "users", None, "denied")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_request_leaves_no_row() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (d, p) = (admin.new_doctor().await, admin.new_patient().await);
    let id = admin.new_appointment(d, p, "10:00").await;
    let path = format!("/api/appointments/{id}");
    let stale = admin.send(reqwest::Method::DELETE, &path, None, &[("If-Match", "\"9\"")]).await.expect(412);
    let taken = admin.post("/api/appointments", booking(d, p, "10:00")).await.expect(409);
    let invalid = admin.post("/api/patients", json!({})).await.expect(422);
    let unknown = admin.delete("/api/patients/999999").await.expect(404);
    for answer in [stale, taken, invalid, unknown] {
        assert_eq!(left_by(&app, &admin, &answer).await, [], "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_cancels_leaves_a_row_for_each_appointment() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (d, p) = (admin.new_doctor().await, admin.new_patient().await);
    let first = admin.new_appointment(d, p, "10:00").await;
    let second = admin.new_appointment(d, p, "11:00").await;
    let deleted = admin.delete(&format!("/api/doctors/{d}?cancel_appointments=true")).await.expect(204);
    let mut rows = left_by(&app, &admin, &deleted).await;
    rows.sort_by_key(|row| (row.resource.clone(), row.resource_id));
    assert_eq!(
        rows,
        [
            row(&admin, "admin", "transition", "appointments", Some(first), "done"),
            row(&admin, "admin", "transition", "appointments", Some(second), "done"),
            row(&admin, "admin", "delete", "doctors", Some(d), "done"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_without_its_audit_row_does_not_happen() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (d, p) = (admin.new_doctor().await, admin.new_patient().await);
    let mut db = app.database.connect().await;
    let refuse = "ALTER TABLE audit_events ADD CONSTRAINT no_more CHECK (action <> 'create') NOT VALID";
    sqlx::raw_sql(refuse).execute(&mut db).await.unwrap();
    admin.post("/api/patients", patient()).await.expect_problem(500, "internal");
    admin.post("/api/appointments", booking(d, p, "10:00")).await.expect_problem(500, "internal");
    assert_eq!(app.database.count("SELECT count(*) FROM patients").await, 1);
    assert_eq!(app.database.count("SELECT count(*) FROM appointments").await, 0);
    // The failed booking leaves no claim on the time.
    sqlx::raw_sql("ALTER TABLE audit_events DROP CONSTRAINT no_more").execute(&mut db).await.unwrap();
    admin.new_appointment(d, p, "10:00").await;
}
