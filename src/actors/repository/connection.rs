//! A connection that sets the context before the work, replaces itself when it is broken, and answers a transaction
//! only after its commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;

use super::outage::Outage;
use crate::clock;
use crate::repository::context::{Db, Scope, Unbound};
use crate::repository::{Error, Result};

/// The time limit for connecting.
const CONNECT: Duration = Duration::from_secs(3);
/// The time limit for one piece of work. The server aborts a statement earlier.
const WORK: Duration = Duration::from_secs(15);
/// Generic plans are made for the current size of the tables. They are renewed after this time, then after twice as
/// long each time. Otherwise a table that was empty would be read as if it were still small.
const REPLAN: Duration = Duration::from_millis(500);
/// The longest time until plans are renewed.
const LONGEST_REPLAN: Duration = Duration::from_secs(60);
/// The idle time after which a connection is tested before it gets work.
const IDLE: Duration = Duration::from_secs(1);

/// The address of a database, and the number of connections to it that broke. After a break every other connection is
/// tested before its next use.
pub(super) struct Target {
    options: PgConnectOptions,
    breaks: AtomicU64,
    outage: Arc<Outage>,
}

impl Target {
    pub(super) fn new(options: PgConnectOptions) -> Arc<Self> {
        Arc::new(Self { options, breaks: AtomicU64::new(0), outage: Arc::default() })
    }

    /// Returns the same database with one more setting for its connections.
    pub(super) fn with(&self, name: &str, value: &str) -> Arc<Self> {
        let options = self.options.clone().options([(name, value)]);
        Arc::new(Self { options, breaks: AtomicU64::new(0), outage: self.outage.clone() })
    }
}

/// A PostgreSQL connection and its state.
pub(crate) struct Connection {
    target: Arc<Target>,
    open: Option<Open>,
    /// How often the connection was opened.
    times_opened: u64,
}

struct Open {
    db: Unbound,
    last_used: Instant,
    /// The number of breaks of other connections that it has seen.
    breaks: u64,
    /// When its plans are renewed, and the interval after that.
    replan: (Instant, Duration),
}

impl Connection {
    pub(super) fn new(target: Arc<Target>) -> Self {
        Self { target, open: None, times_opened: 0 }
    }

    /// Creates another connection to the same database. It is not open yet.
    pub(super) fn another(&self) -> Self {
        Self::new(self.target.clone())
    }

    /// Returns how often the connection was opened. A cache of the database's state is valid only for one opening.
    pub(super) fn times_opened(&self) -> u64 {
        self.times_opened
    }

    /// Runs statements that change nothing.
    pub(super) async fn read<S, T, F>(&mut self, scope: S, work: F) -> Result<T>
    where
        S: Scope,
        F: for<'c> FnOnce(&'c mut Db<'_, S>) -> BoxFuture<'c, Result<T>> + Send,
    {
        let mut db = self.ready(scope).await?;
        let result = timeout(WORK, work(&mut db)).await.unwrap_or(Err(Error::Unavailable));
        self.close_if_broken(&result);
        result
    }

    /// Runs statements as one transaction and returns after its commit.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] if the connection was lost during the commit. Every other error means that nothing was
    /// changed.
    pub(super) async fn transact<S, T, F>(&mut self, scope: S, work: F) -> Result<T>
    where
        S: Scope,
        F: for<'c> FnOnce(&'c mut Db<'_, S>) -> BoxFuture<'c, Result<T>> + Send,
    {
        let mut db = self.ready(scope).await?;
        let result = timeout(WORK, transaction(&mut db, work)).await.unwrap_or(Err(Error::OutcomeUnknown));
        self.close_if_broken(&result);
        result
    }

