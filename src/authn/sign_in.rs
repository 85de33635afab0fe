//! Registration, login, refresh, switching clinics and logout.

use std::sync::Arc;

use uuid::Uuid;

use super::standings::Standings;
use super::{Lifetimes, PasswordError, Passwords, Secret, TokenKeys, split_invitation_token};
use crate::actors::repository;
use crate::actors::repository::{Conflict, Error, Joining, Repository};
use crate::domain::clinics::ClinicDetails;
use crate::domain::fields::filled;
use crate::domain::users::{Account, Membership, NewAccount};
use crate::domain::{Caller, ClinicId};

/// Why a sign-in failed.
#[derive(Debug, thiserror::Error)]
pub enum AuthnError {
    /// The login or the password is wrong. The error does not tell which.
    #[error("wrong login or password")]
    WrongCredentials,
    /// The token is unknown, used, expired, or of another kind.
    #[error("invalid token")]
    InvalidToken,
    /// The account has no active membership in the requested clinic, or in any.
    #[error("no membership")]
    NoMembership,
    /// Too many passwords are being hashed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The database failed.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// Signing or random number generation failed.
    #[error("cannot issue a token: {0}")]
    Internal(String),
}

type Result<T, E = AuthnError> = std::result::Result<T, E>;

/// The validated input of a registration.
#[derive(Debug, Clone)]
pub struct Registration {
    /// E-mail address, in lower case.
    pub email: String,
    /// User name, in lower case.
    pub username: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// The password.
    pub password: String,
    /// The clinic to create, unless there is an invitation.
    pub clinic: ClinicDetails,
    /// The invitation to accept.
    pub invitation: Option<String>,
}

/// A new pair of tokens with its account and membership.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
    /// The lifetime of the access token, in seconds.
    pub expires_in: i64,
    /// The account.
    pub account: Account,
    /// The membership of the tokens.
    pub caller: Caller,
}

/// Signs accounts in. Cheap to clone.
#[derive(Clone)]
pub struct Authn {
    repository: Repository,
    passwords: Passwords,
    keys: Arc<TokenKeys>,
    lifetimes: Lifetimes,
    standings: Standings,
    founder_role: Arc<str>,
}

impl Authn {
    /// Creates the service with these keys and this hashing gate.
    pub fn new(
        repository: Repository,
        passwords: Passwords,
        keys: TokenKeys,
        lifetimes: Lifetimes,
        founder_role: &str,
    ) -> Self {
        Self {
            standings: Standings::new(repository.clone()),
            repository,
            passwords,
            keys: Arc::new(keys),
            lifetimes,
            founder_role: founder_role.into(),
        }
    }

    /// Returns the hashing gate.
    pub fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// Returns the caller of an access token, with their current membership.
    ///
    /// # Errors
    /// [`AuthnError::InvalidToken`] for an invalid token. Also for a token whose membership has ended or has another
    /// role now; a refresh returns a valid one.
    pub async fn authenticate(&self, token: &str, request: Uuid) -> Result<Caller> {
        let bearer = self.keys.verify(token, crate::clock::now()).ok_or(AuthnError::InvalidToken)?;
        let standing = self.standings.find(bearer.clinic, bearer.account).await?;
        let standing = standing
            .filter(|standing| standing.is_active && standing.role == bearer.role)
            .ok_or(AuthnError::InvalidToken)?;
        Ok(Caller {
            clinic: bearer.clinic,
            account: bearer.account,
            role: standing.role,
            doctor: standing.doctor,
            request,
            retry: None,
        })
    }

    /// Drops the cached memberships of a clinic after a change of its memberships or doctor logins.
    pub fn memberships_changed(&self, clinic: ClinicId) {
        self.standings.forget(clinic);
    }

    /// Creates an account and signs it in. With an invitation, an existing account joins the clinic if the password is
    /// correct.
    ///
    /// # Errors
    /// Returns a conflict if the e-mail address or user name is taken.
    pub async fn register(&self, registration: Registration, request: Uuid) -> Result<SignedIn> {
        let invitation = match &registration.invitation {
            None => None,
            Some(token) => Some(split_invitation_token(token).ok_or_else(unknown_invitation)?),
        };
        if let Some((clinic, token_hash)) = &invitation
            && let Some(known) = self.repository.find_login(registration.email.clone()).await?
            && known.account.email == registration.email
        {
            let password = registration.password.clone();
            if !self.passwords.verify(password, Some(known.password_hash)).await? {
                return Err(email_taken());
            }
            let joined =
                self.repository.accept_invitation(known.account.clone(), *clinic, token_hash.clone(), request).await?;
            return self.begin(known.account, joined).await;
        }
        let new = filled!(NewAccount {
            password_hash: self.passwords.hash(registration.password).await?,
        } from registration { email, username, first_name, last_name });
        let entry = match invitation {
            Some((clinic, token_hash)) => Joining::Invited { clinic, token_hash },
            None => Joining::Found { details: registration.clinic, role: self.founder_role.to_string() },
        };
        let (account, caller) = self.repository.register(new, entry, request).await?;
        self.begin(account, caller).await
    }

