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
    /// When the account was created.
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

/// An account to be created.
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

/// An account with its password hash.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The account.
    pub account: Account,
    /// The password's hash in PHC format.
    pub password_hash: String,
}

/// An account's role and membership in one clinic: the part that every request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The role, a name in `policies/policy.csv`.
    pub role: String,
    /// Whether the membership is active.
    pub is_active: bool,
    /// The doctor profile linked to the account.
    pub doctor: Option<DoctorId>,
}

/// An account's membership in one clinic, as the account's owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The clinic.
    pub clinic: ClinicId,
    /// The clinic's name.
    pub clinic_name: String,
    /// The clinic's time zone.
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
    /// Whether the membership is active.
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

/// A change of a membership. Absent fields do not change.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// The new role.
    pub role: Option<String>,
    /// Whether the membership is active.
    pub is_active: Option<bool>,
}

/// An offer to join a clinic with a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The row's id.
    pub id: InvitationId,
    /// The only e-mail address that may accept it; `None` means anyone who has the token.
    pub email: Option<String>,
    /// The role that the new member gets.
    pub role: String,
    /// The account that created it.
    pub created_by: AccountId,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
    /// When it was accepted.
    pub accepted_at: Option<DateTime<Utc>>,
}

impl Identified for Invitation {
    fn id(&self) -> i64 {
        self.id.0
    }
}

/// An invitation to be created.
#[derive(Debug, Clone)]
pub struct NewInvitation {
    /// The only e-mail address that may accept it; `None` means anyone who has the token.
    pub email: Option<String>,
    /// The role that the new member gets.
    pub role: String,
    /// The hash of its secret.
    pub token_hash: Vec<u8>,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
}

/// The outcome of presenting a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// The token was valid and is now used. Its successor is stored.
    Rotated {
        /// The account of the session.
        account: AccountId,
        /// The clinic of the session.
        clinic: ClinicId,
    },
    /// The token had been used before, so somebody has a copy. The whole session is ended.
    Reused,
    /// The token does not exist, or it has expired, or its session has ended.
    Unknown,
}
