//! `clinicd serve`

use std::net::SocketAddr;

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::{app::App, config::Settings, demo::Logins, telemetry};

pub(super) async fn run(settings: Settings) -> Result<(), Failure> {
    telemetry::start(&settings.log.filter)?;
    // From here on the signals end the program in order, also while it is still starting.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
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

fn announce(address: SocketAddr, logins: Option<Logins>) {
    println!("listening on http://{address}");
    println!("Swagger UI: http://{address}/docs   ReDoc: http://{address}/redoc");
    match logins {
        Some(logins) => {
            println!("This database was empty: it has a demo clinic now. Log in with POST /api/auth/login:");
            for (role, email, password) in logins {
                println!("  {role:<7} {email:<20} {password}");
            }
        }
        None => println!("Sign up with POST /api/auth/register, or log in with POST /api/auth/login."),
    }
}
