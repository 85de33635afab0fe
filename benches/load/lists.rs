//! Every list of every role in the first clinic: eight clients request the same page repeatedly.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use clinicd::postgres::Database;
use sqlx::AssertSqlSafe;

use super::clinics::{Clinics, hire};
use super::sides::{Server, Sides};

/// The number of concurrent clients.
const CLIENTS: usize = 8;

/// The role and the path. `D+n` is the n-th booked day, `E` is the end of the last one, and `{doctor}` and `{patient}`
/// belong to the caller.
const LISTS: [(&str, &str); 62] = [
    ("admin", "/api/patients"),
    ("admin", "/api/patients?search=maya"),
    ("admin", "/api/patients?search=okafor"),
    ("admin", "/api/patients?search=okafor maya"),
    ("admin", "/api/patients?search=okafor maya 4242"),
    ("admin", "/api/patients?search=ok"),
    ("admin", "/api/patients?search=910000042"),
    ("admin", "/api/patients?search=zzzz"),
    ("admin", "/api/patients?doctor={doctor}"),
    ("admin", "/api/appointments"),
    ("admin", "/api/appointments?status=NO_SHOW"),
    ("admin", "/api/appointments?status=CHECKED_IN"),
    ("admin", "/api/appointments?doctor={doctor}"),
    ("admin", "/api/appointments?doctor={doctor}&status=NO_SHOW"),
    ("admin", "/api/appointments?doctor={doctor}&status=CHECKED_IN"),
    ("admin", "/api/appointments?doctor={doctor}&from=D+7&to=D+8"),
    ("admin", "/api/appointments?doctor={doctor}&from=D+7&to=D+38"),
    ("admin", "/api/appointments?from=D+7&to=D+8"),
    ("admin", "/api/appointments?from=D+7&to=D+14"),
    ("admin", "/api/appointments?from=D+7&to=D+38"),
    ("admin", "/api/appointments?from=E-1&to=E"),
    ("admin", "/api/appointments?from=E-7&to=E"),
    ("admin", "/api/appointments?from=E-31&to=E"),
    ("admin", "/api/appointments?from=E-31&to=E&status=NO_SHOW"),
    ("admin", "/api/appointments?from=D+7"),
    ("admin", "/api/appointments?from=E"),
    ("admin", "/api/appointments?to=D+7"),
    ("admin", "/api/appointments?from=D+7&to=E"),
    ("admin", "/api/appointments?patient={patient}"),
    ("admin", "/api/mappings"),
    ("admin", "/api/mappings?patient={patient}"),
    ("admin", "/api/mappings?doctor={doctor}"),
    ("admin", "/api/doctors"),
    ("admin", "/api/doctors?search=marsh 7"),
    ("admin", "/api/waitlist"),
    ("admin", "/api/users"),
    ("staff", "/api/patients"),
    ("staff", "/api/patients?search=maya"),
    ("staff", "/api/patients?search=okafor maya"),
    ("staff", "/api/patients?search=ok"),
    ("staff", "/api/patients?search=zzzz"),
    ("staff", "/api/appointments"),
    ("staff", "/api/appointments?status=NO_SHOW"),
    ("staff", "/api/appointments?status=CHECKED_IN"),
    ("staff", "/api/appointments?doctor={doctor}&from=D+7&to=D+8"),
    ("staff", "/api/appointments?doctor={doctor}"),
    ("staff", "/api/appointments?from=D+7&to=D+8"),
    ("staff", "/api/appointments?from=D+7&to=D+14"),
    ("staff", "/api/appointments?from=D+7&to=D+38"),
    ("staff", "/api/mappings"),
    ("staff of five", "/api/patients"),
    ("staff of five", "/api/patients?search=zzzz"),
    ("staff of five", "/api/appointments"),
    ("staff of five", "/api/appointments?from=D+7&to=D+8"),
    ("staff of five", "/api/mappings"),
    ("doctor", "/api/patients"),
    ("doctor", "/api/patients?search=maya"),
    ("doctor", "/api/patients?search=okafor maya"),
    ("doctor", "/api/patients?search=zzzz"),
    ("doctor", "/api/appointments"),
    ("doctor", "/api/appointments?from=D+7&to=D+8"),
    ("doctor", "/api/mappings"),
];

/// Measures each of the [`LISTS`] and returns the table.
pub async fn measure(sides: Sides<'_>, server: &Server, database: &Database) -> String {
    let clinics = sides.clinics;
    let client = reqwest::Client::new();
    let (few, of_few) = hire(&client, server, &clinics.founders[..1], "staff", "few").await.swap_remove(0);
    let mut db = database.connect_as_owner().await.expect("a connection");
    let five = format!(
        "UPDATE patients SET created_by = {few} WHERE clinic_id = {} AND id % (SELECT count(*) / 5 FROM patients WHERE clinic_id = {0}) = 7;
         ANALYZE",
        clinics.first_clinic
    );
    sqlx::raw_sql(AssertSqlSafe(five)).execute(&mut db).await.expect("five patients");
    let mut table =
        "| role | request | rows | p50 ms | p99 ms | requests/s |\n| --- | --- | --- | --- | --- | --- |\n".to_owned();
    for (role, list) in LISTS {
        let token = match role {
            "admin" => &clinics.founders[0],
            "staff" => &clinics.staff,
            "doctor" => &clinics.doctor_login,
            _ => &of_few,
        };
        let url = format!("{}{}", server.address, path(clinics, list));
        let answer = client.get(&url).bearer_auth(token).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{role} {list}");
        let rows: Vec<serde_json::Value> = answer.json().await.expect("a list");
        let load = sides.wrk_path(&url, token, CLIENTS).await;
        let line = format!(
            "| {role} | `{list}` | {} | {:.1} | {:.1} | {:.0} |",
            rows.len(),
            load.p50 / 1000.0,
            load.p99 / 1000.0,
            load.rate(),
        );
        println!("{line}");
        let _ = writeln!(table, "{line}");
    }
    table
}

/// Returns the path of a list with the values of these clinics.
fn path(clinics: &Clinics, list: &str) -> String {
    let list = list
        .replace("{doctor}", &clinics.first_doctor.to_string())
        .replace("{patient}", &clinics.first_patient.to_string())
        .replace(' ', "%20");
    let Some((path, query)) = list.split_once('?') else { return list };
    let day = |of: DateTime<Utc>, days: &str| {
        let days = days.parse().unwrap_or(0);
        (of + TimeDelta::days(days)).format("%Y-%m-%dT%H:%M:%SZ").to_string()
    };
    let at = |seconds| DateTime::from_timestamp(seconds, 0).expect("a time");
    let value = |parameter: &str| match parameter.split_once('=') {
        Some((name @ ("from" | "to"), value)) => {
            let (of, days) = value.split_at(1);
            let of = at(if of == "D" { clinics.booked_from } else { clinics.from(0) });
            format!("{name}={}", day(of, days))
        }
        _ => parameter.to_owned(),
    };
    format!("{path}?{}", query.split('&').map(value).collect::<Vec<_>>().join("&"))
}
