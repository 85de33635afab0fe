//! Doctors.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::patients::Gender;
use super::search::Words;
use super::{AccountId, DoctorId, Identified, PatientId};

/// The slot length of a doctor without one, in minutes.
pub const DEFAULT_SLOT_MINUTES: i32 = 30;

/// The values of a doctor that a caller may set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// Phone number, as entered.
    pub phone_number: Option<String>,
    /// Gender.
    pub gender: Gender,
    /// Full years in practice.
    pub years_of_experience: Option<i32>,
    /// Where the doctor sees patients.
    pub office_address: Option<String>,
    /// The limits of the doctor's appointments.
    pub scheduling: Scheduling,
    /// Whether the doctor takes bookings.
    pub is_active: bool,
    /// The linked login.
    pub user: Option<AccountId>,
}

/// The limits of a doctor's appointments, apart from hours and time off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduling {
    /// The doctor's time zone; `None` means the clinic's.
    pub time_zone: Option<Tz>,
    /// The length of a booking that gives none, and the step of the slot grid, in minutes.
    pub slot_minutes: i32,
    /// The buffer before each appointment, in minutes.
    pub buffer_before_minutes: i32,
    /// The buffer after each appointment, in minutes.
    pub buffer_after_minutes: i32,
    /// The maximum number of appointments that start on one of the doctor's days; `None` means no limit.
    pub max_appointments_per_day: Option<i32>,
    /// The minimum time between booking and start, in minutes.
    pub min_notice_minutes: i32,
    /// How many of the doctor's days ahead an appointment can be booked; `None` means no limit.
    pub max_horizon_days: Option<i32>,
}

impl Default for Scheduling {
    fn default() -> Self {
        Self {
            time_zone: None,
            slot_minutes: DEFAULT_SLOT_MINUTES,
            buffer_before_minutes: 0,
            buffer_after_minutes: 0,
            max_appointments_per_day: None,
            min_notice_minutes: 0,
            max_horizon_days: None,
        }
    }
}

/// A doctor of a clinic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doctor {
    /// The row's id.
    pub id: DoctorId,
    /// The values that a caller may set.
    pub details: DoctorDetails,
    /// When the record was created.
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

/// The filters of a list of doctors.
#[derive(Debug, Clone, Default)]
pub struct DoctorFilter {
    /// Words of the name, the e-mail address, the phone number or the specialization.
    pub search: Option<Words>,
    /// Only doctors of this specialization; case is ignored.
    pub specialization: Option<String>,
    /// Only doctors who take bookings, or only those who do not.
    pub is_active: Option<bool>,
    /// Only doctors with an active mapping to this patient.
    pub patient: Option<PatientId>,
}
