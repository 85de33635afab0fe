//! SQL of requests with an `Idempotency-Key`: the claims of attempts, and their outcomes.
//!
//! An attempt claims its key before it works. The transaction of the work stores the outcome under the claim. So the
//! work of an attempt fails if its claim expired and was taken over, wherever the attempt was paused.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::ClinicDb;
use super::{Conflict, Error, Result};
use crate::domain::Caller;
use crate::domain::access::Retry;
use crate::domain::appointments::Appointment;

/// The lifetime of a claim in seconds. A refused attempt releases its claim at once.
const CLAIMED_SECONDS: f64 = 30.0;

/// The state of a key.
#[derive(Debug)]
pub enum Claim<T> {
    /// This attempt now has the claim.
    Taken,
    /// An earlier attempt has this outcome.
    Kept(T),
    /// Another attempt is being executed, or its outcome is not known yet.
    UnderWay,
}

/// Claims a key for an attempt. A key expires after a day.
///
/// # Errors
/// [`Conflict::KeyOfAnother`] if the key belongs to another request.
pub async fn claim<T: DeserializeOwned>(db: &mut ClinicDb<'_>, caller: &Caller, retry: &Retry) -> Result<Claim<T>> {
    let (clinic, account) = (db.clinic().0, db.account_of(caller)?.0);
    let expired = sqlx::query!(
        "DELETE FROM idempotency_keys
         WHERE clinic_id = $1 AND account_id = $2 AND created_at < now() - interval '1 day'",
        clinic,
        account,
    );
    expired.execute(&mut *db).await?;
    // Read first, so that a waiting attempt does not lock the row of the working one.
    let found = sqlx::query!(
        r#"SELECT fingerprint, outcome, claimed_until < now() AS has_run_out
         FROM idempotency_keys WHERE clinic_id = $1 AND account_id = $2 AND key = $3"#,
        clinic,
        account,
        retry.key,
    );
    match found.fetch_optional(&mut *db).await? {
        Some(found) if found.fingerprint != retry.fingerprint => {
            return Err(Error::Conflict(Conflict::KeyOfAnother));
        }
        Some(found) => match found.outcome {
            Some(outcome) => {
                let kept = serde_json::from_value(outcome).map(Claim::Kept);
                return kept.map_err(|error| Error::Corrupt(error.to_string()));
            }
            None if found.has_run_out != Some(true) => return Ok(Claim::UnderWay),
            None => {}
        },
        None => {}
    }
    let taken = sqlx::query_scalar!(
        "INSERT INTO idempotency_keys AS k (clinic_id, account_id, key, fingerprint, claim, claimed_until)
         VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
         ON CONFLICT (clinic_id, account_id, key) DO UPDATE
         SET claim = EXCLUDED.claim, claimed_until = EXCLUDED.claimed_until, created_at = now()
         WHERE k.outcome IS NULL AND k.claimed_until < now() AND k.fingerprint = EXCLUDED.fingerprint
         RETURNING k.key",
        clinic,
        account,
        retry.key,
        &retry.fingerprint,
        retry.claim,
        CLAIMED_SECONDS,
    );
    let is_taken = taken.fetch_optional(db).await?.is_some();
    Ok(if is_taken { Claim::Taken } else { Claim::UnderWay })
}

/// Returns whether this attempt still has the claim of a key.
pub async fn is_claimed(db: &mut ClinicDb<'_>, caller: &Caller, retry: &Retry) -> Result<bool> {
    let claimed = sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT FROM idempotency_keys
             WHERE clinic_id = $1 AND account_id = $2 AND key = $3 AND claim = $4 AND outcome IS NULL
         ) AS "claimed!""#,
        db.clinic().0,
        db.account_of(caller)?.0,
        retry.key,
        retry.claim,
    );
    Ok(claimed.fetch_one(db).await?)
}

/// Stores the outcome of an attempt, if it has a key. It must run in the transaction of the change, so that both are
/// committed or neither is.
///
/// # Errors
/// [`Conflict::KeyUsed`] if another attempt took over the claim. The change must not be made.
pub async fn keep(db: &mut ClinicDb<'_>, caller: &Caller, outcome: &impl Serialize) -> Result<()> {
    let Some(retry) = &caller.retry else { return Ok(()) };
    let outcome = serde_json::to_value(outcome).map_err(|error| Error::Corrupt(error.to_string()))?;
    let kept = sqlx::query!(
        "UPDATE idempotency_keys SET outcome = $5
         WHERE clinic_id = $1 AND account_id = $2 AND key = $3 AND claim = $4 AND outcome IS NULL",
        db.clinic().0,
        db.account_of(caller)?.0,
        retry.key,
        retry.claim,
        outcome,
    );
    match kept.execute(db).await?.rows_affected() {
        0 => Err(Error::Conflict(Conflict::KeyUsed)),
        _ => Ok(()),
    }
}

/// Stores the outcomes of several attempts of one clinic. The transaction must have locked their keys.
pub async fn keep_all(db: &mut ClinicDb<'_>, kept: &[(&Caller, &Retry, &Appointment)]) -> Result<()> {
    let outcomes = kept.iter().map(|(_, _, outcome)| serde_json::to_value(outcome));
    let outcomes = outcomes.collect::<Result<Vec<_>, _>>().map_err(|error| Error::Corrupt(error.to_string()))?;
    sqlx::query!(
        "UPDATE idempotency_keys AS k SET outcome = o.outcome
         FROM unnest($2::bigint[], $3::text[], $4::uuid[], $5::jsonb[]) AS o (account_id, key, claim, outcome)
         WHERE k.clinic_id = $1 AND k.account_id = o.account_id AND k.key = o.key AND k.claim = o.claim",
        db.clinic().0,
        &kept.iter().map(|(caller, ..)| Ok(db.account_of(caller)?.0)).collect::<Result<Vec<_>>>()?,
        &kept.iter().map(|(_, retry, _)| retry.key.clone()).collect::<Vec<_>>(),
        &kept.iter().map(|(_, retry, _)| retry.claim).collect::<Vec<_>>(),
        &outcomes,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Releases a claim, because its attempt was refused and changed nothing. Returns whether this attempt still had the
/// claim: only then may the caller return the refusal.
pub async fn give_up(db: &mut ClinicDb<'_>, caller: &Caller, retry: &Retry) -> Result<bool> {
    let deleted = sqlx::query!(
        "DELETE FROM idempotency_keys
         WHERE clinic_id = $1 AND account_id = $2 AND key = $3 AND claim = $4 AND outcome IS NULL",
        db.clinic().0,
        db.account_of(caller)?.0,
        retry.key,
        retry.claim,
    );
    Ok(deleted.execute(db).await?.rows_affected() > 0)
}
