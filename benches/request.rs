//! The fixed costs of a request: its token and the policy's decision. Also the columns of a group of bookings, which
//! the writer builds once per group.

use std::hint::black_box;

use chrono::{Duration, TimeZone, Utc};
use clinicd::authn::TokenKeys;
use clinicd::authz::Policy;
use clinicd::domain::access::{Action, Resource};
use clinicd::domain::appointments::{Booking, BookingRequest};
use clinicd::domain::{AccountId, Caller, ClinicId, DoctorId, Interval, PatientId, Visibility};
use clinicd::repository::bookings::Columns;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use uuid::Uuid;

fn caller() -> Caller {
    Caller {
        clinic: ClinicId(3),
        account: AccountId(5),
        role: "staff".into(),
        doctor: None,
        request: Uuid::now_v7(),
        retry: None,
    }
}

fn policy(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let policy = runtime.block_on(Policy::built_in()).expect("the policy");
    criterion.bench_function("a decision of the policy", |bencher| {
        bencher.iter(|| policy.decide(black_box("staff"), Resource::Appointments, Action::Create).is_some());
    });
}

fn tokens(criterion: &mut Criterion) {
    let key = TokenKeys::generate().expect("a key");
    let keys = || TokenKeys::new(std::slice::from_ref(&key)).expect("the keys");
    let (now, known) = (clinicd::clock::now(), keys());
    let token = known.issue(&caller(), now, Duration::hours(1)).expect("a token");
    let mut group = criterion.benchmark_group("a token");
    group.bench_function("seen before", |bencher| {
        bencher.iter(|| known.verify(black_box(&token), now).expect("a good token"));
    });
    group.bench_function("for the first time", |bencher| {
        bencher.iter_batched(keys, |keys| keys.verify(&token, now).expect("a good token"), BatchSize::SmallInput);
    });
    group.finish();
}

fn bookings(criterion: &mut Criterion) {
    let start = Utc.with_ymd_and_hms(2030, 1, 7, 9, 0, 0).unwrap();
    let mut group = criterion.benchmark_group("the columns of a group of bookings");
    for size in [1i64, 16, 64] {
        let bookings: Vec<Booking> = (0..size)
            .map(|n| {
                let during = Interval::starting(start + Duration::hours(n), Duration::minutes(30)).expect("a time");
                let request = BookingRequest {
                    caller: caller(),
                    bookable: Visibility::WHOLE_CLINIC,
                    doctor: DoctorId(n),
                    patient: PatientId(n),
                    start: during.start(),
                    length: None,
                    reason: "Follow-up after the operation".into(),
                    hold: None,
                };
                Booking { reference: Uuid::now_v7(), request, during, series: None }
            })
            .collect();
        let bookings: Vec<(i32, &Booking)> = (1..).zip(&bookings).collect();
        group.throughput(Throughput::Elements(size as u64));
        group.bench_with_input(BenchmarkId::from_parameter(size), &bookings, |bencher, bookings| {
            bencher.iter(|| Columns::of(black_box(bookings)));
        });
    }
    group.finish();
}

criterion_group!(benches, policy, tokens, bookings);
criterion_main!(benches);
