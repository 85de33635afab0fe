//! Grouped work: one round trip for rows of several clinics, each in its own context.

use std::{path::Path, sync::Arc};

use clinicd::{
    domain::{
        AccountId, ClinicId, Visibility, appointments::AppointmentFilter, mappings::MappingFilter,
        patients::PatientFilter,
    },
    postgres::Database,
    repository::{
        Page,
        appointment_lists::{self, AppointmentList},
        context::{Context, Grouped, Unbound},
        mappings::{self, MappingList},
        patient_groups::{self, PageRead, PatientPage},
    },
};
use reqwest::Method;
use serde_json::json;

use crate::support::{Proxy, TestApp, TestDatabase, booking};

#[tokio::test(flavor = "multi_thread")]
async fn grouped_reads_of_patients_respect_clinic_and_role() {
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
            // Staff see only their own patients, and no caller sees another clinic's patients.
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
async fn grouped_reads_of_pages_stay_within_each_clinic() {
    let app = TestApp::start().await;
    let mut clinics = Vec::new();
    for name in ["ada", "bea", "cem"] {
        let admin = app.founder(name).await;
        let patients = [admin.new_patient().await, admin.new_patient().await];
        clinics.push((admin, patients));
    }
    let clinics = Arc::new(clinics);
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..180 {
        let clinics = clinics.clone();
        asking.spawn(async move {
            let (admin, [first, second]) = &clinics[n % 3];
            let limit = 1 + n / 3 % 2;
            let answer = admin.get(&format!("/api/patients?limit={limit}")).await.expect(200);
            let ids: Vec<_> = answer.body.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect();
            assert_eq!(ids, [*second, *first][..limit], "{}", answer.text);
            assert_eq!(answer.headers.contains_key("link"), limit == 1);
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.expect("an answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grouped_reads_of_lists_stay_within_each_callers_rights() {
    let app = TestApp::start().await;
    let mut lists = Vec::new();
    for name in ["ada", "bea", "cem"] {
        let admin = app.founder(name).await;
        let staff = app.user(&admin, &format!("{name}.staff"), "staff").await;
        let user = app.user(&admin, &format!("{name}.doctor"), "doctor").await;
        let (doctor, other) = (admin.new_doctor_login(user.id).await, admin.new_doctor().await);
        let (of_admin, of_staff) = (admin.new_patient().await, staff.new_patient().await);
        for (patient, doctor) in [(of_admin, doctor), (of_staff, doctor), (of_admin, other)] {
            admin.new_mapping(patient, doctor).await;
        }
        let mut booked = Vec::new();
        for (doctor, patient, time) in
            [(doctor, of_admin, "08:00"), (other, of_staff, "09:00"), (doctor, of_staff, "10:00")]
        {
            booked.push(admin.new_appointment(doctor, patient, time).await);
        }
        let [first, second, third] = booked[..] else { panic!("three appointments") };
        let day = "from=2031-03-05T00:00:00Z&to=2031-03-06T00:00:00Z";
        for (caller, path, ids) in [
            (&admin, "/api/appointments".to_owned(), vec![third, second, first]),
            (&staff, "/api/appointments".to_owned(), vec![third, second]),
            (&user, "/api/appointments".to_owned(), vec![third, first]),
            (&admin, format!("/api/appointments?patient={of_admin}"), vec![first]),
            (&staff, format!("/api/appointments?patient={of_admin}"), vec![]),
            (&staff, format!("/api/appointments?patient={of_staff}"), vec![third, second]),
            (&user, format!("/api/appointments?patient={of_staff}"), vec![third]),
            (&admin, format!("/api/appointments?doctor={doctor}&{day}"), vec![third, first]),
            (&staff, format!("/api/appointments?doctor={doctor}&{day}"), vec![third]),
            (&user, format!("/api/appointments?doctor={other}&{day}"), vec![]),
            (&admin, format!("/api/appointments?doctor={other}"), vec![second]),
        ] {
            lists.push((caller.clone(), path, ids));
        }
        for (caller, path, count) in [
            (&admin, "/api/mappings".to_owned(), 3),
            (&staff, "/api/mappings".to_owned(), 1),
            (&user, "/api/mappings".to_owned(), 2),
            (&admin, format!("/api/mappings?patient={of_admin}"), 2),
            (&staff, format!("/api/mappings?patient={of_admin}"), 0),
            (&user, format!("/api/mappings?doctor={other}"), 0),
            (&staff, "/api/patients".to_owned(), 1),
            (&user, "/api/patients".to_owned(), 2),
            (&admin, format!("/api/doctors/{other}/patients"), 1),
        ] {
            let alone = caller.get(&path).await.expect(200).ids();
            assert_eq!(alone.len(), count, "{path}");
            lists.push((caller.clone(), path, alone));
        }
    }
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..6 * lists.len() {
        // Consecutive requests are of different clinics.
        let (caller, path, ids) = lists[n * 7 % lists.len()].clone();
        asking.spawn(async move {
            let answer = caller.get(&path).await.expect(200);
            assert_eq!(answer.ids(), ids, "{path}: {}", answer.text);
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.expect("an answer");
    }
}

/// Two clinics, each with five doctors, 20,000 patients, 60,000 mappings and 1,000 appointments. With these sizes the
/// planner would read the few doctors once for a whole group.
const TWO_CLINICS: &str = "
    SET session_replication_role = replica;
    INSERT INTO clinics (clinic_id, name) VALUES (1, 'One'), (2, 'Two');
    INSERT INTO accounts (email, username, password_hash) VALUES ('ada@example.com', 'ada', '');
    INSERT INTO doctors (clinic_id, first_name, last_name, specialization, license_number, email)
        SELECT c, 'D', 'L', 'GP', 'L' || n, 'd' || n || '@example.com'
        FROM generate_series(1, 2) AS c, generate_series(1, 5) AS n;
    INSERT INTO patients (clinic_id, first_name, last_name, created_by)
        SELECT c, 'Maya', 'Okafor ' || n, 1 FROM generate_series(1, 2) AS c, generate_series(1, 20000) AS n;
    INSERT INTO mappings (clinic_id, patient_id, patient_owner, doctor_id, assigned_by)
        SELECT p.clinic_id, p.id, 1, d.id, 1
        FROM patients p JOIN doctors d ON d.clinic_id = p.clinic_id AND d.id % 5 < 3;
    INSERT INTO appointments
        (clinic_id, reference, doctor_id, patient_id, patient_owner, during, status, created_by, calendar_version)
        SELECT p.clinic_id, gen_random_uuid(), d.id, p.id, 1, tstzrange(t.at, t.at + interval '30 minutes'), 'SCHEDULED', 1, 1
        FROM doctors d
        JOIN LATERAL (
            SELECT p.*, row_number() OVER (ORDER BY p.id) AS n FROM patients p WHERE p.clinic_id = d.clinic_id LIMIT 200
        ) AS p ON true
        CROSS JOIN LATERAL (
            SELECT timestamptz '2031-01-01 08:00Z' + (d.id * 200 + p.n / 16) * interval '1 day' + p.n % 16 * interval '30 minutes' AS at
        ) AS t;
    SET session_replication_role = origin;
    ALTER TABLE mappings ALTER patient_owner RESET (n_distinct), ALTER doctor_id RESET (n_distinct);
    ANALYZE;";

#[tokio::test(flavor = "multi_thread")]
async fn a_grouped_list_equals_the_list_read_alone() {
    let database = TestDatabase::create().await;
    sqlx::raw_sql(TWO_CLINICS).execute(&mut database.connect_unstamped().await).await.unwrap();
    let opened = Database::open(Some(&database.url), Path::new("")).await.expect("the database");
    let db = <sqlx::PgConnection as sqlx::Connection>::connect_with(&opened.options())
        .await
        .expect("a connection of the program");
    let mut db = Unbound::new(db);
    db.enter(Context::Global).await.unwrap();
    let mut db = db.bound(Grouped::OF_ANY_CLINICS).unwrap();
    let page = Page { before: None, limit: 20 };
    let staff = Visibility { owner: Some(AccountId(1)), ..Visibility::default() };
    for seen in [Visibility::WHOLE_CLINIC, staff] {
        for clinics in [[1, 2, 1], [2, 1, 2]] {
            let mappings =
                clinics.map(|id| MappingList { clinic: ClinicId(id), seen, filter: MappingFilter::default(), page });
            let grouped = mappings::read_all(&mut db, &mappings).await.unwrap();
            for (list, rows) in mappings.into_iter().zip(grouped) {
                let alone = mappings::read_all(&mut db, &[list]).await.unwrap().remove(0);
                assert_eq!((alone.len(), rows), (20, alone), "{clinics:?}");
            }
            let appointments = clinics.map(|id| AppointmentList {
                clinic: ClinicId(id),
                seen,
                filter: AppointmentFilter::default(),
                page,
            });
            let grouped = appointment_lists::read_all(&mut db, &appointments).await.unwrap();
            for (list, rows) in appointments.into_iter().zip(grouped) {
                let alone = appointment_lists::read_all(&mut db, &[list]).await.unwrap().remove(0);
                assert_eq!((alone.len(), rows), (20, alone), "{clinics:?}");
            }
            let pages = clinics.map(|id| {
                let page = PatientPage::of(ClinicId(id), seen, &PatientFilter::default(), page);
                (page.expect("a page"), None)
            });
            let grouped = patient_groups::pages(&mut db, &pages).await.unwrap();
            for ((page, known), read) in pages.into_iter().zip(grouped) {
                let alone = patient_groups::pages(&mut db, &[(page, known)]).await.unwrap().remove(0);
                let (PageRead::Changed(rows, _), PageRead::Changed(alone, _)) = (read, alone) else {
                    panic!("no page")
                };
                assert_eq!((alone.len(), rows), (20, alone), "{clinics:?}");
            }
        }
    }
}

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

#[tokio::test(flavor = "multi_thread")]
async fn grouped_bookings_count_one_by_one_against_the_capacity() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let doctor = admin.new_doctor().await;
    admin
        .patch(&format!("/api/doctors/{doctor}/scheduling"), json!({ "max_appointments_per_day": 2 }))
        .await
        .expect(200);
    let mut patients = Vec::new();
    for _ in 0..4 {
        patients.push(admin.new_patient().await);
    }
    // The schedule's copy has no appointment. The database gets one directly, as from another node.
    admin.post("/api/appointments/check", booking(doctor, patients[0], "06:00")).await.expect(200);
    let mut db = app.database.connect().await;
    let insert = format!(
        "WITH stamp AS (
             UPDATE calendar_versions SET version = version + 1 WHERE doctor_id = {doctor} RETURNING version
         )
         INSERT INTO appointments (clinic_id, reference, doctor_id, patient_id, during, created_by, calendar_version)
         SELECT {}, gen_random_uuid(), {doctor}, {}, '[2031-03-05 07:00Z, 2031-03-05 07:30Z)', {}, version FROM stamp",
        admin.clinic, patients[0], admin.id,
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&mut db).await.unwrap();
    // While the writer is busy, two more bookings queue up and become one group.
    let mut held = sqlx::Connection::begin(&mut db).await.unwrap();
    sqlx::raw_sql("LOCK TABLE appointments IN SHARE MODE").execute(&mut *held).await.unwrap();
    let mut booking_all = tokio::task::JoinSet::new();
    let busy = [admin.new_doctor().await, admin.new_doctor().await];
    for (n, other) in busy.into_iter().enumerate() {
        let (admin, patient) = (admin.clone(), patients[3 - n]);
        booking_all.spawn(async move { admin.post("/api/appointments", booking(other, patient, "09:00")).await });
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    for (n, time) in ["10:00", "12:00"].into_iter().enumerate() {
        let (admin, patient) = (admin.clone(), patients[n + 1]);
        booking_all.spawn(async move { admin.post("/api/appointments", booking(doctor, patient, time)).await });
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    held.rollback().await.unwrap();
    let answers = booking_all.join_all().await;
    let of_doctor: Vec<_> =
        answers.iter().filter(|answer| answer.body["doctor"] == doctor || answer.status != 201).collect();
    let booked = of_doctor.iter().filter(|answer| answer.status == 201).count();
    assert_eq!((of_doctor.len(), booked), (2, 1), "{of_doctor:?}");
    let of_day = format!("SELECT count(*) FROM appointments WHERE doctor_id = {doctor}");
    let of_day: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(of_day)).fetch_one(&mut db).await.unwrap();
    assert_eq!(of_day, 2);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_hangs_blocks_no_other_doctor() {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start(&database).await;
    let app = TestApp::start_behind(&proxy, &database).await;
    let admin = app.founder("ada").await;
    let mut doctors = Vec::new();
    for _ in 0..6 {
        doctors.push((admin.new_doctor().await, admin.new_patient().await));
    }
    // All of them use one writer, which the doctor's id selects.
    doctors.retain(|(doctor, _)| doctor % 2 == 0);
    for (doctor, patient) in &doctors {
        admin.new_appointment(*doctor, *patient, "00:00").await;
    }
    proxy.mark("the-one-that-hangs");
    // First as a single statement, then as a transaction that holds its locks.
    for (hour, keyed) in [(8, false), (12, true)] {
        proxy.hold_commit();
        let (doctor, patient) = doctors[0];
        let mut body = booking(doctor, patient, &format!("{hour:02}:00"));
        body["reason"] = "the-one-that-hangs".into();
        let booker = admin.clone();
        let hanging = tokio::spawn(async move {
            let headers = [("idempotency-key", "hangs")];
            booker.send(Method::POST, "/api/appointments", Some(body), if keyed { &headers } else { &[] }).await
        });
        proxy.held().await;
        for hours in 0..3 {
            for (doctor, patient) in &doctors[1..] {
                admin.new_appointment(*doctor, *patient, &format!("{:02}:00", hour + hours)).await;
            }
        }
        assert!(!hanging.is_finished(), "the commit did not hang");
        proxy.release();
        hanging.await.unwrap().expect(201);
    }
    assert_eq!(database.count("SELECT count(*) FROM appointments").await, 3 + 2 * (1 + 2 * 3));
}
