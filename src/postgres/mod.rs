//! The connection to PostgreSQL, and the migrations.

mod local;
mod rights;

use std::future::pending;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::time::timeout;

use crate::clock;

pub use local::{LocalCluster, LocalClusterError};
pub use rights::ExcessRights;

/// The migrations that are built into the program.
static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");
/// The advisory lock for migrations: an arbitrary number that nothing else locks.
const MIGRATING: i64 = 7_023_400_114_586_172_051;

/// The time limit for one attempt to connect while the program starts.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Why the database cannot be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A URL is invalid.
    #[error("{variable} is not a PostgreSQL URL (postgresql://user:password@host:5432/database): {why}")]
    Url {
        /// The setting that contains it.
        variable: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The private local cluster cannot be started.
    #[error("cannot start the private local PostgreSQL: {0}")]
    Local(#[from] LocalClusterError),
    /// The server cannot be reached, or refuses the login.
    #[error("cannot connect to PostgreSQL: {0}")]
    Connect(sqlx::Error),
    /// A migration failed.
    #[error("cannot migrate the database: {0}")]
    Migrate(MigrateError),
    /// The login lacks the rights to migrate.
    #[error("cannot migrate the database: {0}; set CLINICD_MIGRATE_URL to the URL of its owner")]
    MayNotMigrate(sqlx::Error),
    /// The database lacks migrations of this program.
    #[error("the database lacks {0} of this program's migrations; run `clinicd migrate`")]
    Pending(usize),
    /// The login lacks the rights of the program's role.
    #[error(
        "the login {login} has no rights in the database: GRANT clinicd_app TO {login} (since PostgreSQL 16 WITH INHERIT TRUE, \
         SET TRUE), and run `clinicd migrate`: {error}"
    )]
    NoRights {
        /// The login's name.
        login: String,
        /// The server's error.
        error: sqlx::Error,
    },
    /// The login may do more than the program needs.
    #[error(transparent)]
    ExcessRights(#[from] ExcessRights),
}

/// The program's database, with the private cluster if there is one.
pub struct Database {
    options: PgConnectOptions,
    /// The login that migrates, if it is another login of the same server.
    owner: Option<PgConnectOptions>,
    cluster: Option<LocalCluster>,
    /// How long to wait for a server that is absent, starting or recovering.
    wait: Duration,
}

impl Database {
    /// Opens the database at the URL, or that of the private local cluster in `data_dir` if there is no URL.
    ///
    /// # Errors
    /// Fails if the URL is invalid or the cluster cannot be started.
    pub async fn open(url: Option<&str>, data_dir: &Path) -> Result<Self, DatabaseError> {
        Self::open_unless(url, data_dir, pending()).await
    }

