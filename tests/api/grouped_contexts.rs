//! Work on rows of several clinics keeps the clinics apart, even if a grouped function is wrong.

use clinicd::domain::{AccountId, Caller, ClinicId, PatientId, Visibility};
use clinicd::repository::audit::{Event, Outcome};
use clinicd::repository::context::{Context, Unbound};
use clinicd::repository::patient_groups::PatientRead;
use clinicd::repository::{Error, audit, patient_groups};
use sqlx::{AssertSqlSafe, Connection};
use uuid::Uuid;

use crate::support::{Session, TestApp, TestDatabase, booking};

/// Returns a call of each grouped function for one doctor and one patient, with a column that every result row has.
fn calls(clinic: i64, account: i64, doctor: i64, patient: i64) -> [(String, &'static str); 4] {
    let (none, time) = ("ARRAY[NULL::bigint]", "ARRAY['[2031-03-05 07:00Z, 2031-03-05 07:30Z)'::tstzrange]");
    let [clinic, account, doctor, patient, one, zero] =
        [clinic, account, doctor, patient, 1, 0].map(|number| format!("ARRAY[{number}::bigint]"));
    [
        (format!("find_patients({clinic}, ARRAY[0], {patient}, ARRAY[true], {none}, {none})"), "id"),
        (
            format!("patient_pages({clinic}, ARRAY[0], {none}, {none}, ARRAY[{}], {one}, ARRAY[NULL::text])", i64::MAX),
            "id",
        ),
        (
            format!(
                "book({clinic}, {doctor}, {one}, {one}, ARRAY[true], ARRAY[1], ARRAY[gen_random_uuid()], {patient},
                     {time}, ARRAY[''], {account}, ARRAY[true], {none}, {none}, {none}, {none}, ARRAY[NULL::interval],
                     ARRAY['admin'], ARRAY[gen_random_uuid()], ARRAY[NULL::text], ARRAY[NULL::uuid])"
            ),
            "id",
        ),
        (
            format!(
                "read_calendars({clinic}, {doctor}, {zero}, {zero}, {clinic}, {doctor}, {patient}, {time}, ARRAY[true],
                     {none}, {none}, {zero})"
            ),
            "version",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grouped_function_restores_the_context_that_it_found() {
    let app = TestApp::start().await;
    let (admin, stranger) = (app.founder("ada").await, app.founder("eve").await);
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    let mut db = app.database.connect().await;
    sqlx::raw_sql("SET ROLE clinicd_app").execute(&mut db).await.unwrap();
    let found = calls(admin.clinic, admin.id, doctor, patient).map(|(call, column)| (call, column, 1));
    // No row of it is visible: the functions do less, and still restore the context.
    let unknown = calls(stranger.clinic, admin.id, doctor, patient).map(|(call, column)| (call, column, 0));
    for (call, column, rows) in found.into_iter().chain(unknown) {
        for context in [String::new(), stranger.clinic.to_string()] {
            let mut transaction = db.begin().await.unwrap();
            let enter = sqlx::query("SELECT set_config('app.clinic_id', $1, true)").bind(&context);
            enter.execute(&mut *transaction).await.unwrap();
            let count = AssertSqlSafe(format!("SELECT count({column}) FROM {call}"));
            let count: i64 = sqlx::query_scalar(count).fetch_one(&mut *transaction).await.unwrap();
            let is_empty_page = call.starts_with("patient_pages") && rows == 0;
            assert!(count == rows || is_empty_page, "{call}: {count}");
            let left: String = sqlx::query_scalar("SELECT current_setting('app.clinic_id', true)")
                .fetch_one(&mut *transaction)
                .await
                .unwrap();
            assert_eq!(left, context, "{call}");
            transaction.rollback().await.unwrap();
        }
    }
}

/// Breaks a function of the migrations by replacing parts of its text.
async fn spoil(database: &TestDatabase, function: &str, parts: &[(&str, String)]) {
    let mut db = database.connect().await;
    let definition: String = sqlx::query_scalar("SELECT pg_get_functiondef($1::regproc)")
        .bind(function)
        .fetch_one(&mut db)
        .await
        .expect("the function");
    let spoiled = parts.iter().fold(definition, |text, (part, by)| {
        assert!(text.contains(part), "{function}: {part}");
        text.replace(part, by)
    });
    sqlx::raw_sql(AssertSqlSafe(spoiled)).execute(&mut db).await.expect("a wrong function");
}

/// Returns the text of an array in which one number is replaced by another.
fn mistaken(array: &str, for_this: i64, that: i64) -> String {
    format!("array_replace({array}, {for_this}::bigint, {that}::bigint)")
}

async fn two_clinics(app: &TestApp) -> [(Session, i64, i64); 2] {
    let mut clinics = Vec::new();
    for name in ["ada", "eve"] {
        let admin = app.founder(name).await;
        let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
        clinics.push((admin, doctor, patient));
    }
    clinics.try_into().ok().expect("two")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_of_another_clinic_is_never_returned() {
    let app = TestApp::start().await;
    let [(ada, ..), (eve, _, hers)] = two_clinics(&app).await;
    ada.get(&format!("/api/patients/{hers}")).await.expect(404);
    let wrong = [("unnest(clinics", format!("unnest({}", mistaken("clinics", ada.clinic, eve.clinic)))];
    spoil(&app.database, "find_patients", &wrong).await;
    let refused = ada.get(&format!("/api/patients/{hers}")).await.expect_problem(500, "internal");
    assert!(!refused.text.contains("maya"), "{}", refused.text);
    eve.get(&format!("/api/patients/{hers}")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_clinic_is_never_returned() {
    let app = TestApp::start().await;
    let [(ada, ..), (eve, ..)] = two_clinics(&app).await;
    let wrong = [("unnest(clinics", format!("unnest({}", mistaken("clinics", ada.clinic, eve.clinic)))];
    spoil(&app.database, "patient_pages", &wrong).await;
    let refused = ada.get("/api/patients").await.expect_problem(500, "internal");
    assert!(!refused.text.contains("maya"), "{}", refused.text);
    let hers = eve.get("/api/patients").await.expect(200);
    assert_eq!(hers.body.as_array().unwrap().len(), 1, "{}", hers.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calendar_of_another_clinic_is_never_used() {
    let app = TestApp::start().await;
    let [(ada, doctor, patient), (eve, her_doctor, hers)] = two_clinics(&app).await;
    let clinics = |array| mistaken(array, ada.clinic, eve.clinic);
    let doctors = mistaken("doctors", doctor, her_doctor);
    let wrong = [("unnest(clinics, doctors", format!("unnest({}, {doctors}", clinics("clinics")))];
    spoil(&app.database, "read_calendars", &wrong).await;
    let check = ada.post("/api/appointments/check", booking(doctor, patient, "10:00")).await;
    check.expect_problem(500, "internal");
    eve.post("/api/appointments/check", booking(her_doctor, hers, "10:00")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patients_times_in_another_clinic_are_never_used() {
    let app = TestApp::start().await;
    let [(ada, doctor, patient), (eve, _, hers)] = two_clinics(&app).await;
    let patients = mistaken("patients", patient, hers);
    let clinics = mistaken("of_clinics", ada.clinic, eve.clinic);
    let wrong = [("unnest(of_clinics, of_doctors, patients", format!("unnest({clinics}, of_doctors, {patients}"))];
    spoil(&app.database, "read_calendars", &wrong).await;
    let check = ada.post("/api/appointments/check", booking(doctor, patient, "10:00")).await;
    check.expect_problem(500, "internal");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_of_another_clinic_is_never_returned() {
    let app = TestApp::start().await;
    let [(ada, doctor, patient), (eve, her_doctor, hers)] = two_clinics(&app).await;
    let clinics = mistaken("clinics", ada.clinic, eve.clinic);
    let doctors = mistaken("doctors", doctor, her_doctor);
    let patients = mistaken("patients", patient, hers);
    let wrong = [
        ("unnest(clinics, doctors", format!("unnest({clinics}, {doctors}")),
        ("calendars, refs, patients", format!("calendars, refs, {patients}")),
    ];
    spoil(&app.database, "book", &wrong).await;
    let refused = ada.post("/api/appointments", booking(doctor, patient, "10:00")).await;
    refused.expect_problem(500, "internal");
    let booked = format!("/api/appointments?doctor={doctor}");
    assert_eq!(ada.get(&booked).await.expect(200).ids(), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_bound_to_a_clinic_serves_no_other() {
    let app = TestApp::start().await;
    let [(ada, _, patient), (eve, _, hers)] = two_clinics(&app).await;
    let (own, other) = (ClinicId(ada.clinic), ClinicId(eve.clinic));
    let mut db = app.database.connect().await;
    sqlx::raw_sql("SET ROLE clinicd_app").execute(&mut db).await.unwrap();
    let mut unbound = Unbound::new(db);
    assert!(unbound.bound(own).is_err(), "its context is not set yet");
    unbound.enter(Context::Clinic(own)).await.unwrap();
    assert!(unbound.bound(other).is_err(), "it has another context");
    let mut db = unbound.bound(own).unwrap();
    let wanted = |clinic, id| PatientRead { clinic, id: PatientId(id), seen: Visibility::WHOLE_CLINIC };
    let found = patient_groups::find_all(&mut db.grouped(), &[wanted(own, patient)]).await.unwrap();
    assert_eq!(found[0].as_ref().map(|found| found.id), Some(PatientId(patient)));
    let refused = patient_groups::find_all(&mut db.grouped(), &[wanted(own, patient), wanted(other, hers)]).await;
    assert!(matches!(refused, Err(Error::Corrupt(_))), "{refused:?}");
    assert!(matches!(db.grouped().in_clinic(other).await.map(drop), Err(Error::Corrupt(_))));
    let event = |clinic| Event {
        caller: Caller {
            clinic,
            account: AccountId(ada.id),
            role: "admin".into(),
            doctor: None,
            request: Uuid::now_v7(),
            retry: None,
        },
        action: "update",
        resource: "patients",
        resource_id: Some(patient),
        outcome: Outcome::Done,
    };
    audit::record(&mut db, &event(own)).await.unwrap();
    let refused = audit::record(&mut db, &event(other)).await;
    assert!(matches!(refused, Err(Error::Corrupt(_))), "{refused:?}");
}
