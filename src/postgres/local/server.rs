//! The server of a private cluster. PostgreSQL's programs create, start, query and stop it.

use std::fs;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::account::{Account, place, private_folder};
use super::programs::find_binaries;
use super::{At, DATA, GLANCE, LocalClusterError, PORT, Result, output_of, path_hash};

pub(super) const USER: &str = "clinicd";
pub(super) const LOGIN: &str = "clinicd_login";
const MAKE_LOGIN: &str = "DO 'BEGIN CREATE ROLE clinicd_app; EXCEPTION WHEN duplicate_object THEN NULL; END';
    CREATE ROLE clinicd_login LOGIN IN ROLE clinicd_app";
pub(super) const DATABASE: &str = "clinicd";
pub(super) const LOG: &str = "postgres.log";
/// Keeps row values, such as an e-mail address, out of the log. The DETAIL of an error would contain them.
const QUIET: &str = "-c log_error_verbosity=terse";
/// The longest socket path that every platform accepts, in bytes (Linux 107, macOS 103).
const MAX_SOCKET_PATH: usize = 103;
/// How long to wait for a server that is already starting or stopping.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long backends that outlived a killed server get to exit by themselves, before they are killed.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait for these backends in total.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything needed to run PostgreSQL's programs on one cluster. The methods block, and the caller must hold the start
/// lock.
#[derive(Debug)]
pub(super) struct Server {
    bin: PathBuf,
    pub(super) base: PathBuf,
    pub(super) socket_dir: PathBuf,
    account: Account,
    /// Each process that uses the cluster holds a shared lock on this file.
    users_lock: File,
}

impl Server {
    /// Selects the cluster's folder, its account and PostgreSQL's programs, and creates the cluster if there is none.
    pub(super) fn prepare(data_dir: &Path, users_lock: File) -> Result<Self> {
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
        let server = Self { bin, base, socket_dir, account, users_lock };
        if !data.exists() {
            server.create()?;
        }
        Ok(server)
    }

