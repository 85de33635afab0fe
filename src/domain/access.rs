//! Who is calling, and which rows that lets them see.

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
    /// The role of the membership, a name in `policies/policy.csv`.
    pub role: String,
    /// The doctor profile linked to the account in this clinic, if any.
    pub doctor: Option<DoctorId>,
    /// The request's id, which stands in the answer, the log and the audit trail.
    pub request: Uuid,
    /// Where the request may be sent again, by what it is recognised.
    pub retry: Option<Arc<Retry>>,
}

/// A request that may be sent again (`Idempotency-Key`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// The client's name for it, unique to the account for a day.
    pub key: String,
    /// Tells it from another request: a digest of its method, path and body.
    pub fingerprint: Vec<u8>,
    /// Names this attempt: only the attempt that has claimed the key last may keep an outcome for it.
    pub claim: Uuid,
}

/// Which rows of a clinic a caller may know of: the meaning of a policy's scope for one caller.
///
/// A row is visible if any of the three admits it. SQL takes the three as parameters.
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

    /// Whether it admits no row at all.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// The owner, where only that owner's rows are admitted.
    pub fn only_owner(&self) -> Option<AccountId> {
        self.owner.filter(|_| !self.whole_clinic && self.doctor.is_none())
    }

    /// The doctor, where only that doctor's rows are admitted.
    pub fn only_doctor(&self) -> Option<DoctorId> {
        self.doctor.filter(|_| !self.whole_clinic && self.owner.is_none())
    }

    /// The owner's account as a bare number, for SQL.
    pub fn owner_id(&self) -> Option<i64> {
        self.owner.map(|id| id.0)
    }

    /// The doctor's id as a bare number, for SQL.
    pub fn doctor_id(&self) -> Option<i64> {
        self.doctor.map(|id| id.0)
    }
}

/// What a policy speaks of: a kind of row.
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
    /// When doctors work, and what their appointments keep to.
    Schedules,
    /// Appointments.
    Appointments,
    /// Those who wait for a time.
    Waitlist,
}

/// What a policy speaks of: something that is done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// See it.
    Read,
    /// Make one.
    Create,
    /// Change it.
    Update,
    /// Delete it.
    Delete,
    /// Give it another owner.
    Transfer,
    /// Move it through its lifecycle.
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

    /// The name in the policy file and in the audit trail.
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

    /// The kind of row of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.name() == name)
    }

    /// What can be done to such a row.
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
    /// The name in the policy file and in the audit trail.
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

    /// The action of that name on that kind of row.
    pub fn named(resource: Resource, name: &str) -> Option<Self> {
        resource.actions().iter().copied().find(|action| action.name() == name)
    }
}
