//! A private PostgreSQL cluster for one data folder, so that `clinicd serve` works without setup.
//!
//! The cluster is in `<data_dir>/postgres` and listens on a Unix socket only. It needs no password: the socket is in a
//! folder with mode 0700, which only the cluster's owner and root can enter.
//!
//! ```text
//! <data_dir>/local.lock shared lock of every process that uses the cluster, for as long as it does
//! <data_dir>/local.start.lock exclusive lock around creating, starting and stopping the cluster <data_dir>/postgres/
//! 0700, owned by the account PostgreSQL runs as; also holds the socket data/ the cluster itself data.new.<pid>/ a
//! cluster being created; a leftover means the creation was interrupted postgres.log the server's log
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
/// The folder for root's clusters if PostgreSQL's account cannot reach the data folder.
const SYSTEM_FOLDER: &str = "/var/lib/clinicd";
/// The interval at which a start checks whether it was given up.
const GLANCE: Duration = Duration::from_millis(20);

/// A running PostgreSQL cluster, private to one data folder and shared by the processes that use that folder. Its
/// server is restarted if it dies.
///
/// If dropped without [`stop`](Self::stop), it tells the server to stop and does not wait.
#[derive(Debug)]
pub struct LocalCluster {
    running: Running,
    supervisor: Supervisor,
}

impl LocalCluster {
    /// Starts the cluster of `data_dir`, unless it is already running. Creates it on first use.
    ///
    /// # Errors
    ///
    /// Any [`LocalClusterError`] except [`Stop`](LocalClusterError::Stop).
    pub async fn start(data_dir: &Path) -> Result<Self> {
        Self::start_unless(data_dir, pending()).await
    }

    /// As [`start`](Self::start), but gives up when `stop` completes. A server that was started until then is stopped.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); [`LocalClusterError::Interrupted`] after it gave up and stopped the server.
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

    /// Returns the folder of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.running.server.socket_dir
    }

    /// Returns the port. It is only part of the socket's name: the server does not listen on TCP.
    pub fn port(&self) -> u16 {
        PORT
    }

    /// Returns the name of the database. It exists once the cluster is started.
    pub fn database(&self) -> &str {
        DATABASE
    }

    /// Returns the role that owns the database: the cluster's superuser. It needs no password.
    pub fn user(&self) -> &str {
        USER
    }

    /// Stops restarting the server if it dies.
    pub fn leave_alone(&self) {
        self.supervisor.end();
    }

    /// Returns the program's role. It owns nothing and has the rights of `clinicd_app`.
    pub fn login(&self) -> &str {
        LOGIN
    }

    /// Stops the server and ends open connections, unless another process still uses it.
    ///
    /// # Errors
    ///
    /// [`LocalClusterError::Stop`] if the server still runs after a minute, [`LocalClusterError::Io`] if its programs
    /// or the lock files cannot be used.
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
        // This must happen before the server is stopped.
        self.leave_alone();
    }
}

/// A server that was started or was already running. Dropping it tells the server to stop.
#[derive(Debug)]
struct Running {
    server: Arc<Server>,
    start_lock_path: PathBuf,
    is_stopped: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        // If another process holds a lock, it uses the server or is about to.
        if !self.is_stopped
            && let Ok(_start_lock) = lock(&self.start_lock_path, |file| Ok(file.try_lock()?))
        {
            let _ = self.server.stop_as_last_user(&["-W"]);
        }
    }
}

/// Whether a start is given up. Dropping this also gives it up, because nobody waits for it any more.
#[derive(Default)]
struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Starts the server. If the start fails or is given up, the server is stopped.
fn start_blocking(data_dir: &Path, is_given_up: &AtomicBool) -> Result<Running> {
    make_folder(data_dir)?;
    let data_dir = data_dir.canonicalize().at(data_dir)?;

    // The kernel releases these locks when their process ends in any way, so they are never stale.
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

/// Creates the data folder if it does not exist. Other users cannot read it. If root creates it, others can enter it,
/// because PostgreSQL's account must.
fn make_folder(data_dir: &Path) -> Result<()> {
    if let Some(above) = data_dir.parent() {
        fs::create_dir_all(above).at(above)?;
    }
    let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
    DirBuilder::new().recursive(true).mode(mode).create(data_dir).at(data_dir)
}

/// Waits for the lock until the start is given up.
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

/// Opens and locks a file. The programs started here do not inherit it, because std closes it on exec.
fn lock(path: &Path, how: impl FnOnce(&File) -> io::Result<()>) -> Result<File> {
    let mut options = OpenOptions::new();
    // A user who can open the file can lock it and so prevent the cluster from starting.
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path).at(path)?;
    file.set_permissions(Permissions::from_mode(0o600)).at(path)?;
    how(&file).at(path)?;
    Ok(file)
}

fn output_of(command: &mut Command) -> Result<Output> {
    command.output().map_err(|source| LocalClusterError::Io { path: command.get_program().into(), source })
}

/// Returns the FNV-1a hash of a path. Unlike the standard library's hasher, it is the same in all Rust versions, which
/// names on disk require.
fn path_hash(path: &Path) -> u64 {
    path.as_os_str()
        .as_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
