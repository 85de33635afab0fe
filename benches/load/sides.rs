//! The two sides: the server under wrk, and bare SQL under pgbench. Also the server as a process.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use clinicd::postgres::Database;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::clinics::{Clinics, PASSWORD};

/// The number of concurrent clients.
pub const CLIENTS: usize = 32;
/// The number of threads of all wrk processes together.
const THREADS: usize = 2;
/// How many logins per second arrive during the bookings.
const LOGINS: u64 = 100;

/// The server as a separate process.
pub struct Server {
    child: Child,
    /// The URL on which it listens.
    pub address: String,
    /// The time from its start to its first line of output.
    pub ready: Duration,
    /// Its memory before the first request, in KiB.
    pub idle: u64,
}

impl Server {
    pub async fn start(database: &Database, folder: &Path) -> Self {
        let start = clinicd::clock::instant();
        let mut child = Command::new(env!("CARGO_BIN_EXE_clinicd"))
            .args(["serve", "--listen", "127.0.0.1:0", "--no-demo", "--log", "warn"])
            .env("DATABASE_URL", url(database, "clinicd_login"))
            .env("CLINICD_MIGRATE_URL", url(database, "clinicd"))
            .current_dir(folder)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the server");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let line = lines.next_line().await.expect("its output").expect("its first line");
        let ready = start.elapsed();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let address = line.trim().strip_prefix("listening on ").expect("the line that it is ready").to_owned();
        let mut server = Self { child, address, ready, idle: 0 };
        server.idle = server.memory();
        server
    }

    /// Returns its resident memory, in KiB.
    pub fn memory(&self) -> u64 {
        let status = self.child.id().map(|id| format!("/proc/{id}/status"));
        let status = status.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    pub async fn stop(mut self) {
        if let Some(id) = self.child.id() {
            let _ = Command::new("kill").args(["-TERM", &id.to_string()]).status().await;
        }
        let _ = self.child.wait().await;
    }
}

/// Returns the URL of the private cluster for this role.
fn url(database: &Database, role: &str) -> String {
    let options = database.options();
    let socket = options.get_socket().expect("a socket").display();
    let name = options.get_database().expect("a database");
    format!("postgresql://{role}@localhost:{}/{name}?host={socket}", options.get_port())
}

/// The results of wrk.
#[derive(Debug, Clone, Deserialize)]
pub struct Load {
    requests: f64,
    seconds: f64,
    /// The median latency in microseconds.
    pub p50: f64,
    /// The 99th percentile of the latency in microseconds.
    pub p99: f64,
    refused: f64,
    conflicts: f64,
    errors: f64,
}

impl Load {
    /// Returns the requests per second.
    pub fn rate(&self) -> f64 {
        self.requests / self.seconds
    }

    /// Combines two loads of the same time: the sum of the rates, and the larger latencies.
    fn and(self, other: Self) -> Self {
        let (requests, rate) = (self.requests + other.requests, self.rate() + other.rate());
        Self {
            requests,
            seconds: requests / rate,
            p50: self.p50.max(other.p50),
            p99: self.p99.max(other.p99),
            refused: self.refused + other.refused,
            conflicts: self.conflicts + other.conflicts,
            errors: self.errors + other.errors,
        }
    }

    /// Returns how many answers were not the expected ones.
    pub fn errors(&self, refused: bool) -> f64 {
        self.errors + if refused { self.requests.max(self.refused) - self.conflicts } else { self.refused }
    }
}

/// Parses the output of a wrk script.
fn load(output: &std::process::Output) -> Load {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.starts_with('{'));
    let line = line.unwrap_or_else(|| panic!("wrk said {text} {}", String::from_utf8_lossy(&output.stderr)));
    serde_json::from_str(line).expect("what the script prints")
}

/// The data that both sides use.
#[derive(Clone, Copy)]
pub struct Sides<'a> {
    pub clinics: &'a Clinics,
    pub database: &'a Database,
    pub folder: &'a Path,
    pub seconds: u64,
}

/// Bookings without and with concurrent logins.
pub struct Logins {
    pub alone: Vec<Load>,
    pub beside: Vec<Load>,
    pub answered: usize,
    pub turned_away: usize,
}

