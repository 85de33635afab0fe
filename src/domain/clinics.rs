//! Clinics.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{ClinicId, Identified};

/// The values of a clinic that a caller may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClinicDetails {
    /// The clinic's name.
    pub name: String,
    /// The time zone of every doctor without one.
    pub time_zone: Tz,
}

/// A tenant: one organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clinic {
    /// The row's id.
    pub id: ClinicId,
    /// The values that a caller may set.
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
