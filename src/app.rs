//! Builds everything and joins it: start, serve, drain, stop.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use chrono::TimeDelta;
use poem::{
    Server,
    listener::{Acceptor, Listener, TcpListener},
};

use crate::{
    actors::{
        housekeeping::Housekeeping,
        repository::{self, Repository},
        schedule::{Limits, Schedules},
        waitlist::Waitlist,
    },
    api::{self, Parts, Services},
    authn::{Authn, AuthnError, PasswordError, Passwords},
    authz::{Gate, Policy, PolicyError},
    config::{DatabaseSettings, Environment, Settings},
    demo,
    postgres::{Database, DatabaseError, schema_version},
    telemetry,
};

/// How many passwords are hashed at a time: each is 19 MiB and a processor, and half of the processors
/// are left to everything else, PostgreSQL beside us included.
fn hashing_permits() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).div_ceil(2)
}
/// How many connections book.
const BOOKING_WRITERS: usize = 2;
/// How long requests may take to finish after the signal to stop.
const DRAIN: Duration = Duration::from_secs(15);

/// Why the program does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no database to work with.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The database does not do what it must.
    #[error("the database: {0}")]
    Repository(#[from] repository::Error),
    /// The policy cannot be used.
    #[error("the policy: {0}")]
    Policy(#[from] PolicyError),
    /// Passwords cannot be hashed.
    #[error(transparent)]
    Passwords(#[from] PasswordError),
    /// The keys cannot be had.
    #[error("signing in: {0}")]
    Authn(#[from] AuthnError),
    /// An actor does not start.
    #[error("an actor does not start: {0}")]
    Actor(#[from] ractor::SpawnErr),
    /// The address is taken or not ours.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The contract cannot be written.
    #[error("the contract: {0}")]
    Contract(#[from] serde_json::Error),
    /// Serving ended with an error.
    #[error("serving: {0}")]
    Serve(std::io::Error),
}

/// The program, ready to work; nothing listens yet.
pub struct App {
    /// The services behind the operations.
    pub services: Services,
    waitlist: Waitlist,
    housekeeping: Housekeeping,
    database: Database,
}

impl App {
    /// Opens the database, reads the policy and starts the actors.
    ///
    /// # Errors
    /// The first thing that stands against it.
    pub async fn build(settings: &Settings) -> Result<Self, StartError> {
        let policy = Arc::new(match &settings.policy_dir {
            Some(folder) => Policy::read(folder).await?,
            None => Policy::built_in().await?,
        });
        let database = open(&settings.database, settings.database.database_url.as_ref()).await?;
        match join(settings, policy, &database).await {
            Ok((services, waitlist)) => {
                let housekeeping = Housekeeping::start(services.repository.clone());
                Ok(Self { services, waitlist, housekeeping, database })
            }
            Err(error) => {
                // A cluster of our own was started for nothing.
                database.close().await;
                Err(error)
            }
        }
    }

    /// Listens, says where, and serves until `stop`; then finishes what is under way and closes everything.
    ///
    /// # Errors
    /// Where the address cannot be had.
    pub async fn serve(
        self,
        settings: &Settings,
        listening: impl FnOnce(SocketAddr, Option<demo::Logins>),
        stop: impl Future<Output = ()>,
    ) -> Result<(), StartError> {
        let served = self.answer(settings, listening, stop).await;
        self.close().await;
        served
    }

    async fn answer(
        &self,
        settings: &Settings,
        listening: impl FnOnce(SocketAddr, Option<demo::Logins>),
        stop: impl Future<Output = ()>,
    ) -> Result<(), StartError> {
        let unheard = |error| StartError::Listen(settings.listen, error);
        let acceptor = TcpListener::bind(settings.listen).into_acceptor().await.map_err(unheard)?;
        let address = acceptor.local_addr().iter().find_map(|at| at.as_socket_addr().copied());
        let endpoint = api::endpoint(self.services.clone(), &settings.cors_origins)?;
        let is_empty = !self.services.repository.has_accounts().await?;
        let wants_demo = settings.environment == Environment::Development && !settings.no_demo;
        let logins = match is_empty && wants_demo {
            true => demo::fill(&self.services).await,
            false => None,
        };
        listening(address.unwrap_or(settings.listen), logins);
        Server::new_with_acceptor(acceptor)
            .run_with_graceful_shutdown(endpoint, stop, Some(DRAIN))
            .await
            .map_err(StartError::Serve)
    }

    /// Finishes what is under way and closes everything.
    pub async fn close(self) {
        self.housekeeping.stop();
        self.waitlist.drain().await;
        self.services.schedules.drain().await;
        self.services.repository.drain().await;
        self.database.close().await;
    }
}

/// Starts what works on the database.
async fn join(
    settings: &Settings,
    policy: Arc<Policy>,
    database: &Database,
) -> Result<(Services, Waitlist), StartError> {
    match settings.environment {
        Environment::Development => migrate(&settings.database, database).await?,
        Environment::Production => database.require_migrated().await?,
    }
    let repository = Repository::start(repository::Settings {
        options: database.options(),
        workers: settings.db_connections.into(),
        booking_writers: BOOKING_WRITERS,
    })
    .await?;
    repository.ping().await?;
    let schedules = Schedules::start(repository.clone(), Limits::default()).await?;
    let hold = TimeDelta::minutes(settings.waitlist_hold_minutes.into());
    let waitlist = Waitlist::start(repository.clone(), schedules.clone(), hold, database.options()).await?;
    let passwords = Passwords::new(hashing_permits())?;
    let authn = Authn::start(repository.clone(), passwords, settings.lifetimes(), policy.founder_role()).await?;
    let gate = Gate::new(policy, repository.clone());
    Ok((
        Parts { authn, gate, repository, schedules, metrics: telemetry::metrics, schema_version: schema_version() }
            .into(),
        waitlist,
    ))
}

/// The database of that URL, or without one the private cluster, waited for as the settings say.
async fn open(settings: &DatabaseSettings, url: Option<&String>) -> Result<Database, DatabaseError> {
    let wait = Duration::from_secs(settings.db_wait_seconds.into());
    Ok(Database::open(url.map(String::as_str), &settings.data_dir).await?.waiting(wait))
}

async fn migrate(settings: &DatabaseSettings, database: &Database) -> Result<(), DatabaseError> {
    match &settings.migrate_url {
        Some(url) => open(settings, Some(url)).await?.migrate().await,
        None => database.migrate().await,
    }
}

/// Brings the database that the settings name to the schema of this program.
///
/// # Errors
/// Where it cannot be reached or a migration fails.
pub async fn migrate_only(settings: &DatabaseSettings) -> Result<(), StartError> {
    let database = open(settings, settings.database_url.as_ref()).await?;
    let migrated = migrate(settings, &database).await;
    database.close().await;
    Ok(migrated?)
}
