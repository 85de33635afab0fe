//! Settings: environment variables, each also a flag. They are typed and checked at start.

use std::net::SocketAddr;
use std::path::PathBuf;

use chrono::TimeDelta;
use clap::{Args, ValueEnum};

use crate::authn::{KeySecret, Lifetimes};

/// The environment in which the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Environment {
    /// Migrates the database itself, and fills an empty one with a demo clinic.
    Development,
    /// Does neither. Refuses a database without the program's migrations.
    Production,
}

/// The settings of the database.
#[derive(Debug, Clone, Args)]
pub struct DatabaseSettings {
    /// The URL of a PostgreSQL server; if absent, clinicd runs a private local cluster
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// The owner's URL for migrations, if the role of DATABASE_URL owns nothing
    #[arg(long, env = "CLINICD_MIGRATE_URL", hide_env_values = true, value_name = "URL")]
    pub migrate_url: Option<String>,
    /// The data folder of the private local cluster
    #[arg(long, env = "CLINICD_DATA_DIR", default_value = ".clinicd", value_name = "FOLDER")]
    pub data_dir: PathBuf,
    /// How many seconds to wait at start for a server that is absent, starting or recovering
    #[arg(long, env = "CLINICD_DB_WAIT_SECONDS", default_value_t = 60, value_name = "SECONDS")]
    pub db_wait_seconds: u16,
    /// The secret that encrypts the signing keys: `CLINICD_KEY_SECRET`, which has no flag.
    #[arg(skip)]
    pub key_secret: Option<KeySecret>,
}

/// The settings of the log.
#[derive(Debug, Clone, Args)]
pub struct LogSettings {
    /// A tracing filter, such as `info` or `clinicd=debug`
    #[arg(long = "log", env = "CLINICD_LOG", default_value = "info", value_name = "FILTER")]
    pub filter: String,
}

/// The settings of `serve`.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// The address to listen on; port 0 selects a free port
    #[arg(long, env = "CLINICD_LISTEN", default_value = "127.0.0.1:8000", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// The settings of the database.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// The environment in which the program runs
    #[arg(long = "env", env = "CLINICD_ENV", default_value = "development")]
    pub environment: Environment,
    /// A folder with model.conf and policy.csv; the built-in policy if absent
    #[arg(long, env = "CLINICD_POLICY_DIR", value_name = "FOLDER")]
    pub policy_dir: Option<PathBuf>,
    /// Origins whose pages may call the API, separated by commas; none if absent
    #[arg(long, env = "CLINICD_CORS_ORIGINS", value_delimiter = ',', value_parser = origin, value_name = "ORIGINS")]
    pub cors_origins: Vec<String>,
    /// The number of connections for reading and writing; bookings have two more
    #[arg(long, env = "CLINICD_DB_CONNECTIONS", default_value_t = 8, value_name = "COUNT",
          value_parser = clap::value_parser!(u16).range(1..=500))]
    pub db_connections: u16,
    /// The lifetime of an access token
    #[arg(long, env = "CLINICD_ACCESS_TOKEN_MINUTES", default_value_t = 60, value_name = "MINUTES",
          value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub access_token_minutes: u32,
    /// The lifetime of a refresh token
    #[arg(long, env = "CLINICD_REFRESH_TOKEN_DAYS", default_value_t = 7, value_name = "DAYS",
          value_parser = clap::value_parser!(u32).range(1..=90))]
    pub refresh_token_days: u32,
    /// How long a freed time is held for an entry of the waitlist
    #[arg(long, env = "CLINICD_WAITLIST_HOLD_MINUTES", default_value_t = 30, value_name = "MINUTES",
          value_parser = clap::value_parser!(u32).range(1..=10080))]
    pub waitlist_hold_minutes: u32,
    /// Leave an empty development database empty
    #[arg(long)]
    pub no_demo: bool,
    /// The settings of the log.
    #[command(flatten)]
    pub log: LogSettings,
}

impl Settings {
    /// Returns the lifetimes of tokens.
    pub fn lifetimes(&self) -> Lifetimes {
        Lifetimes {
            access: TimeDelta::minutes(self.access_token_minutes.into()),
            refresh: TimeDelta::days(self.refresh_token_days.into()),
        }
    }
}

/// Checks one origin of the allow list: a scheme and a host, and nothing else.
fn origin(text: &str) -> Result<String, String> {
    let text = text.trim();
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '*', ' ', '?', '#', '@']) => Ok(text.to_owned()),
        _ => Err("an origin is a scheme and a host, such as https://app.example.com".into()),
    }
}
