//! The real program as a separate process.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The program. It is killed when this is dropped.
pub struct Process {
    child: Child,
    log: Option<JoinHandle<String>>,
    /// The address on which it listens.
    pub address: SocketAddr,
}

impl Process {
    /// Starts the program on the database with this URL.
    pub fn start(url: &str) -> Self {
        let mut process = Self::launch(url);
        let mut line = String::new();
        let out = process.child.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut line).expect("its first line");
        let address = line.trim().strip_prefix("listening on http://").expect("the line that it is ready");
        process.address = address.parse().expect("an address");
        process
    }

    /// Starts the program without waiting until it is ready, so its address is unknown.
    pub fn launch(url: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_clinicd"))
            .args(["serve", "--listen", "127.0.0.1:0", "--no-demo", "--log", "warn"])
            .env("DATABASE_URL", url)
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut errors = child.stderr.take().expect("its log");
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            errors.read_to_string(&mut log).expect("text");
            log
        });
        Self { address: SocketAddr::from(([0, 0, 0, 0], 0)), child, log: Some(log) }
    }

    /// Suspends the program (SIGSTOP) until it is resumed.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Sends SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Waits for the end of the program, at most for `limit`. Returns its exit status and its standard error.
    pub async fn ended(mut self, limit: Duration) -> (Option<i32>, String) {
        let begun = clinicd::clock::instant();
        loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                let log = self.log.take().expect("read once").join().expect("its log");
                return (status.code(), log);
            }
            assert!(begun.elapsed() < limit, "it has not ended after {limit:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(id), signal).expect("the program takes signals");
    }

    /// Sends SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("the program can be killed");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
