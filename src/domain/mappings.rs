//! Mappings: which doctor is assigned to which patient.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{AccountId, DoctorId, Identified, MappingId, PatientId};

/// What a caller may change of a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingDetails {
    /// Why the patient sees the doctor.
    pub reason_for_visit: Option<String>,
    /// Anything else.
    pub notes: Option<String>,
    /// Whether the doctor still looks after the patient.
    pub is_active: bool,
}

/// A doctor's assignment to a patient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// The row's id.
    pub id: MappingId,
    /// The patient, in brief.
    pub patient: MappedPatient,
    /// The doctor, in brief.
    pub doctor: MappedDoctor,
    /// What a caller may change.
    pub details: MappingDetails,
    /// The account that made the assignment.
    pub assigned_by: AccountId,
    /// When it was made.
    pub assigned_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts the changes, from 1: the `ETag`.
    pub version: i64,
}

impl Identified for Mapping {
    fn id(&self) -> i64 {
        self.id.0
    }
}

/// A patient as a mapping shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedPatient {
    /// The patient's id.
    pub id: PatientId,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
}

/// A doctor as a mapping shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedDoctor {
    /// The doctor's id.
    pub id: DoctorId,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// The field of medicine.
    pub specialization: String,
}

/// A mapping to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMapping {
    /// The patient.
    pub patient: PatientId,
    /// The doctor.
    pub doctor: DoctorId,
    /// The rest.
    pub details: MappingDetails,
}

/// Which mappings a list asks for.
#[derive(Debug, Clone, Default)]
pub struct MappingFilter {
    /// Only this patient's.
    pub patient: Option<PatientId>,
    /// Only this doctor's.
    pub doctor: Option<DoctorId>,
    /// Only the active, or only the ended.
    pub is_active: Option<bool>,
}