    /// Signs an account in to the clinic of its oldest membership.
    ///
    /// # Errors
    /// [`AuthnError::WrongCredentials`]. An unknown login takes the same time as a wrong password.
    pub async fn login(&self, login: String, password: String, request: Uuid) -> Result<SignedIn> {
        let known = self.repository.find_login(login).await?;
        let hash = known.as_ref().map(|known| known.password_hash.clone());
        let right = self.passwords.verify(password, hash).await?;
        let Some(known) = known.filter(|_| right) else {
            return Err(AuthnError::WrongCredentials);
        };
        let memberships = self.repository.list_memberships(known.account.id).await?;
        let membership = memberships.into_iter().next().ok_or(AuthnError::NoMembership)?;
        self.enter(known.account, membership, request).await
    }

    /// Signs the caller's account in to another of its clinics.
    ///
    /// # Errors
    /// [`AuthnError::NoMembership`] if the account has no active membership there.
    pub async fn switch(&self, caller: &Caller, clinic: ClinicId) -> Result<SignedIn> {
        let memberships = self.repository.list_memberships(caller.account).await?;
        let membership = memberships.into_iter().find(|membership| membership.clinic == clinic);
        let account = self.repository.find_account(caller.account).await?;
        self.enter(account, membership.ok_or(AuthnError::NoMembership)?, caller.request).await
    }

    /// Exchanges a refresh token for a new pair of tokens.
    ///
    /// # Errors
    /// [`AuthnError::InvalidToken`]. A token that was used before also ends its session.
    pub async fn refresh(&self, token: &str, request: Uuid) -> Result<SignedIn> {
        let successor = secret()?;
        let expires_at = crate::clock::now() + self.lifetimes.refresh;
        let caller = self
            .repository
            .continue_session(Secret::hash_of(token), successor.hash.clone(), expires_at, request)
            .await?
            .ok_or(AuthnError::InvalidToken)?;
        let account = self.repository.find_account(caller.account).await?;
        self.signed_in(account, caller, successor)
    }

    /// Ends the session of one of the caller's refresh tokens. Succeeds if the session has already ended.
    ///
    /// # Errors
    /// Fails if the database cannot be reached.
    pub async fn logout(&self, caller: &Caller, token: &str) -> Result<()> {
        Ok(self.repository.end_session(caller, Secret::hash_of(token)).await?)
    }

    async fn enter(&self, account: Account, membership: Membership, request: Uuid) -> Result<SignedIn> {
        let caller = Caller {
            clinic: membership.clinic,
            account: account.id,
            role: membership.role,
            doctor: None,
            request,
            retry: None,
        };
        self.begin(account, caller).await
    }

    async fn begin(&self, account: Account, caller: Caller) -> Result<SignedIn> {
        let refresh = secret()?;
        let expires_at = crate::clock::now() + self.lifetimes.refresh;
        self.standings.forget(caller.clinic);
        self.repository.begin_session(&caller, refresh.hash.clone(), expires_at).await?;
        self.signed_in(account, caller, refresh)
    }

    fn signed_in(&self, account: Account, caller: Caller, refresh: Secret) -> Result<SignedIn> {
        let access = self
            .keys
            .issue(&caller, crate::clock::now(), self.lifetimes.access)
            .map_err(|error| AuthnError::Internal(error.to_string()))?;
        Ok(SignedIn { access, refresh: refresh.text, expires_in: self.lifetimes.access.num_seconds(), account, caller })
    }
}

fn secret() -> Result<Secret> {
    Secret::generate().map_err(|_| AuthnError::Internal("the system provides no random bytes".into()))
}

fn unknown_invitation() -> AuthnError {
    Error::invalid("invitation", "This invitation is unknown, used, expired or for another e-mail address.").into()
}

fn email_taken() -> AuthnError {
    let message = "An account with this e-mail address already exists.";
    Error::Conflict(Conflict::Taken { field: "email", message }).into()
}
