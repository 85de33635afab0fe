//! SQL of sessions: a family of refresh tokens that rotate, each kept as its hash only.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{
    Result,
    context::{ClinicDb, GlobalDb},
};
use crate::domain::{AccountId, ClinicId, users::Rotation};

/// How long a consumed token is still taken, for the client whose answer was lost (SECURITY.md).
const GRACE: TimeDelta = TimeDelta::seconds(5);

/// Begins a session with its first refresh token.
pub async fn insert(
    db: &mut ClinicDb<'_>,
    account: AccountId,
    token_hash: &[u8],
    expires_at: DateTime<Utc>,
) -> Result<()> {
    let session = Uuid::now_v7();
    sqlx::query!(
        "INSERT INTO sessions (id, account_id, clinic_id) VALUES ($1, $2, $3)",
        session,
        account.0,
        db.clinic().0,
    )
    .execute(&mut *db)
    .await?;
    insert_token(db, session, token_hash, expires_at).await
}

async fn insert_token(
    db: impl PgExecutor<'_>,
    session: Uuid,
    token_hash: &[u8],
    expires_at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO refresh_tokens (token_hash, session_id, expires_at) VALUES ($1, $2, $3)",
        token_hash,
        session,
        expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Consumes a refresh token and stores its successor. A token that was consumed before the grace ends
/// its whole session.
pub async fn rotate(
    db: &mut GlobalDb<'_>,
    token_hash: &[u8],
    successor_hash: &[u8],
    successor_expires_at: DateTime<Utc>,
) -> Result<Rotation> {
    let found = sqlx::query!(
        r#"SELECT t.session_id, t.consumed_at, s.account_id, s.clinic_id, now() AS "now!"
         FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id
         WHERE t.token_hash = $1 AND t.expires_at > now() AND s.revoked_at IS NULL
         FOR UPDATE"#,
        token_hash,
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(token) = found else {
        return Ok(Rotation::Unknown);
    };
    if token.consumed_at.is_some_and(|consumed| consumed + GRACE < token.now) {
        sqlx::query!("UPDATE sessions SET revoked_at = now() WHERE id = $1", token.session_id).execute(db).await?;
        return Ok(Rotation::Reused);
    }
    sqlx::query!(
        "UPDATE refresh_tokens SET consumed_at = COALESCE(consumed_at, now()) WHERE token_hash = $1",
        token_hash,
    )
    .execute(&mut *db)
    .await?;
    insert_token(db, token.session_id, successor_hash, successor_expires_at).await?;
    Ok(Rotation::Rotated { account: AccountId(token.account_id), clinic: ClinicId(token.clinic_id) })
}

/// Ends the session of a refresh token, if the token is the account's; a token that is unknown or over is none.
pub async fn revoke(db: &mut ClinicDb<'_>, account: AccountId, token_hash: &[u8]) -> Result<()> {
    sqlx::query!(
        "UPDATE sessions SET revoked_at = now()
         WHERE revoked_at IS NULL
           AND account_id = $1
           AND id = (SELECT session_id FROM refresh_tokens WHERE token_hash = $2)",
        account.0,
        token_hash,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends every session of an account in a clinic.
pub async fn revoke_all(db: &mut ClinicDb<'_>, account: AccountId) -> Result<()> {
    sqlx::query!(
        "UPDATE sessions SET revoked_at = now()
         WHERE account_id = $1 AND clinic_id = $2 AND revoked_at IS NULL",
        account.0,
        db.clinic().0,
    )
    .execute(db)
    .await?;
    Ok(())
}
