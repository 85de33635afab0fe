//! The clinic as the contract shows it.

use chrono::{DateTime, Utc};
use poem_openapi::Object;

use crate::{
    api::{http::json::Row, views::appointments::OutsideView},
    domain::clinics::Clinic,
};

/// The clinic of the token.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Clinic")]
pub struct ClinicView {
    /// The clinic's id.
    id: i64,
    /// The clinic's name.
    name: String,
    /// The time zone (IANA) of a doctor who has set none.
    time_zone: String,
    /// When the clinic signed up.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

impl Row for ClinicView {}

/// The clinic as it was changed, and the appointments to come that the change left outside the rules.
#[derive(Debug, Clone, Object)]
#[oai(rename = "ChangedClinic")]
pub struct ChangedClinicView {
    #[oai(flatten)]
    pub clinic: ClinicView,
    /// The appointments to come that their doctors' rules would not allow now; they stay.
    pub appointments_outside: Vec<OutsideView>,
}

impl Row for ChangedClinicView {}

/// What to change of the clinic; what is absent stays.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub struct ClinicPatch {
    /// The clinic's name.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub name: Option<String>,
    /// The time zone (IANA) of a doctor who has set none.
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
