//! Accounts and tokens as the contract shows them.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use poem_openapi::payload::Json;
use poem_openapi::types::{Email, Example, Password};
use poem_openapi::{ApiResponse, Object};

use crate::api::http::json::Row;
use crate::authn::{Registration, SignedIn, weakness};
use crate::domain::Caller;
use crate::domain::clinics::ClinicDetails;
use crate::domain::fields::{FieldErrors, login_name, tidy, tidy_optional};
use crate::domain::users::{Account, Membership};

/// A registration.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct RegisterInput {
    /// E-mail address, unique.
    #[oai(validator(max_length = 254))]
    email: Email,
    /// 8 to 128 characters, and not a common password.
    #[oai(validator(min_length = 8, max_length = 128))]
    password: Password,
    /// The password again, to detect typing errors.
    #[oai(nullable, validator(max_length = 128))]
    password2: Option<Password>,
    /// A unique name to log in with; the e-mail address by default.
    #[oai(nullable, validator(min_length = 3, max_length = 254))]
    username: Option<String>,
    /// Full name, instead of `first_name` and `last_name`.
    #[oai(nullable, validator(max_length = 200))]
    name: Option<String>,
    /// Given name.
    #[oai(nullable, validator(max_length = 100))]
    first_name: Option<String>,
    /// Family name.
    #[oai(nullable, validator(max_length = 100))]
    last_name: Option<String>,
    /// The name of the new clinic. Not allowed with an invitation.
    #[oai(nullable, validator(max_length = 200))]
    clinic_name: Option<String>,
    /// The secret of an invitation to join a clinic.
    #[oai(nullable, validator(max_length = 200))]
    invitation: Option<String>,
}

impl Example for RegisterInput {
    fn example() -> Self {
        Self {
            email: Email("ada@harbourclinic.example".into()),
            password: Password("correct horse battery staple".into()),
            password2: None,
            username: None,
            name: Some("Ada Lindqvist".into()),
            first_name: None,
            last_name: None,
            clinic_name: Some("Harbour Clinic".into()),
            invitation: None,
        }
    }
}

impl RegisterInput {
    pub fn checked(self) -> Result<Registration, FieldErrors> {
        let mut errors = FieldErrors::default();
        let email = login_name(&self.email);
        let username = tidy_optional(self.username).map_or_else(|| email.clone(), |name| login_name(&name));
        let (mut first_name, mut last_name) = split_name(self.name.as_deref().unwrap_or_default());
        if let Some(given) = tidy_optional(self.first_name) {
            first_name = given;
        }
        if let Some(family) = tidy_optional(self.last_name) {
            last_name = family;
        }
        if self.password2.is_some_and(|again| again.0 != self.password.0) {
            errors.add("password2", "The two passwords are not the same.");
        }
        let full_name = format!("{first_name} {last_name}");
        if let Some(weakness) =
            weakness(&self.password, &email, &[&username, &first_name, &last_name, full_name.trim()])
        {
            errors.add("password", weakness);
        }
        if username != email && username.contains('@') {
            errors.add("username", "A user name that is an e-mail address must be your own.");
        }
        let clinic_name = tidy_optional(self.clinic_name);
        let invitation = tidy_optional(self.invitation);
        if clinic_name.is_some() && invitation.is_some() {
            errors.add("clinic_name", "An invitation joins an existing clinic. Send either clinic_name or invitation.");
        }
        errors.into_result()?;
        let founder = if first_name.is_empty() { "My clinic".to_owned() } else { format!("{full_name}'s clinic") };
        Ok(Registration {
            clinic: ClinicDetails { name: clinic_name.unwrap_or(founder), time_zone: Tz::UTC },
            email,
            username,
            first_name,
            last_name,
            password: self.password.0,
            invitation,
        })
    }
}

/// Splits a full name into given and family name. The last word is the family name.
fn split_name(name: &str) -> (String, String) {
    match name.trim().rsplit_once(char::is_whitespace) {
        Some((first, last)) => (tidy(first), tidy(last)),
        None => (tidy(name), String::new()),
    }
}

/// Credentials.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct LoginInput {
    /// E-mail address. Send either this or `username`.
    #[oai(nullable, validator(max_length = 254))]
    pub email: Option<String>,
    /// User name or e-mail address. Send either this or `email`.
    #[oai(nullable, validator(max_length = 254))]
    pub username: Option<String>,
    /// The password.
    #[oai(validator(min_length = 1, max_length = 1024))]
    pub password: Password,
}

