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
mod supervisor;

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use account::{Account, place, private_folder};
pub use error::LocalClusterError;
use error::{At, Result};
use programs::find_binaries;
use supervisor::Supervisor;

const PORT: u16 = 5432;
const USER: &str = "clinicd";
const LOGIN: &str = "clinicd_login";
const MAKE_LOGIN: &str = "DO 'BEGIN CREATE ROLE clinicd_app; EXCEPTION WHEN duplicate_object THEN NULL; END';
    CREATE ROLE clinicd_login LOGIN IN ROLE clinicd_app";
const DATABASE: &str = "clinicd";
const DATA: &str = "data";
const LOG: &str = "postgres.log";
/// The DETAIL of an error repeats what is in the row, such as somebody's e-mail address.
const QUIET: &str = "-c log_error_verbosity=terse";
/// Where root's clusters go when PostgreSQL's account cannot reach the data folder.
const SYSTEM_FOLDER: &str = "/var/lib/clinicd";
/// Longest socket path that every platform takes (Linux 107 bytes, macOS 103).
const MAX_SOCKET_PATH: usize = 103;
/// How long a server that is already on its way up or down may take until it can be used.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait for backends that outlived a killed server to notice and leave, before they are killed.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait for them altogether.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(10);

/// A running PostgreSQL cluster, private to one data folder and shared by the processes that use that folder. Its server is
/// started again where it dies.
///
/// Dropped without [`stop`](Self::stop), it tells the server to stop and does not wait for it.
#[derive(Debug)]
pub struct LocalCluster {
    server: Arc<Server>,
    users_lock: File,
    start_lock_path: PathBuf,
    supervisor: Supervisor,
    is_stopped: bool,
}

impl LocalCluster {
    /// Starts the cluster that belongs to `data_dir`, or finds it running; creates it on first use.
    ///
    /// # Errors
    ///
    /// Any [`LocalClusterError`] but [`Stop`](LocalClusterError::Stop).
    pub async fn start(data_dir: &Path) -> Result<Self> {
        let data_dir = data_dir.to_owned();
        let (server, users_lock, start_lock_path) = blocking(move || start_blocking(&data_dir)).await?;
        let server = Arc::new(server);
        let supervisor = Supervisor::start(server.clone(), start_lock_path.clone());
        Ok(Self { server, users_lock, start_lock_path, supervisor, is_stopped: false })
    }

    /// The folder of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.server.socket_dir
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
        self.is_stopped = true;
        blocking(move || {
            let _start_lock = lock(&self.start_lock_path, File::lock)?;
            // Turning the shared lock into an exclusive one succeeds for the last user only.
            match self.users_lock.try_lock() {
                Ok(()) => self.server.stop(&["-w", "-t", "60"]),
                Err(TryLockError::WouldBlock) => {
                    tracing::debug!("the local PostgreSQL stays up for another process");
                    Ok(())
                }
                Err(TryLockError::Error(source)) => Err(source).at(&self.start_lock_path),
            }
        })
        .await
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        if self.is_stopped {
            return;
        }
        self.leave_alone();
        // Where a lock is held, somebody else uses the server or is about to.
        if let Ok(_start_lock) = lock(&self.start_lock_path, |file| Ok(file.try_lock()?))
            && self.users_lock.try_lock().is_ok()
        {
            let _ = self.server.stop(&["-W"]);
        }
    }
}

/// Starts the server. Answers it with the lock of its users, which is held from now on, and the path of the start lock.
fn start_blocking(data_dir: &Path) -> Result<(Server, File, PathBuf)> {
    fs::create_dir_all(data_dir).at(data_dir)?;
    let data_dir = data_dir.canonicalize().at(data_dir)?;

    // The kernel drops these locks when their holder dies, however it dies, so they are never stale.
    let start_lock_path = data_dir.join("local.start.lock");
    let _start_lock = lock(&start_lock_path, File::lock)?;
    let users_lock = lock(&data_dir.join("local.lock"), File::lock_shared)?;

    let server = Server::prepare(&data_dir)?;
    server.ensure_running()?;
    server.ensure_database()?;
    Ok((server, users_lock, start_lock_path))
}

/// Everything needed to run PostgreSQL's programs on one cluster. Its methods block, and expect the start lock held.
#[derive(Debug)]
struct Server {
    bin: PathBuf,
    base: PathBuf,
    socket_dir: PathBuf,
    account: Account,
}

