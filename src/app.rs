//! Builds and connects all parts of the program: start, serve, drain, stop.

use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use poem::Server;
use poem::listener::{Acceptor, Listener, TcpListener};
use tokio::sync::watch;
use tokio::time::{sleep, timeout, timeout_at};

use crate::actors::housekeeping::Housekeeping;
use crate::actors::repository;
use crate::actors::repository::Repository;
use crate::actors::schedule::{Limits, Schedules};
use crate::actors::waitlist::Waitlist;
use crate::api::{Parts, Services};
use crate::authn::{Authn, KeyError, PasswordError, Passwords, open_keys};
use crate::authz::{Gate, Policy, PolicyError};
use crate::config::{DatabaseSettings, Environment, Settings};
use crate::postgres::{Database, DatabaseError, LocalClusterError, schema_version};
use crate::{api, clock, demo, telemetry};

/// Returns how many passwords are hashed at a time. Each takes 19 MiB and one processor. Half of the processors are
/// left for other work, such as a PostgreSQL server on the same machine.
fn hashing_permits() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2)
}
/// The number of connections that write bookings.
const BOOKING_WRITERS: usize = 2;
/// How long requests may take to finish after the signal to stop. The others are then answered without their outcome.
/// The limits from here to [`STOPPED`] are counted from the signal and do not depend on the database.
const ANSWERED: Duration = Duration::from_secs(7);
/// The time limit for sending the last response, even if its client reads slowly.
const SENT: Duration = Duration::from_secs(8);
/// The time limit for the actors to finish their work.
const DONE: Duration = Duration::from_secs(9);
/// The time limit for stopping the private cluster. The program ends at most one second later: `main.rs` waits that
/// long for blocked threads.
const STOPPED: Duration = Duration::from_secs(12);

