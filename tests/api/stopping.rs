//! SIGTERM: the program stops in time, in any state of the database, and gives no wrong answer.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::support::{Process, Proxy, Session, TestDatabase, booking, founder};

/// Twice the maximum time that the program needs.
const LIMIT: Duration = Duration::from_secs(30);

/// A program whose database has stopped responding, and pending requests to it.
struct Frozen {
    program: Process,
    database: TestDatabase,
    asking: Vec<tokio::task::JoinHandle<crate::support::Answer>>,
    _proxy: Proxy,
}

async fn frozen() -> Frozen {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start(&database).await;
    let program = Process::start(&proxy.url);
    let admin = founder(program.address, "ada").await;
    let mut doctors = Vec::new();
    for _ in 0..6 {
        doctors.push((admin.new_doctor().await, admin.new_patient().await));
    }
    admin.new_appointment(doctors[0].0, doctors[0].1, "08:00").await;
    proxy.freeze();
    let mut asking = Vec::new();
    for (doctor, patient) in doctors {
        let spawn = |admin: &Session, body: Option<serde_json::Value>| {
            let admin = admin.clone();
            tokio::spawn(async move {
                match body {
                    Some(body) => admin.post("/api/appointments", body).await,
                    None => admin.get("/api/patients").await,
                }
            })
        };
        asking.push(spawn(&admin, Some(booking(doctor, patient, "10:00"))));
        asking.push(spawn(&admin, None));
    }
    // At least one of them is pending.
    proxy.held().await;
    Frozen { program, database, asking, _proxy: proxy }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_program_ends_in_time_despite_its_database() {
    let Frozen { program, database, asking, _proxy } = frozen().await;
    program.terminate();
    let (status, log) = program.ended(LIMIT).await;
    assert_eq!(status, Some(1), "{log}");
    assert!(log.contains("stopped before this was done"), "{log}");
    let mut answered = 0;
    for answer in asking {
        // Requests that had not arrived yet are not accepted.
        let Ok(answer) = answer.await else { continue };
        assert_eq!(answer.expect(503).header("retry-after"), "1");
        answered += 1;
    }
    assert!(answered > 0, "no request was answered");
    assert_eq!(database.count("SELECT count(*) FROM appointments").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_program_at_once() {
    let Frozen { program, asking, _proxy, .. } = frozen().await;
    program.terminate();
    // The program has handled the first signal when it no longer listens.
    while TcpStream::connect(program.address).await.is_ok() {
        sleep(Duration::from_millis(20)).await;
    }
    program.terminate();
    let (status, log) = program.ended(LIMIT).await;
    assert_eq!(status, Some(143), "{log}");
    asking.iter().for_each(|asking| asking.abort());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_waits_for_its_database_stops_on_request() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let program = Process::launch(&format!("postgresql://clinicd@{address}/clinicd?sslmode=disable"));
    let _connection = silent.accept().await.unwrap();
    program.terminate();
    let (status, log) = program.ended(LIMIT).await;
    assert_eq!(status, Some(0), "{log}");
}
