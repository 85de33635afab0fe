//! Whom the work on a connection is for: what row-level security goes by.

use sqlx::PgConnection;

use super::{Error, Result};
use crate::domain::{AccountId, ClinicId};

/// The rows that a piece of work may meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    /// The rows of one clinic.
    Clinic(ClinicId),
    /// The memberships of one account, before it has chosen a clinic.
    Account(AccountId),
    /// The global tables of authn; of clinics only alarms that are due, and keys that are over.
    Global,
}

/// Sets the context for all that follows on this connection, or, with `local`, for this transaction.
pub async fn set(db: &mut PgConnection, context: Context, local: bool) -> Result<()> {
    let (clinic, account) = match context {
        Context::Clinic(clinic) => (clinic.to_string(), String::new()),
        Context::Account(account) => (String::new(), account.to_string()),
        Context::Global => (String::new(), String::new()),
    };
    sqlx::query!(
        "SELECT set_config('app.clinic_id', $1, $3) AS clinic, set_config('app.account_id', $2, $3) AS account",
        clinic,
        account,
        local,
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// Gives up soon on rows that somebody else holds: for the rest of the transaction.
pub async fn give_up_soon(db: &mut PgConnection) -> Result<()> {
    sqlx::raw_sql("SET LOCAL lock_timeout = '250ms'").execute(db).await?;
    Ok(())
}

/// Lets the commit of this transaction be answered before it is durable.
pub async fn need_not_be_durable(db: &mut PgConnection) -> Result<()> {
    sqlx::raw_sql("SET LOCAL synchronous_commit = off").execute(db).await?;
    Ok(())
}

/// The newest migration that was applied; 0 where there is none.
///
/// Not checked at compile time: the table is made by the migrator, not by a migration.
///
/// # Errors
/// [`Error::Unable`] where the server takes no changes.
pub async fn schema_version(db: &mut PgConnection) -> Result<i64> {
    let found = sqlx::query_as::<_, (i64, bool)>(
        "SELECT COALESCE(max(version), 0), current_setting('transaction_read_only')::boolean
         FROM _sqlx_migrations
         WHERE success",
    );
    match found.fetch_one(db).await {
        Ok((_, true)) => Err(Error::Unable),
        Ok((version, false)) => Ok(version),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => Ok(0),
        Err(error) => Err(error.into()),
    }
}
