//! Clinics.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{ClinicId, Identified};

/// What a caller may set of a clinic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClinicDetails {
    /// The clinic's name.
    pub name: String,
    /// The zone of a doctor who has set none.
    pub time_zone: Tz,
}

/// A tenant: one organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clinic {
    /// The row's id.
    pub id: ClinicId,
    /// What a caller may set.
    pub details: ClinicDetails,
    /// When the clinic signed up.
    pub created_at: DateTime<Utc>,
    /// When the record was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts the changes, from 1: the `ETag`.
    pub version: i64,
}

impl Identified for Clinic {
    fn id(&self) -> i64 {
        self.id.0
    }
}
