//! Housekeeping removes expired rows and nothing else.

use clinicd::actors::repository::Removed;
use sqlx::Connection;

use crate::support::TestApp;

/// A session with one token that ended long ago, one with a token of each kind, and keys of three ages.
const FILL: &str = "
    INSERT INTO sessions (id, account_id, clinic_id)
        SELECT md5('session' || n)::uuid, m.account_id, m.clinic_id FROM memberships m, generate_series(1, 3) AS n;
    INSERT INTO refresh_tokens (token_hash, session_id, expires_at) VALUES
        ('ended', md5('session1')::uuid, now() - interval '2 days'),
        ('ended too', md5('session2')::uuid, now() - interval '2 days'),
        ('ended just now', md5('session2')::uuid, now() - interval '1 minute'),
        ('in use', md5('session3')::uuid, now() + interval '1 day');
    INSERT INTO idempotency_keys (clinic_id, account_id, key, fingerprint, outcome, created_at)
        SELECT m.clinic_id, m.account_id, n::text, '', '{}', now() - n * interval '1 day' - interval '1 minute'
        FROM memberships m, generate_series(0, 2) AS n";

#[tokio::test(flavor = "multi_thread")]
async fn only_expired_rows_are_removed() {
    let app = TestApp::start().await;
    // The founder's own session is in use.
    app.founder("ada").await;
    let mut db = app.database.connect().await;
    sqlx::raw_sql(FILL).execute(&mut db).await.unwrap();
    let removed = app.services.repository.remove_what_is_over(500).await.unwrap();
    assert_eq!(removed, Some(Removed { refresh_tokens: 2, sessions: 1, idempotency_keys: 1 }));
    assert_eq!(app.database.count("SELECT count(*) FROM sessions").await, 3);
    assert_eq!(app.database.count("SELECT count(*) FROM refresh_tokens").await, 3);
    let kept: Vec<String> =
        sqlx::query_scalar("SELECT key FROM idempotency_keys ORDER BY key").fetch_all(&mut db).await.unwrap();
    assert_eq!(kept, ["0", "1"]);
    assert_eq!(app.services.repository.remove_what_is_over(500).await.unwrap(), Some(Removed::default()));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_at_a_time_removes_rows_in_batches() {
    let app = TestApp::start().await;
    app.founder("ada").await;
    let mut db = app.database.connect().await;
    sqlx::raw_sql(FILL).execute(&mut db).await.unwrap();
    let mut other = db.begin().await.unwrap();
    sqlx::raw_sql("SELECT pg_advisory_xact_lock(hashtextextended('clinicd housekeeping', 0))")
        .execute(&mut *other)
        .await
        .unwrap();
    assert_eq!(app.services.repository.remove_what_is_over(1).await.unwrap(), None);
    other.rollback().await.unwrap();
    let piece = app.services.repository.remove_what_is_over(1).await.unwrap().unwrap();
    assert_eq!((piece.refresh_tokens, piece.idempotency_keys), (1, 1));
    let rest = app.services.repository.remove_what_is_over(1).await.unwrap().unwrap();
    assert_eq!((rest.refresh_tokens, rest.idempotency_keys), (1, 0));
}
