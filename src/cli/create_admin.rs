//! `clinicd create-admin`

use std::io::{IsTerminal, Write};

use chrono_tz::Tz;
use clap::Args;
use uuid::Uuid;

use super::Failure;
use crate::actors::repository::{Joining, Repository};
use crate::app::App;
use crate::authn::{KeySecret, weakness};
use crate::config::Settings;
use crate::domain::Caller;
use crate::domain::clinics::ClinicDetails;
use crate::domain::fields::login_name;
use crate::domain::users::NewAccount;
use crate::telemetry;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The administrator's e-mail address; prompted for if absent
    #[arg(long)]
    email: Option<String>,
    /// The password; prompted for without echo if absent
    #[arg(long, env = "CLINICD_ADMIN_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// The name of an existing or new clinic; prompted for if absent
    #[arg(long)]
    clinic: Option<String>,
    /// The administrator's given name
    #[arg(long, default_value = "")]
    first_name: String,
    /// The administrator's family name
    #[arg(long, default_value = "")]
    last_name: String,
    #[command(flatten)]
    settings: Settings,
}

pub(super) async fn run(mut arguments: Arguments) -> Result<(), Failure> {
    telemetry::start(&arguments.settings.log.filter)?;
    arguments.settings.database.key_secret = KeySecret::from_environment()?;
    let email = login_name(&given_or_asked(arguments.email.clone(), "E-mail address")?);
    let clinic = given_or_asked(arguments.clinic.clone(), "Clinic")?.trim().to_owned();
    if !email.contains('@') || clinic.is_empty() {
        return Err("an administrator needs an e-mail address and a clinic".into());
    }
    let app = App::build(&arguments.settings).await?;
    let made = make(&app, &arguments, email, clinic).await;
    let closed = app.close().await;
    println!("{}", made?);
    Ok(closed?)
}

async fn make(app: &App, arguments: &Arguments, email: String, clinic: String) -> Result<String, Failure> {
    let repository = &app.services.repository;
    let role = app.services.gate.policy().founder_role().to_owned();
    let existing = repository.find_clinic_named(clinic.clone()).await?;
    let request = Uuid::now_v7();
    if let Some(known) = repository.find_login(email.clone()).await? {
        let Some(id) = existing else {
            return Err(format!(
                "{email} already has an account, and there is no clinic {clinic:?} that it could join"
            )
            .into());
        };
        let caller =
            Caller { clinic: id, account: known.account.id, role: role.clone(), doctor: None, request, retry: None };
        repository.join_clinic(&caller, known.account, role).await?;
        return Ok(format!("{email} is an administrator of {clinic}; the account's password is unchanged"));
    }
    let password = new_password(arguments, &email)?;
    let new = NewAccount {
        username: email.clone(),
        email: email.clone(),
        first_name: arguments.first_name.trim().to_owned(),
        last_name: arguments.last_name.trim().to_owned(),
        password_hash: app.services.authn.passwords().hash(password).await?,
    };
    register(repository, new, existing, role, &clinic, request).await?;
    Ok(format!("{email} is an administrator of {clinic}"))
}

async fn register(
    repository: &Repository,
    new: NewAccount,
    existing: Option<crate::domain::ClinicId>,
    role: String,
    clinic: &str,
    request: Uuid,
) -> Result<(), Failure> {
    let entry = match existing {
        Some(clinic) => Joining::Appointed { clinic, role },
        None => Joining::Found { details: ClinicDetails { name: clinic.to_owned(), time_zone: Tz::UTC }, role },
    };
    repository.register(new, entry, request).await?;
    Ok(())
}

fn given_or_asked(given: Option<String>, what: &str) -> Result<String, Failure> {
    if let Some(given) = given {
        return Ok(given);
    }
    if !std::io::stdin().is_terminal() {
        return Err(format!("{what} is missing; see clinicd create-admin --help").into());
    }
    print!("{what}: ");
    std::io::stdout().flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

fn new_password(arguments: &Arguments, email: &str) -> Result<String, Failure> {
    let password = match &arguments.password {
        Some(password) => password.clone(),
        None => {
            let password = rpassword::prompt_password("Password: ")?;
            if password != rpassword::prompt_password("Again: ")? {
                return Err("the two passwords differ".into());
            }
            password
        }
    };
    match weakness(&password, email, &[&arguments.first_name, &arguments.last_name]) {
        Some(weakness) => Err(weakness.into()),
        None => Ok(password),
    }
}
