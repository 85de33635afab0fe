//! The program's login owns nothing, in the private cluster and on a server that the README's statements prepared.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::str::FromStr;

use clinicd::app;
use clinicd::app::App;
use clinicd::postgres::{Database, LocalCluster};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use super::{login, name_of, production, refusal};
use crate::support::{TestApp, TestDatabase, settings};

const README: &str = include_str!("../../../README.md");

#[tokio::test(flavor = "multi_thread")]
async fn production_refuses_a_login_with_excess_rights_by_name() {
    let database = TestDatabase::create().await;
    let owner = login(&database, "IN ROLE clinicd_app").await;
    let name = PgConnectOptions::from_str(&database.url).unwrap().get_database().unwrap().to_owned();
    let owns = format!("CREATE TABLE mine (id bigint); ALTER TABLE mine OWNER TO {}", name_of(&owner));
    sqlx::raw_sql(sqlx::AssertSqlSafe(owns)).execute(&mut database.connect().await).await.unwrap();
    for (url, excess) in [
        (database.url.clone(), "is a superuser"),
        (login(&database, "BYPASSRLS IN ROLE clinicd_app").await, "bypasses row-level security"),
        (login(&database, "CREATEROLE IN ROLE clinicd_app").await, "may create roles"),
        (login(&database, "CREATEDB IN ROLE clinicd_app").await, "may create databases"),
        (owner, "owns table mine"),
        (login(&database, "IN ROLE clinicd_app, clinicd_authn").await, "may become clinicd_authn"),
        (login(&database, "NOINHERIT IN ROLE clinicd_app, pg_read_all_data").await, "may become pg_read_all_data"),
        (login(&database, "").await, "was not granted clinicd_app"),
        (granted(&database, "clinicd_app TO %I WITH ADMIN OPTION").await, "may grant clinicd_app to others"),
        (granted(&database, "SELECT ON accounts TO %I").await, "has rights of its own on table accounts"),
        (granted(&database, "UPDATE (role) ON memberships TO %I").await, "has rights of its own on column role"),
        (granted(&database, "CREATE ON SCHEMA public TO %I").await, "has rights of its own on schema public"),
        (granted(&database, "SET ON PARAMETER log_statement TO %I").await, "has rights of its own on parameter"),
        (granted(&database, &format!("TEMPORARY ON DATABASE {name} TO %I")).await, "has rights of its own on database"),
    ] {
        let refused = App::build(&production(&database, &url)).await.err().expect(excess).to_string();
        assert!(refused.contains(&format!("the login {} {excess}", name_of(&url))), "{refused}");
        assert!(refused.contains("CREATE ROLE clinicd_login LOGIN PASSWORD '…' IN ROLE clinicd_app"), "{refused}");
        assert_eq!(refused.lines().count(), 1, "{refused}");
    }
    // A login without INHERIT, with the right to connect and with a large object is accepted.
    let url = login(&database, "NOINHERIT IN ROLE clinicd_app").await;
    grant(&database, &format!("CONNECT ON DATABASE {name} TO %I"), &url).await;
    let mut as_login = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("SELECT lo_create(0)").execute(&mut as_login).await.unwrap();
    let app = TestApp::start_with(database.clone(), production(&database, &url)).await;
    app.founder("ada").await;
    assert_eq!(logins_of_program(&mut database.connect().await).await, [name_of(&url)]);
}

/// Creates a login with the program's role and an additional grant, and returns its URL.
async fn granted(database: &TestDatabase, what: &str) -> String {
    let url = login(database, "IN ROLE clinicd_app").await;
    grant(database, what, &url).await;
    url
}

