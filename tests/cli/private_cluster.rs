//! The private local cluster starts and stops with the program.

use std::process::Stdio;

use nix::sys::signal::Signal::{SIGINT, SIGKILL, SIGTERM};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::program::{Folder, Serving, clinicd, cluster_runs, wait_until};

/// Returns the id of the server's first process.
fn postmaster(folder: &Folder) -> Option<i32> {
    let file = std::fs::read_to_string(folder.0.join(".clinicd/postgres/data/postmaster.pid")).unwrap_or_default();
    file.lines().next().and_then(|line| line.parse().ok())
}

#[test]
fn the_cluster_stops_with_the_program_and_survives_its_kill() {
    let folder = Folder::new("killed");
    let serving = Serving::start(&folder, &["--no-demo"]);
    assert!(cluster_runs(&folder));
    let body = json!({ "email": "ada@example.com", "password": "seven quiet lanterns" });
    assert_eq!(serving.ask("POST", "/api/auth/register", None, Some(body)).0, 201);
    drop(serving); // SIGKILL
    assert!(cluster_runs(&folder), "nobody told it to stop");

    let serving = Serving::start(&folder, &["--no-demo"]);
    assert_eq!(serving.login("ada@example.com", "seven quiet lanterns").0, 200);
    let (code, _) = serving.stop(SIGINT);
    assert_eq!(code, Some(0));
    wait_until("the cluster is stopped with its last user", || !cluster_runs(&folder));
}

#[test]
fn a_dead_cluster_is_restarted_while_the_program_serves() {
    let folder = Folder::new("mended");
    let serving = Serving::start(&folder, &["--no-demo"]);
    let body = json!({ "email": "ada@example.com", "password": "seven quiet lanterns" });
    assert_eq!(serving.ask("POST", "/api/auth/register", None, Some(body)).0, 201);
    let died = postmaster(&folder).unwrap();
    kill(Pid::from_raw(died), SIGKILL).unwrap();
    wait_until("another server starts", || postmaster(&folder).is_some_and(|pid| ![died, i32::MAX].contains(&pid)));
    wait_until("the program is ready again", || serving.ask("GET", "/readyz", None, None).0 == 200);
    assert_eq!(serving.login("ada@example.com", "seven quiet lanterns").0, 200);
    let (code, log) = serving.stop(SIGTERM);
    assert_eq!(code, Some(0));
    for line in ["the local PostgreSQL died", "the local PostgreSQL is running again"] {
        assert_eq!(log.matches(line).count(), 1, "{log}");
    }
    wait_until("the new server is stopped as well", || !cluster_runs(&folder));
}

#[test]
fn the_private_cluster_gets_no_setting_and_no_secret() {
    let folder = Folder::new("environment");
    let secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    std::fs::write(folder.0.join(".env"), format!("CLINICD_KEY_SECRET={secret}\n")).unwrap();
    let serving = Serving::start(&folder, &["--no-demo"]);
    let environment = std::fs::read(format!("/proc/{}/environ", postmaster(&folder).unwrap())).unwrap();
    let (code, log) = serving.stop(SIGTERM);
    assert_eq!(code, Some(0), "{log}");
    let environment = String::from_utf8_lossy(&environment);
    let (known, unwanted): (Vec<_>, Vec<_>) = environment.split('\0').partition(|line| {
        !["CLINICD_", "DATABASE_URL="].iter().any(|name| line.starts_with(name)) && !line.contains(secret)
    });
    assert!(known.contains(&"LC_ALL=C"), "this is the server's environment");
    assert_eq!(unwanted, [""; 0]);
}

#[test]
fn a_stop_during_the_start_leaves_no_server_behind() {
    let folder = Folder::new("interrupted");
    let data = folder.0.join(".clinicd");
    // Each moment is tested in a first start, and in a second one that finds what the first one left.
    for moment in ["local.start.lock", "postgres", "postgres/data", "postgres/data/postmaster.pid"] {
        let _ = std::fs::remove_dir_all(&data);
        for _ in 0..2 {
            let mut command = clinicd(&folder, &["serve", "--listen", "127.0.0.1:0", "--no-demo"]);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let id = Pid::from_raw(child.id() as i32);
            wait_until("the program handles signals", || catches(id, SIGTERM));
            wait_until(moment, || data.join(moment).exists());
            kill(id, SIGTERM).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(0), "{moment}");
            assert!(!cluster_runs(&folder), "{moment}");
        }
    }
    let (code, _) = Serving::start(&folder, &["--no-demo"]).stop(SIGTERM);
    assert_eq!(code, Some(0));
    assert!(!cluster_runs(&folder));
}

/// Returns whether a process has a handler for a signal.
fn catches(process: Pid, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
    u64::from_str_radix(caught, 16).unwrap() >> (signal as i32 - 1) & 1 == 1
}
