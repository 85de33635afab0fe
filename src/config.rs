//! Settings: environment variables, each also a flag; typed, and checked at start.

use std::{net::SocketAddr, path::PathBuf};

use chrono::TimeDelta;
use clap::{Args, ValueEnum};

use crate::authn::{KeySecret, Lifetimes};

/// Where the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Environment {
    /// Migrates by itself, and fills an empty database with a demo clinic.
    Development,
    /// Neither; a database without the program's migrations is refused.
    Production,
}

/// Where the database is.
#[derive(Debug, Clone, Args)]
pub struct DatabaseSettings {
    /// A PostgreSQL server; without one, clinicd runs a private local cluster
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// The owner's URL for migrations, where DATABASE_URL is a role that owns nothing
    #[arg(long, env = "CLINICD_MIGRATE_URL", hide_env_values = true, value_name = "URL")]
    pub migrate_url: Option<String>,
    /// Where the private local cluster keeps its data
    #[arg(long, env = "CLINICD_DATA_DIR", default_value = ".clinicd", value_name = "FOLDER")]
    pub data_dir: PathBuf,
    /// For how many seconds a server that is not there yet, starts or recovers is waited for
    #[arg(long, env = "CLINICD_DB_WAIT_SECONDS", default_value_t = 60, value_name = "SECONDS")]
    pub db_wait_seconds: u16,
    /// What the signing keys are encrypted with: `CLINICD_KEY_SECRET`, which is no flag.
    #[arg(skip)]
    pub key_secret: Option<KeySecret>,
}

/// How the program logs.
#[derive(Debug, Clone, Args)]
pub struct LogSettings {
    /// A tracing filter, such as `info` or `clinicd=debug`
    #[arg(long = "log", env = "CLINICD_LOG", default_value = "info", value_name = "FILTER")]
    pub filter: String,
}

/// Everything that `serve` goes by.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Where to listen; port 0 takes any free one
    #[arg(long, env = "CLINICD_LISTEN", default_value = "127.0.0.1:8000", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Where the database is.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// Development or production
    #[arg(long = "env", env = "CLINICD_ENV", default_value = "development")]
    pub environment: Environment,
    /// A folder with model.conf and policy.csv; the built-in policy without one
    #[arg(long, env = "CLINICD_POLICY_DIR", value_name = "FOLDER")]
    pub policy_dir: Option<PathBuf>,
    /// Origins whose pages may call the API, separated by commas; none without it
    #[arg(long, env = "CLINICD_CORS_ORIGINS", value_delimiter = ',', value_parser = origin, value_name = "ORIGINS")]
    pub cors_origins: Vec<String>,
    /// Connections for reading and writing; booking has two more of its own
    #[arg(long, env = "CLINICD_DB_CONNECTIONS", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub db_connections: u16,
    /// How long an access token is good for
    #[arg(long, env = "CLINICD_ACCESS_TOKEN_MINUTES", default_value_t = 60, value_name = "MINUTES",
          value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub access_token_minutes: u32,
    /// How long a refresh token is good for
    #[arg(long, env = "CLINICD_REFRESH_TOKEN_DAYS", default_value_t = 7, value_name = "DAYS",
          value_parser = clap::value_parser!(u32).range(1..=90))]
    pub refresh_token_days: u32,
    /// How long a freed time is held for who waits for one
    #[arg(long, env = "CLINICD_WAITLIST_HOLD_MINUTES", default_value_t = 30, value_name = "MINUTES",
          value_parser = clap::value_parser!(u32).range(1..=10080))]
    pub waitlist_hold_minutes: u32,
    /// Leave an empty development database empty
    #[arg(long)]
    pub no_demo: bool,
    /// How the program logs.
    #[command(flatten)]
    pub log: LogSettings,
}

impl Settings {
    /// How long tokens are good for.
    pub fn lifetimes(&self) -> Lifetimes {
        Lifetimes {
            access: TimeDelta::minutes(self.access_token_minutes.into()),
            refresh: TimeDelta::days(self.refresh_token_days.into()),
        }
    }
}

/// Checks one origin of the allow list: a scheme and a host, with nothing behind.
fn origin(text: &str) -> Result<String, String> {
    let text = text.trim();
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '*', ' ', '?', '#', '@']) => Ok(text.to_owned()),
        _ => Err("an origin is a scheme and a host, such as https://app.example.com".into()),
    }
}
