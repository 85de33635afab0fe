//! The authenticated caller, and the rows that the caller may see.

use std::sync::Arc;

use uuid::Uuid;

use super::{AccountId, ClinicId, DoctorId};

/// An authenticated caller: an account acting in one clinic with one role.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The clinic that the access token is for.
    pub clinic: ClinicId,
    /// The account behind the token.
    pub account: AccountId,
    /// The role of the membership: a name in `policies/policy.csv`.
    pub role: String,
    /// The doctor profile linked to the account in this clinic, if any.
    pub doctor: Option<DoctorId>,
    /// The request's id. The response, the log and the audit trail show it.
    pub request: Uuid,
    /// Identifies the request when a client sends it again; `None` without an `Idempotency-Key`.
    pub retry: Option<Arc<Retry>>,
}

/// A request that may be sent again (`Idempotency-Key`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// The value of `Idempotency-Key`, unique per account for one day.
    pub key: String,
    /// A digest of the request's method, path and body. It distinguishes the request from another one with the same
    /// key.
    pub fingerprint: Vec<u8>,
    /// Identifies this attempt. Only the attempt that claimed the key last may store an outcome for it.
    pub claim: Uuid,
}

/// The rows of a clinic that a caller may see: a policy's scope, resolved for one caller.
///
/// A row is visible if any of the three fields admits it. SQL takes the three as parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Visibility {
    /// Scope `clinic`: every row.
    pub whole_clinic: bool,
    /// Scope `own`: rows whose owner (`patients.created_by`) is this account.
    pub owner: Option<AccountId>,
    /// Scope `assigned`: rows tied to this doctor profile.
    pub doctor: Option<DoctorId>,
}

impl Visibility {
    /// Every row of the clinic.
    pub const WHOLE_CLINIC: Self = Self { whole_clinic: true, owner: None, doctor: None };

    /// Returns whether no row is visible.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the owner if only that owner's rows are visible.
    pub fn only_owner(&self) -> Option<AccountId> {
        self.owner.filter(|_| !self.whole_clinic && self.doctor.is_none())
    }

    /// Returns the doctor if only that doctor's rows are visible.
    pub fn only_doctor(&self) -> Option<DoctorId> {
        self.doctor.filter(|_| !self.whole_clinic && self.owner.is_none())
    }

    /// Returns the owner's account as a plain number, for SQL.
    pub fn owner_id(&self) -> Option<i64> {
        self.owner.map(|id| id.0)
    }

    /// Returns the doctor's id as a plain number, for SQL.
    pub fn doctor_id(&self) -> Option<i64> {
        self.doctor.map(|id| id.0)
    }
}

/// A kind of row that a policy grants rights on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// The clinic itself.
    Clinic,
    /// The clinic's users.
    Users,
    /// Invitations to join the clinic.
    Invitations,
    /// Patients.
    Patients,
    /// Doctors.
    Doctors,
    /// Assignments of doctors to patients.
    Mappings,
    /// Doctors' working hours, time off and scheduling limits; the clinic's closures.
    Schedules,
    /// Appointments.
    Appointments,
    /// Entries of the waitlist.
    Waitlist,
}

/// An action on a row that a policy grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Read the row.
    Read,
    /// Create a row.
    Create,
    /// Change the row.
    Update,
    /// Delete the row.
    Delete,
    /// Give the row another owner.
    Transfer,
    /// Move the row through its lifecycle.
    Transition,
}

impl Resource {
    /// Every kind of row.
    pub const ALL: [Self; 9] = [
        Self::Clinic,
        Self::Users,
        Self::Invitations,
        Self::Patients,
        Self::Doctors,
        Self::Mappings,
        Self::Schedules,
        Self::Appointments,
        Self::Waitlist,
    ];

    /// Returns the name in the policy file and in the audit trail.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clinic => "clinic",
            Self::Users => "users",
            Self::Invitations => "invitations",
            Self::Patients => "patients",
            Self::Doctors => "doctors",
            Self::Mappings => "mappings",
            Self::Schedules => "schedules",
            Self::Appointments => "appointments",
            Self::Waitlist => "waitlist",
        }
    }

    /// Returns the kind of row with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.name() == name)
    }

    /// Returns the actions that exist for this kind of row.
    pub fn actions(self) -> &'static [Action] {
        use Action::{Create, Delete, Read, Transfer, Transition, Update};
        match self {
            Self::Clinic | Self::Schedules => &[Read, Update],
            Self::Invitations => &[Read, Create, Delete],
            Self::Patients => &[Read, Create, Update, Delete, Transfer],
            Self::Users | Self::Doctors | Self::Mappings | Self::Waitlist => &[Read, Create, Update, Delete],
            Self::Appointments => &[Read, Create, Update, Transition],
        }
    }
}

impl Action {
    /// Returns the name in the policy file and in the audit trail.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Transfer => "transfer",
            Self::Transition => "transition",
        }
    }

    /// Returns the action with this name, if it exists for this kind of row.
    pub fn named(resource: Resource, name: &str) -> Option<Self> {
        resource.actions().iter().copied().find(|action| action.name() == name)
    }
}
