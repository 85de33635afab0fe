//! `clinicd serve`

use std::{io::Write, net::SocketAddr};

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::{app::App, config::Settings, demo::Logins, telemetry};

pub(super) async fn run(settings: Settings) -> Result<(), Failure> {
    telemetry::start(&settings.log.filter)?;
    // From here on the signals end the program in order, also while it is still starting.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(telemetry::record());
    let app = App::build(&settings).await?;
    let stop = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping: what is under way is finished first");
    };
    Ok(app.serve(&settings, announce, stop).await?)
}

/// Says where the program listens; whoever started it may have stopped reading, which is no harm.
fn announce(address: SocketAddr, logins: Option<Logins>) {
    let mut text =
        format!("listening on http://{address}\nSwagger UI: http://{address}/docs   ReDoc: http://{address}/redoc\n");
    match logins {
        Some(logins) => {
            text += "This database was empty: it has a demo clinic now. Log in with POST /api/auth/login:\n";
            for (role, email, password) in logins {
                text += &format!("  {role:<7} {email:<20} {password}\n");
            }
        }
        None => text += "Sign up with POST /api/auth/register, or log in with POST /api/auth/login.\n",
    }
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
