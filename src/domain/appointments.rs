//! Appointments, and what asks for one.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    AccountId, AppointmentId, Caller, ClinicId, DoctorId, Identified, Interval, PatientId, SeriesId, Visibility,
    WaitlistEntryId, calendar::Violation, lifecycle::Status,
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

/// What makes a booking a hold: nobody sees it until it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// For which entry.
    pub entry: WaitlistEntryId,
    /// For how long at most: a hold ends at the latest when its time begins.
    pub length: Duration,
}

impl BookingRequest {
    /// The time that is asked for, where a doctor's slots have that length; `None` where it leaves the years that are kept.
    pub fn during(&self, slot: Duration) -> Option<Interval> {
        Interval::starting(self.start, self.length.unwrap_or(slot))
    }
}

/// A booking, ready to be written if its doctor's calendar is still what it was decided by.
#[derive(Debug, Clone)]
pub struct Booking {
    /// Names this booking before it has an id, so that an outcome that was lost can be read back.
    pub reference: Uuid,
    /// What was asked.
    pub request: BookingRequest,
    /// When.
    pub during: Interval,
    /// The series that it belongs to.
    pub series: Option<SeriesId>,
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
    /// Names the change, so that an outcome that was lost can be read back.
    pub reference: Uuid,
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

    /// Whether the change alters what the doctor's calendar shows.
    pub fn changes_calendar(&self) -> bool {
        self.takes_time() || self.frees_time()
    }

    /// The clinic it happens in.
    pub fn clinic(&self) -> ClinicId {
        self.caller.clinic
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
pub struct AppointmentEvent {
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
