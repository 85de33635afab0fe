//! A clinic sees only itself: every operation of the contract, as another clinic's administrator, as a role
//! without rights and as nobody; and what the database itself forbids.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, Session, TestApp, TestDatabase, contract, doctor, patient, settings};

/// How an operation is called with the ids of somebody's rows.
struct Call {
    operation: &'static str,
    method: Method,
    path: &'static str,
    body: fn(&Rows) -> Option<Value>,
    /// What another clinic's administrator is answered.
    to_strangers: Strangers,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Strangers {
    /// As for a row that exists nowhere.
    NoSuchRow,
    /// A body that names a row that exists nowhere.
    NoSuchField,
    /// It speaks of the caller's own clinic only.
    OwnOnly,
    /// Anybody may, or it is about the caller alone; no row of a clinic is in it.
    NotOfAClinic,
}
use Strangers::{NoSuchField, NoSuchRow, NotOfAClinic, OwnOnly};

/// The ids of one clinic's rows.
#[derive(Clone, Copy)]
struct Rows {
    user: i64,
    invitation: i64,
    patient: i64,
    doctor: i64,
    mapping: i64,
    appointment: i64,
    time_off: i64,
    closure: i64,
    series: i64,
    entry: i64,
}

/// Ids that exist nowhere.
const NOWHERE: Rows = Rows {
    user: 900_001,
    invitation: 900_002,
    patient: 900_003,
    doctor: 900_004,
    mapping: 900_005,
    appointment: 900_006,
    time_off: 900_007,
    closure: 900_008,
    series: 900_009,
    entry: 900_010,
};

fn none(_: &Rows) -> Option<Value> {
    None
}

fn new_user() -> Value {
    let email = format!("user.{}@example.com", crate::support::unique());
    json!({ "email": email, "password": PASSWORD, "role": "staff" })
}

fn call(
    operation: &'static str,
    method: Method,
    path: &'static str,
    body: fn(&Rows) -> Option<Value>,
    to_strangers: Strangers,
) -> Call {
    Call { operation, method, path, body, to_strangers }
}

/// One row for each operation of the contract.
fn table() -> Vec<Call> {
    use Method as M;
    let refresh = |_: &Rows| Some(json!({ "refresh": "unknown" }));
    let login = |_: &Rows| Some(json!({ "email": "nobody@example.com", "password": PASSWORD }));
    let mut table = vec![
        call("register", M::POST, "/api/auth/register", |_| Some(json!({ "email": "x" })), NotOfAClinic),
        call("login", M::POST, "/api/auth/login", login, NotOfAClinic),
        call("createToken", M::POST, "/api/token", login, NotOfAClinic),
        call("refreshToken", M::POST, "/api/auth/token/refresh", refresh, NotOfAClinic),
        call("renewToken", M::POST, "/api/token/refresh", refresh, NotOfAClinic),
        call("logout", M::POST, "/api/auth/logout", refresh, NotOfAClinic),
        call("getMe", M::GET, "/api/auth/me", none, NotOfAClinic),
        call("updateMe", M::PATCH, "/api/auth/me", |_| Some(json!({})), NotOfAClinic),
        call("switchClinic", M::POST, "/api/auth/switch", |_| Some(json!({ "clinic": 900_000 })), NotOfAClinic),
        call("listPermissions", M::GET, "/api/auth/permissions", none, NotOfAClinic),
        call("getHealth", M::GET, "/healthz", none, NotOfAClinic),
        call("getReadiness", M::GET, "/readyz", none, NotOfAClinic),
        call("getClinic", M::GET, "/api/clinic", none, OwnOnly),
        call("updateClinic", M::PATCH, "/api/clinic", |_| Some(json!({ "name": "Mine" })), OwnOnly),
        call("listUsers", M::GET, "/api/users", none, OwnOnly),
        call("createUser", M::POST, "/api/users", |_| Some(new_user()), OwnOnly),
        call("getUser", M::GET, "/api/users/{user}", none, NoSuchRow),
        call("updateUser", M::PATCH, "/api/users/{user}", |_| Some(json!({ "is_active": false })), NoSuchRow),
        call("deleteUser", M::DELETE, "/api/users/{user}", none, NoSuchRow),
        call("listInvitations", M::GET, "/api/invitations", none, OwnOnly),
        call("createInvitation", M::POST, "/api/invitations", |_| Some(json!({ "role": "staff" })), OwnOnly),
        call("deleteInvitation", M::DELETE, "/api/invitations/{invitation}", none, NoSuchRow),
        call("listPatients", M::GET, "/api/patients", none, OwnOnly),
        call("createPatient", M::POST, "/api/patients", |_| Some(patient()), OwnOnly),
        call("getPatient", M::GET, "/api/patients/{patient}", none, NoSuchRow),
        call("replacePatient", M::PUT, "/api/patients/{patient}", |_| Some(patient()), NoSuchRow),
        call("updatePatient", M::PATCH, "/api/patients/{patient}", |_| Some(json!({ "first_name": "X" })), NoSuchRow),
        call("deletePatient", M::DELETE, "/api/patients/{patient}?cancel_appointments=true", none, NoSuchRow),
        call(
            "transferPatient",
            M::POST,
            "/api/patients/{patient}/transfer",
            |rows| Some(json!({ "user": rows.user })),
            NoSuchRow,
        ),
        call("listPatientDoctors", M::GET, "/api/patients/{patient}/doctors", none, NoSuchRow),
        call("listPatientAppointments", M::GET, "/api/patients/{patient}/appointments", none, NoSuchRow),
        call("listDoctors", M::GET, "/api/doctors", none, OwnOnly),
        call("createDoctor", M::POST, "/api/doctors", |_| Some(doctor()), OwnOnly),
        call("getDoctor", M::GET, "/api/doctors/{doctor}", none, NoSuchRow),
        call("replaceDoctor", M::PUT, "/api/doctors/{doctor}", |_| Some(doctor()), NoSuchRow),
        call("updateDoctor", M::PATCH, "/api/doctors/{doctor}", |_| Some(json!({ "is_active": false })), NoSuchRow),
        call("deleteDoctor", M::DELETE, "/api/doctors/{doctor}?cancel_appointments=true", none, NoSuchRow),
        call("listDoctorPatients", M::GET, "/api/doctors/{doctor}/patients", none, NoSuchRow),
        call("listMappings", M::GET, "/api/mappings", none, OwnOnly),
        call(
            "createMapping",
            M::POST,
            "/api/mappings",
            |rows| Some(json!({ "patient": rows.patient, "doctor": rows.doctor })),
            NoSuchField,
        ),
        call("getMapping", M::GET, "/api/mappings/{mapping}", none, NoSuchRow),
        call("updateMapping", M::PATCH, "/api/mappings/{mapping}", |_| Some(json!({ "notes": "X" })), NoSuchRow),
        call("deleteMapping", M::DELETE, "/api/mappings/{mapping}", none, NoSuchRow),
        call("getMappingsByPatient", M::GET, "/api/mappings/by-patient/{patient}", none, NoSuchRow),
        call("getMappingsOfPatient", M::GET, "/api/mappings/patient/{patient}", none, NoSuchRow),
        call("listAppointments", M::GET, "/api/appointments", none, OwnOnly),
        call(
            "createAppointment",
            M::POST,
            "/api/appointments",
            |rows| Some(crate::support::booking(rows.doctor, rows.patient, "15:00")),
            NoSuchField,
        ),
        call("getAppointment", M::GET, "/api/appointments/{appointment}", none, NoSuchRow),
        call(
            "updateAppointment",
            M::PATCH,
            "/api/appointments/{appointment}",
            |_| Some(json!({ "status": "CONFIRMED", "reason": "X" })),
            NoSuchRow,
        ),
        call("cancelAppointment", M::DELETE, "/api/appointments/{appointment}", none, NoSuchRow),
    ];
    table.extend(scheduling_table());
    table
}

/// The rows of what appointments keep to, their steps, series, and those who wait.
fn scheduling_table() -> Vec<Call> {
    use Method as M;
    let moved = |_: &Rows| Some(json!({ "appointment_datetime": "2031-03-06T10:00:00Z" }));
    let away = |_: &Rows| Some(json!({ "starts_at": "2032-01-01T00:00:00Z", "ends_at": "2032-01-02T00:00:00Z" }));
    let day = |_: &Rows| Some(json!({ "first_day": "2032-01-01" }));
    let hours = |_: &Rows| Some(json!({ "windows": null }));
    let slots = "/api/doctors/{doctor}/slots?from=2031-03-05T00:00:00Z&to=2031-03-05T01:00:00Z";
    let step = |operation, path| call(operation, M::POST, path, none, NoSuchRow);
    vec![
        call("getWorkingHours", M::GET, "/api/doctors/{doctor}/working-hours", none, NoSuchRow),
        call("setWorkingHours", M::PUT, "/api/doctors/{doctor}/working-hours", hours, NoSuchRow),
        call("listTimeOff", M::GET, "/api/doctors/{doctor}/time-off", none, NoSuchRow),
        call("createTimeOff", M::POST, "/api/doctors/{doctor}/time-off", away, NoSuchRow),
        call("deleteTimeOff", M::DELETE, "/api/doctors/{doctor}/time-off/{time_off}", none, NoSuchRow),
        call("getScheduling", M::GET, "/api/doctors/{doctor}/scheduling", none, NoSuchRow),
        call("updateScheduling", M::PATCH, "/api/doctors/{doctor}/scheduling", |_| Some(json!({})), NoSuchRow),
        call("listDoctorSlots", M::GET, slots, none, NoSuchRow),
        call(
            "explainDoctorSlot",
            M::GET,
            "/api/doctors/{doctor}/slots/explain?at=2031-03-05T00:00:00Z",
            none,
            NoSuchRow,
        ),
        call("listSlots", M::GET, "/api/slots", none, OwnOnly),
        call("listClosures", M::GET, "/api/clinic/closures", none, OwnOnly),
        call("createClosure", M::POST, "/api/clinic/closures", day, OwnOnly),
        call("deleteClosure", M::DELETE, "/api/clinic/closures/{closure}", none, NoSuchRow),
        call(
            "checkBooking",
            M::POST,
            "/api/appointments/check",
            |rows| Some(crate::support::booking(rows.doctor, rows.patient, "15:00")),
            OwnOnly,
        ),
        step("confirmAppointment", "/api/appointments/{appointment}/confirm"),
        step("checkInAppointment", "/api/appointments/{appointment}/check-in"),
        step("completeAppointment", "/api/appointments/{appointment}/complete"),
        step("markAppointmentNoShow", "/api/appointments/{appointment}/no-show"),
        step("callOffAppointment", "/api/appointments/{appointment}/cancel?scope=this_and_following"),
        call("rescheduleAppointment", M::POST, "/api/appointments/{appointment}/reschedule", moved, NoSuchRow),
        call("listAppointmentHistory", M::GET, "/api/appointments/{appointment}/history", none, NoSuchRow),
        call(
            "createAppointmentSeries",
            M::POST,
            "/api/appointment-series",
            |rows| {
                let mut body = crate::support::booking(rows.doctor, rows.patient, "16:00");
                body["rrule"] = "FREQ=DAILY;COUNT=2".into();
                Some(body)
            },
            NoSuchField,
        ),
        call("getAppointmentSeries", M::GET, "/api/appointment-series/{series}", none, NoSuchRow),
        call("listWaitlist", M::GET, "/api/waitlist", none, OwnOnly),
        call(
            "createWaitlistEntry",
            M::POST,
            "/api/waitlist",
            |rows| Some(crate::support::waiting(rows.doctor, rows.patient)),
            NoSuchField,
        ),
        call("getWaitlistEntry", M::GET, "/api/waitlist/{entry}", none, NoSuchRow),
        step("acceptWaitlistOffer", "/api/waitlist/{entry}/accept"),
        call("deleteWaitlistEntry", M::DELETE, "/api/waitlist/{entry}", none, NoSuchRow),
    ]
}

impl Call {
    async fn by(&self, session: &Session, rows: &Rows) -> Answer {
        let path = self
            .path
            .replace("{user}", &rows.user.to_string())
            .replace("{invitation}", &rows.invitation.to_string())
            .replace("{patient}", &rows.patient.to_string())
            .replace("{doctor}", &rows.doctor.to_string())
            .replace("{mapping}", &rows.mapping.to_string())
            .replace("{appointment}", &rows.appointment.to_string())
            .replace("{time_off}", &rows.time_off.to_string())
            .replace("{closure}", &rows.closure.to_string())
            .replace("{series}", &rows.series.to_string())
            .replace("{entry}", &rows.entry.to_string());
        session.send(self.method.clone(), &path, (self.body)(rows), &[]).await
    }
}

/// One of each kind of row, made by an administrator.
async fn rows(app: &TestApp, admin: &Session) -> Rows {
    let user = app.user(admin, "sam", "staff").await.id;
    let (patient, doctor) = (admin.new_patient().await, admin.new_doctor().await);
    let away = json!({ "starts_at": "2031-04-01T00:00:00Z", "ends_at": "2031-04-02T00:00:00Z" });
    let time_off = admin.post(&format!("/api/doctors/{doctor}/time-off"), away).await.expect(201).id();
    let mut series = crate::support::booking(doctor, patient, "12:00");
    series["rrule"] = "FREQ=DAILY;COUNT=2".into();
    Rows {
        user,
        time_off,
        closure: admin.post("/api/clinic/closures", json!({ "first_day": "2031-04-03" })).await.expect(201).id(),
        series: admin.post("/api/appointment-series", series).await.expect(201).id(),
        entry: admin.post("/api/waitlist", crate::support::waiting(doctor, patient)).await.expect(201).id(),
        invitation: admin.post("/api/invitations", json!({ "role": "staff" })).await.expect(201).id(),
        patient,
        doctor,
        mapping: admin.new_mapping(patient, doctor).await,
        appointment: admin.new_appointment(doctor, patient, "10:00").await,
    }
}

/// What a stranger can tell two answers apart by.
fn as_told(answer: &Answer) -> (u16, BTreeMap<String, String>, Value) {
    let mut headers = BTreeMap::new();
    for (name, value) in &answer.headers {
        if !["date", "x-request-id", "content-length"].contains(&name.as_str()) {
            headers.insert(name.to_string(), value.to_str().unwrap().to_owned());
        }
    }
    let mut body = answer.body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("instance");
    }
    (answer.status, headers, body)
}

