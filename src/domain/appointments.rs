//! Appointments, and what asks for one.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    AccountId, AppointmentId, Caller, ClinicId, DoctorId, Identified, Interval, PatientId, SeriesId, Visibility,
    calendar::{Terms, Violation},
    lifecycle::Status,
    waitlist::Hold,
};

/// The shortest appointment, in minutes.
pub const SHORTEST_MINUTES: i64 = 5;
/// The longest appointment, in minutes.
pub const LONGEST_MINUTES: i64 = 24 * 60;

/// A booked time of a doctor with a patient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appointment {
    /// The row's id.
    pub id: AppointmentId,
    /// The doctor who sees the patient.
    pub doctor: DoctorId,
    /// The patient who is seen.
    pub patient: PatientId,
    /// When.
    pub during: Interval,
    /// Where it stands in its lifecycle.
    pub status: Status,
    /// Why the patient comes, in words.
    pub reason: String,
    /// The series that it belongs to.
    pub series: Option<SeriesId>,
    /// The account that booked it.
    pub created_by: AccountId,
    /// When it was booked.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts the changes, from 1: the `ETag`.
    pub version: i64,
}

impl Identified for Appointment {
    fn id(&self) -> i64 {
        self.id.0
    }
}

/// A wish for a new appointment, before the schedule has looked at it.
#[derive(Debug, Clone)]
pub struct BookingRequest {
    /// Who asks.
    pub caller: Caller,
    /// Which patients the caller may book.
    pub bookable: Visibility,
    /// With whom.
    pub doctor: DoctorId,
    /// For whom.
    pub patient: PatientId,
    /// From when.
    pub start: DateTime<Utc>,
    /// For how long; the doctor's slot length where absent.
    pub length: Option<Duration>,
    /// Why.
    pub reason: String,
    /// Whether it is held for somebody who waits.
    pub hold: Option<Hold>,
}

/// A booking that its doctor's schedule has accepted, ready to be written.
#[derive(Debug, Clone)]
pub struct Booking {
    /// Names this booking before it has an id, so that an outcome that was lost can be read back.
    pub reference: Uuid,
    /// Who asks.
    pub caller: Caller,
    /// Which patients the caller may book.
    pub bookable: Visibility,
    /// With whom.
    pub doctor: DoctorId,
    /// For whom.
    pub patient: PatientId,
    /// When.
    pub during: Interval,
    /// Why.
    pub reason: String,
    /// What its schedule found it free by.
    pub terms: Terms,
    /// The series that it belongs to.
    pub series: Option<SeriesId>,
    /// Whether it is held for somebody who waits.
    pub hold: Option<Hold>,
}

/// A change of an appointment that its caller may see, in terms of what it shall be afterwards.
#[derive(Debug, Clone)]
pub struct Amendment {
    /// Who asks.
    pub caller: Caller,
    /// The appointment as it was read; the change holds only for this version of it.
    pub current: Appointment,
    /// The time that it shall have.
    pub during: Interval,
    /// The status that it shall have.
    pub status: Status,
    /// The reason that it shall have.
    pub reason: String,
}

impl Amendment {
    /// Whether the change frees time that the appointment holds.
    pub fn frees_time(&self) -> bool {
        self.current.status.is_active() && (self.during != self.current.during || !self.status.is_active())
    }

    /// Whether the change takes time that the appointment does not hold already.
    pub fn takes_time(&self) -> bool {
        self.status.is_active() && (self.during != self.current.during || !self.current.status.is_active())
    }

    /// The clinic it happens in.
    pub fn clinic(&self) -> ClinicId {
        self.caller.clinic
    }
}

/// Why a booking or a move did not come about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Every rule that it broke.
    pub violations: Vec<Violation>,
    /// The times that stood in the way.
    pub conflicts: Vec<Interval>,
    /// When the patient is busy elsewhere, so that these times are not offered instead.
    pub patient_busy: Vec<Interval>,
}

impl Refusal {
    /// Joins what another look found.
    pub fn merge(&mut self, other: Self) {
        self.violations.extend(other.violations);
        self.conflicts.extend(other.conflicts);
        self.patient_busy.extend(other.patient_busy);
    }
}

/// An appointment that the doctor's rules would not allow now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// The appointment, which stays.
    pub appointment: Appointment,
    /// The rules that it breaks.
    pub violations: Vec<Violation>,
}

/// A step in an appointment's life: who did it, when, and what it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The row's id; 0 for the booking itself.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub account: AccountId,
    /// The status before; `None` for the booking itself.
    pub from_status: Option<Status>,
    /// The status after.
    pub to_status: Status,
    /// The time before; `None` for the booking itself.
    pub from: Option<Interval>,
    /// The time after.
    pub to: Interval,
}

/// Which appointments a list asks for.
#[derive(Debug, Clone, Default)]
pub struct AppointmentFilter {
    /// Only this doctor's.
    pub doctor: Option<DoctorId>,
    /// Only this patient's.
    pub patient: Option<PatientId>,
    /// Only in this status.
    pub status: Option<Status>,
    /// Only those that end after this instant.
    pub from: Option<DateTime<Utc>>,
    /// Only those that start before this instant.
    pub to: Option<DateTime<Utc>>,
}
