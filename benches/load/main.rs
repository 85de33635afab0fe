//! Compares the server under load with the bare SQL of each operation: `make bench`.
//!
//! The server, PostgreSQL and the load generators share one machine, so only the ratios are meaningful.

mod clinics;
mod lists;
mod report;
mod sides;

use std::ops::RangeFrom;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;

use clap::Parser;
use clinicd::postgres::Database;
use futures_util::FutureExt;

use clinics::Clinics;
use report::{Report, Row};
use sides::{Server, Sides};

/// An operation to measure.
struct Operation {
    name: &'static str,
    title: &'static str,
    /// The operation's name in `load.lua`.
    sends: &'static str,
    /// How many servers share the connections, on one database.
    nodes: usize,
    /// The script of pgbench for comparison, and the ratio to reach.
    beside: Option<(&'static str, f64)>,
    /// Whether every answer must be a refusal.
    refused: bool,
    /// Whether the operation books.
    writes: bool,
}

const OPERATIONS: [Operation; 14] = [
    Operation {
        name: "free",
        title: "POST /api/appointments, free times of all doctors",
        sends: "free",
        nodes: 1,
        beside: Some((include_str!("sql/booking.sql"), 1.43)),
        refused: false,
        writes: true,
    },
    Operation {
        name: "hot",
        title: "POST /api/appointments, free times of 4 doctors",
        sends: "hot",
        nodes: 1,
        beside: Some((include_str!("sql/hot.sql"), 1.5)),
        refused: false,
        writes: true,
    },
    Operation {
        name: "storm",
        title: "POST /api/appointments, 8 taken times of 1 doctor",
        sends: "storm",
        nodes: 1,
        beside: Some((include_str!("sql/storm.sql"), 2.0)),
        refused: true,
        writes: false,
    },
    Operation {
        name: "patient",
        title: "GET /api/patients/{id}",
        sends: "patient",
        nodes: 1,
        beside: Some((include_str!("sql/patient.sql"), 1.3)),
        refused: false,
        writes: false,
    },
    Operation {
        name: "patients",
        title: "GET /api/patients?limit=50",
        sends: "patients",
        nodes: 1,
        beside: Some((include_str!("sql/patients.sql"), 0.8)),
        refused: false,
        writes: false,
    },
    Operation {
        name: "staff",
        title: "GET /api/patients?limit=50, a staff user's own 500",
        sends: "staff",
        nodes: 1,
        beside: Some((include_str!("sql/staff.sql"), 1.0)),
        refused: false,
        writes: false,
    },
    Operation {
        name: "assigned",
        title: "GET /api/patients?limit=50, a doctor's assigned 1000",
        sends: "assigned",
        nodes: 1,
        beside: Some((include_str!("sql/assigned.sql"), 1.0)),
        refused: false,
        writes: false,
    },
    Operation {
        name: "own",
        title: "GET /api/appointments?limit=50, a staff user's own",
        sends: "own",
        nodes: 1,
        beside: Some((include_str!("sql/own.sql"), 1.0)),
        refused: false,
        writes: false,
    },
    Operation {
        name: "day",
        title: "GET /api/appointments?doctor=&from=&to=, a day",
        sends: "day",
        nodes: 1,
        beside: Some((include_str!("sql/day.sql"), 1.0)),
        refused: false,
        writes: false,
    },
    Operation {
        name: "history",
        title: "GET /api/appointments?patient=",
        sends: "history",
        nodes: 1,
        beside: Some((include_str!("sql/history.sql"), 1.0)),
        refused: false,
        writes: false,
    },
    Operation {
        name: "mappings",
        title: "GET /api/mappings?patient=",
        sends: "mappings",
        nodes: 1,
        beside: Some((include_str!("sql/mappings.sql"), 1.0)),
        refused: false,
        writes: false,
    },
    Operation {
        name: "slots",
        title: "GET /api/doctors/{id}/slots, 7 days",
        sends: "slots",
        nodes: 1,
        beside: None,
        refused: false,
        writes: false,
    },
    Operation {
        name: "free2",
        title: "POST /api/appointments, free times of all doctors, two nodes",
        sends: "free",
        nodes: 2,
        beside: Some((include_str!("sql/booking.sql"), 1.2)),
        refused: false,
        writes: true,
    },
    Operation {
        name: "storm2",
        title: "POST /api/appointments, 8 taken times of 1 doctor, two nodes",
        sends: "storm",
        nodes: 2,
        beside: Some((include_str!("sql/storm.sql"), 1.5)),
        refused: true,
        writes: false,
    },
];

/// Compares clinicd with bare SQL.
#[derive(Parser)]
struct Options {
    /// The number of clinics, each with its doctors and patients.
    #[arg(long, default_value_t = 10)]
    clinics: i64,
    /// Doctors per clinic.
    #[arg(long, default_value_t = 100)]
    doctors: i64,
    /// Patients per clinic.
    #[arg(long, default_value_t = 10_000)]
    patients: i64,
    /// Existing appointments per doctor.
    #[arg(long, default_value_t = 0)]
    appointments: i64,
    /// The number of doctors that are added to be activated one after the other.
    #[arg(long, default_value_t = 100_000)]
    hired: i64,
    /// The length of each measurement, in seconds.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// The number of rounds; the results are medians.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these operations, separated by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Measure every list of every role in the first clinic instead.
    #[arg(long)]
    lists: bool,
    /// The file of the report; none if absent.
    #[arg(long)]
    report: Option<PathBuf>,
    /// A flag that `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let folder = std::env::temp_dir().join(format!("clinicd-load-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let report = runtime.block_on(async {
        let database = Database::open(None, &folder).await.expect("a private PostgreSQL");
        let report = AssertUnwindSafe(measure(&options, &database, &folder)).catch_unwind().await;
        database.close().await;
        report
    });
    let _ = std::fs::remove_dir_all(&folder);
    match report {
        Ok(Some(report)) => {
            println!("{}", report.table());
            if let Some(path) = &options.report {
                report.write(path);
            }
        }
        Ok(None) => {}
        // The panic has printed the reason.
        Err(_) => std::process::exit(1),
    }
}

