//! Invitations as the contract shows them.

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use poem_openapi::types::{Email, Example};

use crate::api::http::json::Row;
use crate::domain::fields::filled;
use crate::domain::users::Invitation;

/// An invitation to join the clinic with a role.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Invitation")]
pub struct InvitationView {
    /// The invitation's id.
    id: i64,
    /// The invited e-mail address; null means that anyone who has the invitation may use it.
    #[oai(nullable)]
    email: Option<Email>,
    /// The role that it grants.
    role: String,
    /// The id of the user who created it.
    created_by: i64,
    /// When.
    created_at: DateTime<Utc>,
    /// When it expires.
    expires_at: DateTime<Utc>,
    /// When it was accepted.
    #[oai(nullable)]
    accepted_at: Option<DateTime<Utc>>,
}

impl Row for InvitationView {}

impl From<Invitation> for InvitationView {
    fn from(invitation: Invitation) -> Self {
        filled!(Self {
            id: invitation.id.0,
            email: invitation.email.map(Email),
            created_by: invitation.created_by.0,
        } from invitation { role, created_at, expires_at, accepted_at })
    }
}

/// A new invitation, with its secret.
#[derive(Debug, Clone, Object)]
pub struct NewInvitationView {
    /// The invitation's id.
    pub id: i64,
    /// The secret to send as `invitation` when registering. It is shown only once.
    pub invitation: String,
    /// The invited e-mail address; null means that anyone who has the invitation may use it.
    #[oai(nullable)]
    pub email: Option<Email>,
    /// The role that it grants.
    pub role: String,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
}

/// An invitation to create.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct InvitationInput {
    /// The role: a name from the policy.
    #[oai(validator(min_length = 1, max_length = 40))]
    pub role: String,
    /// The invited e-mail address. Without it, anyone who has the invitation may use it.
    #[oai(nullable, validator(max_length = 254))]
    pub email: Option<Email>,
}

impl Example for InvitationInput {
    fn example() -> Self {
        Self { role: "staff".into(), email: Some(Email("sam@harbourclinic.example".into())) }
    }
}
