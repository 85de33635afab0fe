//! The real program as a process of its own.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The program, killed when it is dropped.
pub struct Process {
    child: Child,
    log: Option<JoinHandle<String>>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Process {
    /// Starts it on the database at that URL.
    pub fn start(url: &str) -> Self {
        let mut process = Self::launch(url);
        let mut line = String::new();
        let out = process.child.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut line).expect("its first line");
        let address = line.trim().strip_prefix("listening on http://").expect("the line that it is ready");
        process.address = address.parse().expect("an address");
        process
    }

    /// The same, but it may not be ready, and nobody knows where it listens.
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

    /// Stops its time (SIGSTOP) until it is resumed.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Waits so long for its end. Answers its exit status and what it wrote to standard error.
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

    /// SIGKILL.
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
