//! SQL of requests with an `Idempotency-Key`: who works for a key, and what that brought about.
//!
//! An attempt claims its key before it works. The work keeps its outcome by the claim, in its own transaction: so the
//! work of an attempt whose claim ran out and was taken over fails, wherever that attempt was paused meanwhile.

use serde::{Serialize, de::DeserializeOwned};

use super::{Conflict, Error, Result, context::ClinicDb};
use crate::domain::{Caller, access::Retry, appointments::Appointment};

/// For how long nobody else may work for a key, in seconds. A claim is given up as soon as its attempt was refused.
const CLAIMED_SECONDS: f64 = 30.0;

/// What a key is found to be.
#[derive(Debug)]
pub enum Claim<T> {
    /// It is claimed by this attempt now.
    Taken,
    /// An attempt has brought this about.
    Kept(T),
    /// Another attempt works for it, or its outcome is not known yet.
    UnderWay,
}

/// Claims a key for an attempt. Keys older than a day are free again.
///
/// # Errors
/// [`Conflict::KeyOfAnother`] where the key is that of another request.
pub async fn claim<T: DeserializeOwned>(db: &mut ClinicDb<'_>, caller: &Caller, retry: &Retry) -> Result<Claim<T>> {
    let (clinic, account) = (db.clinic().0, db.account_of(caller)?.0);
    let expired = sqlx::query!(
        "DELETE FROM idempotency_keys
         WHERE clinic_id = $1 AND account_id = $2 AND created_at < now() - interval '1 day'",
        clinic,
        account,
    );
    expired.execute(&mut *db).await?;
    // Looked at first, so that nobody who waits locks the row of who works.
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

/// Whether a key is still claimed by this attempt.
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

/// Keeps what an attempt brought about, where it has a key. Belongs into the transaction of the change: either both are
/// there or neither.
///
/// # Errors
/// [`Conflict::KeyUsed`] where the attempt's claim was taken over: the change must not be made.
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

/// Keeps what several attempts of one clinic brought about, whose keys the transaction holds.
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

/// Gives a claim up, because its attempt was refused and changed nothing. Answers whether it was still this attempt's:
/// only then the refusal may be told.
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