    /// Creates the cluster under another name and renames it when it is complete, so that `data` is never half a
    /// cluster.
    fn create(&self) -> Result<()> {
        tracing::info!(folder = %self.base.display(), "creating a local PostgreSQL cluster");
        for entry in fs::read_dir(&self.base).at(&self.base)?.flatten() {
            if entry.file_name().as_bytes().starts_with(b"data.new.") {
                // This may fail while an initdb that outlived its parent still writes. The next creation tries again.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let new = format!("data.new.{}", std::process::id());
        // Not every system has C.UTF-8. With plain C, upper and lower case work for ASCII only.
        let mut output = String::new();
        for locale in ["C.UTF-8", "C"] {
            let done = self.run("initdb", |initdb| {
                initdb.args(["-D", &new, "-U", USER, "-E", "UTF8", "--data-checksums"]);
                initdb.args(["--auth-local=trust", "--auth-host=reject"]).arg(format!("--locale={locale}"))
            })?;
            if done.status.success() {
                let data = self.base.join(DATA);
                fs::rename(self.base.join(&new), &data).at(&data)?;
                // If a power failure lost the rename, the next start would take the cluster for an unfinished one.
                return File::open(&self.base).and_then(|folder| folder.sync_all()).at(&self.base);
            }
            output = text(&done);
        }
        Err(LocalClusterError::Initdb { output })
    }

    /// Returns when the server accepts connections, and starts it if necessary. Fails if the start is given up.
    pub(super) fn ensure_running(&self, is_given_up: &AtomicBool) -> Result<()> {
        let began = crate::clock::instant();
        loop {
            if is_given_up.load(Ordering::SeqCst) {
                return Err(LocalClusterError::Interrupted);
            }
            if !self.is_running()? {
                self.launch(began, is_given_up)?;
            }
            // A server that was already running may still be recovering, or may be stopping.
            match self.query("SELECT 1") {
                Ok(_) => return Ok(()),
                Err(error) if began.elapsed() > READY_TIMEOUT => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// Starts the server and waits for it. After `Ok`, the server may accept connections or may still need time.
    fn launch(&self, began: Instant, is_given_up: &AtomicBool) -> Result<()> {
        // Like the pid file, this file names a process. PostgreSQL would take that process for a server on the same
        // socket.
        let _ = fs::remove_file(self.socket_dir.join(format!(".s.PGSQL.{PORT}.lock")));
        let log_path = self.base.join(LOG);
        let log_start = fs::metadata(&log_path).map_or(0, |log| log.len());
        // pg_ctl passes its arguments to a shell. Paths are relative to the working folder, so that they need no
        // quoting. The server's working folder is `data`, so the socket folder is `..`. pg_ctl gives the server its own
        // session, so that Ctrl-C in the terminal does not reach it.
        let socket_dir = if self.socket_dir == self.base { "..".into() } else { self.socket_dir.to_string_lossy() };
        let options = format!(
            "-k {socket_dir} -p {PORT} -c listen_addresses= -c max_connections=100 -c shared_buffers=512MB {QUIET}"
        );
        let mut pg_ctl = self.command("pg_ctl");
        pg_ctl.args(["start", "-w", "-t", "60", "-D", DATA, "-l", LOG, "-o", &options]);
        pg_ctl.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut starting = pg_ctl.spawn().at(pg_ctl.get_program().as_ref())?;
        while starting.try_wait().at(&self.base)?.is_none() {
            // pg_ctl ends when the server ends. A server that recovers for a long time can be stopped meanwhile.
            if is_given_up.load(Ordering::SeqCst) {
                let _ = self.stop_as_last_user(&["-W"]);
            }
            std::thread::sleep(GLANCE);
        }
        let done = starting.wait_with_output().at(&self.base)?;
        if done.status.success() {
            tracing::info!(folder = %self.base.display(), "started the local PostgreSQL");
            return Ok(());
        }
        let log = fs::read(&log_path).unwrap_or_default();
        let log = String::from_utf8_lossy(log.get(log_start as usize..).unwrap_or_default()).into_owned();
        // Backends that outlived a killed server keep the cluster locked until they exit.
        if log.contains("is still in use") && began.elapsed() < ORPHAN_TIMEOUT {
            if began.elapsed() > ORPHAN_PATIENCE {
                self.kill_orphans()?;
            }
            return Ok(());
        }
        // Another pg_ctl, whose parent was killed, may have started the server first, or a long recovery is in
        // progress.
        if self.is_running()? {
            return Ok(());
        }
        let lines: Vec<&str> = log.lines().collect();
        let last_lines = lines[lines.len().saturating_sub(10)..].join("\n");
        Err(LocalClusterError::Start { log: if last_lines.is_empty() { text(&done) } else { last_lines } })
    }

    /// Returns whether a server runs on this cluster, and not merely another process with the id in the pid file.
    pub(super) fn is_running(&self) -> Result<bool> {
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
        // A server's working folder is its data folder. If the process is gone or is not a server of this cluster, its
        // id in the file is replaced by an impossible one, so that PostgreSQL does not take that process for a server.
        // The file must stay, because PostgreSQL needs the rest of it to detect backends that outlived their server.
        // The script runs as the server's account, because even root may lack the right to inspect another user's
        // process.
        let script = r#"test "/proc/$1/cwd" -ef data || { sed -i '1s/.*/2147483647/' data/postmaster.pid; exit 1; }"#;
        let mut command = self.account.command(Path::new("sh"), &self.base);
        Ok(output_of(command.args(["-c", script, "sh", &pid.to_string()]))?.status.success())
    }

    /// Kills the backends that outlived their server. The recovery that follows rolls back their transactions. Backends
    /// are recognised by their process title, so that a server that is just being started is not killed.
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

    pub(super) fn ensure_database(&self) -> Result<()> {
        if self.query(&format!("SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"))?.is_empty() {
            self.query(&format!("CREATE DATABASE {DATABASE}"))?;
        }
        // A cluster of an earlier version has no such login.
        if self.query("SELECT 1 FROM pg_roles WHERE rolname = 'clinicd_login'")?.is_empty() {
            self.query(MAKE_LOGIN)?;
        }
        Ok(())
    }

    pub(super) fn query(&self, sql: &str) -> Result<String> {
        let done = self.run("psql", |psql| {
            psql.args(["-XAtqw", "-U", USER, "-d", "postgres", "-p", &PORT.to_string()]);
            psql.arg("-h").arg(&self.socket_dir).args(["-c", sql])
        })?;
        if done.status.success() { Ok(text(&done)) } else { Err(LocalClusterError::Query { output: text(&done) }) }
    }

    /// Stops the server, unless another process uses it.
    pub(super) fn stop_as_last_user(&self, waiting: &[&str]) -> Result<()> {
        // Only the last user can turn the shared lock into an exclusive one.
        match self.users_lock.try_lock() {
            Ok(()) => self.stop(waiting),
            Err(TryLockError::WouldBlock) => {
                tracing::debug!("the local PostgreSQL keeps running for another process");
                Ok(())
            }
            Err(TryLockError::Error(source)) => Err(source).at(&self.base),
        }
    }

    fn stop(&self, waiting: &[&str]) -> Result<()> {
        // This check comes first, because pg_ctl would signal any process that has the id in the pid file.
        if !self.is_running()? {
            return Ok(());
        }
        let done = self.run("pg_ctl", |pg_ctl| pg_ctl.args(["stop", "-m", "fast", "-D", DATA]).args(waiting))?;
        if !done.status.success() && self.is_running()? {
            return Err(LocalClusterError::Stop { output: text(&done) });
        }
        if self.socket_dir != self.base {
            let _ = fs::remove_dir(&self.socket_dir); // Only cleanup: the folder is created again when it is needed.
        }
        tracing::info!("stopped the local PostgreSQL");
        Ok(())
    }

    /// Runs one of PostgreSQL's programs in the cluster's folder, as the cluster's account.
    fn run(&self, program: &str, arguments: impl FnOnce(&mut Command) -> &mut Command) -> Result<Output> {
        output_of(arguments(&mut self.command(program)))
    }

    fn command(&self, program: &str) -> Command {
        self.account.command(&self.bin.join(program), &self.base)
    }
}

/// Returns what a program printed: first its output, then its errors.
fn text(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
}
