//! The context of a connection, by which row-level security decides.
//!
//! SQL runs on a [`Db`]: a connection in the context of its scope, which its type names. The only way to get one is to
//! set the context first. So a function that takes a [`ClinicDb`] needs no other parameter for the clinic, and can
//! access no other clinic.

use std::fmt::Debug;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Connection as _, Describe, Either, Execute, Executor, PgConnection, PgExecutor, Postgres, SqlStr};

use super::{Error, Result};
use crate::domain::{AccountId, Caller, ClinicId};

/// The rows that a piece of work may access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    /// The rows of one clinic.
    Clinic(ClinicId),
    /// One account and its memberships, before it has selected a clinic.
    Account(AccountId),
    /// No clinic's rows: only the procedures of authentication, due alarms and expired keys.
    Global,
}

/// What a connection is bound to.
pub trait Scope: Copy + Debug + Send + Sync + 'static {
    /// Returns the context of the bound connection.
    fn context(self) -> Context;
}

impl Scope for ClinicId {
    fn context(self) -> Context {
        Context::Clinic(self)
    }
}

impl Scope for AccountId {
    fn context(self) -> Context {
        Context::Account(self)
    }
}

/// No clinic.
#[derive(Debug, Clone, Copy)]
pub struct Global;

impl Scope for Global {
    fn context(self) -> Context {
        Context::Global
    }
}

/// Each row in the context of its own clinic. The grouped functions of the migrations set and reset these contexts.
#[derive(Debug, Clone, Copy)]
pub struct Grouped {
    /// The only clinic that may be accessed, if the connection is bound to one.
    only: Option<ClinicId>,
}

impl Grouped {
    /// Rows of any clinics.
    pub const OF_ANY_CLINICS: Self = Self { only: None };
}

impl Scope for Grouped {
    fn context(self) -> Context {
        self.only.map_or(Context::Global, Context::Clinic)
    }
}

/// A connection in the context of its scope.
#[derive(Debug)]
pub struct Db<'c, S> {
    connection: &'c mut PgConnection,
    scope: S,
}

/// A connection in the context of one clinic.
pub type ClinicDb<'c> = Db<'c, ClinicId>;
/// A connection in the context of one account.
pub type AccountDb<'c> = Db<'c, AccountId>;
/// A connection in no clinic's context.
pub type GlobalDb<'c> = Db<'c, Global>;
/// A connection for statements on several clinics.
pub type GroupedDb<'c> = Db<'c, Grouped>;

impl ClinicDb<'_> {
    /// Returns the clinic of the context.
    pub fn clinic(&self) -> ClinicId {
        self.scope
    }

    /// Refuses another clinic.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if `clinic` is not the clinic of the context.
    pub fn expect(&self, clinic: ClinicId) -> Result<()> {
        same(self.scope, clinic.0)
    }

    /// Returns the caller's account, as the author of rows and events.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the caller acts in another clinic.
    pub fn account_of(&self, caller: &Caller) -> Result<AccountId> {
        self.expect(caller.clinic).map(|()| caller.account)
    }

    /// Adds this account to the context for the rest of the transaction.
    ///
    /// # Errors
    /// Fails if the context cannot be set.
    pub async fn act_for(&mut self, account: AccountId) -> Result<()> {
        sqlx::query!("SELECT set_config('app.account_id', $1, true) AS account", account.to_string())
            .fetch_one(&mut *self.connection)
            .await?;
        Ok(())
    }

    /// Returns the same connection for grouped statements, limited to this clinic.
    pub fn grouped(&mut self) -> GroupedDb<'_> {
        Db { connection: &mut *self.connection, scope: Grouped { only: Some(self.scope) } }
    }
}

impl AccountDb<'_> {
    /// Returns the account of the context.
    pub fn account(&self) -> AccountId {
        self.scope
    }
}

impl GlobalDb<'_> {
    /// Sets the clinic as the context for the rest of the transaction.
    ///
    /// # Errors
    /// Fails if the context cannot be set.
    pub async fn in_clinic(&mut self, clinic: ClinicId) -> Result<ClinicDb<'_>> {
        set(&mut *self.connection, Context::Clinic(clinic), true).await?;
        Ok(Db { connection: &mut *self.connection, scope: clinic })
    }
}