impl Sides<'_> {
    /// Runs one wrk per server at the same time. They share the connections.
    pub async fn wrk(&self, servers: &[&Server], operation: &str, year: i64) -> Load {
        let nodes = servers.len();
        let loads =
            servers.iter().enumerate().map(|(node, server)| self.wrk_of(server, operation, year, (node, nodes)));
        let loads = futures_util::future::join_all(loads).await;
        loads.into_iter().reduce(Load::and).expect("a server")
    }

    async fn wrk_of(&self, server: &Server, operation: &str, year: i64, (node, nodes): (usize, usize)) -> Load {
        let clinics = self.clinics;
        let output = Command::new("wrk")
            .args([format!("-t{}", THREADS / nodes), format!("-c{}", CLIENTS / nodes), format!("-d{}s", self.seconds)])
            .args(["--timeout", "20s", "-s", concat!(env!("CARGO_MANIFEST_DIR"), "/benches/load/load.lua")])
            .args([&server.address, "--", operation])
            .arg(&clinics.tokens)
            .args([clinics.doctors, clinics.patients, clinics.from(year)].map(|n| n.to_string()))
            .args([node, nodes].map(|n| n.to_string()))
            .arg(clinics.booked_from.to_string())
            .output()
            .await
            .expect("wrk (Debian package wrk)");
        load(&output)
    }

    /// Runs `clients` clients that request one path repeatedly.
    pub async fn wrk_path(&self, url: &str, token: &str, clients: usize) -> Load {
        let output = Command::new("wrk")
            .args(["-t1".to_owned(), format!("-c{clients}"), format!("-d{}s", self.seconds)])
            .args(["--timeout", "20s", "-s", concat!(env!("CARGO_MANIFEST_DIR"), "/benches/load/path.lua")])
            .args([url, "--", token])
            .output()
            .await
            .expect("wrk (Debian package wrk)");
        load(&output)
    }

    /// Returns the transactions per second.
    pub async fn pgbench(&self, script: &str, year: i64) -> f64 {
        let path = self.folder.join("script.sql");
        std::fs::write(&path, script).expect("a script");
        let options = self.database.options();
        let clinics = self.clinics;
        let variables = [
            ("i", 0),
            ("clinics", clinics.count),
            ("doctors", clinics.doctors),
            ("patients", clinics.patients),
            ("first_clinic", clinics.first_clinic),
            ("first_account", clinics.first_account),
            ("first_doctor", clinics.first_doctor),
            ("first_patient", clinics.first_patient),
            ("first_staff", clinics.first_staff),
            ("booked_from", clinics.booked_from),
            ("from", clinics.from(year)),
        ];
        let output = Command::new("pgbench")
            .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
            .args([format!("--client={CLIENTS}"), format!("--time={}", self.seconds)])
            .args(variables.map(|(name, value)| format!("--define={name}={value}")))
            .arg("--file")
            .arg(&path)
            .args(["--host", &options.get_socket().expect("a socket").display().to_string()])
            .args(["--port", &options.get_port().to_string(), "--username", options.get_username()])
            .arg(options.get_database().expect("a database"))
            .env("PGOPTIONS", "-c role=clinicd_app")
            .output()
            .await
            .expect("pgbench (with PostgreSQL)");
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| line.starts_with("tps = "));
        let tps = line.and_then(|line| line.split_whitespace().nth(2)?.parse().ok());
        tps.unwrap_or_else(|| panic!("pgbench said {text} {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Requests the free times of each doctor one after the other, so that their schedules are in memory. Returns the
    /// server's memory (KiB) after each tenth of them.
    pub async fn activate(&self, server: &Server, doctors: Vec<(String, i64)>) -> Vec<u64> {
        let client = reqwest::Client::new();
        let from = chrono::DateTime::from_timestamp(self.clinics.from(0), 0).expect("a time");
        let to = from + chrono::TimeDelta::days(1);
        let mut memory = Vec::new();
        for tenth in doctors.chunks(doctors.len().div_ceil(10).max(1)) {
            let asking = futures_util::stream::iter(tenth.to_vec()).for_each_concurrent(CLIENTS, |(token, doctor)| {
                let url = format!("{}/api/doctors/{doctor}/slots", server.address);
                let request = client.get(url).query(&[("from", from.to_rfc3339()), ("to", to.to_rfc3339())]);
                let request = request.bearer_auth(token);
                async move { assert_eq!(request.send().await.expect("an answer").status(), 200) }
            });
            asking.await;
            memory.push(server.memory());
        }
        memory
    }

    /// Takes the eight times that the refused bookings name.
    pub async fn take(&self, server: &Server, year: i64) {
        let (client, clinics) = (reqwest::Client::new(), self.clinics);
        for n in 0..8 {
            let at = clinics.from(year) + 8 * 3600 + n * 1800;
            let at = chrono::DateTime::from_timestamp(at, 0).expect("a time").to_rfc3339();
            let body = json!({
                "doctor": clinics.first_doctor, "patient": clinics.first_patient + clinics.patients - 1,
                "appointment_datetime": at, "duration_minutes": 30,
            });
            let request = client.post(format!("{}/api/appointments", server.address)).json(&body);
            let answer = request.bearer_auth(&clinics.founders[0]).send().await.expect("an answer");
            assert_eq!(answer.status(), 201);
        }
    }

    /// Measures bookings without and with logins, in turn.
    pub async fn beside_logins(&self, server: &Server, years: Vec<i64>) -> Logins {
        let mut logins = Logins { alone: Vec::new(), beside: Vec::new(), answered: 0, turned_away: 0 };
        let servers = [server];
        for pair in years.chunks_exact(2) {
            logins.alone.push(self.wrk(&servers, "free", pair[0]).await);
            let arriving = self.log_in(server);
            let (beside, answers) = tokio::join!(self.wrk(&servers, "free", pair[1]), arriving);
            logins.beside.push(beside);
            logins.answered += answers.iter().filter(|status| **status == 200).count();
            logins.turned_away += answers.iter().filter(|status| **status == 503).count();
        }
        logins
    }

    /// Sends logins at a constant rate, whether or not they are answered.
    async fn log_in(&self, server: &Server) -> Vec<u16> {
        let client = reqwest::Client::new();
        let mut arriving = tokio::time::interval(Duration::from_millis(1000 / LOGINS));
        let mut under_way = tokio::task::JoinSet::new();
        for _ in 0..LOGINS * self.seconds {
            arriving.tick().await;
            let body = json!({ "email": self.clinics.email, "password": PASSWORD });
            let request = client.post(format!("{}/api/auth/login", server.address)).json(&body);
            under_way.spawn(async move { request.send().await.map_or(0, |answer| answer.status().as_u16()) });
        }
        under_way.join_all().await
    }
}
