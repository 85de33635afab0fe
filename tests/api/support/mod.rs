//! The program under test, and typed helpers to call it.

mod client;
mod database;
mod process;
mod proxy;
mod records;

use std::net::SocketAddr;
use std::path::PathBuf;

use clinicd::api::Services;
use clinicd::app::App;
use clinicd::config::{DatabaseSettings, Environment, LogSettings, Settings};
use serde_json::json;
use tokio::sync::oneshot;

pub use client::{Answer, Session, contract};
pub use database::TestDatabase;
pub use process::Process;
pub use proxy::{Acknowledgement, Failure, Proxy};
pub use records::{booking, doctor, founder, moved, patient, unique, waiting};

/// The password of every account that tests create.
pub const PASSWORD: &str = "seven quiet lanterns";

/// A running program with its own database. Both end with the test.
pub struct TestApp {
    /// The address on which it listens.
    pub address: SocketAddr,
    /// Its database.
    pub database: TestDatabase,
    /// The services behind its operations, to inspect its memory.
    pub services: Services,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
}

impl TestApp {
    /// Starts the program on an empty database.
    pub async fn start() -> Self {
        Self::start_on(TestDatabase::create().await).await
    }

    /// Starts the program, or another one, on this database.
    pub async fn start_on(database: TestDatabase) -> Self {
        let settings = settings(&database);
        Self::start_with(database, settings).await
    }

    /// Starts the program with this proxy between it and its database.
    pub async fn start_behind(proxy: &Proxy, database: &TestDatabase) -> Self {
        let mut settings = settings(database);
        settings.database.database_url = Some(proxy.url.clone());
        Self::start_with(database.clone(), settings).await
    }

    /// Starts the program with these settings.
    pub async fn start_with(database: TestDatabase, settings: Settings) -> Self {
        // A failing test shows the program's log, for example a change without a stamp.
        let logs = tracing_subscriber::fmt().with_env_filter(settings.log.filter.as_str()).with_test_writer();
        _ = logs.try_init();
        let app = App::build(&settings).await.expect("the program starts");
        let services = app.services.clone();
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let served = tokio::spawn(async move {
            let listening = |address, _| tell.send(address).expect("the test waits");
            app.serve(&settings, listening, async { _ = stopped.await }).await.expect("the program serves");
        });
        let address = told.await.expect("the program listens");
        Self { address, database, services, stop: Some(stop), served: Some(served) }
    }

    /// Stops the program as SIGTERM does, and waits for its end.
    pub async fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(served) = self.served.take() {
            served.await.expect("the program stops in order");
        }
    }

    /// Returns a client without a login.
    pub fn anonymous(&self) -> Session {
        Session::anonymous(self.address)
    }

    /// Creates a clinic and returns its administrator. `name` is used for the e-mail address.
    pub async fn founder(&self, name: &str) -> Session {
        founder(self.address, name).await
    }

    /// Logs in.
    pub async fn login(&self, email: &str) -> Session {
        let body = json!({ "email": email, "password": PASSWORD });
        let answer = self.anonymous().post("/api/auth/login", body).await.expect(200);
        Session::of(self.address, &answer.body)
    }

    /// Creates a user of the administrator's clinic with this role, and logs in as the user.
    pub async fn user(&self, admin: &Session, name: &str, role: &str) -> Session {
        let email = format!("{name}@example.com");
        let body = json!({ "email": email, "password": PASSWORD, "role": role });
        admin.post("/api/users", body).await.expect(201);
        self.login(&email).await
    }
}

/// Returns the settings of a test: any free port, this database, no demo.
pub fn settings(database: &TestDatabase) -> Settings {
    Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        database: DatabaseSettings {
            database_url: Some(database.url.clone()),
            migrate_url: None,
            db_wait_seconds: 60,
            data_dir: PathBuf::from("unused"),
            key_secret: None,
        },
        environment: Environment::Development,
        policy_dir: None,
        cors_origins: Vec::new(),
        db_connections: 4,
        access_token_minutes: 60,
        refresh_token_days: 7,
        waitlist_hold_minutes: 30,
        no_demo: true,
        log: LogSettings { filter: "warn".into() },
    }
}