async fn grant(database: &TestDatabase, what: &str, url: &str) {
    let grant = format!("GRANT {}", what.replace("%I", name_of(url)));
    sqlx::raw_sql(sqlx::AssertSqlSafe(grant)).execute(&mut database.connect().await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_without_rights_is_not_reported_as_an_old_schema() {
    let database = TestDatabase::create().await;
    let url = login(&database, "").await;
    let of_login = Database::open(Some(&url), "unused".as_ref()).await.unwrap();
    let refused = of_login.require_migrated().await.unwrap_err().to_string();
    let remedy = format!("the login {0} has no rights in the database: GRANT clinicd_app TO {0}", name_of(&url));
    assert!(refused.starts_with(&remedy), "{refused}");
    let url = login(&database, "NOINHERIT IN ROLE clinicd_app").await;
    let of_login = Database::open(Some(&url), "unused".as_ref()).await.unwrap();
    of_login.require_migrated().await.expect("what the program will see");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_not_migrate_gets_the_remedy() {
    let database = TestDatabase::create().await;
    let mut settings = production(&database, &login(&database, "IN ROLE clinicd_app").await);
    let refused = app::migrate_only(&settings.database).await.unwrap_err().to_string();
    assert!(refused.contains("permission denied") && refused.contains("set CLINICD_MIGRATE_URL"), "{refused}");
    settings.database.migrate_url = Some("mysql://x/y".into());
    let refused = app::migrate_only(&settings.database).await.unwrap_err().to_string();
    assert!(refused.starts_with("CLINICD_MIGRATE_URL is not a PostgreSQL URL"), "{refused}");
}

/// Returns the logins of the program's connections.
async fn logins_of_program(db: &mut PgConnection) -> Vec<String> {
    let logins = "SELECT DISTINCT usename::text FROM pg_stat_activity
                  WHERE application_name = 'clinicd' AND datname = current_database()";
    sqlx::query_scalar(logins).fetch_all(db).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn development_works_with_a_superuser_and_warns_once() {
    let database = TestDatabase::create().await;
    let mut child = Command::new(env!("CARGO_BIN_EXE_clinicd"))
        .args(["serve", "--listen", "127.0.0.1:0", "--no-demo", "--log", "warn"])
        .env("DATABASE_URL", &database.url)
        .current_dir(std::env::temp_dir())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(line.starts_with("listening on "), "{line}{log}");
    assert_eq!(log.matches("the login clinicd is a superuser; in production, DATABASE_URL must").count(), 1, "{log}");
    // Its connections start with the program's rights, and RESET ROLE returns to those.
    let options = Database::open(Some(&database.url), "unused".as_ref()).await.unwrap().options();
    let mut db = PgConnection::connect_with(&options).await.unwrap();
    for statement in ["SELECT 1", "RESET ROLE", "RESET ALL"] {
        sqlx::raw_sql(statement).execute(&mut db).await.unwrap();
        let role: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut db).await.unwrap();
        assert_eq!(role, "clinicd_app", "{statement}");
    }
}

/// A private cluster of one test.
struct Scratch(PathBuf, Option<LocalCluster>);

impl Scratch {
    async fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("clinicd-login-{name}-{}", std::process::id()));
        let cluster = LocalCluster::start(&folder).await.unwrap();
        Self(folder, Some(cluster))
    }

    fn url(&self, login: &str, database: &str) -> String {
        let socket = self.1.as_ref().unwrap().socket_dir().display();
        format!("postgresql://{login}@localhost/{database}?host={socket}")
    }

    async fn run(&self, statement: &str) {
        let mut db = PgConnection::connect(&self.url("clinicd", "postgres")).await.unwrap();
        for statement in statement.split_inclusive(';').filter(|statement| !statement.trim().is_empty()) {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut db).await.unwrap();
        }
    }

    async fn end(mut self) {
        self.1.take().unwrap().stop().await.unwrap();
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Asserts that a login has only the rights of the program, and that no statement gives it others.
async fn assert_owns_nothing(url: &str, owner: &str) {
    let mut db = PgConnection::connect(url).await.unwrap();
    for way_back in ["SET ROLE clinicd_app", "RESET ROLE", "SET ROLE NONE", "RESET SESSION AUTHORIZATION"] {
        sqlx::raw_sql(way_back).execute(&mut db).await.unwrap();
        for statement in [
            "SELECT password_hash FROM accounts".to_owned(),
            "SELECT pkcs8 FROM signing_keys".into(),
            "DELETE FROM audit_events".into(),
            "CREATE TABLE mine (id bigint)".into(),
            "CREATE TEMPORARY TABLE mine (id bigint)".into(),
            "CREATE SCHEMA mine".into(),
            "CREATE ROLE mine".into(),
            "ALTER ROLE clinicd_app SUPERUSER".into(),
            "ALTER TABLE patients NO FORCE ROW LEVEL SECURITY".into(),
            "ALTER SYSTEM SET log_statement = 'all'".into(),
            "COPY clinics TO PROGRAM 'true'".into(),
            "SELECT pg_read_file('postgresql.conf')".into(),
            format!("SET ROLE {owner}"),
            "SET ROLE clinicd_authn".into(),
            format!("SET SESSION AUTHORIZATION {owner}"),
        ] {
            let refused = refusal(&mut db, &statement).await;
            let ways = ["permission denied", "must be owner", "must be superuser"];
            assert!(ways.iter().any(|way| refused.contains(way)), "{way_back}; {statement}: {refused}");
        }
        // Row-level security applies to it.
        let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM patients").fetch_one(&mut db).await.unwrap();
        assert_eq!(seen, 0, "{way_back}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_statements_make_a_server_ready_for_production() {
    let cluster = Scratch::start("readme").await;
    cluster.run("DROP DATABASE clinicd; DROP ROLE clinicd_login; DROP ROLE clinicd_app;").await;
    let mut blocks = README.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let statements = blocks.find(|block| block.contains("clinicd_login")).expect("the README's statements");
    cluster.run(statements).await;

    let (login, owner) = (cluster.url("clinicd_login", "clinicd"), cluster.url("clinicd_owner", "clinicd"));
    let database = TestDatabase { url: cluster.url("clinicd", "clinicd") };
    let mut settings = production(&database, &login);
    settings.database.migrate_url = Some(owner.clone());
    app::migrate_only(&settings.database).await.unwrap();
    let mut app = TestApp::start_with(database.clone(), settings).await;
    app.founder("ada").await.new_patient().await;
    assert_eq!(logins_of_program(&mut database.connect().await).await, ["clinicd_login"]);
    assert_owns_nothing(&login, "clinicd_owner").await;
    // No superuser owns a procedure.
    let owned = "SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
                 WHERE c.relnamespace = 'public'::regnamespace AND r.rolname <> 'clinicd_owner'";
    assert_eq!(database.count(owned).await, 0);
    // Row-level security binds the owner too.
    let owner = TestDatabase { url: owner };
    assert_eq!(owner.count("SELECT count(*) FROM patients").await, 0);
    assert_eq!(database.count("SELECT count(*) FROM patients").await, 1);
    app.stop().await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_private_cluster_is_used_with_a_login_that_owns_nothing() {
    let cluster = Scratch::start("private").await;
    // The state that an earlier version left.
    cluster.run("DROP ROLE clinicd_login; DROP ROLE clinicd_app;").await;
    let database = TestDatabase { url: cluster.url("clinicd", "clinicd") };
    let mut settings = settings(&database);
    settings.database.database_url = None;
    settings.database.data_dir = cluster.0.clone();
    let mut app = TestApp::start_with(database.clone(), settings).await;
    app.founder("ada").await.new_patient().await;
    assert_eq!(logins_of_program(&mut database.connect().await).await, ["clinicd_login"]);
    assert_owns_nothing(&cluster.url("clinicd_login", "clinicd"), "clinicd").await;
    app.stop().await;
    cluster.end().await;
}