    /// Runs one statement, which is a transaction by itself.
    ///
    /// # Errors
    /// As [`transact`](Self::transact).
    pub(super) async fn at_once<S, T, F>(&mut self, scope: S, work: F) -> Result<T>
    where
        S: Scope,
        F: for<'c> FnOnce(&'c mut Db<'_, S>) -> BoxFuture<'c, Result<T>> + Send,
    {
        let mut db = self.ready(scope).await?;
        let result = timeout(WORK, work(&mut db)).await.unwrap_or(Err(Error::OutcomeUnknown)).map_err(lost);
        self.close_if_broken(&result);
        result
    }

    /// Returns the connection: open, alive, and bound to the scope.
    async fn ready<S: Scope>(&mut self, scope: S) -> Result<Db<'_, S>> {
        let breaks = self.target.breaks.load(Ordering::Relaxed);
        if let Some(open) = &mut self.open
            && (open.last_used.elapsed() > IDLE || open.breaks != breaks)
            && !matches!(timeout(CONNECT, open.db.ping()).await, Ok(Ok(())))
        {
            self.open = None;
        }
        if self.open.is_none() {
            self.open = Some(self.connect().await?);
            self.times_opened += 1;
        }
        let open = self.open.as_mut().ok_or(Error::Unavailable)?;
        open.last_used = clock::instant();
        open.breaks = breaks;
        let (due, after) = open.replan;
        if clock::instant() > due {
            let after = (after * 2).min(LONGEST_REPLAN);
            open.replan = (clock::instant() + after, after);
            if !matches!(timeout(CONNECT, open.db.discard_plans()).await, Ok(Ok(()))) {
                self.open = None;
                return Err(Error::Unavailable);
            }
        }
        let entered = timeout(CONNECT, open.db.enter(scope.context())).await;
        if let Err(error) = entered.unwrap_or(Err(Error::Unavailable)) {
            self.open = None;
            return Err(error);
        }
        self.open.as_mut().ok_or(Error::Unavailable)?.db.bound(scope)
    }

    async fn connect(&self) -> Result<Open> {
        let outage = &self.target.outage;
        let attempt = outage.next_attempt(CONNECT).await.ok_or(Error::Unavailable)?;
        match timeout(CONNECT, PgConnection::connect_with(&self.target.options)).await {
            Ok(Ok(db)) => {
                outage.ended();
                let replan = (clock::instant() + REPLAN, REPLAN);
                return Ok(Open { db: Unbound::new(db), last_used: clock::instant(), breaks: 0, replan });
            }
            Ok(Err(error)) => outage.failed(attempt, &error),
            Err(_) => outage.failed(attempt, &"connecting took too long"),
        }
        Err(Error::Unavailable)
    }

    fn close_if_broken<T>(&mut self, result: &Result<T>) {
        match result {
            Err(error) if error.breaks_connection() => {
                self.target.breaks.fetch_add(1, Ordering::Relaxed);
                self.open = None;
            }
            _ => self.target.outage.worked(),
        }
    }
}

async fn transaction<S, T, F>(db: &mut Db<'_, S>, work: F) -> Result<T>
where
    S: Scope,
    F: for<'c> FnOnce(&'c mut Db<'_, S>) -> BoxFuture<'c, Result<T>> + Send,
{
    sqlx::raw_sql("BEGIN").execute(&mut *db).await?;
    match work(&mut *db).await {
        Ok(done) => {
            sqlx::raw_sql("COMMIT").execute(db).await.map_err(|error| lost(error.into()))?;
            Ok(done)
        }
        Err(error) => {
            if !error.breaks_connection() {
                sqlx::raw_sql("ROLLBACK").execute(db).await?;
            }
            Err(error)
        }
    }
}

/// Logs that a group could not be read. An outage is logged once, when it begins.
pub(super) fn tell(error: &Error, what: &str) {
    if !matches!(error, Error::Unavailable) {
        tracing::warn!(%error, "cannot read {what}");
    }
}

/// Converts an error of a commit. If the connection broke, the outcome is unknown.
fn lost(error: Error) -> Error {
    match error {
        // The server reports that it did not commit.
        Error::Unable => Error::Unable,
        error if error.breaks_connection() => Error::OutcomeUnknown,
        error => error,
    }
}
