//! Tests of the private cluster with a real server.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::sleep;

use super::account::place;
use super::server::LOG;
use super::*;

/// A data folder of one test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("clinicd-test-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn the_last_user_stops_the_cluster_and_data_stay() {
    let scratch = Scratch::new("shared");
    let first = LocalCluster::start(&scratch.0).await.unwrap();
    first.running.server.query("CREATE TABLE kept AS SELECT 42 AS answer").unwrap();
    let second = LocalCluster::start(&scratch.0).await.unwrap();
    first.stop().await.unwrap();
    assert_eq!(second.running.server.query("SELECT answer FROM kept").unwrap(), "42");
    let socket = second.socket_dir().join(format!(".s.PGSQL.{PORT}"));
    second.stop().await.unwrap();
    assert!(!socket.exists());

    let again = LocalCluster::start(&scratch.0).await.unwrap();
    assert_eq!(again.running.server.query("SELECT answer FROM kept").unwrap(), "42");
    again.stop().await.unwrap();
}

#[tokio::test]
async fn a_stale_pid_file_and_an_unfinished_creation_are_harmless() {
    let scratch = Scratch::new("stale");
    LocalCluster::start(&scratch.0).await.unwrap().stop().await.unwrap();
    let (base, account) = place(&scratch.0.canonicalize().unwrap()).unwrap();
    let mut other = account.command(Path::new("sleep"), Path::new("/")).arg("60").spawn().unwrap();
    let lock = format!("{}\n{}\n0\n{PORT}\n\n\n", other.id(), base.join(DATA).display());
    fs::write(base.join(DATA).join("postmaster.pid"), &lock).unwrap();
    fs::write(base.join(format!(".s.PGSQL.{PORT}.lock")), &lock).unwrap();
    LocalCluster::start(&scratch.0).await.unwrap().stop().await.unwrap();
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();

    fs::rename(base.join(DATA), base.join("data.new.1")).unwrap();
    LocalCluster::start(&scratch.0).await.unwrap().stop().await.unwrap();
    assert!(!base.join("data.new.1").exists());
}

#[tokio::test]
async fn the_log_repeats_no_row_and_nobody_else_can_lock_the_cluster() {
    let scratch = Scratch::new("private");
    // An earlier version created the file with this mode.
    let lock = scratch.0.join("local.lock");
    fs::write(&lock, "").unwrap();
    fs::set_permissions(&lock, Permissions::from_mode(0o644)).unwrap();
    let cluster = LocalCluster::start(&scratch.0).await.unwrap();
    cluster.running.server.query("CREATE TABLE people (email text PRIMARY KEY)").unwrap();
    cluster.running.server.query("INSERT INTO people VALUES ('ada@example.com')").unwrap();
    let email = "concat('ada', '@example.com')";
    cluster.running.server.query(&format!("INSERT INTO people VALUES ({email})")).unwrap_err();
    let log = fs::read_to_string(cluster.running.server.base.join(LOG)).unwrap();
    assert!(log.contains("people_pkey") && !log.contains("ada@example.com"), "{log}");
    cluster.stop().await.unwrap();
    let made = scratch.0.join("made/data");
    let cluster = LocalCluster::start(&made).await.unwrap();
    assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o066, 0);
    for name in ["local.lock", "local.start.lock"] {
        let mode = fs::metadata(scratch.0.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    cluster.stop().await.unwrap();
}

/// Returns the process id of the server's first process.
fn postmaster(cluster: &LocalCluster) -> Pid {
    let file = fs::read_to_string(cluster.running.server.base.join(DATA).join("postmaster.pid")).unwrap();
    Pid::from_raw(file.lines().next().unwrap().parse().unwrap())
}

/// Repeats a query until the cluster answers. The time limit is long enough for a slow machine to start a server.
async fn answers(cluster: &LocalCluster, sql: &str) -> String {
    let began = crate::clock::instant();
    loop {
        match cluster.running.server.query(sql) {
            Ok(answer) => return answer,
            Err(error) => assert!(began.elapsed() < Duration::from_secs(60), "{error}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_is_restarted_even_if_two_programs_see_it() {
    let scratch = Scratch::new("mended");
    let first = LocalCluster::start(&scratch.0).await.unwrap();
    let second = LocalCluster::start(&scratch.0).await.unwrap();
    first.running.server.query("CREATE TABLE kept AS SELECT 42 AS answer").unwrap();
    for _ in 0..2 {
        let died = postmaster(&first);
        kill(died, Signal::SIGKILL).unwrap();
        assert_eq!(answers(&second, "SELECT answer FROM kept").await, "42");
        assert_ne!(postmaster(&first), died);
    }
    first.stop().await.unwrap();
    assert_eq!(second.running.server.query("SELECT answer FROM kept").unwrap(), "42");
    second.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_that_outlive_their_server_do_not_keep_it_down() {
    let scratch = Scratch::new("orphans");
    let cluster = LocalCluster::start(&scratch.0).await.unwrap();
    // A stopped process can only be ended by SIGKILL.
    let checkpointer = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'";
    let checkpointer: i32 = cluster.running.server.query(checkpointer).unwrap().parse().unwrap();
    kill(Pid::from_raw(checkpointer), Signal::SIGSTOP).unwrap();
    kill(postmaster(&cluster), Signal::SIGKILL).unwrap();
    assert_eq!(answers(&cluster, "SELECT 1").await, "1");
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_not_supervised_stays_down() {
    let scratch = Scratch::new("alone");
    let cluster = LocalCluster::start(&scratch.0).await.unwrap();
    cluster.leave_alone();
    kill(postmaster(&cluster), Signal::SIGKILL).unwrap();
    // This is several times the interval at which a dead server is detected.
    sleep(Duration::from_secs(3)).await;
    assert!(!cluster.running.server.is_running().unwrap());
    cluster.stop().await.unwrap();
}
