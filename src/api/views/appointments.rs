//! Appointments as the contract shows them.

use chrono::{DateTime, TimeDelta, Utc};
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde::Serialize;

use crate::api::http::json::{Row, by_serde, instant};
use crate::api::http::problem;
use crate::api::http::problem::Problem;
use crate::api::views::refusal::{SlotView, ViolationView};
use crate::domain::appointments::{Amendment, Appointment, AppointmentEvent, Outside};
use crate::domain::fields::{FieldErrors, tidy};
use crate::domain::lifecycle::Status;
use crate::domain::proposal::Refusal;
use crate::domain::{Caller, Interval};

/// Status of an appointment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[oai(rename = "AppointmentStatus")]
pub enum StatusView {
    /// Booked.
    #[oai(rename = "SCHEDULED")]
    Scheduled,
    /// The patient has confirmed that they will come.
    #[oai(rename = "CONFIRMED")]
    Confirmed,
    /// The patient is here.
    #[oai(rename = "CHECKED_IN")]
    CheckedIn,
    /// The visit has taken place.
    #[oai(rename = "COMPLETED")]
    Completed,
    /// Called off.
    #[oai(rename = "CANCELLED")]
    Cancelled,
    /// The patient did not come.
    #[oai(rename = "NO_SHOW")]
    NoShow,
}

impl From<StatusView> for Status {
    fn from(view: StatusView) -> Self {
        match view {
            StatusView::Scheduled => Self::Scheduled,
            StatusView::Confirmed => Self::Confirmed,
            StatusView::CheckedIn => Self::CheckedIn,
            StatusView::Completed => Self::Completed,
            StatusView::Cancelled => Self::Cancelled,
            StatusView::NoShow => Self::NoShow,
        }
    }
}

impl From<Status> for StatusView {
    fn from(status: Status) -> Self {
        match status {
            Status::Scheduled => Self::Scheduled,
            Status::Confirmed => Self::Confirmed,
            Status::CheckedIn => Self::CheckedIn,
            Status::Completed => Self::Completed,
            Status::Cancelled => Self::Cancelled,
            Status::NoShow => Self::NoShow,
        }
    }
}

/// A booked time of a doctor with a patient.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "Appointment")]
pub struct AppointmentView {
    /// The appointment's id.
    id: i64,
    /// The doctor's id.
    doctor: i64,
    /// The patient's id.
    patient: i64,
    /// Start (inclusive).
    #[serde(serialize_with = "instant")]
    appointment_datetime: DateTime<Utc>,
    /// Duration in minutes.
    duration_minutes: i64,
    /// End (exclusive).
    #[serde(serialize_with = "instant")]
    ends_at: DateTime<Utc>,
    /// Reason for the visit.
    reason: String,
    /// Status.
    status: StatusView,
    /// The id of its series; null if it is not part of one.
    #[oai(nullable)]
    series: Option<i64>,
    /// The id of the user who booked it.
    created_by: i64,
    /// When it was booked.
    #[serde(serialize_with = "instant")]
    created_at: DateTime<Utc>,
    /// When it was last changed.
    #[serde(serialize_with = "instant")]
    updated_at: DateTime<Utc>,
}

impl Row for AppointmentView {
    fn write(&self, out: &mut Vec<u8>) {
        by_serde(self, out);
    }
}

impl From<Appointment> for AppointmentView {
    fn from(appointment: Appointment) -> Self {
        Self {
            id: appointment.id.0,
            doctor: appointment.doctor.0,
            patient: appointment.patient.0,
            appointment_datetime: appointment.during.start(),
            duration_minutes: appointment.during.length().num_minutes(),
            ends_at: appointment.during.end(),
            reason: appointment.reason,
            status: appointment.status.into(),
            series: appointment.series.map(|id| id.0),
            created_by: appointment.created_by.0,
            created_at: appointment.created_at,
            updated_at: appointment.updated_at,
        }
    }
}

/// An appointment to book.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct AppointmentInput {
    /// The doctor's id.
    #[oai(validator(minimum(value = "1")))]
    pub doctor: i64,
    /// The patient's id.
    #[oai(validator(minimum(value = "1")))]
    pub patient: i64,
    /// Start: an instant with an offset (RFC 3339).
    pub appointment_datetime: DateTime<Utc>,
    /// Duration in minutes; the doctor's `slot_minutes` by default.
    #[oai(nullable, validator(minimum(value = "5"), maximum(value = "1440")))]
    pub duration_minutes: Option<i64>,
    /// Reason for the visit.
    #[oai(nullable, validator(max_length = 1000))]
    pub reason: Option<String>,
}

impl Example for AppointmentInput {
    fn example() -> Self {
        Self {
            doctor: 1,
            patient: 1,
            appointment_datetime: DateTime::from_timestamp(1_893_661_200, 0).unwrap_or_default(),
            duration_minutes: Some(30),
            reason: Some("Follow-up".into()),
        }
    }
}

/// Fields of an appointment to change. Absent fields stay unchanged.
#[derive(Debug, Clone, Default, Object)]
#[oai(deny_unknown_fields)]
pub struct AppointmentPatch {
    /// The new status. It must be allowed after the current one.
    pub status: Option<StatusView>,
    /// Reason for the visit.
    #[oai(validator(max_length = 1000))]
    pub reason: Option<String>,
    /// New start: an instant with an offset (RFC 3339).
    pub appointment_datetime: Option<DateTime<Utc>>,
    /// New duration in minutes.
    #[oai(validator(minimum(value = "5"), maximum(value = "1440")))]
    pub duration_minutes: Option<i64>,
}

