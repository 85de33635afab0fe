//! Migrations of filled databases whose owners are not superusers.

use clinicd::postgres::{Database, schema_version};
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::support::TestDatabase;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The last migration before calendars had versions.
const BEFORE_VERSIONS: i64 = 20_261_121_000_005;

/// A clinic with an appointment and a doctor whose rules were changed six times.
const FILL: &str = "
    INSERT INTO accounts (email, username, password_hash) VALUES ('ada@example.com', 'ada', '');
    INSERT INTO clinics (clinic_id, name) VALUES (7, 'Ada''s clinic');
    INSERT INTO doctors (clinic_id, first_name, last_name, specialization, license_number, email, rules_revision)
        VALUES (7, 'Elena', 'Marsh', 'Cardiology', 'MD-1', 'elena@example.com', 7);
    INSERT INTO patients (clinic_id, first_name, last_name, created_by)
        SELECT 7, 'Maya', 'Okafor', id FROM accounts;
    INSERT INTO appointments (clinic_id, reference, doctor_id, patient_id, during, created_by)
        SELECT 7, gen_random_uuid(), d.id, p.id, '[2031-03-05 10:00Z, 2031-03-05 10:30Z)', p.created_by
        FROM doctors d, patients p";

/// Creates an empty database of a new role that is not a superuser. Returns its URL as that role, and as the superuser.
async fn database_of_its_owner() -> (String, String) {
    // The program's role belongs to the whole server. The template's migrations have created it.
    let other = TestDatabase::create().await;
    let name = format!("owned_{}", Uuid::new_v4().simple());
    let mut server = other.connect().await;
    for statement in [
        format!("CREATE ROLE {name} LOGIN NOSUPERUSER CREATEROLE"),
        format!("GRANT clinicd_app TO {name} WITH ADMIN OPTION"),
        format!("CREATE DATABASE {name} OWNER {name}"),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut server).await.expect("the owner's database");
    }
    let cloned = other.url.split(['/', '?']).nth(3).expect("the database of a URL");
    let superuser = other.url.replacen(&format!("/{cloned}?"), &format!("/{name}?"), 1);
    let owner = superuser.replacen("//clinicd@", &format!("//{name}@"), 1);
    (owner, superuser)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_without_superuser_migrates_a_filled_database() {
    let (owner, superuser) = database_of_its_owner().await;
    let mut as_owner = PgConnection::connect(&owner).await.expect("the owner");
    MIGRATIONS.run_to(BEFORE_VERSIONS, &mut as_owner).await.expect("the schema before");
    let mut db = PgConnection::connect(&superuser).await.expect("the superuser");
    sqlx::raw_sql(FILL).execute(&mut db).await.expect("rows of the old schema");

    let database = Database::open(Some(&owner), "unused".as_ref()).await.expect("the owner's URL");
    database.migrate().await.expect("the migrations after");
    database.require_migrated().await.expect("nothing is left");

    let migrated = "SELECT max(version) FROM _sqlx_migrations";
    assert_eq!(sqlx::query_scalar::<_, i64>(migrated).fetch_one(&mut db).await.unwrap(), schema_version());
    let migrator = "SELECT NOT rolsuper AND NOT rolbypassrls FROM pg_roles WHERE rolname = current_user";
    assert!(sqlx::query_scalar::<_, bool>(migrator).fetch_one(&mut as_owner).await.unwrap());
    let versions = "SELECT c.version, v.version, v.rules_version, a.calendar_version
                    FROM clinic_versions c
                    JOIN calendar_versions v ON v.clinic_id = c.clinic_id
                    JOIN appointments a ON a.clinic_id = v.clinic_id AND a.doctor_id = v.doctor_id";
    let versions: Vec<(i64, i64, i64, i64)> = sqlx::query_as(versions).fetch_all(&mut db).await.unwrap();
    assert_eq!(versions, [(1, 7, 7, 1)]);

    let filled =
        "SELECT patient_owner = (SELECT id FROM accounts) AND starts_at = lower(during) AND ends_at = upper(during)
                  FROM appointments";
    assert!(sqlx::query_scalar::<_, bool>(filled).fetch_one(&mut db).await.unwrap());

    let searched = "SELECT count(*) FROM patients
                    WHERE searched = ' maya okafor' AND searched_parts(clinic_id, searched) @> searched_parts(7, 'okaf')";
    assert_eq!(sqlx::query_scalar::<_, i64>(searched).fetch_one(&mut db).await.unwrap(), 1);

    let forced = "SELECT relname::text FROM pg_class
                  WHERE relrowsecurity AND relforcerowsecurity
                    AND relname IN ('appointments', 'calendar_versions', 'clinic_versions', 'clinics', 'doctors', 'mappings', 'patients')
                  ORDER BY 1";
    let forced: Vec<String> = sqlx::query_scalar(forced).fetch_all(&mut db).await.unwrap();
    assert_eq!(
        forced,
        ["appointments", "calendar_versions", "clinic_versions", "clinics", "doctors", "mappings", "patients"]
    );
    // Even the owner sees a clinic only in its context.
    let seen = "SELECT count(*) FROM doctors JOIN calendar_versions USING (clinic_id) JOIN clinics USING (clinic_id)";
    assert_eq!(sqlx::query_scalar::<_, i64>(seen).fetch_one(&mut as_owner).await.unwrap(), 0);
    sqlx::raw_sql("SET app.clinic_id = '7'").execute(&mut as_owner).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(seen).fetch_one(&mut as_owner).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_migrations_all_succeed() {
    let (owner, superuser) = database_of_its_owner().await;
    let mut db = PgConnection::connect(&superuser).await.expect("the superuser");
    for round in 0..3 {
        let migrating = (0..12).map(|_| async {
            let database = Database::open(Some(&owner), "unused".as_ref()).await.expect("the owner's URL");
            database.migrate().await
        });
        for migrated in futures_util::future::join_all(migrating).await {
            migrated.unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
        // The first migration to run grants a missing right again.
        sqlx::raw_sql("REVOKE SELECT ON _sqlx_migrations FROM clinicd_app").execute(&mut db).await.unwrap();
    }
}
