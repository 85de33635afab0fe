//! The rights of the program's login in the database, and of an injected statement: only what the program needs.

mod keys;
mod logins;

use std::collections::BTreeSet;
use std::path::Path;

use clinicd::authn::KeySecret;
use clinicd::config::{Environment, Settings};
use clinicd::postgres::Database;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::support::{PASSWORD, TestApp, TestDatabase, settings};

/// Every right of the login, sorted.
const LIST: &str = include_str!("list.txt");

#[tokio::test(flavor = "multi_thread")]
async fn the_login_has_exactly_the_listed_rights() {
    let other = TestDatabase::create().await;
    let name = format!("rights_{}", Uuid::new_v4().simple());
    let create = format!("CREATE DATABASE {name}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut other.connect().await).await.unwrap();
    let login = login(&other, "IN ROLE clinicd_app").await;
    let url = other.url_of(&name);
    Database::open(Some(&url), "unused".as_ref()).await.unwrap().migrate().await.unwrap();
    let mut db = PgConnection::connect(&url).await.unwrap();
    let found: Vec<String> =
        sqlx::query_scalar(include_str!("list.sql")).bind(name_of(&login)).fetch_all(&mut db).await.unwrap();
    let (has, should) = (found.iter().map(String::as_str).collect::<BTreeSet<_>>(), LIST.lines().collect());
    let more: Vec<_> = has.difference(&should).map(|right| format!("+ {right}")).collect();
    let less: Vec<_> = should.difference(&has).map(|right| format!("- {right}")).collect();
    if found.join("\n") + "\n" != LIST {
        let written = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rights.txt");
        std::fs::write(&written, found.join("\n") + "\n").unwrap();
        panic!(
            "the rights differ from tests/api/rights/list.txt:\n{}\nIf they should: cp {} tests/api/rights/list.txt",
            [more, less].concat().join("\n"),
            written.display()
        );
    }
}

/// Returns settings for production with this login.
fn production(database: &TestDatabase, url: &str) -> Settings {
    let mut settings = settings(database);
    settings.environment = Environment::Production;
    settings.database.database_url = Some(url.to_owned());
    settings.database.key_secret = Some(KeySecret::parse(&"ab".repeat(32)).unwrap());
    settings
}

/// Creates a login of this database with these attributes.
async fn login(database: &TestDatabase, words: &str) -> String {
    let name = format!("login_{}", Uuid::new_v4().simple());
    let create = format!("CREATE ROLE {name} LOGIN {words}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut database.connect().await).await.unwrap();
    database.url.replacen("//clinicd@", &format!("//{name}@"), 1)
}

/// Returns the login in a URL.
fn name_of(url: &str) -> &str {
    url.split(['/', '@']).nth(2).unwrap()
}

/// Opens a connection with the program's rights and no clinic's context.
async fn as_program(database: &TestDatabase) -> PgConnection {
    let mut db = database.connect().await;
    sqlx::raw_sql("SET ROLE clinicd_app").execute(&mut db).await.unwrap();
    db
}

/// Returns PostgreSQL's error for a statement.
async fn refusal(db: &mut PgConnection, statement: &str) -> String {
    match sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).fetch_all(db).await {
        Ok(rows) => panic!("{statement}: {} rows", rows.len()),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_injected_statement_reaches_no_hash_no_token_and_no_key() {
    let app = TestApp::start().await;
    app.founder("ada").await;
    let mut db = as_program(&app.database).await;
    for hidden in [
        "password_hash FROM accounts",
        "* FROM accounts",
        "1 FROM accounts WHERE password_hash LIKE 'a%'",
        "token_hash FROM refresh_tokens",
        "count(*) FROM refresh_tokens",
        "id FROM sessions",
        "pkcs8 FROM signing_keys",
        "kid FROM signing_keys",
    ] {
        let refused = refusal(&mut db, &format!("SELECT {hidden}")).await;
        assert!(refused.contains("permission denied"), "{hidden}: {refused}");
    }
    // The target of an injection is always a statement, and no statement other than CALL can call a procedure.
    let find = "find_login('ada@example.com', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)";
    for injected in [
        format!("SELECT {find}"),
        format!("SELECT * FROM {find}"),
        "SELECT * FROM find_login('ada@example.com')".into(),
        "SELECT * FROM signing_keys('k', '', '', false)".into(),
        "SELECT begin_session(gen_random_uuid(), 1, 1, '\\x01', now())".into(),
        format!("SELECT query_to_xml('CALL {}', true, true, '')", find.replace('\'', "''")),
        format!("SELECT 1; CALL {find}"),
    ] {
        let refused = refusal(&mut db, &injected).await;
        let ways = ["is a procedure", "does not exist", "CALL is not allowed", "multiple commands"];
        assert!(ways.iter().any(|way| refused.contains(way)), "{injected}: {refused}");
    }
    for forged in [
        "INSERT INTO signing_keys (kid, pkcs8, public_key) VALUES ('mine', '', '')",
        "UPDATE signing_keys SET public_key = ''",
        "INSERT INTO sessions (id, account_id, clinic_id) VALUES (gen_random_uuid(), 1, 1)",
        "INSERT INTO refresh_tokens (token_hash, session_id, expires_at) VALUES ('', gen_random_uuid(), now())",
        "UPDATE refresh_tokens SET expires_at = 'infinity'",
        "INSERT INTO accounts (email, username, password_hash) VALUES ('eve@example.com', 'eve', '')",
        "UPDATE accounts SET password_hash = ''",
        "UPDATE accounts SET email = 'eve@example.com'",
        "UPDATE memberships SET account_id = 1",
        "UPDATE invitations SET role = 'admin'",
        "UPDATE clinics SET clinic_id = 1",
        "CREATE TABLE mine (id bigint)",
        "ALTER TABLE accounts DISABLE ROW LEVEL SECURITY",
        "DROP FUNCTION current_clinic() CASCADE",
    ] {
        let refused = refusal(&mut db, forged).await;
        assert!(refused.contains("permission denied") || refused.contains("must be owner"), "{forged}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_clinics_see_an_account_and_only_it_changes_itself() {
    let app = TestApp::start().await;
    let (admin, stranger) = (app.founder("ada").await, app.founder("eve").await);
    let staff = app.user(&admin, "ann", "staff").await;
    let mut db = as_program(&app.database).await;
    let mut emails = async |clinic: String, account: String| -> Vec<String> {
        sqlx::query("SELECT set_config('app.clinic_id', $1, false), set_config('app.account_id', $2, false)")
            .bind(clinic)
            .bind(account)
            .execute(&mut db)
            .await
            .unwrap();
        sqlx::query_scalar("SELECT email FROM accounts ORDER BY email").fetch_all(&mut db).await.unwrap()
    };
    assert_eq!(emails(String::new(), String::new()).await, [""; 0]);
    assert_eq!(emails(admin.clinic.to_string(), String::new()).await, ["ada@example.com", "ann@example.com"]);
    assert_eq!(emails(stranger.clinic.to_string(), String::new()).await, ["eve@example.com"]);
    let me = staff.get("/api/auth/me").await.expect(200).body["id"].to_string();
    assert_eq!(emails(String::new(), me).await, ["ann@example.com"]);
    // The context is still that of the account.
    let renamed = "UPDATE accounts SET first_name = 'X', version = version + 1 RETURNING email";
    let renamed: Vec<String> = sqlx::query_scalar(renamed).fetch_all(&mut db).await.unwrap();
    assert_eq!(renamed, ["ann@example.com"]);
    // The program itself relies on it.
    let answer = staff.patch("/api/auth/me", json!({ "first_name": "Ann" })).await.expect(200);
    assert_eq!(answer.body["first_name"], "Ann");
    let login = json!({ "email": "ann@example.com", "password": PASSWORD });
    assert_eq!(app.anonymous().post("/api/auth/login", login).await.expect(200).body["user"]["first_name"], "Ann");
}
