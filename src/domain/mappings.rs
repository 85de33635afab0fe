//! Mappings: which doctor is assigned to which patient.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{AccountId, DoctorId, Identified, MappingId, PatientId};

/// The values of a mapping that a caller may change.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MappingDetails {
    /// Why the patient sees the doctor.
    pub reason_for_visit: Option<String>,
    /// Anything else.
    pub notes: Option<String>,
    /// Whether the doctor still treats the patient.
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
    /// The values that a caller may change.
    pub details: MappingDetails,
    /// The account that created the mapping.
    pub assigned_by: AccountId,
    /// When it was created.
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

/// The part of a patient that a mapping shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedPatient {
    /// The patient's id.
    pub id: PatientId,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
}

/// The part of a doctor that a mapping shows.
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

/// A mapping to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMapping {
    /// The patient.
    pub patient: PatientId,
    /// The doctor.
    pub doctor: DoctorId,
    /// The other values.
    pub details: MappingDetails,
}

/// The filters of a list of mappings.
#[derive(Debug, Clone, Default)]
pub struct MappingFilter {
    /// Only mappings of this patient.
    pub patient: Option<PatientId>,
    /// Only mappings of this doctor.
    pub doctor: Option<DoctorId>,
    /// Only active mappings, or only ended ones.
    pub is_active: Option<bool>,
}
