//! The command line.

mod create_admin;
mod policy;
mod serve;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::authn::KeySecret;
use crate::config::{DatabaseSettings, LogSettings, Settings};
use crate::{api, app, telemetry};

/// The error of a command: one line for the person at the terminal.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A clinic backend: accounts, patients, doctors, mappings and appointments behind one OpenAPI contract.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API, Swagger UI and ReDoc
    Serve(Box<Settings>),
    /// Migrate the database to this program's schema
    Migrate {
        #[command(flatten)]
        database: DatabaseSettings,
        #[command(flatten)]
        log: LogSettings,
    },
    /// Create an administrator of a clinic
    CreateAdmin(Box<create_admin::Arguments>),
    /// Print the OpenAPI contract
    Openapi,
    /// Query the policy
    Policy(policy::Arguments),
}

/// Runs the command and returns the program's exit code.
pub async fn run() -> std::process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let done = match cli.command {
        Command::Serve(settings) => serve::run(*settings).await,
        Command::Migrate { database, log } => migrate(database, &log).await,
        Command::CreateAdmin(arguments) => create_admin::run(*arguments).await,
        Command::Openapi => openapi(),
        Command::Policy(arguments) => policy::run(arguments).await,
    };
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("clinicd: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// Prints help as it is, and a wrong value as one line that names it.
fn refuse(error: &clap::Error) -> std::process::ExitCode {
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if is_help {
        let _ = error.print();
        return std::process::ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    eprintln!("clinicd: {}", first.trim_start_matches("error: "));
    std::process::ExitCode::from(2)
}

async fn migrate(mut database: DatabaseSettings, log: &LogSettings) -> Result<(), Failure> {
    telemetry::start(&log.filter)?;
    database.key_secret = KeySecret::from_environment()?;
    app::migrate_only(&database).await?;
    println!("the database is migrated to this program's schema");
    Ok(())
}

fn openapi() -> Result<(), Failure> {
    print!("{}", api::contract()?);
    Ok(())
}
