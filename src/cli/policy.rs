//! `clinicd policy`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Failure;
use crate::authz::Policy;
use crate::domain::access::{Action, Resource};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A folder with model.conf and policy.csv; the built-in policy if absent
    #[arg(long, env = "CLINICD_POLICY_DIR", global = true, value_name = "FOLDER")]
    policy_dir: Option<PathBuf>,
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// Print the scopes in which a role may act, or `denied` with exit code 1
    Check {
        /// A role of policy.csv
        #[arg(long)]
        role: String,
        /// A kind of row, such as patients
        #[arg(long)]
        resource: String,
        /// The action, such as read
        #[arg(long)]
        action: String,
    },
    /// Print the scopes of every role, resource and action
    Matrix,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let policy = match &arguments.policy_dir {
        Some(folder) => Policy::read(folder).await?,
        None => Policy::built_in().await?,
    };
    match arguments.question {
        Question::Matrix => print!("{}", policy.matrix()),
        Question::Check { role, resource, action } => {
            let kind = Resource::named(&resource).ok_or_else(|| {
                let known: Vec<_> = Resource::ALL.iter().map(|kind| kind.name()).collect();
                format!("unknown resource {resource:?}; the resources are {}", known.join(", "))
            })?;
            let done = Action::named(kind, &action).ok_or_else(|| {
                let known: Vec<_> = kind.actions().iter().map(|action| action.name()).collect();
                format!("{resource} has no action {action:?}; its actions are {}", known.join(", "))
            })?;
            if !policy.roles().contains(&role) {
                return Err(format!("unknown role {role:?}; the roles are {}", policy.roles().join(", ")).into());
            }
            match policy.decide(&role, kind, done) {
                Some(scopes) => println!("{scopes}"),
                None => {
                    println!("denied");
                    std::process::exit(1);
                }
            }
        }
    }
    Ok(())
}
