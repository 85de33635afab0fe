//! SQL of sessions. A session is a family of rotating refresh tokens. Only the hashes of the tokens are stored, and
//! they are accessible only through procedures.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Result;
use super::context::{ClinicDb, GlobalDb};
use crate::domain::users::Rotation;
use crate::domain::{AccountId, ClinicId};

/// Begins a session with its first refresh token.
pub async fn insert(
    db: &mut ClinicDb<'_>,
    account: AccountId,
    token_hash: &[u8],
    expires_at: DateTime<Utc>,
) -> Result<()> {
    let session = Uuid::now_v7();
    sqlx::query!("CALL begin_session($1, $2, $3, $4, $5)", session, account.0, db.clinic().0, token_hash, expires_at)
        .execute(db)
        .await?;
    Ok(())
}

/// Uses up a refresh token and stores its successor. A token that was used more than five seconds ago
/// ends its whole session.
pub async fn rotate(
    db: &mut GlobalDb<'_>,
    token_hash: &[u8],
    successor_hash: &[u8],
    successor_expires_at: DateTime<Utc>,
) -> Result<Rotation> {
    let token = sqlx::query!(
        "CALL continue_session($1, $2, $3, NULL, NULL, NULL)",
        token_hash,
        successor_hash,
        successor_expires_at,
    )
    .fetch_one(db)
    .await?;
    Ok(match (token.account, token.clinic) {
        (Some(_), Some(_)) if token.was_reused == Some(true) => Rotation::Reused,
        (Some(account), Some(clinic)) => Rotation::Rotated { account: AccountId(account), clinic: ClinicId(clinic) },
        _ => Rotation::Unknown,
    })
}

/// Ends the session of a refresh token, if the token belongs to the account. Ignores an unknown or expired token.
pub async fn revoke(db: &mut ClinicDb<'_>, account: AccountId, token_hash: &[u8]) -> Result<()> {
    sqlx::query!("CALL end_session($1, $2)", account.0, token_hash).execute(db).await?;
    Ok(())
}

/// Ends every session of an account in a clinic.
pub async fn revoke_all(db: &mut ClinicDb<'_>, account: AccountId) -> Result<()> {
    sqlx::query!("CALL end_sessions($1, $2)", account.0, db.clinic().0).execute(db).await?;
    Ok(())
}
