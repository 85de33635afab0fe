//! Accounts (a person's login), their memberships in clinics, and invitations.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{AccountId, ClinicId, DoctorId, Identified, InvitationId};

/// A person's login, global to the deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The row's id.
    pub id: AccountId,
    /// E-mail address, in lower case, unique.
    pub email: String,
    /// User name, in lower case, unique; the e-mail address unless set.
    pub username: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts the changes, from 1: the `ETag`.
    pub version: i64,
}

impl Identified for Account {
    fn id(&self) -> i64 {
        self.id.0
    }
}

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// E-mail address, in lower case.
    pub email: String,
    /// User name, in lower case.
    pub username: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// The password's hash in PHC format; never the password.
    pub password_hash: String,
}

/// An account with what is needed to check its password.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The account.
    pub account: Account,
    /// The password's hash in PHC format.
    pub password_hash: String,
}

/// What an account is in one clinic, as far as every request needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The role, a name in `policies/policy.csv`.
    pub role: String,
    /// Whether the membership is in force.
    pub is_active: bool,
    /// The doctor profile linked to the account.
    pub doctor: Option<DoctorId>,
}

/// An account's place in one clinic, as the account's owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The clinic.
    pub clinic: ClinicId,
    /// The clinic's name.
    pub clinic_name: String,
    /// The clinic's zone.
    pub time_zone: String,
    /// The role.
    pub role: String,
}

/// A member of a clinic, as its administrator sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The account.
    pub id: AccountId,
    /// E-mail address.
    pub email: String,
    /// User name.
    pub username: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// The role in this clinic.
    pub role: String,
    /// Whether the membership is in force.
    pub is_active: bool,
    /// When the membership began.
    pub created_at: DateTime<Utc>,
    /// When the membership was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts the changes of the membership, from 1: the `ETag`.
    pub version: i64,
}

impl Identified for User {
    fn id(&self) -> i64 {
        self.id.0
    }
}

/// A change of a membership; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// The new role.
    pub role: Option<String>,
    /// Whether the membership is in force.
    pub is_active: Option<bool>,
}

/// An offer to join a clinic with a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The row's id.
    pub id: InvitationId,
    /// Whom it is for; anyone who holds it where absent.
    pub email: Option<String>,
    /// The role that it gives.
    pub role: String,
    /// The account that invited.
    pub created_by: AccountId,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
    /// When it was accepted.
    pub accepted_at: Option<DateTime<Utc>>,
}

impl Identified for Invitation {
    fn id(&self) -> i64 {
        self.id.0
    }
}

/// An invitation to be made.
#[derive(Debug, Clone)]
pub struct NewInvitation {
    /// Whom it is for; anyone who holds it where absent.
    pub email: Option<String>,
    /// The role that it gives.
    pub role: String,
    /// The hash of its secret.
    pub token_hash: Vec<u8>,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
}

/// What happened to a refresh token that was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// It was good, and is consumed now; its successor is stored.
    Rotated {
        /// Whose session.
        account: AccountId,
        /// In which clinic.
        clinic: ClinicId,
    },
    /// It had been consumed before: its whole session is ended, for somebody has a copy.
    Reused,
    /// There is no such token, or it or its session is over.
    Unknown,
}
