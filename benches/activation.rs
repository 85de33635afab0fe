//! Loads a doctor's calendar from PostgreSQL, for a growing number of upcoming appointments.

use clinicd::actors::repository::{Repository, Settings};
use clinicd::domain::{ClinicId, DoctorId};
use clinicd::postgres::Database;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SIZES: [i32; 4] = [100, 1_000, 10_000, 20_000];

/// A clinic whose n-th doctor has as many upcoming appointments as the n-th size, eight per day.
const CLINIC: &str = "
    INSERT INTO accounts (email, username, password_hash) VALUES ('a@b.example', 'a@b.example', '-');
    INSERT INTO clinics (name, time_zone) VALUES ('Bench', 'Europe/Lisbon');
    SELECT set_config('app.clinic_id', '1', false);
    INSERT INTO patients (clinic_id, first_name, last_name, created_by)
        SELECT 1, 'Pat', 'Bench', 1 FROM generate_series(1, 8);
    INSERT INTO doctors (clinic_id, first_name, last_name, specialization, license_number, email)
        SELECT 1, 'Doc', 'Bench', 'Bench', n::text, n || '@b.example' FROM generate_series(1, 4) n;
    INSERT INTO working_hours (clinic_id, doctor_id, effective_from, windows)
        SELECT 1, id, '2020-01-01', '[{\"weekday\": 1, \"start\": \"09:00\", \"end\": \"18:00\"}]' FROM doctors;
    INSERT INTO appointments (clinic_id, reference, doctor_id, patient_id, during, created_by, calendar_version)
        SELECT 1, gen_random_uuid(), d.id, (n + d.id) % 8 + 1,
            tstzrange(t.at, t.at + interval '30 minutes'), 1, 1
        FROM (VALUES (1, 100), (2, 1000), (3, 10000), (4, 20000)) AS d (id, size)
        CROSS JOIN LATERAL generate_series(0, d.size - 1) AS n
        CROSS JOIN LATERAL (
            SELECT date_trunc('day', now()) + interval '1 day' * (1 + n / 8) + interval '1 hour' * (9 + n % 8) AS at
        ) AS t;
    ANALYZE;
";

fn activation(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = std::env::temp_dir().join(format!("clinicd-bench-{}", std::process::id()));
    let (database, repository) = runtime.block_on(async {
        let url = std::env::var("CLINICD_TEST_SERVER").ok();
        let database = Database::open(url.as_deref(), &folder).await.expect("a PostgreSQL");
        database.migrate().await.expect("the schema");
        let mut db = database.connect_as_owner().await.expect("a connection");
        sqlx::raw_sql(CLINIC).execute(&mut db).await.expect("the bench's clinic");
        let settings = Settings { options: database.options(), workers: 1, booking_writers: 1 };
        (database, Repository::start(settings).await.expect("the repository"))
    });
    let mut group = criterion.benchmark_group("a calendar from PostgreSQL");
    for (doctor, size) in (1..).zip(SIZES) {
        let load = || runtime.block_on(repository.load_calendar(ClinicId(1), DoctorId(doctor))).expect("a calendar");
        assert_eq!(load().calendar.len(), size as usize);
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| bencher.iter(load));
    }
    group.finish();
    runtime.block_on(async {
        repository.drain(clinicd::clock::instant() + std::time::Duration::from_secs(10)).await;
        database.close().await;
    });
    let _ = std::fs::remove_dir_all(folder);
}

criterion_group!(benches, activation);
criterion_main!(benches);
