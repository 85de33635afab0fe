//! Detects that the private cluster's server has died, and restarts it.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{File, PORT, Result, Server, blocking, lock};
use crate::clock;

/// The interval between checks of the server, and between attempts to restart it.
const PAUSE: Duration = Duration::from_millis(500);

/// Restarts the server if it dies, until this is ended or dropped.
#[derive(Debug)]
pub(super) struct Supervisor {
    is_over: Arc<AtomicBool>,
    watching: JoinHandle<()>,
}

impl Supervisor {
    pub(super) fn start(server: Arc<Server>, start_lock_path: PathBuf) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let watched = Watched { server, start_lock_path, is_over: is_over.clone() };
        Self { is_over, watching: tokio::spawn(watched.watch()) }
    }

    /// Ends the supervision. A process that takes the start lock afterwards can rely on it that the server is not
    /// restarted.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.watching.abort();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.end();
    }
}

/// The server, with what is needed to restart it.
#[derive(Clone)]
struct Watched {
    server: Arc<Server>,
    start_lock_path: PathBuf,
    is_over: Arc<AtomicBool>,
}

impl Watched {
    async fn watch(self) {
        loop {
            sleep(PAUSE).await;
            if self.is_listening().await {
                continue;
            }
            let seen = clock::instant();
            tracing::error!("the local PostgreSQL died; restarting it");
            let mut is_told = false;
            while let Err(error) = self.mend().await {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::error!(%error, "cannot restart the local PostgreSQL; retrying until it starts");
                }
                sleep(PAUSE).await;
            }
            tracing::warn!(seconds = seen.elapsed().as_secs_f64(), "the local PostgreSQL is running again");
        }
    }

    /// Returns whether a process listens on the server's socket. Only the server's first process does, not the
    /// processes that outlive it.
    async fn is_listening(&self) -> bool {
        let socket = self.server.socket_dir.join(format!(".s.PGSQL.{PORT}"));
        match UnixStream::connect(socket).await {
            Err(error) => !matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound),
            Ok(_) => true,
        }
    }

    /// Restarts the server, unless another process already did.
    async fn mend(&self) -> Result<()> {
        let watched = self.clone();
        blocking(move || {
            let _start_lock = lock(&watched.start_lock_path, File::lock)?;
            if watched.is_over.load(Ordering::SeqCst) {
                Ok(())
            } else {
                watched.server.ensure_running(&watched.is_over)
            }
        })
        .await
    }
}