impl GroupedDb<'_> {
    /// Returns the transaction in the context of one clinic, for statements that are not grouped.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the connection is bound to another clinic.
    pub async fn in_clinic(&mut self, clinic: ClinicId) -> Result<ClinicDb<'_>> {
        match self.scope.only {
            Some(only) => same(only, clinic.0)?,
            None => set(&mut *self.connection, Context::Clinic(clinic), true).await?,
        }
        Ok(Db { connection: &mut *self.connection, scope: clinic })
    }

    /// Returns the column of clinics for a grouped function.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the connection is bound to a clinic, and one of them is another.
    pub(super) fn column(&self, clinics: impl Iterator<Item = ClinicId>) -> Result<Vec<i64>> {
        let allowed = |clinic: ClinicId| self.scope.only.map_or(Ok(()), |only| same(only, clinic.0)).map(|()| clinic.0);
        clinics.map(allowed).collect()
    }
}

/// Checks that a returned row belongs to the clinic that was asked for.
pub(super) fn same(asked: ClinicId, found: i64) -> Result<()> {
    if asked.0 == found { Ok(()) } else { Err(Error::Corrupt(format!("a row of clinic {found} in clinic {asked}"))) }
}

impl<'e, S: Scope> Executor<'e> for &'e mut Db<'_, S> {
    type Database = Postgres;

    fn fetch_many<'a, 'q: 'a, E>(self, query: E) -> BoxStream<'a, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'e: 'a,
        E: 'q + Execute<'q, Postgres>,
    {
        self.connection.fetch_many(query)
    }

    fn fetch_optional<'a, 'q: 'a, E>(self, query: E) -> BoxFuture<'a, sqlx::Result<Option<PgRow>>>
    where
        'e: 'a,
        E: 'q + Execute<'q, Postgres>,
    {
        self.connection.fetch_optional(query)
    }

    fn prepare_with<'a>(self, sql: SqlStr, parameters: &'a [PgTypeInfo]) -> BoxFuture<'a, sqlx::Result<PgStatement>>
    where
        'e: 'a,
    {
        self.connection.prepare_with(sql, parameters)
    }

    fn describe<'a>(self, sql: SqlStr) -> BoxFuture<'a, sqlx::Result<Describe<Postgres>>>
    where
        'e: 'a,
    {
        self.connection.describe(sql)
    }
}

/// An open connection. It must be bound before its use.
pub struct Unbound {
    connection: PgConnection,
    /// Its current context, if known.
    context: Option<Context>,
}

impl Unbound {
    /// Wraps a new connection without a context.
    pub fn new(connection: PgConnection) -> Self {
        Self { connection, context: None }
    }

    /// Checks that the server responds.
    pub async fn ping(&mut self) -> Result<()> {
        Ok(self.connection.ping().await?)
    }

    /// Makes the server plan its statements again.
    pub async fn discard_plans(&mut self) -> Result<()> {
        sqlx::raw_sql("DISCARD PLANS").execute(&mut self.connection).await?;
        Ok(())
    }

    /// Sets the context, unless it is already set.
    pub async fn enter(&mut self, context: Context) -> Result<()> {
        if self.context != Some(context) {
            self.context = None;
            set(&mut self.connection, context, false).await?;
            self.context = Some(context);
        }
        Ok(())
    }

    /// Returns the connection bound to a scope whose context was entered.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it was not.
    pub fn bound<S: Scope>(&mut self, scope: S) -> Result<Db<'_, S>> {
        match self.context == Some(scope.context()) {
            true => Ok(Db { connection: &mut self.connection, scope }),
            false => Err(Error::Unavailable),
        }
    }
}

/// Sets the context for the connection or, with `local`, for the current transaction.
async fn set(db: &mut PgConnection, context: Context, local: bool) -> Result<()> {
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

/// Limits the wait for locked rows in the rest of the transaction.
pub async fn give_up_soon(db: impl PgExecutor<'_>) -> Result<()> {
    sqlx::raw_sql("SET LOCAL lock_timeout = '250ms'").execute(db).await?;
    Ok(())
}

/// Lets the commit of this transaction be acknowledged before it is durable.
pub async fn need_not_be_durable(db: impl PgExecutor<'_>) -> Result<()> {
    sqlx::raw_sql("SET LOCAL synchronous_commit = off").execute(db).await?;
    Ok(())
}

/// Checks that the database responds.
pub async fn ping(db: &mut GlobalDb<'_>) -> Result<()> {
    Ok(db.connection.ping().await?)
}

/// Returns the newest applied migration, or 0 if there is none.
///
/// The statement is not checked at compile time, because the migrator and not a migration creates the table.
///
/// # Errors
/// [`Error::Unable`] if the server accepts no changes.
pub async fn schema_version(db: &mut GlobalDb<'_>) -> Result<i64> {
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