/// Why the program does not start, or does not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be opened or used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A query of the database failed.
    #[error("the database: {0}")]
    Repository(#[from] repository::Error),
    /// The policy cannot be used.
    #[error("the policy: {0}")]
    Policy(#[from] PolicyError),
    /// Passwords cannot be hashed.
    #[error(transparent)]
    Passwords(#[from] PasswordError),
    /// The signing keys cannot be opened.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// An actor cannot be started.
    #[error("cannot start an actor: {0}")]
    Actor(#[from] ractor::SpawnErr),
    /// The address cannot be bound.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The contract cannot be written.
    #[error("the contract: {0}")]
    Contract(#[from] serde_json::Error),
    /// Serving ended with an error.
    #[error("serving: {0}")]
    Serve(std::io::Error),
    /// The program was asked to stop and did not finish everything in time.
    #[error("stopped before this was done: {0}")]
    Unfinished(String),
}

/// The program, ready to serve. It does not listen yet.
pub struct App {
    /// The services behind the operations.
    pub services: Services,
    waitlist: Waitlist,
    housekeeping: Housekeeping,
    database: Database,
    /// Whether the database had no accounts at the start.
    is_empty: bool,
}

impl App {
    /// Opens the database, reads the policy and starts the actors.
    ///
    /// # Errors
    /// The first error.
    pub async fn build(settings: &Settings) -> Result<Self, StartError> {
        match Self::build_unless(settings, pending()).await {
            Ok(Some(app)) => Ok(app),
            Ok(None) => pending().await,
            Err(error) => Err(error),
        }
    }

    /// As [`build`](Self::build), but returns `None` if `stop` completes first. In that case the private cluster is
    /// stopped again, within [`STOPPED`].
    ///
    /// # Errors
    /// The first error, or [`StartError::Unfinished`] if the cluster was not stopped in time.
    pub async fn build_unless(settings: &Settings, stop: impl Future<Output = ()>) -> Result<Option<Self>, StartError> {
        let (tell, told) = watch::channel(false);
        let mut building = pin!(Self::build_until(settings, told));
        tokio::select! {
            app = &mut building => app,
            () = stop => {
                tell.send_replace(true);
                let stopped = timeout(STOPPED, building).await;
                stopped.unwrap_or_else(|_| Err(StartError::Unfinished("the start of the local PostgreSQL".into())))
            }
        }
    }

    async fn build_until(settings: &Settings, told: watch::Receiver<bool>) -> Result<Option<Self>, StartError> {
        if settings.environment == Environment::Production && settings.database.key_secret.is_none() {
            return Err(KeyError::Required.into());
        }
        let policy = Arc::new(match &settings.policy_dir {
            Some(folder) => Policy::read(folder).await?,
            None => Policy::built_in().await?,
        });
        let database =
            match open(&settings.database, settings.database.database_url.as_ref(), is_told(told.clone())).await {
                Err(DatabaseError::Local(LocalClusterError::Interrupted)) if *told.borrow() => return Ok(None),
                opened => opened?,
            };
        let joined = tokio::select! {
            joined = join(settings, policy, &database) => joined.map(Some),
            () = is_told(told) => Ok(None),
        };
        match joined {
            Ok(Some((services, waitlist, is_empty))) => {
                let housekeeping = Housekeeping::start(services.repository.clone());
                Ok(Some(Self { services, waitlist, housekeeping, database, is_empty }))
            }
            other => {
                // The private cluster was started for nothing.
                database.close().await;
                other.map(|_| None)
            }
        }
    }

    /// Listens, reports the address to `listening`, and serves until `stop` completes. Then it finishes the work in
    /// progress and closes everything, within [`STOPPED`].
    ///
    /// # Errors
    /// Fails if the address cannot be bound, or if something was not finished in time.
    pub async fn serve(
        self,
        settings: &Settings,
        listening: impl FnOnce(SocketAddr, Option<demo::Logins>),
        stop: impl Future<Output = ()>,
    ) -> Result<(), StartError> {
        let (last_call, is_last_call) = watch::channel(false);
        let mut asked = None;
        let stop = async {
            stop.await;
            asked = Some(clock::instant());
            self.database.leave_alone();
            tokio::spawn(async move {
                sleep(ANSWERED).await;
                last_call.send_replace(true);
            });
        };
        let served = self.answer(settings, listening, stop, is_last_call).await;
        let closed = self.close_after(asked.unwrap_or_else(clock::instant)).await;
        served.and(closed)
    }

    async fn answer(
        &self,
        settings: &Settings,
        listening: impl FnOnce(SocketAddr, Option<demo::Logins>),
        stop: impl Future<Output = ()>,
        mut is_last_call: watch::Receiver<bool>,
    ) -> Result<(), StartError> {
        let unheard = |error| StartError::Listen(settings.listen, error);
        let acceptor = TcpListener::bind(settings.listen).into_acceptor().await.map_err(unheard)?;
        let address = acceptor.local_addr().iter().find_map(|at| at.as_socket_addr().copied());
        let endpoint = api::endpoint(self.services.clone(), &settings.cors_origins, is_last_call.clone())?;
        let wants_demo = settings.environment == Environment::Development && !settings.no_demo;
        tokio::pin!(stop);
        let mut is_stopping = false;
        let logins = if self.is_empty && wants_demo {
            let filling = demo::fill(&self.services);
            tokio::pin!(filling);
            tokio::select! {
                logins = &mut filling => logins,
                // The demo clinic is completed first. A later start would take half of it for a real clinic.
                () = &mut stop => {
                    is_stopping = true;
                    tokio::select! {
                        logins = filling => logins,
                        _ = is_last_call.wait_for(|is_last_call| *is_last_call) => None,
                    }
                }
            }
        } else {
            None
        };
        if is_stopping {
            return Ok(());
        }
        listening(address.unwrap_or(settings.listen), logins);
        Server::new_with_acceptor(acceptor)
            .run_with_graceful_shutdown(endpoint, stop, Some(SENT))
            .await
            .map_err(StartError::Serve)
    }

    /// Finishes the work in progress and closes everything.
    ///
    /// # Errors
    /// Fails if something was not finished in time.
    pub async fn close(self) -> Result<(), StartError> {
        self.close_after(clock::instant()).await
    }

    async fn close_after(self, asked: Instant) -> Result<(), StartError> {
        self.housekeeping.stop();
        let mut unfinished = Vec::new();
        let mut note = |what, is_done: bool| {
            if !is_done {
                unfinished.push(what)
            }
        };
        let deadline = asked + DONE;
        note("offers of the waitlist", self.waitlist.drain(deadline).await);
        note("changes of schedules", self.services.schedules.drain(deadline).await);
        note("work on the database", self.services.repository.drain(deadline).await);
        note("the local PostgreSQL", timeout_at((asked + STOPPED).into(), self.database.close()).await.is_ok());
        if unfinished.is_empty() { Ok(()) } else { Err(StartError::Unfinished(unfinished.join(", "))) }
    }
}

/// Prepares the database and starts the actors and services.
async fn join(
    settings: &Settings,
    policy: Arc<Policy>,
    database: &Database,
) -> Result<(Services, Waitlist, bool), StartError> {
    match settings.environment {
        Environment::Development => {
            migrate(&settings.database, database).await?;
            if let Some(excess) = database.excess_rights().await? {
                tracing::warn!("{excess}");
            }
        }
        Environment::Production => {
            // An injected statement could use every right that the login has beyond the program's role.
            if let Some(excess) = database.excess_rights().await? {
                return Err(DatabaseError::from(excess).into());
            }
            database.require_migrated().await?;
        }
    }
    let repository = Repository::start(repository::Settings {
        options: database.options(),
        workers: settings.db_connections.into(),
        booking_writers: BOOKING_WRITERS,
    })
    .await?;
    let is_empty = !repository.has_accounts().await?;
    let schedules = Schedules::start(repository.clone(), Limits::default()).await?;
    let hold = TimeDelta::minutes(settings.waitlist_hold_minutes.into());
    let waitlist = Waitlist::start(repository.clone(), schedules.clone(), hold, database.options()).await?;
    let passwords = Passwords::new(hashing_permits())?;
    let keys = open_keys(&repository, settings.database.key_secret.as_ref()).await?;
    let authn = Authn::new(repository.clone(), passwords, keys, settings.lifetimes(), policy.founder_role());
    let gate = Gate::new(policy, repository.clone());
    Ok((
        Parts { authn, gate, repository, schedules, metrics: telemetry::metrics, schema_version: schema_version() }
            .into(),
        waitlist,
        is_empty,
    ))
}

/// Waits until the program is asked to stop.
async fn is_told(mut told: watch::Receiver<bool>) {
    // The sender outlives this future, so the wait cannot fail.
    let _ = told.wait_for(|is_told| *is_told).await;
}

/// Opens the database at the URL, or the private cluster if there is no URL. Completion of `stop` interrupts the start
/// of the cluster. The settings say how long to wait for the server.
async fn open(
    settings: &DatabaseSettings,
    url: Option<&String>,
    stop: impl Future<Output = ()>,
) -> Result<Database, DatabaseError> {
    let wait = Duration::from_secs(settings.db_wait_seconds.into());
    let opened = Database::open_unless(url.map(String::as_str), &settings.data_dir, stop);
    Ok(opened.await?.waiting(wait))
}

/// Migrates the database to this program's schema, and encrypts the private keys that are still in plain text. The
/// secret must open the other keys.
async fn migrate(settings: &DatabaseSettings, database: &Database) -> Result<(), StartError> {
    let of_owner = match &settings.migrate_url {
        Some(url) => Some(open(settings, Some(url), pending()).await.map_err(|error| match error {
            DatabaseError::Url { why, .. } => DatabaseError::Url { variable: "CLINICD_MIGRATE_URL", why },
            error => error,
        })?),
        None => None,
    };
    let owner = of_owner.as_ref().unwrap_or(database);
    owner.migrate().await?;
    if let Some(secret) = &settings.key_secret {
        repository::wrap_signing_keys(owner.connect_as_owner().await?, |key| secret.wrap_or_open(key)).await?;
    }
    Ok(())
}

/// Migrates the database of the settings to this program's schema.
///
/// # Errors
/// Fails if the database cannot be reached or a migration fails.
pub async fn migrate_only(settings: &DatabaseSettings) -> Result<(), StartError> {
    let database = open(settings, settings.database_url.as_ref(), pending()).await?;
    let migrated = migrate(settings, &database).await;
    database.close().await;
    migrated
}
