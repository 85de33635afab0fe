//! The one problem type (RFC 9457): every refusal that a client meets has this shape.

use poem::{
    IntoResponse, Response,
    http::{StatusCode, header},
};
use poem_openapi::{
    ApiResponse, Object,
    registry::{MetaResponses, Registry},
};

use super::outside::current_request;
use crate::{
    actors::{
        repository::{Conflict, Error as RepositoryError},
        schedule::{Refused, ScheduleError},
    },
    authn::{AuthnError, PasswordError},
    authz::Denied,
    domain::{
        Interval,
        calendar::Violation,
        fields::{FieldErrors, NON_FIELD},
        lifecycle::Status,
    },
};

/// A kind of problem: its name, status and title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// The name at the end of `type`.
    pub name: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// What it is, in words that do not depend on the occurrence.
    pub title: &'static str,
    /// What a client can do about it.
    pub advice: &'static str,
}

macro_rules! kinds {
    ($($constant:ident = $name:literal, $status:ident, $title:literal, $advice:literal;)*) => {
        $(
            #[doc = $title]
            pub const $constant: &Kind = &Kind {
                name: $name,
                status: StatusCode::$status,
                title: $title,
                advice: $advice,
            };
        )*

        /// Every kind of problem.
        pub const KINDS: &[&Kind] = &[$($constant),*];
    };
}

kinds! {
    MALFORMED = "malformed", BAD_REQUEST, "The request cannot be read",
        "Send a body that is JSON in UTF-8, nested at most 64 deep, with numbers that a double can hold.";
    UNAUTHENTICATED = "unauthenticated", UNAUTHORIZED, "Who is calling is not known",
        "Send `Authorization: Bearer` with an access token that has not expired; log in or refresh to get one.";
    FORBIDDEN = "forbidden", FORBIDDEN, "The role may not do this",
        "GET /api/auth/permissions lists what the token's role may do.";
    NOT_FOUND = "not-found", NOT_FOUND, "There is nothing here",
        "Check the id and the path; rows that the caller may not know of are answered like this too.";
    METHOD_NOT_ALLOWED = "method-not-allowed", METHOD_NOT_ALLOWED, "This path does not know the method",
        "The contract at /openapi.json lists each path with its methods.";
    TIMEOUT = "timeout", REQUEST_TIMEOUT, "The request took too long to arrive",
        "Send the whole body within ten seconds.";
    TAKEN = "taken", CONFLICT, "Something else has this value already",
        "`errors` names the field; choose another value, or change the row that has it.";
    SLOT_TAKEN = "slot-taken", CONFLICT, "The doctor is busy at this time",
        "`conflicts` lists the times in the way and `next_slots` the next times that can be booked.";
    PATIENT_BUSY = "patient-busy", CONFLICT, "The patient has another appointment at this time",
        "`conflicts` lists the times in the way and `next_slots` the next times that can be booked.";
    DOCTOR_INACTIVE = "doctor-inactive", CONFLICT, "The doctor takes no bookings",
        "Choose another doctor, or set `is_active` of this one.";
    INVALID_TRANSITION = "invalid-transition", CONFLICT, "The appointment cannot take this step",
        "`detail` names the statuses that may follow the present one.";
    HAS_FUTURE_APPOINTMENTS = "has-future-appointments", CONFLICT, "There are appointments to come",
        "Cancel them, or send `cancel_appointments=true` to cancel them in the same step.";
    LAST_ADMINISTRATOR = "last-administrator", CONFLICT, "A clinic keeps an administrator",
        "Give another active user an administering role first.";
    ALREADY_ACCEPTED = "already-accepted", CONFLICT, "The invitation has been accepted",
        "Change or remove the user instead.";
    STALE = "stale", PRECONDITION_FAILED, "The row has been changed meanwhile",
        "Read it again and repeat the change with the new ETag in `If-Match`.";
    TOO_LARGE = "too-large", PAYLOAD_TOO_LARGE, "The body is too large",
        "A body is at most 1 MiB.";
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "The body is not of a kind that is read here",
        "Send `Content-Type: application/json`.";
    INVALID = "invalid", UNPROCESSABLE_ENTITY, "Some fields are not valid",
        "`errors` says what is wrong with which field.";
    IN_THE_PAST = "in-the-past", UNPROCESSABLE_ENTITY, "The time has passed",
        "Choose a time in the future; `next_slots` offers some.";
    INTERNAL = "internal", INTERNAL_SERVER_ERROR, "Something went wrong here",
        "Report the request id in `instance`; it is in the server's log.";
    UNAVAILABLE = "unavailable", SERVICE_UNAVAILABLE, "Not possible just now; nothing was done",
        "Try again after the seconds in `Retry-After`.";
    OUTCOME_UNKNOWN = "outcome-unknown", SERVICE_UNAVAILABLE, "The outcome is not known",
        "The change may have been made or not: read before you try again.";
}

