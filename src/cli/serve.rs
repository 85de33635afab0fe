//! `clinicd serve`

use std::{io::Write, net::SocketAddr};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;
use crate::{app::App, authn::KeySecret, config::Settings, demo::Logins, telemetry};

pub(super) async fn run(mut settings: Settings) -> Result<(), Failure> {
    telemetry::start(&settings.log.filter)?;
    settings.database.key_secret = KeySecret::from_environment()?;
    let mut signals =
        Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? };
    tokio::spawn(telemetry::record());
    let app = tokio::select! {
        app = App::build(&settings) => app?,
        _ = signals.next() => {
            tracing::info!("stopped by a signal while starting");
            return Ok(());
        }
    };
    let stop = async move {
        signals.next().await;
        tracing::info!("stopping: pending requests are finished first; a second signal ends the program at once");
        tokio::spawn(async move { std::process::exit(signals.next().await) });
    };
    Ok(app.serve(&settings, announce, stop).await?)
}

/// The signals that stop the program.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Waits for the next signal and returns the exit status of a program that it stops.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }
}

/// Prints the program's address. Ignores errors, because the reader of standard output may be gone.
fn announce(address: SocketAddr, logins: Option<Logins>) {
    let mut text =
        format!("listening on http://{address}\nSwagger UI: http://{address}/docs   ReDoc: http://{address}/redoc\n");
    match logins {
        Some(logins) => {
            text += "The database was empty and now contains a demo clinic. Log in with POST /api/auth/login:\n";
            for (role, email, password) in logins {
                text += &format!("  {role:<7} {email:<20} {password}\n");
            }
        }
        None => text += "Sign up with POST /api/auth/register, or log in with POST /api/auth/login.\n",
    }
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
