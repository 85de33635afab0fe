//! Private keys are encrypted with a secret that the database never sees.

use aws_lc_rs::signature::Ed25519KeyPair;
use clinicd::app;
use clinicd::app::App;
use clinicd::authn::KeySecret;
use clinicd::config::Settings;
use serde_json::json;

use super::{login, production};
use crate::support::{Session, TestApp, TestDatabase, settings};

/// Returns the settings of a test with this secret.
fn with_secret(database: &TestDatabase, secret: Option<&str>) -> Settings {
    let mut settings = settings(database);
    settings.database.key_secret = secret.map(|secret| KeySecret::parse(secret).unwrap());
    settings
}

/// Starts the program with this secret, checks that the session works, and stops it.
async fn runs(database: &TestDatabase, secret: Option<&str>, session: &Session) {
    let mut app = TestApp::start_with(database.clone(), with_secret(database, secret)).await;
    session.at(app.address).get("/api/auth/me").await.expect(200);
    app.stop().await;
}

/// Returns the one-line reason why the program does not start.
async fn refused(settings: &Settings) -> String {
    let refused = App::build(settings).await.err().expect("no start").to_string();
    assert_eq!(refused.lines().count(), 1, "{refused}");
    refused
}

/// Returns for each stored key whether it is marked as encrypted, and asserts that the mark is true.
async fn kept(database: &TestDatabase) -> Vec<bool> {
    let mut db = database.connect().await;
    let keys = "SELECT pkcs8, is_wrapped FROM signing_keys";
    let keys: Vec<(Vec<u8>, bool)> = sqlx::query_as(keys).fetch_all(&mut db).await.unwrap();
    for (pkcs8, is_wrapped) in &keys {
        assert_eq!(Ed25519KeyPair::from_pkcs8(pkcs8).is_err(), *is_wrapped);
        // The stored bytes do not contain the private key at any position.
        let has_private = (0..pkcs8.len()).any(|at| Ed25519KeyPair::from_pkcs8(&pkcs8[at..]).is_ok());
        assert_eq!(has_private, !is_wrapped);
    }
    keys.into_iter().map(|(_, is_wrapped)| is_wrapped).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_key_is_encrypted_and_opens_only_with_its_secret() {
    let (database, secret, other) = (TestDatabase::create().await, "a1".repeat(32), "b2".repeat(32));
    let mut app = TestApp::start_with(database.clone(), with_secret(&database, Some(&secret))).await;
    let session = app.founder("ada").await;
    app.stop().await;
    assert_eq!(kept(&database).await, [true]);
    runs(&database, Some(&secret), &session).await;

    let wrong = refused(&with_secret(&database, Some(&other))).await;
    assert!(wrong.starts_with("CLINICD_KEY_SECRET cannot decrypt signing key "), "{wrong}");
    assert!(!wrong.contains(&other), "{wrong}");
    let migrating = app::migrate_only(&with_secret(&database, Some(&other)).database).await.unwrap_err();
    assert_eq!(migrating.to_string(), wrong, "`clinicd migrate` gives the same error");
    let missing = refused(&with_secret(&database, None)).await;
    assert!(missing.contains("set CLINICD_KEY_SECRET"), "{missing}");
    runs(&database, Some(&secret), &session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_continue_with_a_new_key_after_a_lost_secret() {
    let (database, other) = (TestDatabase::create().await, "b2".repeat(32));
    let mut app = TestApp::start_with(database.clone(), with_secret(&database, Some(&"a1".repeat(32)))).await;
    let session = app.founder("ada").await;
    app.stop().await;
    // This is the statement in the README.
    let lost = "DELETE FROM signing_keys WHERE is_wrapped";
    sqlx::raw_sql(lost).execute(&mut database.connect().await).await.unwrap();
    let mut app = TestApp::start_with(database.clone(), with_secret(&database, Some(&other))).await;
    let mut session = session.at(app.address);
    session.get("/api/auth/me").await.expect(401);
    let refresh = json!({ "refresh": session.refresh });
    let tokens = app.anonymous().post("/api/auth/token/refresh", refresh).await.expect(200).body.clone();
    session.access = tokens["access"].as_str().map(str::to_owned);
    session.get("/api/auth/me").await.expect(200);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_can_adopt_a_secret_and_tokens_stay_valid() {
    let (database, secret) = (TestDatabase::create().await, "a1".repeat(32));
    let mut app = TestApp::start_on(database.clone()).await;
    let session = app.founder("ada").await;
    app.stop().await;
    assert_eq!(kept(&database).await, [false]);
    runs(&database, Some(&secret), &session).await;
    assert_eq!(kept(&database).await, [true]);
    runs(&database, Some(&secret), &session).await;
    let missing = refused(&with_secret(&database, None)).await;
    assert!(missing.contains("set CLINICD_KEY_SECRET"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn production_needs_a_secret_and_migrating_encrypts_keys() {
    let database = TestDatabase::create().await;
    let mut app = TestApp::start_on(database.clone()).await;
    let session = app.founder("ada").await;
    app.stop().await;

    let login = login(&database, "IN ROLE clinicd_app").await;
    let mut settings = production(&database, &login);
    let plain = refused(&settings).await;
    assert!(plain.contains("run `clinicd migrate` with CLINICD_KEY_SECRET"), "{plain}");
    settings.database.migrate_url = Some(database.url.clone());
    app::migrate_only(&settings.database).await.unwrap();
    assert_eq!(kept(&database).await, [true]);
    let mut app = TestApp::start_with(database.clone(), settings.clone()).await;
    session.at(app.address).get("/api/auth/me").await.expect(200);
    app.stop().await;

    settings.database.key_secret = None;
    let missing = refused(&settings).await;
    assert!(missing.contains("production needs CLINICD_KEY_SECRET"), "{missing}");
    assert!(missing.contains("openssl rand -base64 32"), "{missing}");
}
