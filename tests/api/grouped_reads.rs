//! Grouped reads: one round trip for rows of several clinics, each in its own context.

use std::path::Path;
use std::sync::Arc;

use clinicd::domain::appointments::AppointmentFilter;
use clinicd::domain::mappings::MappingFilter;
use clinicd::domain::patients::PatientFilter;
use clinicd::domain::{AccountId, ClinicId, Visibility};
use clinicd::postgres::Database;
use clinicd::repository::appointment_lists::AppointmentList;
use clinicd::repository::context::{Context, Grouped, Unbound};
use clinicd::repository::mappings::MappingList;
use clinicd::repository::patient_groups::{PageRead, PatientPage};
use clinicd::repository::{Page, appointment_lists, mappings, patient_groups};

use crate::support::{TestApp, TestDatabase};

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