impl Server {
    /// Settles where the cluster lives and what runs it, and creates it if there is none.
    fn prepare(data_dir: &Path) -> Result<Self> {
        let (base, account) = place(data_dir)?;
        let data = base.join(DATA);
        let bin = find_binaries(&data)?;
        private_folder(&base, account)?;
        // A comma would separate two hosts in a connection string.
        let socket_path = base.join(format!(".s.PGSQL.{PORT}"));
        let bytes = socket_path.as_os_str().as_bytes();
        let socket_dir = if bytes.len() > MAX_SOCKET_PATH || bytes.contains(&b',') {
            let short = PathBuf::from(format!("/tmp/clinicd-{:016x}", path_hash(data_dir)));
            private_folder(&short, account)?;
            short
        } else {
            base.clone()
        };
        let server = Self { bin, base, socket_dir, account };
        if !data.exists() {
            server.create()?;
        }
        Ok(server)
    }

    /// Creates the cluster under another name and renames it when complete, so that `data` is never half a cluster.
    fn create(&self) -> Result<()> {
        tracing::info!(folder = %self.base.display(), "creating a local PostgreSQL cluster");
        for entry in fs::read_dir(&self.base).at(&self.base)?.flatten() {
            if entry.file_name().as_bytes().starts_with(b"data.new.") {
                // It may fail while an initdb that outlived its parent still writes; the next creation tries again.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let new = format!("data.new.{}", std::process::id());
        // Not every system has C.UTF-8; with plain C, upper and lower case are known for ASCII only.
        let mut output = String::new();
        for locale in ["C.UTF-8", "C"] {
            let done = self.run("initdb", |initdb| {
                initdb.args(["-D", &new, "-U", USER, "-E", "UTF8", "--data-checksums"]);
                initdb.args(["--auth-local=trust", "--auth-host=reject"]).arg(format!("--locale={locale}"))
            })?;
            if done.status.success() {
                let data = self.base.join(DATA);
                fs::rename(self.base.join(&new), &data).at(&data)?;
                // A rename lost in a power failure would make the next start take the cluster for an unfinished one.
                return File::open(&self.base).and_then(|folder| folder.sync_all()).at(&self.base);
            }
            output = text(&done);
        }
        Err(LocalClusterError::Initdb { output })
    }

    /// Returns once the server takes connections, whatever state it was found in.
    fn ensure_running(&self) -> Result<()> {
        let began = crate::clock::instant();
        loop {
            if !self.is_running()? {
                self.launch(began)?;
            }
            // A server found running may still be recovering, or be on its way down.
            match self.query("SELECT 1") {
                Ok(_) => return Ok(()),
                Err(error) if began.elapsed() > READY_TIMEOUT => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// Starts the server and waits for it. `Ok` promises no more than that it is worth asking it.
    fn launch(&self, began: Instant) -> Result<()> {
        // Like the pid file it names a process, which PostgreSQL would take for a server on the same socket.
        let _ = fs::remove_file(self.socket_dir.join(format!(".s.PGSQL.{PORT}.lock")));
        let log_path = self.base.join(LOG);
        let log_start = fs::metadata(&log_path).map_or(0, |log| log.len());
        // pg_ctl hands its arguments to a shell: every path is given relative to the working folder, and so needs no
        // quoting. The server itself works in `data`, from where the socket folder is `..`. It gets a session of its
        // own from pg_ctl, so that Ctrl-C in the terminal does not reach it.
        let socket_dir = if self.socket_dir == self.base { "..".into() } else { self.socket_dir.to_string_lossy() };
        let options = format!(
            "-k {socket_dir} -p {PORT} -c listen_addresses= -c max_connections=100 -c shared_buffers=512MB {QUIET}"
        );
        let done = self
            .run("pg_ctl", |pg_ctl| pg_ctl.args(["start", "-w", "-t", "60", "-D", DATA, "-l", LOG, "-o", &options]))?;
        if done.status.success() {
            tracing::info!(folder = %self.base.display(), "started the local PostgreSQL");
            return Ok(());
        }
        let log = fs::read(&log_path).unwrap_or_default();
        let log = String::from_utf8_lossy(log.get(log_start as usize..).unwrap_or_default()).into_owned();
        // Backends that outlived a killed server keep the cluster locked until they notice.
        if log.contains("is still in use") && began.elapsed() < ORPHAN_TIMEOUT {
            if began.elapsed() > ORPHAN_PATIENCE {
                self.kill_orphans()?;
            }
            return Ok(());
        }
        // A pg_ctl whose parent was killed may have been first, or a long recovery is still going on.
        if self.is_running()? {
            return Ok(());
        }
        let lines: Vec<&str> = log.lines().collect();
        let last_lines = lines[lines.len().saturating_sub(10)..].join("\n");
        Err(LocalClusterError::Start { log: if last_lines.is_empty() { text(&done) } else { last_lines } })
    }

    /// Whether a server runs on this very cluster, rather than just some process with the id noted in its pid file.
    fn is_running(&self) -> Result<bool> {
        if !cfg!(target_os = "linux") {
            let done = self.run("pg_ctl", |pg_ctl| pg_ctl.args(["status", "-D", DATA]))?;
            return Ok(done.status.success());
        }
        let pid_path = self.base.join(DATA).join("postmaster.pid");
        let content = match fs::read_to_string(&pid_path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            content => content.at(&pid_path)?,
        };
        let Some(pid) = content.lines().next().and_then(|line| line.trim().parse::<u32>().ok()) else {
            return Ok(false);
        };
        // A server's working folder is its data folder. When the process is gone or another one, its id in the file
        // is replaced by an impossible one, lest PostgreSQL takes that process for a server. The file itself must
        // stay: by the rest of it PostgreSQL notices backends that outlived their server. All of this is done as the
        // server's account, as even root may lack the right to look at another user's process.
        let script = r#"test "/proc/$1/cwd" -ef data || { sed -i '1s/.*/2147483647/' data/postmaster.pid; exit 1; }"#;
        let mut command = self.account.command(Path::new("sh"), &self.base);
        Ok(output_of(command.args(["-c", script, "sh", &pid.to_string()]))?.status.success())
    }

    /// Kills the backends that outlived their server: what they were at is undone by the recovery that follows. By their title
    /// they are not taken for a server that somebody starts just now.
    fn kill_orphans(&self) -> Result<()> {
        if self.is_running()? {
            return Ok(());
        }
        let script = r#"for process in /proc/[0-9]*; do
            test "$process/cwd" -ef data && grep -q '^postgres: ' "$process/cmdline" && kill -KILL "${process#/proc/}"
        done; true"#;
        let mut command = self.account.command(Path::new("sh"), &self.base);
        output_of(command.args(["-c", script])).map(drop)
    }

    fn ensure_database(&self) -> Result<()> {
        if self.query(&format!("SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"))?.is_empty() {
            self.query(&format!("CREATE DATABASE {DATABASE}"))?;
        }
        // A cluster of before has no such login.
        if self.query("SELECT 1 FROM pg_roles WHERE rolname = 'clinicd_login'")?.is_empty() {
            self.query(MAKE_LOGIN)?;
        }
        Ok(())
    }

    fn query(&self, sql: &str) -> Result<String> {
        let done = self.run("psql", |psql| {
            psql.args(["-XAtqw", "-U", USER, "-d", "postgres", "-p", &PORT.to_string()]);
            psql.arg("-h").arg(&self.socket_dir).args(["-c", sql])
        })?;
        if done.status.success() { Ok(text(&done)) } else { Err(LocalClusterError::Query { output: text(&done) }) }
    }

    fn stop(&self, waiting: &[&str]) -> Result<()> {
        // Asked first, as pg_ctl would signal whatever process has the id in the pid file.
        if !self.is_running()? {
            return Ok(());
        }
        let done = self.run("pg_ctl", |pg_ctl| pg_ctl.args(["stop", "-m", "fast", "-D", DATA]).args(waiting))?;
        if !done.status.success() && self.is_running()? {
            return Err(LocalClusterError::Stop { output: text(&done) });
        }
        if self.socket_dir != self.base {
            let _ = fs::remove_dir(&self.socket_dir); // only tidiness, and made again when needed
        }
        tracing::info!("stopped the local PostgreSQL");
        Ok(())
    }

    /// Runs one of PostgreSQL's programs in the cluster's folder, as the cluster's account.
    fn run(&self, program: &str, arguments: impl FnOnce(&mut Command) -> &mut Command) -> Result<Output> {
        output_of(arguments(&mut self.account.command(&self.bin.join(program), &self.base)))
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
fn lock(path: &Path, how: fn(&File) -> io::Result<()>) -> Result<File> {
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

/// What a program printed, complaints last.
fn text(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
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