    /// As [`open`](Self::open), but gives up starting the cluster when `stop` completes.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    pub async fn open_unless(
        url: Option<&str>,
        data_dir: &Path,
        stop: impl Future<Output = ()>,
    ) -> Result<Self, DatabaseError> {
        match url {
            Some(url) => Ok(Self { options: parse(url)?, owner: None, cluster: None, wait: Duration::ZERO }),
            None => {
                let cluster = LocalCluster::start_unless(data_dir, stop).await?;
                let options = PgConnectOptions::new_without_pgpass()
                    .socket(cluster.socket_dir())
                    .port(cluster.port())
                    .username(cluster.login())
                    .database(cluster.database());
                let owner = Some(options.clone().username(cluster.user()));
                Ok(Self { options, owner, cluster: Some(cluster), wait: Duration::ZERO })
            }
        }
    }

    /// Sets how long migrations and checks wait for a server that is absent, starting or recovering.
    #[must_use]
    pub fn waiting(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Returns the options with which the repository actors connect. The server aborts a statement before the actor
    /// gives up.
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone().application_name("clinicd").options([
            // Applies from the first statement on, and also after RESET ROLE.
            ("role", "clinicd_app"),
            ("statement_timeout", "10s"),
            ("lock_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "20s"),
            ("TimeZone", "UTC"),
            // No statement has a plan that depends on its values, and planning costs more than running.
            ("plan_cache_mode", "force_generic_plan"),
            // The value for an SSD. Lists are read in the order of an index until there are enough rows.
            ("random_page_cost", "1.1"),
            // The estimated cost of a generic plan for a large table is high, and compiling it takes far longer than
            // reading a page.
            ("jit", "off"),
            // The server detects a program that disappeared, and releases the locks of its transaction. These settings
            // have no effect on a Unix socket.
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
            ("tcp_user_timeout", "20s"),
        ])
    }

    /// Stops restarting the private local cluster if it dies, because the program is about to stop.
    pub fn leave_alone(&self) {
        if let Some(cluster) = &self.cluster {
            cluster.leave_alone();
        }
    }

    /// Stops the private local cluster, if there is one and no other process uses it.
    pub async fn close(self) {
        if let Some(cluster) = self.cluster
            && let Err(error) = cluster.stop().await
        {
            tracing::warn!(%error, "the private local PostgreSQL did not stop cleanly");
        }
    }

    /// Migrates the database to this program's schema. Several programs may do this at the same time.
    ///
    /// # Errors
    /// Fails if the database cannot be reached or a migration fails.
    pub async fn migrate(&self) -> Result<(), DatabaseError> {
        self.migrate_as_owner().await.map_err(|error| match error {
            DatabaseError::Connect(error) if is_without_right(&error) => DatabaseError::MayNotMigrate(error),
            DatabaseError::Migrate(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _))
                if is_without_right(&error) =>
            {
                DatabaseError::MayNotMigrate(error)
            }
            error => error,
        })
    }

    async fn migrate_as_owner(&self) -> Result<(), DatabaseError> {
        let mut db = self.connect_as_owner().await?;
        // The lock is held until this connection closes, because two programs that change the catalogue at the same
        // time would fail. The migrator releases its own lock too early.
        sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(MIGRATING)
            .execute(&mut db)
            .await
            .map_err(DatabaseError::Connect)?;
        MIGRATIONS.run(&mut db).await.map_err(DatabaseError::Migrate)?;
        // `/readyz` and the start of the program read this table.
        let may_look = sqlx::query_scalar("SELECT has_table_privilege('clinicd_app', '_sqlx_migrations', 'SELECT')");
        let may_look: bool = may_look.fetch_one(&mut db).await.map_err(DatabaseError::Connect)?;
        if !may_look {
            sqlx::raw_sql("GRANT SELECT ON _sqlx_migrations TO clinicd_app")
                .execute(&mut db)
                .await
                .map_err(DatabaseError::Connect)?;
        }
        db.close().await.map_err(DatabaseError::Connect)
    }

    /// Checks, with the rights of the program, that no migration is missing.
    ///
    /// # Errors
    /// [`DatabaseError::Pending`] if one is missing, [`DatabaseError::NoRights`] if the login may not read the table of
    /// migrations.
    pub async fn require_migrated(&self) -> Result<(), DatabaseError> {
        let mut db = self.connect().await?;
        let missing = missing_migrations(&mut db).await.map_err(|error| match error {
            error if is_without_right(&error) => {
                DatabaseError::NoRights { login: self.options.get_username().to_owned(), error }
            }
            error => DatabaseError::Connect(error),
        })?;
        if missing == 0 { Ok(()) } else { Err(DatabaseError::Pending(missing)) }
    }

    /// Returns the first right that the login has beyond the program's role, or lacks of it.
    ///
    /// # Errors
    /// Fails if the database cannot be queried.
    pub async fn excess_rights(&self) -> Result<Option<ExcessRights>, DatabaseError> {
        let mut db = self.connect().await?;
        rights::excess(&mut db).await.map_err(DatabaseError::Connect)
    }

    /// Connects as the login that migrates.
    ///
    /// # Errors
    /// Fails if the server cannot be reached.
    pub async fn connect_as_owner(&self) -> Result<PgConnection, DatabaseError> {
        self.connect_with(self.owner.as_ref().unwrap_or(&self.options)).await
    }

    async fn connect(&self) -> Result<PgConnection, DatabaseError> {
        self.connect_with(&self.options).await
    }

    async fn connect_with(&self, options: &PgConnectOptions) -> Result<PgConnection, DatabaseError> {
        let options = options.clone().disable_statement_logging();
        let begun = clock::instant();
        let mut is_told = false;
        loop {
            let connecting = timeout(ATTEMPT, PgConnection::connect_with(&options)).await;
            match connecting.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
                Err(error) if is_not_there_yet(&error) && begun.elapsed() < self.wait => {
                    if !is_told {
                        let server = format!("{}:{}", options.get_host(), options.get_port());
                        tracing::warn!(%error, server, "waiting {} s for the database server", self.wait.as_secs());
                    }
                    is_told = true;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                connected => return connected.map_err(DatabaseError::Connect),
            }
        }
    }
}

/// Returns whether the server does not answer yet, or reports that it is starting, stopping or recovering.
fn is_not_there_yet(error: &sqlx::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, NotFound, TimedOut, UnexpectedEof};
    match error {
        sqlx::Error::Io(error) => matches!(
            error.kind(),
            ConnectionAborted | ConnectionRefused | ConnectionReset | NotFound | TimedOut | UnexpectedEof
        ),
        error => error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "57P03"),
    }
}

/// Returns how many migrations of this program the database lacks.
async fn missing_migrations(db: &mut PgConnection) -> sqlx::Result<usize> {
    // A login that does not inherit the rights of the role has none before this statement. Without the role, no
    // migration was applied.
    let has_role = sqlx::query_scalar("SELECT to_regrole('clinicd_app') IS NOT NULL");
    if has_role.fetch_one(&mut *db).await? {
        sqlx::raw_sql("SET ROLE clinicd_app").execute(&mut *db).await?;
    }
    let known = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL");
    let applied: Vec<i64> = match known.fetch_one(&mut *db).await? {
        true => sqlx::query_scalar("SELECT version FROM _sqlx_migrations").fetch_all(db).await?,
        false => Vec::new(),
    };
    Ok(MIGRATIONS.iter().filter(|migration| !applied.contains(&migration.version)).count())
}

/// Returns whether the server reports that the login lacks a right.
fn is_without_right(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "42501")
}

/// Parses a URL. Checks the scheme, because the driver accepts any.
fn parse(url: &str) -> Result<PgConnectOptions, DatabaseError> {
    let no_url = |why| DatabaseError::Url { variable: "DATABASE_URL", why };
    if !url.starts_with("postgresql://") && !url.starts_with("postgres://") {
        return Err(no_url("it has another scheme".into()));
    }
    PgConnectOptions::from_str(url).map_err(|error| no_url(error.to_string()))
}

/// Returns the version of the newest migration of this program.
pub fn schema_version() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}
