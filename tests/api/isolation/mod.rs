//! Isolation: a clinic sees only its own rows. Every operation of the contract is called as another clinic's
//! administrator, as a role without rights, and without a login.

mod operations;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::{Answer, TestApp, TestDatabase, contract, settings};
use operations::Strangers::{NoSuchField, NoSuchRow, NotOfAClinic, OwnOnly};
use operations::{NOWHERE, rows, table};

/// Returns the parts of an answer by which a stranger could tell it from another one.
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

/// Returns all stored data of a clinic, except the audit trail of reads and denials.
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
    assert_eq!(walked.len(), table.len(), "the table lists an operation twice");
    assert_eq!(walked, documented);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clinics_administrator_gets_404_for_every_row() {
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
    // The owner of these rows is still served.
    admin.get(&format!("/api/appointments/{}", theirs.appointment)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clinics_lists_contain_no_row_of_this_one() {
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
    // Filters do not reach another clinic either.
    for query in [format!("patient={}", theirs.patient), format!("doctor={}", theirs.doctor)] {
        assert_eq!(stranger.get(&format!("/api/appointments?{query}")).await.expect(200).body, json!([]));
        assert_eq!(stranger.get(&format!("/api/mappings?{query}")).await.expect(200).body, json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_needs_a_login_and_the_right() {
    let folder = std::env::temp_dir().join(format!("clinicd-powerless-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("model.conf"), include_str!("../../../policies/model.conf")).unwrap();
    // A role exists as soon as the policy file names it. This one may transfer the patients that it owns, and it owns
    // none.
    let csv = format!("{}\np, guest, patients, transfer, own\n", include_str!("../../../policies/policy.csv"));
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
    assert_eq!(stored(&app.database, admin.clinic).await, before, "a role without rights changed something");
}
