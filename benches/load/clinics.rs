//! The clinics that both sides use.

use std::path::{Path, PathBuf};

use clinicd::postgres::Database;
use serde_json::{Value, json};

use super::Options;
use super::sides::Server;

/// The password of every founder.
pub const PASSWORD: &str = "seven quiet lanterns";

/// Clinics whose rows have consecutive ids.
pub struct Clinics {
    pub count: i64,
    pub doctors: i64,
    pub patients: i64,
    pub first_clinic: i64,
    pub first_account: i64,
    pub first_doctor: i64,
    pub first_patient: i64,
    /// The staff user of the first clinic, who owns every twentieth patient.
    pub first_staff: i64,
    /// The first day with appointments, in seconds.
    pub booked_from: i64,
    /// The file of tokens that the load generator reads.
    pub tokens: PathBuf,
    /// The founders' tokens, one per clinic.
    pub founders: Vec<String>,
    /// The token of the first clinic's staff user.
    pub staff: String,
    /// The token of the first clinic's first doctor.
    pub doctor_login: String,
    /// The first founder's e-mail address.
    pub email: String,
    /// The first day on which a run may book, in seconds.
    start: i64,
}

/// Creates a user with this role in each founder's clinic. Returns their ids, which are consecutive, and their tokens.
pub async fn hire(
    client: &reqwest::Client,
    server: &Server,
    founders: &[String],
    role: &str,
    name: &str,
) -> Vec<(i64, String)> {
    let mut hired = Vec::new();
    for (n, founder) in founders.iter().enumerate() {
        let email = format!("{name}{n}@bench.example");
        let user = json!({ "email": email, "password": PASSWORD, "role": role });
        let login = json!({ "email": email, "password": PASSWORD });
        let request = client.post(format!("{}/api/users", server.address)).bearer_auth(founder).json(&user);
        let made: Value = request.send().await.expect("an answer").json().await.expect("a user");
        let request = client.post(format!("{}/api/auth/login", server.address)).json(&login);
        let tokens: Value = request.send().await.expect("an answer").json().await.expect("tokens");
        let id = made["id"].as_i64().expect("an id");
        hired.push((id, tokens["access"].as_str().expect("a token").to_owned()));
    }
    hired
}

/// Rows of the clinics `$1` to `$1 + $2 - 1`. They are written before any calendar is read. Triggers create their
/// versions.
const ROWS: [&str; 6] = [
    "INSERT INTO doctors (clinic_id, first_name, last_name, specialization, license_number, email)
     SELECT c, 'Elena', 'Marsh ' || n, 'Cardiology', c || '-' || n, c || '.' || n || '@doctors.example'
     FROM generate_series($1::bigint, $1 + $2 - 1) AS c, generate_series(1, $3::bigint) AS n ORDER BY c, n",
    "INSERT INTO working_hours (clinic_id, doctor_id, effective_from, windows)
     SELECT d.clinic_id, d.id, '2020-01-01', (
         SELECT jsonb_agg(jsonb_build_object('weekday', w, 'start', '08:00', 'end', '18:00')) FROM generate_series(1, 7) AS w
     )
     FROM doctors d WHERE d.clinic_id BETWEEN $1::bigint AND $1 + $2 - 1 AND $3::bigint > 0",
    "INSERT INTO patients (clinic_id, first_name, last_name, email, phone_number, date_of_birth, created_by)
     SELECT c, (ARRAY['Maya', 'Ana', 'Bela', 'Chidi', 'Dmitri', 'Emeka', 'Farah', 'Goran', 'Hana', 'Ines', 'Jun', 'Kemal'])[1 + n % 12],
         (ARRAY['Okafor', 'Silva', 'Novak', 'Berg', 'Costa', 'Ivanov', 'Haddad'])[1 + n % 7] || ' ' || n,
         c || '.' || n || '@patients.example', '+351 ' || to_char(910000000 + n, 'FM000 000 000'), '1988-04-12', c - $1 + $4
     FROM generate_series($1::bigint, $1 + $2 - 1) AS c, generate_series(1, $3::bigint) AS n ORDER BY c, n",
    "INSERT INTO appointments (clinic_id, reference, doctor_id, patient_id, during, status, created_by, calendar_version)
     SELECT d.clinic_id, gen_random_uuid(), d.id, p.first + (n * 100 + d.id) % $5, tstzrange(t.at, t.at + interval '30 minutes'),
         CASE (n * 7 + d.id) % 20 WHEN 0 THEN 'NO_SHOW' WHEN 1 THEN 'CANCELLED' ELSE 'SCHEDULED' END, d.clinic_id - $1 + $4, 1
     FROM doctors d
     JOIN (SELECT clinic_id, min(id) AS first FROM patients GROUP BY 1) AS p USING (clinic_id)
     CROSS JOIN generate_series(0, $3::bigint - 1) AS n
     CROSS JOIN LATERAL (
         SELECT date_trunc('day', now()) + interval '1 day' * (3 + n / 20) + interval '8 hours' + interval '30 minutes' * (n % 20) AS at
     ) AS t
     WHERE d.clinic_id BETWEEN $1::bigint AND $1 + $2 - 1 ORDER BY n, d.id",
    "VACUUM ANALYZE",
    "CHECKPOINT",
];

