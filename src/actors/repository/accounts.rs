//! Reads and writes of accounts, such as registration and login lookup.

use futures_util::FutureExt;
use uuid::Uuid;

use super::{Repository, Result};
use crate::domain::access::{Action, Resource};
use crate::domain::clinics::ClinicDetails;
use crate::domain::users::{Account, Credentials, Membership, NewAccount, Standing};
use crate::domain::{AccountId, Caller, ClinicId};
use crate::repository::audit::{Event, Outcome};
use crate::repository::context::Global;
use crate::repository::{accounts, audit, clinics, invitations};

/// How a new account becomes a member of a clinic.
#[derive(Debug, Clone)]
pub enum Joining {
    /// The account creates the clinic and gets this role there.
    Found {
        /// The new clinic.
        details: ClinicDetails,
        /// The founder's role.
        role: String,
    },
    /// The operator gives the account this role in a clinic.
    Appointed {
        /// The clinic.
        clinic: ClinicId,
        /// The role.
        role: String,
    },
    /// The account accepts an invitation.
    Invited {
        /// The clinic of the invitation.
        clinic: ClinicId,
        /// The hash of the invitation's secret.
        token_hash: Vec<u8>,
    },
}

impl Repository {
    /// Creates an account and its membership in one transaction.
    pub async fn register(&self, new: NewAccount, entry: Joining, request: Uuid) -> Result<(Account, Caller)> {
        let clinic = match &entry {
            Joining::Invited { clinic, .. } | Joining::Appointed { clinic, .. } => *clinic,
            // Row-level security lets a clinic's row be inserted only in the context of its own id.
            Joining::Found { .. } => self.read(Global, |db| clinics::next_id(db).boxed()).await?,
        };
        self.transact(clinic, move |db| {
            async move {
                let account = accounts::insert(&mut *db, &new).await?;
                let founds = matches!(entry, Joining::Found { .. });
                let role = match entry {
                    Joining::Found { details, role } => {
                        clinics::insert(&mut *db, &details).await?;
                        role
                    }
                    Joining::Appointed { role, .. } => role,
                    Joining::Invited { token_hash, .. } => {
                        invitations::accept(&mut *db, &token_hash, account.id, &account.email).await?
                    }
                };
                accounts::join(&mut *db, account.id, &role).await?;
                let caller = Caller { clinic, account: account.id, role, doctor: None, request, retry: None };
                if founds {
                    audit::record(&mut *db, &made(&caller, Resource::Clinic, clinic.0)).await?;
                }
                audit::record(&mut *db, &made(&caller, Resource::Users, account.id.0)).await?;
                Ok((account, caller))
            }
            .boxed()
        })
        .await
    }

    /// Returns the account with this e-mail address or user name, and its password hash.
    pub async fn find_login(&self, login: String) -> Result<Option<Credentials>> {
        self.read(Global, move |db| async move { accounts::find_login(db, &login).await }.boxed()).await
    }

    /// Returns the account.
    pub async fn find_account(&self, id: AccountId) -> Result<Account> {
        self.read(id, move |db| accounts::find(db, id).boxed()).await
    }

    /// Changes the names of the caller's account, if it has the expected version.
    pub async fn rename_account(
        &self,
        caller: &Caller,
        expected: Option<i64>,
        first_name: Option<String>,
        last_name: Option<String>,
    ) -> Result<Account> {
        let id = caller.account;
        self.write(caller, Action::Update, Resource::Users, move |db| {
            accounts::update_names(db, id, expected, first_name, last_name).boxed()
        })
        .await
    }

    /// Returns the account's active memberships, oldest first.
    pub async fn list_memberships(&self, account: AccountId) -> Result<Vec<Membership>> {
        self.read(account, move |db| accounts::memberships(db).boxed()).await
    }

    /// Returns the account's role and state in the clinic.
    pub async fn find_standing(&self, clinic: ClinicId, account: AccountId) -> Result<Option<Standing>> {
        self.read(clinic, move |db| accounts::standing(db, account).boxed()).await
    }

    /// Makes an existing account a member of the clinic that invited it.
    pub async fn accept_invitation(
        &self,
        account: Account,
        clinic: ClinicId,
        token_hash: Vec<u8>,
        request: Uuid,
    ) -> Result<Caller> {
        self.transact(clinic, move |db| {
            async move {
                let role = invitations::accept(&mut *db, &token_hash, account.id, &account.email).await?;
                accounts::join(&mut *db, account.id, &role).await?;
                let caller = Caller { clinic, account: account.id, role, doctor: None, request, retry: None };
                audit::record(db, &made(&caller, Resource::Users, account.id.0)).await?;
                Ok(caller)
            }
            .boxed()
        })
        .await
    }

    /// Makes an existing account a member of a clinic.
    pub async fn join_clinic(&self, caller: &Caller, account: Account, role: String) -> Result<Account> {
        self.write(caller, Action::Create, Resource::Users, move |db| {
            async move {
                accounts::join(db, account.id, &role).await?;
                Ok(account)
            }
            .boxed()
        })
        .await
    }

    /// Returns whether any account exists.
    pub async fn has_accounts(&self) -> Result<bool> {
        self.read(Global, |db| accounts::any(db).boxed()).await
    }
}

fn made(by: &Caller, resource: Resource, id: i64) -> Event {
    Event {
        caller: by.clone(),
        action: Action::Create.name(),
        resource: resource.name(),
        resource_id: Some(id),
        outcome: Outcome::Done,
    }
}
