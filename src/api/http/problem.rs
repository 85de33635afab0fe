//! The problem type (RFC 9457). Every error response has this form.

use std::marker::PhantomData;

use poem::http::{StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::ToJSON;
use poem_openapi::{ApiResponse, Object};
use serde_json::{Map, Value};

use crate::actors::repository::{Conflict, Error as RepositoryError};
use crate::api::http::request_id::current_request;
use crate::authn::{AuthnError, PasswordError};
use crate::authz::Denied;
use crate::domain::calendar::Violation;
use crate::domain::fields::{FieldErrors, NON_FIELD};
use crate::domain::lifecycle::Status;

pub use crate::api::http::kinds::*;

/// An error that is answered to a client.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: &'static Kind,
    detail: String,
    errors: FieldErrors,
    /// Additional fields of this kind (RFC 9457 §3.2).
    more: Option<Box<Map<String, Value>>>,
}

/// Why a request was refused (RFC 9457).
#[derive(Debug, Clone, Object)]
#[oai(rename = "Problem", skip_serializing_if_is_none)]
pub struct ProblemBody {
    /// The problem type. The page at this path explains it.
    #[oai(rename = "type")]
    ty: String,
    /// The problem type in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What went wrong with this request, and what would work.
    detail: String,
    /// The request's id, as in `X-Request-Id`.
    instance: String,
    /// What is wrong, by field. `non_field_errors` is for the request as a whole.
    errors: Option<std::collections::HashMap<String, Vec<String>>>,
}

impl Problem {
    /// Creates a problem of a kind.
    pub fn new(kind: &'static Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: FieldErrors::default(), more: None }
    }

    /// Creates the problem for invalid fields.
    pub fn invalid(errors: FieldErrors) -> Self {
        let fields: Vec<_> = errors.0.keys().map(String::as_str).collect();
        let detail = match fields.as_slice() {
            [NON_FIELD] => errors.0.values().flatten().cloned().collect::<Vec<_>>().join(" "),
            fields => format!("Not valid: {}.", fields.join(", ")),
        };
        Self { errors, ..Self::new(INVALID, detail) }
    }

    /// Creates the problem for a step that the lifecycle does not allow.
    pub fn invalid_transition(from: Status, to: Status) -> Self {
        let allowed: Vec<_> = from.next().iter().map(|status| status.name()).collect();
        let allowed = match allowed.as_slice() {
            [] => "none, it is final".to_owned(),
            allowed => allowed.join(", "),
        };
        let detail = format!("An appointment that is {from} cannot become {to}; allowed next: {allowed}.");
        Self::new(INVALID_TRANSITION, detail.clone()).with_error("status", detail)
    }

    /// Adds a message for a field.
    pub fn with_error(mut self, field: &str, message: impl Into<String>) -> Self {
        self.errors.add(field, message);
        self
    }

    /// Returns whether the requested change may have been made, or may still be made.
    pub fn leaves_outcome_open(&self) -> bool {
        [OUTCOME_UNKNOWN, INTERNAL].contains(&self.kind)
    }

    /// Logs an error that the client cannot resolve, and creates its problem.
    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "internal error");
        Self::new(INTERNAL, "Internal error. The server has logged it under this request's id.")
    }

    /// Returns the kind.
    pub fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// Adds the additional fields of this kind.
    pub fn with_more(mut self, more: &impl ToJSON) -> Self {
        if let Some(Value::Object(more)) = more.to_json() {
            self.more = Some(Box::new(more));
        }
        self
    }

    fn body(self) -> String {
        let common = ProblemBody {
            ty: format!("/problems/{}", self.kind.name),
            title: self.kind.title.to_owned(),
            status: self.kind.status.as_u16(),
            detail: self.detail,
            instance: format!("urn:uuid:{}", current_request()),
            errors: (!self.errors.is_empty()).then(|| self.errors.0.into_iter().collect()),
        };
        let mut body = common.to_json().unwrap_or_default();
        if let (Some(more), Value::Object(body)) = (self.more, &mut body) {
            body.extend(*more);
        }
        body.to_string()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status;
        let mut response =
            Response::builder().status(status).content_type("application/problem+json").body(self.body());
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Problem> for poem::Error {
    fn from(problem: Problem) -> Self {
        Self::from_response(problem.into_response())
    }
}

/// The problems that an operation may have, in addition to those that follow from its parameters and body.
pub trait Against {
    /// The kinds of these problems.
    const KINDS: &'static [&'static Kind];
    /// Whether the policy is asked. If so, the operation may be forbidden.
    const ASKS_POLICY: bool = true;
}

