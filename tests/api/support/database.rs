//! One database per test, cloned from a migrated template.

use std::str::FromStr;

use clinicd::postgres::Database;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// The template's name. The first test of a run creates it.
const TEMPLATE: &str = "clinicd_template";

/// Refuses changes of a calendar without a stamp.
const STAMPS: &str = include_str!("stamps.sql");

/// Increases all versions, so that later statements of the same transaction may change any calendar.
const ADVANCE: &str = "UPDATE clinic_versions SET version = version + 1;
                       UPDATE calendar_versions SET version = version + 1, rules_version = version + 1;";

/// The database of one test.
#[derive(Clone)]
pub struct TestDatabase {
    /// Its URL, as the owner.
    pub url: String,
}

impl TestDatabase {
    /// Clones the template.
    pub async fn create() -> Self {
        static TEMPLATE_READY: OnceCell<()> = OnceCell::const_new();
        TEMPLATE_READY.get_or_init(make_template).await;
        let name = format!("test_{}", Uuid::new_v4().simple());
        let mut server = connect(&server()).await;
        let create = format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut server).await.expect("a database");
        Self { url: url_of(&name) }
    }

    /// Returns the URL of another database of the same server, as the superuser.
    pub fn url_of(&self, name: &str) -> String {
        url_of(name)
    }

    /// Opens a connection as the owner, without row-level security, to read what is really stored.
    pub async fn connect(&self) -> PgConnection {
        connect(&self.url).await
    }

    /// Opens a connection that may change calendars without stamps.
    pub async fn connect_unstamped(&self) -> PgConnection {
        let mut db = self.connect().await;
        sqlx::raw_sql("SET clinicd.unstamped = 'on'").execute(&mut db).await.expect("the setting");
        db
    }

    /// Runs statements in one transaction that first increases the versions of all calendars. The statements must stamp
    /// the appointments that they write with those versions.
    pub async fn change_calendars(&self, statements: &str) {
        let mut db = self.connect().await;
        let statements = format!("{ADVANCE} {statements}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&mut db).await.expect("a stamped change");
    }

    /// Returns one number that a statement selects.
    pub async fn count(&self, statement: &'static str) -> i64 {
        let mut db = self.connect().await;
        sqlx::query_scalar(statement).fetch_one(&mut db).await.expect("a count")
    }

    /// Counts the pairs of active appointments that overlap for a doctor or a patient. It must always be 0.
    pub async fn overlapping_pairs(&self) -> i64 {
        self.count(
            "SELECT count(*) FROM appointments a JOIN appointments b
             ON a.clinic_id = b.clinic_id AND a.id < b.id AND a.during && b.during
                AND (a.doctor_id = b.doctor_id OR a.patient_id = b.patient_id)
             WHERE a.status NOT IN ('CANCELLED', 'NO_SHOW') AND b.status NOT IN ('CANCELLED', 'NO_SHOW')",
        )
        .await
    }
}

/// Returns the URL of the cluster that the test run started.
fn server() -> String {
    std::env::var("CLINICD_TEST_SERVER").expect("run the tests with `make test`, which starts a PostgreSQL for them")
}

fn url_of(database: &str) -> String {
    server().replacen("/postgres?", &format!("/{database}?"), 1)
}

async fn connect(url: &str) -> PgConnection {
    let options = PgConnectOptions::from_str(url).expect("a PostgreSQL URL");
    PgConnection::connect_with(&options).await.expect("the test's PostgreSQL")
}

/// Creates the template. If several test programs run at once, one creates it and the others wait.
async fn make_template() {
    let mut server = connect(&server()).await;
    sqlx::raw_sql("SELECT pg_advisory_lock(4711)").execute(&mut server).await.expect("the lock");
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(TEMPLATE)
        .fetch_one(&mut server)
        .await
        .expect("the catalogue");
    if !exists {
        let making = format!("{TEMPLATE}_making");
        let create = format!("DROP DATABASE IF EXISTS {making}; ");
        sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut server).await.expect("no left-over");
        let create = format!("CREATE DATABASE {making}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut server).await.expect("the template");
        let url = url_of(&making);
        let database = Database::open(Some(&url), "unused".as_ref()).await.expect("the template's URL");
        database.migrate().await.expect("the migrations");
        let mut template = connect(&url).await;
        sqlx::raw_sql(STAMPS).execute(&mut template).await.expect("the triggers");
        template.close().await.expect("nobody in the template");
        let rename = format!("ALTER DATABASE {making} RENAME TO {TEMPLATE}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(rename)).execute(&mut server).await.expect("the template's name");
    }
}
