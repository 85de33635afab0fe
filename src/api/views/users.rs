//! Users as the contract shows them.

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use poem_openapi::types::{Email, Example, Password};

use crate::api::http::json::Row;
use crate::domain::fields::filled;
use crate::domain::users::User;

/// A member of the clinic.
#[derive(Debug, Clone, Object)]
#[oai(rename = "User")]
pub struct UserView {
    /// The user's id.
    id: i64,
    /// E-mail address.
    email: Email,
    /// User name.
    username: String,
    /// Given name.
    first_name: String,
    /// Family name.
    last_name: String,
    /// The role in the clinic: a name from the policy.
    role: String,
    /// Whether the user may act in the clinic.
    is_active: bool,
    /// When the membership began.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

impl Row for UserView {}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        filled!(Self {
            id: user.id.0,
            email: Email(user.email),
        } from user { username, first_name, last_name, role, is_active, created_at, updated_at })
    }
}

/// A user to create, with a new account.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct UserInput {
    /// E-mail address. A person who already has an account must be invited instead.
    #[oai(validator(max_length = 254))]
    pub email: Email,
    /// 8 to 128 characters, and not a common password.
    #[oai(validator(min_length = 8, max_length = 128))]
    pub password: Password,
    /// The role: a name from the policy.
    #[oai(validator(min_length = 1, max_length = 40))]
    pub role: String,
    /// A name to log in with; the e-mail address by default.
    #[oai(nullable, validator(min_length = 3, max_length = 254))]
    pub username: Option<String>,
    /// Given name.
    #[oai(nullable, validator(max_length = 100))]
    pub first_name: Option<String>,
    /// Family name.
    #[oai(nullable, validator(max_length = 100))]
    pub last_name: Option<String>,
}

impl Example for UserInput {
    fn example() -> Self {
        Self {
            email: Email("sam@harbourclinic.example".into()),
            password: Password("seven quiet lanterns".into()),
            role: "staff".into(),
            username: None,
            first_name: Some("Sam".into()),
            last_name: Some("Reyes".into()),
        }
    }
}

/// Fields of a user to change. Absent fields stay unchanged.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub struct UserPatch {
    /// The role: a name from the policy.
    #[oai(validator(min_length = 1, max_length = 40))]
    pub role: Option<String>,
    /// Whether the user may act in the clinic.
    pub is_active: Option<bool>,
}