/// A refusal on its way to a client.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: &'static Kind,
    detail: String,
    errors: FieldErrors,
    booking: Option<(Vec<Interval>, Vec<Interval>)>,
}

/// A span of time, from `start` up to but not including `end`.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Slot")]
pub struct SlotView {
    /// The first instant inside.
    start: chrono::DateTime<chrono::Utc>,
    /// The first instant after.
    end: chrono::DateTime<chrono::Utc>,
}

impl From<Interval> for SlotView {
    fn from(interval: Interval) -> Self {
        Self { start: interval.start(), end: interval.end() }
    }
}

/// Why a request was refused (RFC 9457).
#[derive(Debug, Clone, Object)]
#[oai(rename = "Problem", skip_serializing_if_is_none)]
pub struct ProblemBody {
    /// Names the kind of problem; the page at this path explains it.
    #[oai(rename = "type")]
    ty: String,
    /// What kind of problem it is, in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What went wrong this time, and what would work.
    detail: String,
    /// The request's id, as in `X-Request-Id`.
    instance: String,
    /// What is wrong with which field; `non_field_errors` for what concerns none.
    errors: Option<std::collections::HashMap<String, Vec<String>>>,
    /// Of a refused booking: the times that stood in its way.
    conflicts: Option<Vec<SlotView>>,
    /// Of a refused booking: the next times that can be booked.
    next_slots: Option<Vec<SlotView>>,
}

impl Problem {
    /// A problem of that kind.
    pub fn new(kind: &'static Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: FieldErrors::default(), booking: None }
    }

    /// Fields that are not valid.
    pub fn invalid(errors: FieldErrors) -> Self {
        let fields: Vec<_> = errors.0.keys().map(String::as_str).collect();
        let detail = match fields.as_slice() {
            [NON_FIELD] => errors.0.values().flatten().cloned().collect::<Vec<_>>().join(" "),
            fields => format!("Not valid: {}.", fields.join(", ")),
        };
        Self { errors, ..Self::new(INVALID, detail) }
    }

    /// A step that the lifecycle does not have.
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

    fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "internal error");
        Self::new(INTERNAL, "The server met an error of its own; it has been logged under this request's id.")
    }

    fn body(&self) -> ProblemBody {
        let slots = |spans: &Vec<Interval>| spans.iter().copied().map(SlotView::from).collect();
        ProblemBody {
            ty: format!("/problems/{}", self.kind.name),
            title: self.kind.title.to_owned(),
            status: self.kind.status.as_u16(),
            detail: self.detail.clone(),
            instance: format!("urn:uuid:{}", current_request()),
            errors: (!self.errors.is_empty()).then(|| self.errors.0.clone().into_iter().collect()),
            conflicts: self.booking.as_ref().map(|(conflicts, _)| slots(conflicts)),
            next_slots: self.booking.as_ref().map(|(_, next)| slots(next)),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = poem_openapi::types::ToJSON::to_json_string(&self.body());
        let mut response =
            Response::builder().status(self.kind.status).content_type("application/problem+json").body(body);
        let headers = response.headers_mut();
        if self.kind.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        if self.kind.status == StatusCode::SERVICE_UNAVAILABLE {
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

/// Which problems an operation can answer is said once for all operations, in `spec.rs`.
impl ApiResponse for Problem {
    fn meta() -> MetaResponses {
        MetaResponses { responses: Vec::new() }
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
            RepositoryError::NotFound => Self::new(NOT_FOUND, "There is no such row, or you may not know of it."),
            RepositoryError::Stale => {
                Self::new(STALE, "The row has another version than `If-Match` expects; read it again.")
            }
            RepositoryError::Invalid(errors) => Self::invalid(errors),
            RepositoryError::Conflict(conflict) => conflict.into(),
            RepositoryError::Unavailable => {
                Self::new(UNAVAILABLE, "The database cannot be reached just now; nothing was done.")
            }
            RepositoryError::TryAgain => Self::new(UNAVAILABLE, "Another change was in the way; nothing was done."),
            RepositoryError::Overloaded => {
                Self::new(UNAVAILABLE, "Too many requests are waiting already; nothing was done.")
            }
            RepositoryError::OutcomeUnknown => Self::new(
                OUTCOME_UNKNOWN,
                "The connection to the database was lost while the change was being saved: it may have been made or not. Read before you try again.",
            ),
            error @ (RepositoryError::Corrupt(_) | RepositoryError::Database(_)) => Self::internal(&error),
        }
    }
}

impl From<Conflict> for Problem {
    fn from(conflict: Conflict) -> Self {
        match conflict {
            Conflict::Taken { field, message } => Self::new(TAKEN, message).with_error(field, message),
            Conflict::DoctorBusy => Self::new(SLOT_TAKEN, SLOT_TAKEN_DETAIL).with_error(NON_FIELD, SLOT_TAKEN_DETAIL),
            Conflict::PatientBusy => {
                Self::new(PATIENT_BUSY, PATIENT_BUSY_DETAIL).with_error(NON_FIELD, PATIENT_BUSY_DETAIL)
            }
            Conflict::HasFutureAppointments => Self::new(
                HAS_FUTURE_APPOINTMENTS,
                "There are active appointments to come; cancel them, or send cancel_appointments=true.",
            ),
            Conflict::LastAdministrator => Self::new(
                LAST_ADMINISTRATOR,
                "This is the clinic's last active administrator; give another user that role first.",
            ),
            Conflict::AlreadyAccepted => {
                Self::new(ALREADY_ACCEPTED, "This invitation has been accepted; change the user instead.")
            }
        }
    }
}

const SLOT_TAKEN_DETAIL: &str = "Doctor already has an appointment at this time.";
const PATIENT_BUSY_DETAIL: &str = "Patient already has an appointment at this time.";

impl From<ScheduleError> for Problem {
    fn from(error: ScheduleError) -> Self {
        match error {
            ScheduleError::Refused(refused) => refused.into(),
            ScheduleError::Repository(error) => error.into(),
        }
    }
}

/// All broken rules are listed; the problem is of the kind of the first.
impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let explained = |violation: &Violation| match violation {
            Violation::NoSuchDoctor => (INVALID, "doctor", "There is no such doctor."),
            Violation::NoSuchPatient => (INVALID, "patient", "There is no such patient."),
            Violation::InThePast => (IN_THE_PAST, "appointment_datetime", "The appointment must start in the future."),
            Violation::DoctorInactive => (DOCTOR_INACTIVE, "doctor", "This doctor takes no bookings at present."),
            Violation::SlotTaken => (SLOT_TAKEN, NON_FIELD, SLOT_TAKEN_DETAIL),
            Violation::PatientBusy => (PATIENT_BUSY, NON_FIELD, PATIENT_BUSY_DETAIL),
        };
        let mut explained = refused.violations.iter().map(explained);
        let (kind, field, detail) = explained.next().unwrap_or((SLOT_TAKEN, NON_FIELD, SLOT_TAKEN_DETAIL));
        let mut problem = Self::new(kind, detail).with_error(field, detail);
        for (_, field, message) in explained {
            problem.errors.add(field, message);
        }
        if kind != INVALID {
            problem.booking = Some((refused.conflicts, refused.next_slots));
        }
        problem
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
            AuthnError::WrongCredentials => Self::new(UNAUTHENTICATED, "No account has this login with this password."),
            AuthnError::InvalidToken => {
                Self::new(UNAUTHENTICATED, "The token is not valid, or not any more; log in or refresh.")
            }
            AuthnError::NoMembership => Self::new(FORBIDDEN, "This account has no active membership there."),
            AuthnError::Password(error) => error.into(),
            AuthnError::Repository(error) => error.into(),
            AuthnError::Internal(error) => Self::internal(&error),
        }
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => {
                Self::new(UNAVAILABLE, "Too many passwords are being checked just now; nothing was done.")
            }
            PasswordError::Hashing(error) => Self::internal(&error),
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