/// Defines a type for [`Refused`] that names the problems that operations may have.
macro_rules! against {
    ($(#[$doc:meta])* $name:ident: $($kind:ident),*) => {
        $(#[$doc])*
        pub struct $name;

        impl $crate::api::http::problem::Against for $name {
            const KINDS: &'static [&'static $crate::api::http::kinds::Kind] = &[$($crate::api::http::kinds::$kind),*];
        }
    };
    ($(#[$doc:meta])* $name:ident without policy: $($kind:ident),*) => {
        $(#[$doc])*
        pub struct $name;

        impl $crate::api::http::problem::Against for $name {
            const KINDS: &'static [&'static $crate::api::http::kinds::Kind] = &[$($crate::api::http::kinds::$kind),*];
            const ASKS_POLICY: bool = false;
        }
    };
}
pub(crate) use against;

against!(
    /// No additional problems.
    Nothing:
);
against!(
    /// No additional problems. The policy is not asked.
    Unasked without policy:
);
against!(
    /// Another row already has a unique value.
    Taken: TAKEN
);
against!(
    /// There are upcoming appointments.
    HasAppointments: HAS_FUTURE_APPOINTMENTS
);

/// A problem of an operation. The type parameter names the problems that the operation may have.
pub struct Refused<K>(Problem, PhantomData<fn() -> K>);

impl<K, E: Into<Problem>> From<E> for Refused<K> {
    fn from(error: E) -> Self {
        Self(error.into(), PhantomData)
    }
}

impl<K> From<Refused<K>> for poem::Error {
    fn from(refused: Refused<K>) -> Self {
        refused.0.into()
    }
}

/// Passes the kinds to `spec`, encoded as media types of a response. `spec` writes the actual responses.
impl<K: Against> ApiResponse for Refused<K> {
    fn meta() -> MetaResponses {
        let policy = K::ASKS_POLICY.then_some(FORBIDDEN);
        let kinds = policy.into_iter().chain(K::KINDS.iter().copied()).chain([INTERNAL, UNAVAILABLE]);
        let content = kinds.map(|kind| MetaMediaType {
            content_type: kind.name,
            schema: MetaSchemaRef::Inline(Box::new(MetaSchema::ANY)),
        });
        let kinds = MetaResponse {
            description: "",
            status: None,
            status_range: None,
            content: content.collect(),
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![kinds] }
    }

    fn register(_: &mut Registry) {}
}

impl ApiResponse for Problem {
    fn meta() -> MetaResponses {
        Refused::<Nothing>::meta()
    }

    fn register(_: &mut Registry) {}
}

impl From<FieldErrors> for Problem {
    fn from(errors: FieldErrors) -> Self {
        Self::invalid(errors)
    }
}

impl From<RepositoryError> for Problem {
    fn from(error: RepositoryError) -> Self {
        match error {
            RepositoryError::NotFound => Self::new(NOT_FOUND, "There is no such row, or you may not see it."),
            RepositoryError::Stale => {
                Self::new(STALE, "The row's version is not the one in `If-Match`. Read the row again.")
            }
            RepositoryError::Invalid(errors) => Self::invalid(errors),
            RepositoryError::Conflict(conflict) => conflict.into(),
            RepositoryError::Unavailable => Self::new(UNAVAILABLE, "The database cannot be reached. Nothing was done."),
            RepositoryError::Unable => {
                Self::new(UNAVAILABLE, "The database is read-only, full or out of memory. Nothing was done.")
            }
            RepositoryError::TryAgain => {
                Self::new(UNAVAILABLE, "Another transaction blocked this change. Nothing was done.")
            }
            RepositoryError::Overloaded => Self::new(UNAVAILABLE, "Too many requests are waiting. Nothing was done."),
            RepositoryError::OutcomeUnknown => Self::new(
                OUTCOME_UNKNOWN,
                "The connection to the database was lost while the change was being saved. The change may or may not have been made. Read the data before you try again.",
            ),
            error @ (RepositoryError::Corrupt(_) | RepositoryError::Database(_)) => Self::internal(&error),
        }
    }
}

impl From<Conflict> for Problem {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::Taken { field, message } => Self::new(TAKEN, message).with_error(field, message),
            Conflict::DoctorBusy => Violation::SlotTaken.into(),
            Conflict::PatientBusy => Violation::PatientBusy.into(),
            Conflict::KeyUsed => {
                Self::new(KEY_IN_USE, "A request with this Idempotency-Key is in progress. Send it again in a moment.")
            }
            Conflict::KeyOfAnother => {
                Self::new(KEY_OF_ANOTHER, "This Idempotency-Key was used for a different request within the last day.")
            }
            Conflict::NoOffer => {
                Self::new(NO_OFFER, "This entry has no offer: no slot has become free yet, or the offer has expired.")
            }
            Conflict::OfferAccepted => {
                Self::new(OFFER_ACCEPTED, "The offer has been accepted. Cancel the appointment instead.")
            }
            Conflict::HasFutureAppointments => Self::new(
                HAS_FUTURE_APPOINTMENTS,
                "There are upcoming active appointments. Cancel them, or send cancel_appointments=true.",
            ),
            Conflict::LastAdministrator => Self::new(
                LAST_ADMINISTRATOR,
                "This is the clinic's last active administrator. Give another user that role first.",
            ),
            Conflict::AlreadyAccepted => {
                Self::new(ALREADY_ACCEPTED, "This invitation has been accepted. Update the user instead.")
            }
        }
    }
}

impl From<Violation> for Problem {
    fn from(violation: Violation) -> Self {
        let told = told(violation);
        Self::new(told.kind, told.detail).with_error(told.field, told.detail)
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Role { .. } => Self::new(FORBIDDEN, format!("{}.", capitalised(&denied.to_string()))),
            Denied::Unrecorded(error) => error.into(),
        }
    }
}

impl From<AuthnError> for Problem {
    fn from(error: AuthnError) -> Self {
        match error {
            AuthnError::WrongCredentials => Self::new(UNAUTHENTICATED, "The login or the password is wrong."),
            AuthnError::InvalidToken => {
                Self::new(UNAUTHENTICATED, "The token is invalid or expired. Log in or refresh.")
            }
            AuthnError::NoMembership => Self::new(FORBIDDEN, "This account has no active membership in that clinic."),
            AuthnError::Password(error) => error.into(),
            AuthnError::Repository(error) => error.into(),
            AuthnError::Internal(error) => Self::internal(&error),
        }
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::new(UNAVAILABLE, "Too many passwords are being checked. Nothing was done."),
            PasswordError::Hashing(error) => Self::internal(&error),
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
