//! The evaluator and the search for free times, for a growing number of appointments.

use std::hint::black_box;

use chrono::{DateTime, Duration, NaiveDate, NaiveTime, TimeZone, Utc, Weekday};
use chrono_tz::Tz;
use clinicd::domain::calendar::{Calendar, Hours, Rules, Search, Window};
use clinicd::domain::{AppointmentId, Interval};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SIZES: [usize; 4] = [100, 1_000, 10_000, 20_000];

/// A Monday.
fn monday() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2030, 1, 7, 0, 0, 0).unwrap()
}

/// Mornings and afternoons of five weekdays, with a break, a buffer and a limit.
fn rules() -> Rules {
    let at = |hour| NaiveTime::from_hms_opt(hour, 0, 0).unwrap();
    let weekdays = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri];
    let windows = weekdays
        .into_iter()
        .flat_map(|weekday| [(9, 13), (14, 18)].map(|(start, end)| Window { weekday, start: at(start), end: at(end) }));
    let hours =
        Hours { effective_from: NaiveDate::from_ymd_opt(2026, 1, 1).unwrap(), windows: Some(windows.collect()) };
    Rules {
        hours: vec![hours],
        buffer_after: Duration::minutes(5),
        most_a_day: Some(15),
        ..Rules::unset(Tz::Europe__Lisbon, Duration::minutes(30))
    }
}

/// Returns `count` appointments, eight on each weekday.
fn appointments(count: usize) -> Vec<(AppointmentId, Interval)> {
    let times = (0i64..).filter(|day| day % 7 < 5).flat_map(|day| {
        (0..8).map(move |hour| monday() + Duration::days(day) + Duration::hours(9 + hour + i64::from(hour > 3)))
    });
    let spans = times.filter_map(|start| Interval::starting(start, Duration::minutes(25)));
    spans.take(count).enumerate().map(|(n, during)| (AppointmentId(n as i64), during)).collect()
}

fn evaluator(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("violations of one proposal");
    for size in SIZES {
        let calendar = Calendar::new(rules(), appointments(size));
        let free = Interval::starting(monday() + Duration::minutes(9 * 60 + 30), Duration::minutes(25)).unwrap();
        group.bench_with_input(BenchmarkId::from_parameter(size), &calendar, |bencher, calendar| {
            bencher.iter(|| calendar.violations(black_box(&free), None, monday()));
        });
    }
    group.finish();
}

fn search(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("free times of 31 days");
    for size in SIZES {
        let calendar = Calendar::new(rules(), appointments(size));
        let search = Search {
            from: monday(),
            to: monday() + Duration::days(31),
            length: Duration::minutes(25),
            also_busy: &[],
            ignored: None,
            now: monday(),
        };
        group.bench_with_input(BenchmarkId::from_parameter(size), &calendar, |bencher, calendar| {
            bencher.iter(|| calendar.free(black_box(search)).count());
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("free times, by days looked at");
    let calendar = Calendar::new(rules(), appointments(1_000));
    for days in [1u32, 7, 31] {
        let search = Search {
            from: monday(),
            to: monday() + Duration::days(days.into()),
            length: Duration::minutes(25),
            also_busy: &[],
            ignored: None,
            now: monday(),
        };
        group.throughput(Throughput::Elements(days.into()));
        group.bench_with_input(BenchmarkId::from_parameter(days), &search, |bencher, search| {
            bencher.iter(|| calendar.free(black_box(*search)).count());
        });
    }
    group.finish();
}

fn building(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a calendar from its appointments");
    for size in SIZES {
        let rows = appointments(size);
        group.throughput(Throughput::Elements(size as u64));
        group.bench_with_input(BenchmarkId::from_parameter(size), &rows, |bencher, rows| {
            bencher.iter(|| Calendar::new(rules(), rows.iter().copied()));
        });
    }
    group.finish();
}

criterion_group!(calendar, evaluator, search, building);
criterion_main!(calendar);
