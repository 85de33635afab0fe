//! Errors of the database, one variant for each reaction of a caller.

use crate::domain::fields::{FieldErrors, NON_FIELD};

/// The result of a statement or of a piece of work.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The row does not exist, or the caller may not see it.
    #[error("no such row")]
    NotFound,
    /// The row does not have the expected version.
    #[error("the row has another version")]
    Stale,
    /// The input does not fit the stored data, by field.
    #[error("invalid: {0:?}")]
    Invalid(FieldErrors),
    /// The state of the row or another row prevents the change.
    #[error("conflict: {0:?}")]
    Conflict(Conflict),
    /// The database cannot be reached. Nothing was done.
    #[error("the database cannot be reached")]
    Unavailable,
    /// The server responds but cannot do the work: it is read-only (a standby, a failover), full, or out of memory.
    /// Nothing was done.
    #[error("the database cannot do this now")]
    Unable,
    /// The connection was lost during a commit, which may or may not have been made.
    #[error("the connection was lost during a commit, which may or may not have been made")]
    OutcomeUnknown,
    /// The queue is full. Nothing was done.
    #[error("the queue of the database is full")]
    Overloaded,
    /// The stored data is not what the code expects.
    #[error("bad stored data: {0}")]
    Corrupt(String),
    /// A conflict with another transaction (deadlock, serialization failure, timeout). The same work may be retried.
    #[error("conflict with another transaction")]
    TryAgain,
    /// Any other failure.
    #[error("database: {0}")]
    Database(sqlx::Error),
}

/// A state of the data that prevents a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// A unique value is taken.
    Taken {
        /// The field with the value.
        field: &'static str,
        /// The message for the person.
        message: &'static str,
    },
    /// The doctor has an active appointment at this time.
    DoctorBusy,
    /// The patient has an active appointment at this time.
    PatientBusy,
    /// The row has upcoming active appointments.
    HasFutureAppointments,
    /// The clinic would be left without an administrator.
    LastAdministrator,
    /// The invitation has been accepted.
    AlreadyAccepted,
    /// No time is held for the entry.
    NoOffer,
    /// The entry already has its appointment.
    OfferAccepted,
    /// The request's `Idempotency-Key` is in use: another attempt is being executed, or was executed a moment ago.
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
                // Deadlock, serialization failure, lock timeout, statement timeout.
                Some("40P01" | "40001" | "55P03" | "57014") => Self::TryAgain,
                // Too many connections, or the session was idle in a transaction for too long.
                Some("53300" | "25P03") => Self::Unavailable,
                // The connection failed, or the server is stopping, is starting, or has ended this session.
                Some(code) if code.starts_with("08") && code != "08P01" || code.starts_with("57") => Self::Unavailable,
                // A migration added a column after the statement was prepared. A new connection prepares it again.
                Some("0A000") => Self::Unavailable,
                // Read-only, a full disk, or too little memory.
                Some(code) if code == "25006" || code.starts_with("53") => Self::Unable,
                _ => database.constraint().and_then(of_constraint).unwrap_or(Self::Database(error)),
            },
            _ => Self::Database(error),
        }
    }
}

impl Error {
    /// Returns whether the connection with this error must be replaced.
    pub fn breaks_connection(&self) -> bool {
        match self {
            // Another connection may lead to a server that can do the work.
            Self::Unavailable | Self::Unable | Self::OutcomeUnknown => true,
            Self::Database(error) => {
                !matches!(error, sqlx::Error::Database(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_))
            }
            _ => false,
        }
    }

    /// Returns an equal error for another caller of the same group.
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

    /// Creates the error of one field.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid(FieldErrors::one(field, message))
    }
}

impl From<FieldErrors> for Error {
    fn from(errors: FieldErrors) -> Self {
        Self::Invalid(errors)
    }
}

/// Maps a constraint's name to a domain error. It is the only such place.
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
