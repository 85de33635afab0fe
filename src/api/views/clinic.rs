//! The clinic as the contract shows it.

use chrono::{DateTime, Utc};
use poem_openapi::Object;

use crate::api::http::json::Row;
use crate::api::views::appointments::OutsideView;
use crate::domain::clinics::Clinic;

/// The caller's clinic.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Clinic")]
pub struct ClinicView {
    /// The clinic's id.
    id: i64,
    /// The clinic's name.
    name: String,
    /// The default time zone (IANA) of the clinic's doctors.
    time_zone: String,
    /// When the clinic was created.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

impl Row for ClinicView {}

/// The updated clinic, and the upcoming appointments that break the new rules.
#[derive(Debug, Clone, Object)]
#[oai(rename = "ChangedClinic")]
pub struct ChangedClinicView {
    #[oai(flatten)]
    pub clinic: ClinicView,
    /// Upcoming appointments that break their doctors' rules. They stay.
    pub appointments_outside: Vec<OutsideView>,
}

impl Row for ChangedClinicView {}

/// Fields of the clinic to change. Absent fields stay unchanged.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub struct ClinicPatch {
    /// The clinic's name.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub name: Option<String>,
    /// The default time zone (IANA) of the clinic's doctors.
    #[oai(validator(min_length = 1, max_length = 60))]
    pub time_zone: Option<String>,
}

impl From<Clinic> for ClinicView {
    fn from(clinic: Clinic) -> Self {
        Self {
            id: clinic.id.0,
            name: clinic.details.name,
            time_zone: clinic.details.time_zone.name().to_owned(),
            created_at: clinic.created_at,
            updated_at: clinic.updated_at,
        }
    }
}
