//! A connection with its owner's rules: the context is set before the work, a broken connection is
//! replaced, and a transaction is answered only after its commit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use super::outage::Outage;
use crate::{
    clock,
    repository::{
        Error, Result,
        context::{Db, Scope, Unbound},
    },
};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long one piece of work may take; the server gives up on a statement earlier.
const WORK: Duration = Duration::from_secs(15);
/// Generic plans are made for tables as large as they are then. They are made anew after this, then after twice as long
/// each time: a table that was empty a moment ago is otherwise read as if it were still small.
const REPLAN: Duration = Duration::from_millis(500);
/// The longest time between two plans.
const LONGEST_REPLAN: Duration = Duration::from_secs(60);
/// After how long without use a connection is tried before work is given to it.
const IDLE: Duration = Duration::from_secs(1);

/// Where connections go, and how often one of them broke: each of the others is then tried before it is used again.
pub(super) struct Target {
    options: PgConnectOptions,
    breaks: AtomicU64,
    outage: Arc<Outage>,
}

impl Target {
    pub(super) fn new(options: PgConnectOptions) -> Arc<Self> {
        Arc::new(Self { options, breaks: AtomicU64::new(0), outage: Arc::default() })
    }

    /// The same database, with one more setting for the connections to it.
    pub(super) fn with(&self, name: &str, value: &str) -> Arc<Self> {
        let options = self.options.clone().options([(name, value)]);
        Arc::new(Self { options, breaks: AtomicU64::new(0), outage: self.outage.clone() })
    }
}

/// One PostgreSQL connection and what is known of its state.
pub(crate) struct Connection {
    target: Arc<Target>,
    open: Option<Open>,
    /// How often it was opened.
    times_opened: u64,
}

struct Open {
    db: Unbound,
    last_used: Instant,
    /// Breaks of others that were seen.
    breaks: u64,
    /// When its plans are made anew, and after how long again.
    replan: (Instant, Duration),
}

impl Connection {
    pub(super) fn new(target: Arc<Target>) -> Self {
        Self { target, open: None, times_opened: 0 }
    }

    /// Another connection to the same place, not yet open.
    pub(super) fn another(&self) -> Self {
        Self::new(self.target.clone())
    }

    /// How often it was opened: what is remembered of a database lasts as long as the connection to it.
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

    /// Runs statements as one transaction, and answers once it is committed.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] where the connection was lost during the commit; every other error
    /// means that nothing was changed.
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
    /// As of [`transact`](Self::transact).
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

    /// The connection, open, alive and bound.
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
            Err(_) => outage.failed(attempt, &"it took too long"),
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

/// Says that a group could not be read. An outage is told once, when it begins.
pub(super) fn tell(error: &Error, what: &str) {
    if !matches!(error, Error::Unavailable) {
        tracing::warn!(%error, "{what} could not be read");
    }
}

/// An error of what commits: with the connection, its outcome is lost.
fn lost(error: Error) -> Error {
    match error {
        // The server says that it was not done.
        Error::Unable => Error::Unable,
        error if error.breaks_connection() => Error::OutcomeUnknown,
        error => error,
    }
}
