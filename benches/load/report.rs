//! The report: a table, a page and a chart.

use std::fmt::Write as _;
use std::path::Path;

use clinicd::postgres::Database;
use sqlx::{Connection, PgConnection};

use super::sides::{Load, Logins, Server, Sides};
use super::{Operation, Options};

/// The rounds of one operation.
pub struct Row {
    title: &'static str,
    refused: bool,
    to_reach: Option<f64>,
    loads: Vec<Load>,
    beside: Vec<f64>,
    memory: u64,
}

impl Row {
    pub fn new(operation: &Operation) -> Self {
        Self {
            title: operation.title,
            refused: operation.refused,
            to_reach: operation.beside.map(|(_, ratio)| ratio),
            loads: Vec::new(),
            beside: Vec::new(),
            memory: 0,
        }
    }

    pub fn add(&mut self, load: Load, beside: Option<f64>, memory: u64) {
        self.loads.push(load);
        self.beside.extend(beside);
        self.memory = memory;
    }

    /// Returns the median of the rounds' ratios.
    fn ratio(&self) -> Option<f64> {
        let ratios: Vec<_> = self.loads.iter().zip(&self.beside).map(|(load, beside)| load.rate() / beside).collect();
        (!ratios.is_empty()).then(|| median(ratios))
    }

    pub fn line(&self) -> String {
        let of = |what: fn(&Load) -> f64| median(self.loads.iter().map(what).collect());
        let errors: f64 = self.loads.iter().map(|load| load.errors(self.refused)).sum();
        let or_none = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
        format!(
            "| {} | {:.0} | {:.1} | {:.1} | {} | {} | {} | {} | {errors:.0} |",
            self.title,
            of(Load::rate),
            of(|load| load.p50) / 1000.0,
            of(|load| load.p99) / 1000.0,
            or_none((!self.beside.is_empty()).then(|| format!("{:.0}", median(self.beside.clone())))),
            or_none(self.ratio().map(|ratio| format!("{ratio:.2}"))),
            or_none(self.to_reach.map(|ratio| format!("≥ {ratio}"))),
            self.memory / 1024,
        )
    }
}

/// All results.
pub struct Report {
    pub rows: Vec<Row>,
    pub logins: Option<Logins>,
    /// How many doctors were activated one after the other, and the server's memory (KiB) after each tenth of them.
    pub activation: Option<(usize, Vec<u64>)>,
    pub memory_after: u64,
    heading: String,
    cost: String,
}

impl Report {
    pub async fn new(options: &Options, server: &Server, sides: &Sides<'_>) -> Self {
        let version = postgres_version(sides.database).await;
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let binary = std::fs::metadata(env!("CARGO_BIN_EXE_clinicd")).map_or(0, |file| file.len());
        Self {
            rows: Vec::new(),
            logins: None,
            activation: None,
            memory_after: 0,
            heading: format!(
                "{} clinics × {} doctors × {} patients, {} appointments a doctor to begin with; PostgreSQL {version}, fsync and \
                 synchronous_commit on; {cores} processors for all; 32 connections; medians of {} rounds of {} s.",
                options.clinics,
                options.doctors,
                options.patients,
                options.appointments,
                options.rounds,
                options.seconds,
            ),
            cost: format!(
                "Start to ready: {} ms. Idle memory: {} MiB. Binary: {:.1} MB.",
                server.ready.as_millis(),
                server.idle / 1024,
                binary as f64 / 1e6,
            ),
        }
    }

    pub fn table(&self) -> String {
        let mut text = format!("{}\n\n", self.heading);
        text += "| operation | requests/s | p50 ms | p99 ms | pgbench/s | ratio | to reach | server MiB | errors |\n";
        text += "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
        for row in &self.rows {
            let _ = writeln!(text, "{}", row.line());
        }
        if let Some(logins) = &self.logins {
            let p99 = |loads: &[Load]| median(loads.iter().map(|load| load.p99 / 1000.0).collect());
            let rate = |loads: &[Load]| median(loads.iter().map(Load::rate).collect());
            let ratios = logins.alone.iter().zip(&logins.beside).map(|(alone, beside)| beside.p99 / alone.p99);
            let _ = writeln!(
                text,
                "\nBooking while 100 logins a second arrive: p99 {:.1} ms beside {:.1} ms alone, ratio {:.2} (to reach: ≤ 2); \
                 {:.0} bookings/s beside {:.0} alone; {} logins answered, {} turned away with 503.",
                p99(&logins.beside),
                p99(&logins.alone),
                median(ratios.collect()),
                rate(&logins.beside),
                rate(&logins.alone),
                logins.answered,
                logins.turned_away,
            );
        }
        if let Some((doctors, memory)) = &self.activation {
            let memory: Vec<_> = memory.iter().map(|memory| (memory / 1024).to_string()).collect();
            let _ = writeln!(
                text,
                "\n{doctors} doctors activated in turn: memory after each tenth of them {} MiB.",
                memory.join(", "),
            );
        }
        let _ = writeln!(text, "\n{} Memory after all this: {} MiB.", self.cost, self.memory_after / 1024);
        text
    }

    /// Writes the table to this file, and a chart of the ratios beside it.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.table()).expect("the report");
        std::fs::write(path.with_extension("svg"), self.picture()).expect("the picture");
    }

    fn picture(&self) -> String {
        let compared: Vec<_> = self.rows.iter().filter_map(|row| Some((row, row.ratio()?, row.to_reach?))).collect();
        let longest = compared.iter().map(|(_, ratio, _)| *ratio).fold(2.0, f64::max);
        let (scale, height) = (420.0 / longest, 40 + 34 * compared.len());
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"920\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"920\" height=\"{height}\" fill=\"white\"/>\n\
             <text x=\"10\" y=\"20\">Requests a second over pgbench's transactions a second (line: to reach)</text>\n"
        );
        for (n, (row, ratio, to_reach)) in compared.into_iter().enumerate() {
            let y = 36 + 34 * n;
            let colour = if ratio >= to_reach { "#2f7d5b" } else { "#b3462f" };
            let _ = writeln!(
                svg,
                "<text x=\"10\" y=\"{}\">{}</text><rect x=\"430\" y=\"{y}\" width=\"{:.0}\" height=\"20\" fill=\"{colour}\"/>\
                 <line x1=\"{mark:.0}\" x2=\"{mark:.0}\" y1=\"{}\" y2=\"{}\" stroke=\"black\"/><text x=\"{:.0}\" y=\"{}\">{ratio:.2}</text>",
                y + 15,
                row.title,
                ratio * scale,
                y - 3,
                y + 23,
                436.0 + ratio * scale,
                y + 15,
                mark = 430.0 + to_reach * scale,
            );
        }
        svg + "</svg>\n"
    }
}

async fn postgres_version(database: &Database) -> String {
    let mut db = PgConnection::connect_with(&database.options()).await.expect("a connection");
    let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(&mut db).await.expect("its version");
    version.split_whitespace().next().unwrap_or_default().to_owned()
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