impl Clinics {
    pub async fn make(options: &Options, database: &Database, server: &Server, folder: &Path) -> Self {
        let client = reqwest::Client::new();
        let mut founders = Vec::new();
        for n in 0..options.clinics {
            let body = json!({
                "email": format!("founder{n}@bench.example"), "password": PASSWORD, "clinic_name": format!("Clinic {n}"),
            });
            let request = client.post(format!("{}/api/auth/register", server.address)).json(&body);
            let answer: Value = request.send().await.expect("an answer").json().await.expect("tokens");
            founders.push(answer);
        }
        let of = |founder: &Value, field: &str| founder["user"][field].as_i64().expect("an id");
        let (first_clinic, first_account) = (of(&founders[0], "clinic"), of(&founders[0], "id"));
        let mut db = database.connect_as_owner().await.expect("a connection");
        let [doctors, hours, patients, appointments, ..] = ROWS;
        let (count, booked) = (options.clinics, options.appointments);
        let of_clinics = |rows| sqlx::query(rows).bind(first_clinic).bind(count);
        of_clinics(doctors).bind(options.doctors).execute(&mut db).await.expect("doctors");
        of_clinics(hours).bind(1i64).execute(&mut db).await.expect("hours");
        of_clinics(patients).bind(options.patients).bind(first_account).execute(&mut db).await.expect("patients");
        let lowest = |table: &'static str| {
            let statement = format!("SELECT min(id) FROM {table} WHERE clinic_id = {first_clinic}");
            sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
        };
        let first_doctor: i64 = lowest("doctors").fetch_one(&mut db).await.expect("a doctor");
        let first_patient: i64 = lowest("patients").fetch_one(&mut db).await.expect("a patient");
        let access = |founder: &Value| founder["access"].as_str().expect("a token").to_owned();
        let tokens_of_founders: Vec<_> = founders.iter().map(access).collect();
        let staff = hire(&client, server, &tokens_of_founders, "staff", "staff").await;
        let logins = hire(&client, server, &tokens_of_founders, "doctor", "doctor").await;
        for (n, ((staff, _), (login, _))) in (0..).zip(staff.iter().zip(&logins)) {
            let (clinic, doctor) = (first_clinic + n, first_doctor + n * options.doctors);
            for statement in [
                format!("UPDATE patients SET created_by = {staff} WHERE clinic_id = {clinic} AND id % 20 = 0"),
                format!("UPDATE doctors SET account_id = {login} WHERE clinic_id = {clinic} AND id = {doctor}"),
                format!(
                    "INSERT INTO mappings (clinic_id, patient_id, doctor_id, assigned_by)
                     SELECT {clinic}, id, {doctor} + id % 10 % {}, {staff} FROM patients WHERE clinic_id = {clinic}",
                    options.doctors,
                ),
            ] {
                sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut db).await.expect("users' rows");
            }
        }
        let appointments = of_clinics(appointments).bind(booked).bind(first_account).bind(options.patients);
        appointments.execute(&mut db).await.expect("appointments");
        for after in &ROWS[4..] {
            sqlx::raw_sql(*after).execute(&mut db).await.expect(after);
        }
        let tokens = folder.join("tokens");
        let line = |(n, founder): (i64, &String)| {
            let (doctor, patient) = (first_doctor + n * options.doctors, first_patient + n * options.patients);
            let (staff, login) = (&staff[n as usize].1, &logins[n as usize].1);
            format!("{founder} {doctor} {patient} {staff} {login}\n")
        };
        let lines: String = (0..).zip(&tokens_of_founders).map(line).collect();
        std::fs::write(&tokens, lines).expect("the tokens");
        Self {
            count,
            doctors: options.doctors,
            patients: options.patients,
            first_clinic,
            first_account,
            first_doctor,
            first_patient,
            first_staff: staff[0].0,
            booked_from: (clinicd::clock::now().timestamp() / 86400 + 3) * 86400,
            tokens,
            founders: tokens_of_founders,
            staff: staff[0].1.clone(),
            doctor_login: logins[0].1.clone(),
            email: "founder0@bench.example".to_owned(),
            start: (clinicd::clock::now().timestamp() / 86400 + 3 + booked / 20 + 1) * 86400,
        }
    }

    /// Returns every doctor's id with the token of a founder of the same clinic.
    pub fn all_doctors(&self) -> Vec<(String, i64)> {
        let of = |(n, token): (i64, &String)| {
            let (token, first) = (token.clone(), self.first_doctor + n * self.doctors);
            (0..self.doctors).map(move |nth| (token.clone(), first + nth))
        };
        (0..).zip(&self.founders).flat_map(of).collect()
    }

    /// Adds `count` doctors to the first clinic and returns them as [`all_doctors`](Self::all_doctors) does.
    pub async fn hire(&self, database: &Database, count: i64) -> Vec<(String, i64)> {
        let mut db = database.connect_as_owner().await.expect("a connection");
        let doctors: Vec<i64> = sqlx::query_scalar(
            "INSERT INTO doctors (clinic_id, first_name, last_name, specialization, license_number, email)
             SELECT $1, 'Nils', 'Berg ' || n, 'Cardiology', 'hired-' || n, 'hired.' || n || '@doctors.example'
             FROM generate_series(1, $2::bigint) AS n
             RETURNING id",
        )
        .bind(self.first_clinic)
        .bind(count)
        .fetch_all(&mut db)
        .await
        .expect("doctors");
        doctors.into_iter().map(|id| (self.founders[0].clone(), id)).collect()
    }

    /// Returns the first day of a run, in seconds.
    pub fn from(&self, year: i64) -> i64 {
        self.start + year * 1100 * 86400
    }
}
