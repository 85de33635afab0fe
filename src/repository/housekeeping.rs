//! SQL that removes what is over.

use super::{Result, context::GlobalDb};

/// How many rows of each kind were removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Refresh tokens that ended more than a day ago.
    pub refresh_tokens: u64,
    /// Sessions whose last token went with them.
    pub sessions: u64,
    /// Outcomes of requests with an `Idempotency-Key`, which are kept for a day.
    pub idempotency_keys: u64,
}

/// Removes at most so many rows of each kind. One node at a time does it: `None` where another is at it. Acts for no clinic.
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
