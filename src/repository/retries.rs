//! SQL of what requests with an `Idempotency-Key` brought about.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sqlx::PgConnection;

use super::{Conflict, Error, Result};
use crate::domain::{AccountId, Caller, access::Retry};

/// Keeps what a request brought about, where it may be sent again. Belongs into the transaction of the
/// change: either both are there or neither.
///
/// # Errors
/// [`Conflict::KeyUsed`] where the key has been used within a day: the change must not be made again.
pub async fn keep(db: &mut PgConnection, caller: &Caller, outcome: &impl Serialize) -> Result<()> {
    let Some(retry) = &caller.retry else { return Ok(()) };
    let outcome = serde_json::to_value(outcome).map_err(|error| Error::Corrupt(error.to_string()))?;
    let (clinic, account) = (caller.clinic.0, caller.account.0);
    sqlx::query!(
        "DELETE FROM idempotency_keys
         WHERE clinic_id = $1 AND account_id = $2 AND created_at < now() - interval '1 day'",
        clinic,
        account,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "INSERT INTO idempotency_keys (clinic_id, account_id, key, fingerprint, outcome) VALUES ($1, $2, $3, $4, $5)",
        clinic,
        account,
        retry.key,
        &retry.fingerprint,
        outcome,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What the same request has brought about within a day.
///
/// # Errors
/// [`Conflict::KeyOfAnother`] where the key was used for another request.
pub async fn find<T: DeserializeOwned>(db: &mut PgConnection, caller: &Caller, retry: &Retry) -> Result<Option<T>> {
    let AccountId(account) = caller.account;
    let kept = sqlx::query!(
        "SELECT fingerprint, outcome FROM idempotency_keys
         WHERE clinic_id = $1 AND account_id = $2 AND key = $3 AND created_at >= now() - interval '1 day'",
        caller.clinic.0,
        account,
        retry.key,
    )
    .fetch_optional(db)
    .await?;
    let Some(kept) = kept else { return Ok(None) };
    if kept.fingerprint != retry.fingerprint {
        return Err(Error::Conflict(Conflict::KeyOfAnother));
    }
    let outcome: Value = kept.outcome;
    serde_json::from_value(outcome).map(Some).map_err(|error| Error::Corrupt(error.to_string()))
}
