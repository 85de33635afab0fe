//! Mappings as the contract shows them.

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use poem_openapi::types::{Example, MaybeUndefined};
use serde::Serialize;

use crate::api::http::json::{Row, by_serde, instant};
use crate::api::views::patch::set;
use crate::domain::fields::filled;
use crate::domain::mappings::{Mapping, MappingDetails, NewMapping};
use crate::domain::{DoctorId, PatientId};

/// A patient, in brief.
#[derive(Debug, Clone, Object, Serialize)]
pub struct PatientBrief {
    /// The patient's id.
    id: i64,
    /// Given name.
    first_name: String,
    /// Family name.
    last_name: String,
}

/// A doctor, in brief.
#[derive(Debug, Clone, Object, Serialize)]
pub struct DoctorBrief {
    /// The doctor's id.
    id: i64,
    /// Given name.
    first_name: String,
    /// Family name.
    last_name: String,
    /// The medical specialization.
    specialization: String,
}

/// The assignment of a doctor to a patient.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "Mapping")]
pub struct MappingView {
    /// The mapping's id.
    id: i64,
    /// The patient.
    patient: PatientBrief,
    /// The doctor.
    doctor: DoctorBrief,
    /// Reason for the assignment.
    #[oai(nullable)]
    reason_for_visit: Option<String>,
    /// Notes.
    #[oai(nullable)]
    notes: Option<String>,
    /// Whether the assignment is active.
    is_active: bool,
    /// The id of the user who assigned the doctor.
    assigned_by: i64,
    /// When it was created.
    #[serde(serialize_with = "instant")]
    assigned_at: DateTime<Utc>,
    /// When it was created.
    #[serde(serialize_with = "instant")]
    created_at: DateTime<Utc>,
    /// When it was last changed.
    #[serde(serialize_with = "instant")]
    updated_at: DateTime<Utc>,
}

impl Row for MappingView {
    fn write(&self, out: &mut Vec<u8>) {
        by_serde(self, out);
    }
}

impl From<Mapping> for MappingView {
    fn from(mapping: Mapping) -> Self {
        let Mapping { patient, doctor, details, .. } = mapping;
        filled!(Self {
            id: mapping.id.0,
            patient: filled!(PatientBrief { id: patient.id.0 } from patient { first_name, last_name }),
            doctor: filled!(DoctorBrief { id: doctor.id.0 } from doctor { first_name, last_name, specialization }),
            assigned_by: mapping.assigned_by.0,
            created_at: mapping.assigned_at,
        } from details { reason_for_visit, notes, is_active }, from mapping { assigned_at, updated_at })
    }
}

/// A doctor to assign to a patient.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct MappingInput {
    /// The patient's id.
    #[oai(validator(minimum(value = "1")))]
    patient: i64,
    /// The doctor's id.
    #[oai(validator(minimum(value = "1")))]
    doctor: i64,
    /// Reason for the assignment.
    #[oai(nullable, validator(max_length = 1000))]
    reason_for_visit: Option<String>,
    /// Notes.
    #[oai(nullable, validator(max_length = 5000))]
    notes: Option<String>,
    /// Whether the assignment is active; true by default.
    #[oai(nullable)]
    is_active: Option<bool>,
}

impl Example for MappingInput {
    fn example() -> Self {
        Self {
            patient: 1,
            doctor: 1,
            reason_for_visit: Some("Annual check-up".into()),
            notes: None,
            is_active: Some(true),
        }
    }
}

impl MappingInput {
    pub fn into_new(self) -> NewMapping {
        let mut details = MappingDetails { is_active: true, ..MappingDetails::default() };
        set!(self to details { reason_for_visit, notes, is_active });
        NewMapping { patient: PatientId(self.patient), doctor: DoctorId(self.doctor), details }
    }
}

/// Fields of a mapping to change. Absent fields stay unchanged; null clears a field.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub struct MappingPatch {
    /// Reason for the assignment.
    #[oai(nullable, validator(max_length = 1000))]
    reason_for_visit: MaybeUndefined<String>,
    /// Notes.
    #[oai(nullable, validator(max_length = 5000))]
    notes: MaybeUndefined<String>,
    /// Whether the assignment is active.
    is_active: Option<bool>,
}

impl MappingPatch {
    pub fn apply(self, mut details: MappingDetails) -> MappingDetails {
        set!(self to details { reason_for_visit, notes, is_active });
        details
    }
}

/// A patient's name and their doctors.
#[derive(Debug, Clone, Object)]
pub struct PatientDoctors {
    /// The patient's id.
    pub patient: i64,
    /// The patient's full name.
    pub patient_name: String,
    /// The patient's mappings, newest first, each with its doctor.
    pub doctors: Vec<MappingView>,
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;
    use crate::api::http::json::assert_written_alike;
    use crate::domain::mappings::{MappedDoctor, MappedPatient};
    use crate::domain::{AccountId, MappingId};

    #[test]
    fn serde_writes_mappings_as_the_contract_shows_them() {
        let at = Utc.with_ymd_and_hms(2030, 1, 31, 9, 30, 0).unwrap();
        for notes in [None, Some("Prefers \"mornings\"".to_owned())] {
            assert_written_alike(&MappingView::from(Mapping {
                id: MappingId(7),
                patient: MappedPatient { id: PatientId(1), first_name: "Maya".into(), last_name: "Økafor".into() },
                doctor: MappedDoctor {
                    id: DoctorId(2),
                    first_name: "Ada".into(),
                    last_name: "Lind".into(),
                    specialization: "Cardiology".into(),
                },
                details: MappingDetails { reason_for_visit: notes.clone(), notes, is_active: true },
                assigned_by: AccountId(3),
                assigned_at: at,
                updated_at: at + chrono::TimeDelta::microseconds(12_345),
                version: 2,
            }));
        }
    }
}
