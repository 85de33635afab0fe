//! Doctors.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{AccountId, DoctorId, Identified, PatientId, patients::Gender};

/// The slot length of a doctor who has set none, in minutes.
pub const DEFAULT_SLOT_MINUTES: i32 = 30;

/// What a caller may set of a doctor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoctorDetails {
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// The field of medicine.
    pub specialization: String,
    /// The licence to practise, unique in the clinic.
    pub license_number: String,
    /// E-mail address, in lower case, unique in the clinic.
    pub email: String,
    /// Phone number, as people write it.
    pub phone_number: Option<String>,
    /// Gender.
    pub gender: Gender,
    /// Full years in practice.
    pub years_of_experience: Option<i32>,
    /// Where the doctor sees patients.
    pub office_address: Option<String>,
    /// The most appointments that start on one of the doctor's days; no limit where absent.
    pub max_appointments_per_day: Option<i32>,
    /// The length of a booking that does not say its own, in minutes.
    pub slot_minutes: i32,
    /// The doctor's zone; the clinic's where absent.
    pub time_zone: Option<Tz>,
    /// Whether the doctor takes bookings.
    pub is_active: bool,
    /// The linked login.
    pub user: Option<AccountId>,
}

/// A doctor of a clinic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doctor {
    /// The row's id.
    pub id: DoctorId,
    /// What a caller may set.
    pub details: DoctorDetails,
    /// When the doctor was entered.
    pub created_at: DateTime<Utc>,
    /// When the record was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts the changes, from 1: the `ETag`.
    pub version: i64,
}

impl Identified for Doctor {
    fn id(&self) -> i64 {
        self.id.0
    }
}

/// Which doctors a list asks for.
#[derive(Debug, Clone, Default)]
pub struct DoctorFilter {
    /// A part of the name, e-mail address or specialization.
    pub search: Option<String>,
    /// Only of this field of medicine, whatever its case.
    pub specialization: Option<String>,
    /// Only those who take bookings, or only those who do not.
    pub is_active: Option<bool>,
    /// Only those with an active mapping to this patient.
    pub patient: Option<PatientId>,
}
