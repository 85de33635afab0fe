//! `clinicd serve`

use std::io::Write;
use std::net::SocketAddr;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;
use crate::app::App;
use crate::authn::KeySecret;
use crate::config::Settings;
use crate::demo::Logins;
use crate::telemetry;

pub(super) async fn run(mut settings: Settings) -> Result<(), Failure> {
    telemetry::start(&settings.log.filter)?;
    settings.database.key_secret = KeySecret::from_environment()?;
    let mut signals = Signals::new()?;
    tokio::spawn(telemetry::record());
    let Some(app) = App::build_unless(&settings, signals.told("while starting")).await? else { return Ok(()) };
    Ok(app.serve(&settings, announce, signals.told("what is under way is finished first")).await?)
}

/// The signals that stop the program.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next signal and returns the exit status of a program that it stops.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }

    /// Waits for the first signal. After that, another signal ends the program at once.
    async fn told(&mut self, how: &str) {
        self.next().await;
        tracing::info!("stopping: {how}; a second signal ends the program at once");
        if let Ok(mut others) = Self::new() {
            tokio::spawn(async move { std::process::exit(others.next().await) });
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
