//! A full disk: the answer is 503 and never 500, reads continue, no acknowledged write is lost, and the program
//! recovers without help.

use std::fs;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use nix::unistd::{User, geteuid};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use crate::support::{Session, TestApp, TestDatabase, booking, settings};

/// The size of the disk. A new cluster with the schema takes less than half of it.
const DISK: &str = "size=160m";

/// A PostgreSQL cluster on its own small disk. The test removes both at its end.
struct SmallDisk {
    folder: PathBuf,
    programs: PathBuf,
}

impl SmallDisk {
    /// Mounts the disk and creates the cluster on it, with its WAL on the same disk or elsewhere. Returns the reason if
    /// that is not possible.
    fn make(wal_too: bool) -> Result<Self, String> {
        if !geteuid().is_root() {
            return Err("only root may mount a disk".into());
        }
        let folder = std::env::temp_dir().join(format!("clinicd-full-{wal_too}-{}", std::process::id()));
        let disk = Self { programs: programs(), folder };
        fs::create_dir_all(disk.folder.join("disk")).map_err(|error| error.to_string())?;
        disk.done(Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(disk.folder.join("disk")))?;
        for folder in [disk.folder.clone(), disk.folder.join("disk")] {
            disk.done(Command::new("chown").arg("postgres").arg(folder))?;
        }
        let wal = if wal_too { disk.folder.join("disk/wal") } else { disk.folder.join("wal") };
        let initdb = ["-D", "disk/data", "-U", "clinicd", "-A", "trust", "-E", "UTF8", "--locale=C", "--wal-segsize=1"];
        disk.done(disk.command("initdb").args(initdb).arg("-X").arg(wal))?;
        disk.start()?;
        Ok(disk)
    }

    fn command(&self, program: &str) -> Command {
        use std::os::unix::process::CommandExt;
        let account = User::from_name("postgres").unwrap().expect("the account of PostgreSQL");
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(&self.folder).uid(account.uid.as_raw()).gid(account.gid.as_raw());
        command.stdin(std::process::Stdio::null());
        command
    }

