//! A private PostgreSQL cluster for one data folder, so that `clinicd serve` works without any set-up.
//!
//! The cluster lives in `<data_dir>/postgres` and is reached over a Unix socket only. It asks for no password: the
//! socket lies in a folder with mode 0700, which nobody but the cluster's owner (and root) can enter.
//!
//! ```text
//! <data_dir>/local.lock        shared lock of every process that uses the cluster, for as long as it does
//! <data_dir>/local.start.lock  exclusive lock around creating, starting and stopping the cluster
//! <data_dir>/postgres/         0700, owned by the account PostgreSQL runs as; also holds the socket
//!     data/                    the cluster itself
//!     data.new.<pid>/          a cluster being created; a leftover means the creation was interrupted
//!     postgres.log             what the server says
//! ```

mod account;
mod error;
mod programs;
mod server;
mod supervisor;

use std::fs;
use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::future::pending;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::unistd::geteuid;

pub use error::LocalClusterError;
use error::{At, Result};
use server::{DATABASE, LOGIN, Server, USER};
use supervisor::Supervisor;

const PORT: u16 = 5432;
const DATA: &str = "data";
/// Where root's clusters go when PostgreSQL's account cannot reach the data folder.
const SYSTEM_FOLDER: &str = "/var/lib/clinicd";
/// How often a start looks whether it is given up.
const GLANCE: Duration = Duration::from_millis(20);

/// A running PostgreSQL cluster, private to one data folder and shared by the processes that use that folder. Its server is
/// started again where it dies.
///
/// Dropped without [`stop`](Self::stop), it tells the server to stop and does not wait for it.
#[derive(Debug)]
pub struct LocalCluster {
    running: Running,
    supervisor: Supervisor,
}

impl LocalCluster {
    /// Starts the cluster that belongs to `data_dir`, or finds it running; creates it on first use.
    ///
    /// # Errors
    ///
    /// Any [`LocalClusterError`] but [`Stop`](LocalClusterError::Stop).
    pub async fn start(data_dir: &Path) -> Result<Self> {
        Self::start_unless(data_dir, pending()).await
    }

    /// The same, but the start is given up at `stop`; a server that it has started is stopped then.
    ///
    /// # Errors
    ///
    /// As of [`start`](Self::start); [`LocalClusterError::Interrupted`] once all is as if it had not begun.
    pub async fn start_unless(data_dir: &Path, stop: impl Future<Output = ()>) -> Result<Self> {
        let given_up = GivenUp::default();
        let (data_dir, is_given_up) = (data_dir.to_owned(), given_up.0.clone());
        let mut starting = pin!(blocking(move || start_blocking(&data_dir, &is_given_up)));
        let running = tokio::select! {
            running = &mut starting => running?,
            () = stop => {
                given_up.0.store(true, Ordering::SeqCst);
                starting.await?
            }
        };
        let supervisor = Supervisor::start(running.server.clone(), running.start_lock_path.clone());
        Ok(Self { running, supervisor })
    }

    /// The folder of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.running.server.socket_dir
    }

    /// The port, which only names the socket file: the server does not listen on TCP.
    pub fn port(&self) -> u16 {
        PORT
    }

    /// The database, which exists once the cluster is started.
    pub fn database(&self) -> &str {
        DATABASE
    }

    /// The role that owns the database (the cluster's superuser); it needs no password.
    pub fn user(&self) -> &str {
        USER
    }

    /// From now on the server is not started again where it dies.
    pub fn leave_alone(&self) {
        self.supervisor.end();
    }

    /// The role that the program works as: it owns nothing, and may do what `clinicd_app` may.
    pub fn login(&self) -> &str {
        LOGIN
    }

    /// Stops the server, ending open connections, unless another process still uses it.
    ///
    /// # Errors
    ///
    /// [`LocalClusterError::Stop`] when the server is still running after a minute, [`LocalClusterError::Io`] when
    /// its programs or the lock files cannot be used.
    pub async fn stop(mut self) -> Result<()> {
        self.leave_alone();
        self.running.is_stopped = true;
        blocking(move || {
            let _start_lock = lock(&self.running.start_lock_path, File::lock)?;
            self.running.server.stop_as_last_user(&["-w", "-t", "60"])
        })
        .await
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        // Before the server is stopped.
        self.leave_alone();
    }
}

/// A server that was started or found. Whoever drops it tells it to stop.
#[derive(Debug)]
struct Running {
    server: Arc<Server>,
    start_lock_path: PathBuf,
    is_stopped: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where a lock is held, somebody else uses the server or is about to.
        if !self.is_stopped
            && let Ok(_start_lock) = lock(&self.start_lock_path, |file| Ok(file.try_lock()?))
        {
            let _ = self.server.stop_as_last_user(&["-W"]);
        }
    }
}

/// Whether a start is given up: so it is also where nobody waits for it any more.
#[derive(Default)]
struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Starts the server. A start that fails or is given up stops it.
fn start_blocking(data_dir: &Path, is_given_up: &AtomicBool) -> Result<Running> {
    make_folder(data_dir)?;
    let data_dir = data_dir.canonicalize().at(data_dir)?;

    // The kernel drops these locks when their holder dies, however it dies, so they are never stale.
    let start_lock_path = data_dir.join("local.start.lock");
    let _start_lock = lock(&start_lock_path, |file| lock_unless(is_given_up, file))?;
    let users_lock = lock(&data_dir.join("local.lock"), File::lock_shared)?;

    let server = Server::prepare(&data_dir, users_lock)?;
    let started = server.ensure_running(is_given_up).and_then(|()| server.ensure_database());
    let started = started.and_then(|()| match is_given_up.load(Ordering::SeqCst) {
        true => Err(LocalClusterError::Interrupted),
        false => Ok(()),
    });
    if let Err(error) = started {
        server.stop_as_last_user(&["-w", "-t", "60"])?;
        return Err(if is_given_up.load(Ordering::SeqCst) { LocalClusterError::Interrupted } else { error });
    }
    Ok(Running { server: Arc::new(server), start_lock_path, is_stopped: false })
}

/// Makes the data folder, unless there is one. Nobody else may look into it; but root's is entered by PostgreSQL's account.
fn make_folder(data_dir: &Path) -> Result<()> {
    if let Some(above) = data_dir.parent() {
        fs::create_dir_all(above).at(above)?;
    }
    let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
    DirBuilder::new().recursive(true).mode(mode).create(data_dir).at(data_dir)
}

/// Waits for the lock, until the start is given up.
fn lock_unless(is_given_up: &AtomicBool, file: &File) -> io::Result<()> {
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if is_given_up.load(Ordering::SeqCst) => {
                return Err(io::ErrorKind::Interrupted.into());
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(GLANCE),
            tried => return Ok(tried?),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(LocalClusterError::Interrupted),
        },
    }
}

/// Opens and locks a file, waiting for the lock. The programs started here do not inherit it: std closes it on exec.
fn lock(path: &Path, how: impl FnOnce(&File) -> io::Result<()>) -> Result<File> {
    let mut options = OpenOptions::new();
    // Who may open it may lock it, and so keep the cluster from starting.
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path).at(path)?;
    file.set_permissions(Permissions::from_mode(0o600)).at(path)?;
    how(&file).at(path)?;
    Ok(file)
}

fn output_of(command: &mut Command) -> Result<Output> {
    command.output().map_err(|source| LocalClusterError::Io { path: command.get_program().into(), source })
}

/// FNV-1a: unlike the standard library's hasher it stays the same across Rust versions, as names on disk must.
fn path_hash(path: &Path) -> u64 {
    path.as_os_str()
        .as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