/// Everything that is stored of a clinic, but for the trail of what was read or refused.
async fn stored(database: &TestDatabase, clinic: i64) -> Vec<String> {
    let mut db = database.connect().await;
    let tables = [
        "clinics",
        "memberships",
        "invitations",
        "doctors",
        "patients",
        "mappings",
        "appointments",
        "working_hours",
        "time_off",
        "clinic_closures",
        "appointment_series",
        "appointment_events",
        "waitlist_entries",
    ];
    let mut stored = Vec::new();
    for table in tables {
        let statement = format!("SELECT row_to_json(t)::text FROM {table} t WHERE clinic_id = $1 ORDER BY 1");
        let rows: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).bind(clinic).fetch_all(&mut db).await.unwrap();
        stored.extend(rows);
    }
    stored
}

#[test]
fn every_operation_of_the_contract_has_a_row_in_the_table() {
    let mut documented = BTreeSet::new();
    for operations in contract()["paths"].as_object().unwrap().values() {
        for operation in operations.as_object().unwrap().values() {
            documented.insert(operation["operationId"].as_str().unwrap());
        }
    }
    let table = table();
    let walked: BTreeSet<_> = table.iter().map(|call| call.operation).collect();
    assert_eq!(walked.len(), table.len(), "an operation stands twice");
    assert_eq!(walked, documented);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clinics_administrator_is_answered_as_if_the_rows_did_not_exist() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let theirs = rows(&app, &admin).await;
    let stranger = app.founder("eve").await;
    let before = stored(&app.database, admin.clinic).await;
    for call in table() {
        let answer = call.by(&stranger, &theirs).await;
        let nowhere = call.by(&stranger, &NOWHERE).await;
        match call.to_strangers {
            NoSuchRow => {
                assert_eq!(answer.status, 404, "{}: {}", call.operation, answer.text);
                assert_eq!(as_told(&answer), as_told(&nowhere), "{}", call.operation);
            }
            NoSuchField => {
                assert_eq!(answer.status, 422, "{}: {}", call.operation, answer.text);
                assert_eq!(as_told(&answer), as_told(&nowhere), "{}", call.operation);
            }
            OwnOnly => {
                assert!(!answer.text.contains("ada"), "{}: {}", call.operation, answer.text);
                assert!(answer.status < 500, "{}: {}", call.operation, answer.text);
            }
            NotOfAClinic => {}
        }
    }
    assert_eq!(stored(&app.database, admin.clinic).await, before, "a stranger changed something");
    // The owner of all this is still served.
    admin.get(&format!("/api/appointments/{}", theirs.appointment)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clinics_lists_are_empty_of_this_one() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let theirs = rows(&app, &admin).await;
    let stranger = app.founder("eve").await;
    let lists =
        ["patients", "doctors", "mappings", "appointments", "invitations", "waitlist", "clinic/closures", "slots"];
    for list in lists {
        assert_eq!(stranger.get(&format!("/api/{list}")).await.expect(200).body, json!([]), "{list}");
    }
    assert_eq!(stranger.get("/api/users").await.expect(200).ids(), [stranger.id]);
    // Filters do not reach across either.
    for query in [format!("patient={}", theirs.patient), format!("doctor={}", theirs.doctor)] {
        assert_eq!(stranger.get(&format!("/api/appointments?{query}")).await.expect(200).body, json!([]));
        assert_eq!(stranger.get(&format!("/api/mappings?{query}")).await.expect(200).body, json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_rights_is_forbidden_every_governed_operation_and_nobody_is_unauthenticated() {
    let folder = std::env::temp_dir().join(format!("clinicd-powerless-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("model.conf"), include_str!("../../policies/model.conf")).unwrap();
    // A role exists by standing in the file; this one may transfer patients that it owns, and it owns none.
    let csv = format!("{}\np, guest, patients, transfer, own\n", include_str!("../../policies/policy.csv"));
    std::fs::write(folder.join("policy.csv"), csv).unwrap();
    let database = TestDatabase::create().await;
    let mut settings = settings(&database);
    settings.policy_dir = Some(folder.clone());
    let app = TestApp::start_with(database, settings).await;
    std::fs::remove_dir_all(&folder).unwrap();

    let admin = app.founder("ada").await;
    let theirs = rows(&app, &admin).await;
    let powerless = app.user(&admin, "guest", "guest").await;
    let nobody = app.anonymous();
    let before = stored(&app.database, admin.clinic).await;
    for call in table() {
        if call.to_strangers == NotOfAClinic {
            continue;
        }
        let answer = call.by(&powerless, &theirs).await;
        if call.operation == "transferPatient" {
            answer.expect_problem(404, "not-found");
        } else {
            answer.expect_problem(403, "forbidden");
        }
        let answer = call.by(&nobody, &theirs).await.expect_problem(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{}", call.operation);
    }
    for operation in ["logout", "getMe", "updateMe", "switchClinic", "listPermissions"] {
        let call = table().into_iter().find(|call| call.operation == operation).unwrap();
        call.by(&nobody, &theirs).await.expect_problem(401, "unauthenticated");
    }
    assert_eq!(stored(&app.database, admin.clinic).await, before, "the powerless changed something");
}

/// What a statement answers to the program's own role in the context of a clinic, or in none.
async fn as_program(database: &TestDatabase, clinic: Option<i64>, statement: &'static str) -> sqlx::Result<i64> {
    let mut db = database.connect().await;
    sqlx::raw_sql("SET ROLE clinicd_app").execute(&mut db).await?;
    let clinic = clinic.map_or_else(String::new, |clinic| clinic.to_string());
    sqlx::query("SELECT set_config('app.clinic_id', $1, false)").bind(clinic).execute(&mut db).await?;
    sqlx::query_scalar(statement).fetch_one(&mut db).await
}

#[tokio::test(flavor = "multi_thread")]
async fn row_level_security_alone_keeps_clinics_apart() {
    let app = TestApp::start().await;
    let (admin, stranger) = (app.founder("ada").await, app.founder("eve").await);
    admin.new_patient().await;
    admin.new_patient().await;
    stranger.new_patient().await;
    let count = "SELECT count(*) FROM patients";
    assert_eq!(as_program(&app.database, Some(admin.clinic), count).await.unwrap(), 2);
    assert_eq!(as_program(&app.database, Some(stranger.clinic), count).await.unwrap(), 1);
    assert_eq!(as_program(&app.database, None, count).await.unwrap(), 0);
    let smuggle = "INSERT INTO patients (clinic_id, first_name, last_name, created_by)
                   VALUES (1, 'X', 'Y', 1) RETURNING id";
    let other = if admin.clinic == 1 { stranger.clinic } else { admin.clinic };
    let refused = as_program(&app.database, Some(other), smuggle).await.unwrap_err();
    assert!(refused.to_string().contains("row-level security"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_programs_role_may_do_no_more_than_it_needs() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    for statement in [
        "WITH d AS (DELETE FROM audit_events RETURNING 1) SELECT count(*) FROM d",
        "WITH u AS (UPDATE audit_events SET outcome = 'done' RETURNING 1) SELECT count(*) FROM u",
        "WITH d AS (DELETE FROM patients RETURNING 1) SELECT count(*) FROM d",
        "WITH d AS (DELETE FROM appointments RETURNING 1) SELECT count(*) FROM d",
        "WITH d AS (DELETE FROM accounts RETURNING 1) SELECT count(*) FROM d",
    ] {
        let refused = as_program(&app.database, Some(admin.clinic), statement).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{statement}: {refused}");
    }
    let rights = "SELECT count(*) FROM pg_roles
                  WHERE rolname = 'clinicd_app' AND NOT rolsuper AND NOT rolbypassrls AND NOT rolcreaterole
                    AND NOT rolcreatedb";
    assert_eq!(app.database.count(rights).await, 1);
    let owned = "SELECT count(*) FROM pg_class WHERE relowner = 'clinicd_app'::regrole";
    assert_eq!(app.database.count(owned).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_forces_row_level_security_and_keys_start_with_the_clinic() {
    let database = TestDatabase::create().await;
    // `sessions` is a global table of authn that remembers which clinic a session is for.
    let clinic_tables = "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'
         WHERE c.relkind = 'r' AND c.relname <> 'sessions'
           AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'clinic_id')";
    let mut db = database.connect().await;
    let mut names = async |condition: &str| -> Vec<String> {
        let statement = format!("SELECT c.relname::text {clinic_tables} AND {condition} ORDER BY 1");
        sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).fetch_all(&mut db).await.unwrap()
    };
    let all = names("true").await;
    assert_eq!(
        all,
        [
            "appointment_events",
            "appointment_series",
            "appointments",
            "audit_events",
            "clinic_closures",
            "clinics",
            "doctors",
            "idempotency_keys",
            "invitations",
            "mappings",
            "memberships",
            "patients",
            "time_off",
            "waitlist_alarms",
            "waitlist_entries",
            "working_hours",
        ]
    );
    assert_eq!(names("NOT (c.relrowsecurity AND c.relforcerowsecurity)").await, [""; 0]);
    let unguarded = "NOT EXISTS (
        SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polcmd = '*'
          AND pg_get_expr(p.polqual, p.polrelid) LIKE '%clinic_id = current_clinic()%'
          AND pg_get_expr(p.polwithcheck, p.polrelid) LIKE '%clinic_id = current_clinic()%'
    )";
    assert_eq!(names(unguarded).await, [""; 0]);
    // Primary and unique keys, also of indexes, have clinic_id first.
    let keys = "EXISTS (
        SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'clinic_id'
        WHERE i.indrelid = c.oid AND i.indisunique AND i.indkey[0] <> a.attnum
    )";
    assert_eq!(names(keys).await, [""; 0]);
    // Foreign keys between clinic tables have it too.
    let foreign = "EXISTS (
        SELECT FROM pg_constraint k
        WHERE k.conrelid = c.oid AND k.contype = 'f'
          AND EXISTS (SELECT FROM pg_attribute f WHERE f.attrelid = k.confrelid AND f.attname = 'clinic_id')
          AND NOT EXISTS (
              SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'clinic_id' AND a.attnum = ANY (k.conkey)
          )
    )";
    assert_eq!(names(foreign).await, [""; 0]);
}
