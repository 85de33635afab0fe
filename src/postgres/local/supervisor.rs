//! Sees that the private cluster's server has died, and starts it again.

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

/// How often the server is looked at, and how soon a start that failed is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// Starts the server again where it dies, until this ends or is dropped.
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

    /// Ends: whoever has the start lock after this knows that the server is not started again.
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

/// The server, and how to start it again.
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
            tracing::error!("the local PostgreSQL has died; starting it again");
            let mut is_told = false;
            while let Err(error) = self.mend().await {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::error!(%error, "the local PostgreSQL cannot be started; trying again until it can");
                }
                sleep(PAUSE).await;
            }
            tracing::warn!(seconds = seen.elapsed().as_secs_f64(), "the local PostgreSQL runs again");
        }
    }

    /// Whether somebody listens at the server's socket. Only its first process does, not those that outlive it.
    async fn is_listening(&self) -> bool {
        let socket = self.server.socket_dir.join(format!(".s.PGSQL.{PORT}"));
        match UnixStream::connect(socket).await {
            Err(error) => !matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound),
            Ok(_) => true,
        }
    }

    /// Starts the server, unless another process has done so meanwhile.
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
