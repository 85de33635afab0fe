//! Invitations as the contract shows them.

use chrono::{DateTime, Utc};
use poem_openapi::{
    Object,
    types::{Email, Example},
};

use crate::{api::http::json::Row, domain::users::Invitation};

/// An offer to join the clinic with a role.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Invitation")]
pub struct InvitationView {
    /// The invitation's id.
    id: i64,
    /// Whom it is for; null for anyone who holds it.
    #[oai(nullable)]
    email: Option<Email>,
    /// The role that it gives.
    role: String,
    /// The id of the user who invited.
    created_by: i64,
    /// When.
    created_at: DateTime<Utc>,
    /// Until when it can be accepted.
    expires_at: DateTime<Utc>,
    /// When it was accepted.
    #[oai(nullable)]
    accepted_at: Option<DateTime<Utc>>,
}

impl Row for InvitationView {}

impl From<Invitation> for InvitationView {
    fn from(invitation: Invitation) -> Self {
        Self {
            id: invitation.id.0,
            email: invitation.email.map(Email),
            role: invitation.role,
            created_by: invitation.created_by.0,
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
            accepted_at: invitation.accepted_at,
        }
    }
}

/// A new invitation with its secret.
#[derive(Debug, Clone, Object)]
pub struct NewInvitationView {
    /// The invitation's id.
    pub id: i64,
    /// What to register with, as `invitation`; it is shown this once.
    pub invitation: String,
    /// Whom it is for; null for anyone who holds it.
    #[oai(nullable)]
    pub email: Option<Email>,
    /// The role that it gives.
    pub role: String,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
}

/// An invitation to make.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct InvitationInput {
    /// The role: a name in the policy.
    #[oai(validator(min_length = 1, max_length = 40))]
    pub role: String,
    /// Whom it is for; anyone who holds it unless said.
    #[oai(nullable, validator(max_length = 254))]
    pub email: Option<Email>,
}

impl Example for InvitationInput {
    fn example() -> Self {
        Self { role: "staff".into(), email: Some(Email("sam@harbourclinic.example".into())) }
    }
}