    fn done(&self, command: &mut Command) -> Result<(), String> {
        // `output` cannot be used: the server would keep the pipe open.
        let log = File::create(self.folder.join("out")).map_err(|error| error.to_string())?;
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        match command.stdout(log).stderr(errors).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(fs::read_to_string(self.folder.join("out")).unwrap_or_default()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn start(&self) -> Result<(), String> {
        let options = format!(
            "-k {} -c listen_addresses= -c shared_buffers=16MB -c min_wal_size=2MB -c max_wal_size=8MB",
            self.folder.display()
        );
        let arguments = ["start", "-w", "-t", "60", "-D", "disk/data", "-l", "log", "-o", &options];
        self.done(self.command("pg_ctl").args(arguments))
    }

    fn is_running(&self) -> bool {
        self.done(self.command("pg_ctl").args(["status", "-D", "disk/data"])).is_ok()
    }

    /// Writes until the disk is full.
    fn fill(&self) {
        let mut ballast = File::options().append(true).create(true).open(self.ballast()).unwrap();
        for size in [1 << 20, 1 << 12] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("disk/ballast")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.done(self.command("pg_ctl").args(["stop", "-m", "immediate", "-D", "disk/data"]));
        let _ = Command::new("umount").arg("-l").arg(self.folder.join("disk")).status();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Returns the folder of PostgreSQL's programs.
fn programs() -> PathBuf {
    if let Some(folder) = std::env::var_os("CLINICD_PG_BIN").filter(|folder| !folder.is_empty()) {
        return folder.into();
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    folders.retain(|folder| Path::new(folder).join("initdb").exists());
    folders.sort();
    folders.pop().expect("PostgreSQL's programs, or their folder in CLINICD_PG_BIN")
}

/// Books one of the free times. Returns the id of an acknowledged booking.
async fn book(admin: &Session, doctor: i64, patient: i64, n: usize) -> Option<i64> {
    let mut body = booking(doctor, patient, &format!("{:02}:{:02}", n / 12 % 24, n % 12 * 5));
    body["appointment_datetime"] =
        format!("2031-{:02}-{:02}T{:02}:{:02}:00Z", n / 8064 % 12 + 1, n / 288 % 28 + 1, n / 12 % 24, n % 12 * 5)
            .into();
    body["duration_minutes"] = 5.into();
    body["reason"] = "x".repeat(1000).into();
    let answer = admin.post("/api/appointments", body).await;
    if answer.status == 201 {
        return Some(answer.id());
    }
    // Never a 500, and never a refusal.
    let answer = answer.expect(503);
    assert_eq!(answer.header("retry-after"), "1");
    None
}

/// Makes the server write its log until the disk is full, which stops the server (PANIC).
async fn end_the_server_by_its_log(disk: &SmallDisk, database: &TestDatabase) {
    let url = PgConnectOptions::from_str(&database.url).unwrap();
    for _ in 0..1000 {
        disk.fill();
        if let Ok(mut db) = PgConnection::connect_with(&url).await {
            let log = "SELECT pg_logical_emit_message(false, 'x', repeat('x', 100000)); SELECT pg_switch_wal()";
            let _ = sqlx::raw_sql(log).execute(&mut db).await;
        }
        if disk.log().contains("PANIC") {
            return;
        }
    }
    panic!("the log still fits on the disk: {}", disk.log());
}

async fn a_full_disk_is_503_until_there_is_space(wal_too: bool) {
    let disk = match SmallDisk::make(wal_too) {
        Ok(disk) => disk,
        Err(why) => return println!("NOT TESTED: no disk can be created here to be filled: {why}"),
    };
    let database =
        TestDatabase { url: format!("postgresql://clinicd@localhost/postgres?host={}", disk.folder.display()) };
    let app = TestApp::start_with(database.clone(), settings(&database)).await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    let mut acknowledged = vec![book(&admin, doctor, patient, 0).await.expect("there is space")];

    disk.fill();
    let (mut refused, mut n) = (0, 0);
    while refused < 20 {
        n += 1;
        assert!(n < 5000, "the disk is never full");
        match book(&admin, doctor, patient, n).await {
            Some(id) => acknowledged.push(id),
            None => refused += 1,
        }
        // Space that a checkpoint released is filled as well.
        disk.fill();
    }
    assert!(disk.log().contains("No space left on device"), "{}", disk.log());
    admin.get(&format!("/api/appointments/{}", acknowledged[0])).await.expect(200);
    admin.get("/api/patients").await.expect(200);
    if wal_too {
        end_the_server_by_its_log(&disk, &database).await;
        for _ in 0..20 {
            n += 1;
            acknowledged.extend(book(&admin, doctor, patient, n).await);
        }
    }
    println!("{} were acknowledged", acknowledged.len());

    fs::remove_file(disk.ballast()).unwrap();
    // A server that cannot write its log may stop. Its operator then starts it again.
    if !disk.is_running() {
        disk.start().expect("the server starts after space was freed");
    }
    let begun = clinicd::clock::instant();
    let id = loop {
        n += 1;
        match book(&admin, doctor, patient, n).await {
            Some(id) => break id,
            None => assert!(begun.elapsed() < Duration::from_secs(60), "{}", disk.log()),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    println!("booked again {:?} after space was freed", begun.elapsed());
    acknowledged.push(id);
    let mut db = database.connect().await;
    let stored: Vec<i64> = sqlx::query_scalar("SELECT id FROM appointments").fetch_all(&mut db).await.unwrap();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !stored.contains(id)).collect();
    assert!(lost.is_empty(), "acknowledged but lost: {lost:?}");
    assert_eq!(database.overlapping_pairs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_data_disk_is_503_until_there_is_space() {
    a_full_disk_is_503_until_there_is_space(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_data_and_log_disk_is_503_until_there_is_space() {
    a_full_disk_is_503_until_there_is_space(true).await;
}