async fn measure(options: &Options, database: &Database, folder: &std::path::Path) -> Option<Report> {
    let server = Server::start(database, folder).await;
    let clinics = Clinics::make(options, database, &server, folder).await;
    let sides = Sides { clinics: &clinics, database, folder, seconds: options.seconds };
    if options.lists {
        let table = lists::measure(sides, &server, database).await;
        server.stop().await;
        if let Some(path) = &options.report {
            std::fs::write(path, table).expect("the report");
        }
        return None;
    }
    let mut report = Report::new(options, &server, &sides).await;
    sides.activate(&server, clinics.all_doctors()).await;
    let is_asked = |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    let asked = |nodes| OPERATIONS.iter().filter(move |one| one.nodes == nodes && is_asked(one.name));
    // Each run books in years of its own.
    let mut years = 0..;
    for operation in asked(1) {
        let row = rounds(operation, options.rounds, sides, &[&server], &mut years).await;
        report.rows.push(row);
    }
    if is_asked("logins") {
        let years = years.by_ref().take(2 * options.rounds).collect();
        report.logins = Some(sides.beside_logins(&server, years).await);
    }
    // The second node comes last, because a single node may be faster.
    if asked(2).next().is_some() {
        let second = Server::start(database, folder).await;
        sides.activate(&second, clinics.all_doctors()).await;
        for operation in asked(2) {
            let row = rounds(operation, options.rounds, sides, &[&server, &second], &mut years).await;
            report.rows.push(row);
        }
        second.stop().await;
    }
    report.memory_after = server.memory();
    server.stop().await;
    if is_asked("activation") {
        let doctors = clinics.hire(database, options.hired).await;
        let server = Server::start(database, folder).await;
        report.activation = Some((doctors.len(), sides.activate(&server, doctors).await));
        server.stop().await;
    }
    Some(report)
}

/// Measures one operation in turn with bare SQL.
async fn rounds(
    operation: &Operation,
    count: usize,
    sides: Sides<'_>,
    servers: &[&Server],
    years: &mut RangeFrom<i64>,
) -> Row {
    let mut row = Row::new(operation);
    let mut year = || years.next().unwrap_or(0);
    let first = year();
    if operation.refused {
        // The times that the refused bookings name are taken first.
        sides.take(servers[0], first).await;
    }
    // One unmeasured run prepares the statements.
    Sides { seconds: 2, ..sides }.wrk(servers, operation.sends, first).await;
    for _ in 0..count {
        let (ours, theirs) = if operation.writes { (year(), year()) } else { (first, first) };
        let load = sides.wrk(servers, operation.sends, ours).await;
        let beside = match operation.beside {
            Some((script, _)) => Some(sides.pgbench(script, theirs).await),
            None => None,
        };
        row.add(load, beside, servers.iter().map(|server| server.memory()).sum());
    }
    println!("{}", row.line());
    row
}