impl AppointmentPatch {
    pub fn moves(&self) -> bool {
        self.appointment_datetime.is_some() || self.duration_minutes.is_some()
    }

    /// Returns the change of `current` that this body requests.
    pub fn amend(&self, caller: &Caller, current: Appointment) -> Result<Amendment, Problem> {
        let status = self.status.map_or(current.status, Status::from);
        if status != current.status && !current.status.next().contains(&status) {
            return Err(Problem::invalid_transition(current.status, status));
        }
        if self.moves() && !current.status.can_be_rescheduled() && !status.can_be_rescheduled() {
            let detail = format!("An appointment that is {} cannot be given another time.", current.status);
            return Err(
                Problem::new(problem::INVALID_TRANSITION, detail.clone()).with_error("appointment_datetime", detail)
            );
        }
        let start = self.appointment_datetime.unwrap_or(current.during.start());
        let length = self.duration_minutes.map_or(current.during.length(), TimeDelta::minutes);
        let during = Interval::starting(start, length).ok_or_else(out_of_years)?;
        let reason = self.reason.as_deref().map_or_else(|| current.reason.clone(), tidy);
        Ok(Amendment { caller: caller.clone(), current, during, status, reason, reference: uuid::Uuid::now_v7() })
    }
}

fn out_of_years() -> Problem {
    Problem::invalid(FieldErrors::one("appointment_datetime", "The appointment must lie in the years 1900 to 2200."))
}

/// The new time of an appointment.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct RescheduleInput {
    /// New start: an instant with an offset (RFC 3339).
    pub appointment_datetime: DateTime<Utc>,
    /// New duration in minutes; unchanged by default.
    #[oai(nullable, validator(minimum(value = "5"), maximum(value = "1440")))]
    pub duration_minutes: Option<i64>,
}

impl Example for RescheduleInput {
    fn example() -> Self {
        Self {
            appointment_datetime: DateTime::from_timestamp(1_893_664_800, 0).unwrap_or_default(),
            duration_minutes: Some(30),
        }
    }
}

/// The result of a booking check.
#[derive(Debug, Clone, Object)]
#[oai(rename = "BookingCheck")]
pub struct CheckView {
    /// Whether the booking would succeed.
    bookable: bool,
    /// Every rule that it breaks.
    violations: Vec<ViolationView>,
    /// The appointments that overlap it.
    conflicts: Vec<SlotView>,
    /// The next slots at which both the doctor and the patient are free.
    next_slots: Vec<SlotView>,
}

impl From<Refusal> for CheckView {
    fn from(found: Refusal) -> Self {
        Self {
            bookable: found.violations.is_empty(),
            violations: found.violations.into_iter().map(ViolationView::from).collect(),
            conflicts: found.conflicts.into_iter().map(SlotView::from).collect(),
            next_slots: found.next_slots.into_iter().map(SlotView::from).collect(),
        }
    }
}

/// A change of an appointment.
#[derive(Debug, Clone, Object)]
#[oai(rename = "AppointmentEvent")]
pub struct EventView {
    /// The event's id; 0 for the booking.
    id: i64,
    /// When it happened.
    at: DateTime<Utc>,
    /// The id of the user who did it.
    by: i64,
    /// The previous status; null for the booking.
    #[oai(nullable)]
    from_status: Option<StatusView>,
    /// The new status.
    to_status: StatusView,
    /// The previous time; null for the booking.
    #[oai(nullable)]
    from_time: Option<SlotView>,
    /// The new time.
    to_time: SlotView,
}

impl Row for EventView {}

impl From<AppointmentEvent> for EventView {
    fn from(event: AppointmentEvent) -> Self {
        Self {
            id: event.id,
            at: event.at,
            by: event.account.0,
            from_status: event.from_status.map(StatusView::from),
            to_status: event.to_status.into(),
            from_time: event.from.map(SlotView::from),
            to_time: event.to.into(),
        }
    }
}

/// An appointment that breaks its doctor's rules. It stays.
#[derive(Debug, Clone, Object)]
#[oai(rename = "OutsideAppointment")]
pub struct OutsideView {
    /// The appointment.
    appointment: AppointmentView,
    /// The rules that it breaks.
    violations: Vec<ViolationView>,
}

impl From<Outside> for OutsideView {
    fn from(outside: Outside) -> Self {
        Self {
            appointment: outside.appointment.into(),
            violations: outside.violations.into_iter().map(ViolationView::from).collect(),
        }
    }
}

/// Which appointments of a series to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum CancelScope {
    /// This appointment.
    This,
    /// This and those of its series that follow it.
    ThisAndFollowing,
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;
    use crate::api::http::json::assert_written_alike;
    use crate::domain::{AccountId, AppointmentId, DoctorId, PatientId, SeriesId};

    #[test]
    fn serde_writes_appointments_as_the_contract_shows_them() {
        let at = Utc.with_ymd_and_hms(2030, 1, 31, 9, 30, 0).unwrap();
        let statuses = [
            Status::Scheduled,
            Status::Confirmed,
            Status::CheckedIn,
            Status::Completed,
            Status::Cancelled,
            Status::NoShow,
        ];
        for (n, status) in (1..).zip(statuses) {
            assert_written_alike(&AppointmentView::from(Appointment {
                id: AppointmentId(n),
                doctor: DoctorId(1),
                patient: PatientId(2),
                during: Interval::starting(at, chrono::TimeDelta::minutes(30)).unwrap(),
                status,
                reason: "Check".into(),
                series: (n % 2 == 0).then_some(SeriesId(n)),
                created_by: AccountId(3),
                created_at: at,
                updated_at: at,
                version: 1,
            }));
        }
    }
}