impl Example for LoginInput {
    fn example() -> Self {
        Self {
            email: Some("admin@demo.example".into()),
            username: None,
            password: Password("demo-clinic-admin".into()),
        }
    }
}

/// A refresh token.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub struct RefreshInput {
    /// The refresh token from the registration, the login or the previous refresh.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub refresh: String,
}

/// The clinic to switch to.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct SwitchInput {
    /// The clinic's id.
    #[oai(validator(minimum(value = "1")))]
    pub clinic: i64,
}

impl Example for SwitchInput {
    fn example() -> Self {
        Self { clinic: 2 }
    }
}

/// The token's account in the token's clinic.
#[derive(Debug, Clone, Object)]
pub struct AccountView {
    /// The account's id, which is the user's id in each of its clinics.
    id: i64,
    /// E-mail address.
    email: Email,
    /// User name.
    username: String,
    /// Given name.
    first_name: String,
    /// Family name.
    last_name: String,
    /// The role in the clinic.
    role: String,
    /// The clinic's id.
    clinic: i64,
}

impl AccountView {
    fn of(account: Account, caller: &Caller) -> Self {
        Self {
            id: account.id.0,
            email: Email(account.email),
            username: account.username,
            first_name: account.first_name,
            last_name: account.last_name,
            role: caller.role.clone(),
            clinic: caller.clinic.0,
        }
    }
}

/// A new pair of tokens.
#[derive(Debug, Clone, Object)]
pub struct TokenPair {
    /// The access token: send it as `Authorization: Bearer`.
    access: String,
    /// The refresh token. It works once.
    refresh: String,
    /// Always `Bearer`.
    token_type: String,
    /// Lifetime of the access token, in seconds.
    expires_in: i64,
    /// The account of the tokens.
    user: AccountView,
}

impl From<SignedIn> for TokenPair {
    fn from(signed_in: SignedIn) -> Self {
        Self {
            user: AccountView::of(signed_in.account, &signed_in.caller),
            access: signed_in.access,
            refresh: signed_in.refresh,
            token_type: "Bearer".into(),
            expires_in: signed_in.expires_in,
        }
    }
}

/// A new account's tokens.
#[derive(ApiResponse)]
pub enum Registered {
    /// The account was created; these are its tokens.
    #[oai(status = 201)]
    Created(Json<TokenPair>),
}

/// A clinic of the account.
#[derive(Debug, Clone, Object)]
pub struct MembershipView {
    /// The clinic's id.
    clinic: i64,
    /// The clinic's name.
    clinic_name: String,
    /// The clinic's time zone.
    time_zone: String,
    /// The account's role there.
    role: String,
}

impl From<Membership> for MembershipView {
    fn from(membership: Membership) -> Self {
        Self {
            clinic: membership.clinic.0,
            clinic_name: membership.clinic_name,
            time_zone: membership.time_zone,
            role: membership.role,
        }
    }
}

/// The caller's account.
#[derive(Debug, Clone, Object)]
pub struct Me {
    /// The account's id.
    pub id: i64,
    /// E-mail address.
    pub email: Email,
    /// User name.
    pub username: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// The role in the clinic of the token.
    pub role: String,
    /// The caller's clinic.
    pub clinic: i64,
    /// The id of the doctor who is linked to the account in this clinic.
    #[oai(nullable)]
    pub doctor: Option<i64>,
    /// The account's clinics.
    pub clinics: Vec<MembershipView>,
    /// When the account was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Row for Me {}

/// Fields of the caller's account to change. Absent fields stay unchanged.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub struct MePatch {
    /// Given name.
    #[oai(validator(max_length = 100))]
    pub first_name: Option<String>,
    /// Family name.
    #[oai(validator(max_length = 100))]
    pub last_name: Option<String>,
}

/// The permissions of a token.
#[derive(Debug, Clone, Object)]
pub struct Permissions {
    /// The role of the token.
    pub role: String,
    /// The role's permissions.
    pub permissions: Vec<Permission>,
}

/// A permission of a role.
#[derive(Debug, Clone, Object)]
pub struct Permission {
    /// The resource.
    pub resource: String,
    /// The action.
    pub action: String,
    /// On which rows: `clinic` (all), `own` (of patients that the caller owns), `assigned` (of the doctor who is linked
    /// to the caller).
    pub scopes: Vec<String>,
}
