//! Appointments, and the requests to book and change them.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::calendar::Violation;
use super::lifecycle::Status;
use super::{
    AccountId, AppointmentId, Caller, ClinicId, DoctorId, Identified, Interval, PatientId, SeriesId, Visibility,
    WaitlistEntryId,
};

/// A booked time of a doctor with a patient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appointment {
    /// The row's id.
    pub id: AppointmentId,
    /// The doctor who sees the patient.
    pub doctor: DoctorId,
    /// The patient who is seen.
    pub patient: PatientId,
    /// The appointment's time.
    pub during: Interval,
    /// The status in the lifecycle.
    pub status: Status,
    /// Why the patient comes, as free text.
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

/// A request for a new appointment, not yet decided by the doctor's schedule.
#[derive(Debug, Clone)]
pub struct BookingRequest {
    /// The caller.
    pub caller: Caller,
    /// Which patients the caller may book.
    pub bookable: Visibility,
    /// The doctor to book.
    pub doctor: DoctorId,
    /// The patient to book for.
    pub patient: PatientId,
    /// The start.
    pub start: DateTime<Utc>,
    /// The length; `None` means the doctor's slot length.
    pub length: Option<Duration>,
    /// Why the patient comes, as free text.
    pub reason: String,
    /// Set if the booking only holds the time for an entry of the waitlist.
    pub hold: Option<Hold>,
}

/// Marks a booking as a hold: no list shows it until it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// The entry that the time is held for.
    pub entry: WaitlistEntryId,
    /// The maximum length of the hold. It ends at the latest when the held time begins.
    pub length: Duration,
}

impl BookingRequest {
    /// Returns the requested time. `slot` is the doctor's slot length. `None` if the time leaves the supported years.
    pub fn during(&self, slot: Duration) -> Option<Interval> {
        Interval::starting(self.start, self.length.unwrap_or(slot))
    }
}

/// A booking that was decided on a copy of the calendar. It is written only if the calendar has not changed since.
#[derive(Debug, Clone)]
pub struct Booking {
    /// Identifies the booking before it has an id, so that a lost outcome can be looked up.
    pub reference: Uuid,
    /// The request.
    pub request: BookingRequest,
    /// The time to book.
    pub during: Interval,
    /// The series that it belongs to.
    pub series: Option<SeriesId>,
}

/// A change of one appointment, given as its new values.
#[derive(Debug, Clone)]
pub struct Amendment {
    /// The caller, who may see the appointment.
    pub caller: Caller,
    /// The appointment as it was read. The change applies only to this version.
    pub current: Appointment,
    /// The new time.
    pub during: Interval,
    /// The new status.
    pub status: Status,
    /// The new reason.
    pub reason: String,
    /// Identifies the change, so that a lost outcome can be looked up.
    pub reference: Uuid,
}

impl Amendment {
    /// Returns whether the change frees time that the appointment occupies.
    pub fn frees_time(&self) -> bool {
        self.current.status.is_active() && (self.during != self.current.during || !self.status.is_active())
    }

    /// Returns whether the change occupies time that the appointment does not occupy yet.
    pub fn takes_time(&self) -> bool {
        self.status.is_active() && (self.during != self.current.during || !self.current.status.is_active())
    }

    /// Returns whether the change affects the doctor's calendar.
    pub fn changes_calendar(&self) -> bool {
        self.takes_time() || self.frees_time()
    }

    /// Returns the clinic of the appointment.
    pub fn clinic(&self) -> ClinicId {
        self.caller.clinic
    }
}

/// An existing appointment that the doctor's current rules would not allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// The appointment. It is kept.
    pub appointment: Appointment,
    /// The rules that it breaks.
    pub violations: Vec<Violation>,
}

/// One step in an appointment's history: who made it, when, and what it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppointmentEvent {
    /// The row's id; 0 for the booking itself.
    pub id: i64,
    /// When the step was made.
    pub at: DateTime<Utc>,
    /// The account that made it.
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

/// The filters of a list of appointments.
#[derive(Debug, Clone, Default)]
pub struct AppointmentFilter {
    /// Only appointments with this doctor.
    pub doctor: Option<DoctorId>,
    /// Only appointments of this patient.
    pub patient: Option<PatientId>,
    /// Only appointments in this status.
    pub status: Option<Status>,
    /// Only appointments that end after this instant.
    pub from: Option<DateTime<Utc>>,
    /// Only appointments that start before this instant.
    pub to: Option<DateTime<Utc>>,
}
