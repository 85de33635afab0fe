//! What can go wrong with the database, in terms of what a caller does about it.

use crate::domain::fields::{FieldErrors, NON_FIELD};

/// The result of a statement or of a piece of work.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller may not know of such a row, or there is none.
    #[error("no such row")]
    NotFound,
    /// The row is not in the version that the caller expects.
    #[error("the row has another version")]
    Stale,
    /// What was sent does not fit what is stored, by field.
    #[error("invalid: {0:?}")]
    Invalid(FieldErrors),
    /// The row's state, or another row, stands against it.
    #[error("conflict: {0:?}")]
    Conflict(Conflict),
    /// The database cannot be reached; nothing was done.
    #[error("the database cannot be reached")]
    Unavailable,
    /// The server answers, and cannot do it: it is read-only (a standby, a failover), full, or out of memory. Nothing was done.
    #[error("the database cannot do this now")]
    Unable,
    /// The connection was lost while a commit was under way: it may have happened or not.
    #[error("the connection was lost during a commit")]
    OutcomeUnknown,
    /// Too much is waiting already; nothing was done.
    #[error("too much is waiting for the database")]
    Overloaded,
    /// What is stored is not what the code expects.
    #[error("bad stored data: {0}")]
    Corrupt(String),
    /// Another transaction was in the way (deadlock, serialisation, time); the same work may be tried again.
    #[error("another transaction was in the way")]
    TryAgain,
    /// Any other failure.
    #[error("database: {0}")]
    Database(sqlx::Error),
}

/// A state of the data that stands against a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// A unique value is taken.
    Taken {
        /// The field that holds it.
        field: &'static str,
        /// What to tell the person.
        message: &'static str,
    },
    /// The doctor has an active appointment at this time.
    DoctorBusy,
    /// The patient has an active appointment at this time.
    PatientBusy,
    /// The row has active appointments in the future.
    HasFutureAppointments,
    /// The clinic would be left without an administrator.
    LastAdministrator,
    /// The invitation has been accepted.
    AlreadyAccepted,
    /// Nothing is held for the one who waits.
    NoOffer,
    /// The one who waited has an appointment.
    OfferAccepted,
    /// The request's `Idempotency-Key` is in use: it is being done, or was done a moment ago.
    KeyUsed,
    /// The `Idempotency-Key` was used for another request.
    KeyOfAnother,
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::RowNotFound => Self::NotFound,
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed => Self::Unavailable,
            sqlx::Error::Database(database) => match database.code().as_deref() {
                // Deadlock, serialisation failure, lock timeout, statement timeout.
                Some("40P01" | "40001" | "55P03" | "57014") => Self::TryAgain,
                // Too many connections; the session was idle in a transaction for too long.
                Some("53300" | "25P03") => Self::Unavailable,
                // The connection failed; the server is shutting down, starting up, or has ended this session.
                Some(code) if code.starts_with("08") && code != "08P01" || code.starts_with("57") => Self::Unavailable,
                // A migration has added a column since the statement was prepared here: a new connection prepares it anew.
                Some("0A000") => Self::Unavailable,
                // Read-only; a disk is full, memory is short.
                Some(code) if code == "25006" || code.starts_with("53") => Self::Unable,
                _ => database.constraint().and_then(of_constraint).unwrap_or(Self::Database(error)),
            },
            _ => Self::Database(error),
        }
    }
}

impl Error {
    /// Whether the connection that it happened on is of no use any more.
    pub fn breaks_connection(&self) -> bool {
        match self {
            // Another connection may lead to a server that can.
            Self::Unavailable | Self::Unable | Self::OutcomeUnknown => true,
            Self::Database(error) => {
                !matches!(error, sqlx::Error::Database(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))
            }
            _ => false,
        }
    }

    /// The same, to be told to several who asked together: what each may do about it.
    #[must_use]
    pub fn like(&self) -> Self {
        match self {
            Self::OutcomeUnknown => Self::OutcomeUnknown,
            Self::Overloaded => Self::Overloaded,
            Self::Unable => Self::Unable,
            Self::Corrupt(what) => Self::Corrupt(what.clone()),
            _ => Self::Unavailable,
        }
    }

    /// The error of one field.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid(FieldErrors::one(field, message))
    }
}

impl From<FieldErrors> for Error {
    fn from(errors: FieldErrors) -> Self {
        Self::Invalid(errors)
    }
}

/// The one place where a constraint's name becomes a domain error.
fn of_constraint(name: &str) -> Option<Error> {
    let taken = |field, message| Some(Error::Conflict(Conflict::Taken { field, message }));
    match name {
        "accounts_email_unique" => taken("email", "An account with this e-mail address already exists."),
        "accounts_username_unique" => taken("username", "This user name is taken."),
        "memberships_pkey" => taken("email", "This person is already a member of the clinic."),
        "doctors_email_unique" => taken("email", "A doctor with this e-mail address already exists."),
        "doctors_license_unique" => taken("license_number", "A doctor with this license number already exists."),
        "doctors_account_unique" => taken("user", "This user is already linked to another doctor."),
        "doctors_account_is_member" => Some(Error::invalid("user", "There is no such user in this clinic.")),
        "patients_email_unique" => {
            taken("email", "A patient with this e-mail address already exists; send allow_duplicate=true to share it.")
        }
        "mappings_pair_unique" => taken(NON_FIELD, "This doctor is already assigned to this patient."),
        "appointments_doctor_free" => Some(Error::Conflict(Conflict::DoctorBusy)),
        "appointments_patient_free" => Some(Error::Conflict(Conflict::PatientBusy)),
        "idempotency_keys_once" => Some(Error::Conflict(Conflict::KeyUsed)),
        _ => None,
    }
}
