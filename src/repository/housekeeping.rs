//! SQL that removes expired rows.

use super::Result;
use super::context::GlobalDb;

/// The number of removed rows of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Refresh tokens that ended more than a day ago.
    pub refresh_tokens: u64,
    /// Sessions that lost their last token.
    pub sessions: u64,
    /// Outcomes of requests with an `Idempotency-Key`. They are stored for a day.
    pub idempotency_keys: u64,
}

/// Removes at most `most` expired rows of each kind, in no clinic's context. One node at a time does it: returns `None`
/// if another node holds the lock.
pub async fn remove(db: &mut GlobalDb<'_>, most: i64) -> Result<Option<Removed>> {
    let locks = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtextextended('clinicd housekeeping', 0)) AS "locks!""#
    );
    if !locks.fetch_one(&mut *db).await? {
        return Ok(None);
    }
    let ended = sqlx::query!("CALL remove_ended_sessions($1, NULL, NULL)", most).fetch_one(&mut *db).await?;
    let keys = sqlx::query!(
        "WITH piece AS MATERIALIZED (
             SELECT clinic_id, account_id, key FROM idempotency_keys
             WHERE created_at < now() - interval '2 days'
             ORDER BY created_at
             LIMIT $1
         )
         DELETE FROM idempotency_keys
         WHERE (clinic_id, account_id, key) IN (SELECT clinic_id, account_id, key FROM piece)",
        most,
    )
    .execute(db)
    .await?;
    Ok(Some(Removed {
        refresh_tokens: ended.tokens.unwrap_or_default().unsigned_abs(),
        sessions: ended.without_tokens.unwrap_or_default().unsigned_abs(),
        idempotency_keys: keys.rows_affected(),
    }))
}
