//! The rules of a schedule as the contract names them, and the times that stand against a booking or
//! instead of it.

use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object};

use super::problem::{self, Kind};
use crate::domain::{Interval, calendar::Violation, fields::NON_FIELD, series::Skipped};

/// A span of time, from `start` up to but not including `end`.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Slot")]
pub struct SlotView {
    /// The first instant inside.
    start: DateTime<Utc>,
    /// The first instant after.
    end: DateTime<Utc>,
}

impl From<Interval> for SlotView {
    fn from(interval: Interval) -> Self {
        Self { start: interval.start(), end: interval.end() }
    }
}

/// A rule that a time must keep to be booked; the same names as in a problem's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "SchedulingRule", rename_all = "kebab-case")]
pub enum RuleView {
    /// It starts in the future.
    InThePast,
    /// It keeps the doctor's notice.
    TooSoon,
    /// It is within the doctor's horizon.
    TooFar,
    /// The doctor takes bookings.
    DoctorInactive,
    /// The clinic is open.
    ClinicClosed,
    /// The doctor is not away.
    TimeOff,
    /// It is within the doctor's working hours.
    OutsideWorkingHours,
    /// The doctor has no other appointment then.
    SlotTaken,
    /// It keeps the doctor's buffers.
    TooClose,
    /// The doctor's day is not full.
    DayFull,
    /// The patient has no other appointment then.
    PatientBusy,
    /// There is such a doctor.
    NoSuchDoctor,
    /// There is such a patient.
    NoSuchPatient,
}

impl From<Violation> for RuleView {
    fn from(violation: Violation) -> Self {
        match violation {
            Violation::InThePast => Self::InThePast,
            Violation::TooSoon => Self::TooSoon,
            Violation::TooFar => Self::TooFar,
            Violation::DoctorInactive => Self::DoctorInactive,
            Violation::ClinicClosed => Self::ClinicClosed,
            Violation::TimeOff => Self::TimeOff,
            Violation::OutsideHours => Self::OutsideWorkingHours,
            Violation::SlotTaken => Self::SlotTaken,
            Violation::TooClose => Self::TooClose,
            Violation::DayFull => Self::DayFull,
            Violation::PatientBusy => Self::PatientBusy,
            Violation::NoSuchDoctor => Self::NoSuchDoctor,
            Violation::NoSuchPatient => Self::NoSuchPatient,
        }
    }
}

/// A broken rule, in words.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Violation")]
pub struct ViolationView {
    /// Which rule.
    rule: RuleView,
    /// What is wrong.
    detail: String,
}

impl From<Violation> for ViolationView {
    fn from(violation: Violation) -> Self {
        Self { rule: violation.into(), detail: told(violation).detail.to_owned() }
    }
}

/// A time of a series that cannot be booked.
#[derive(Debug, Clone, Object)]
#[oai(rename = "SkippedOccurrence")]
pub struct SkippedView {
    /// When it would start.
    start: DateTime<Utc>,
    /// When it would end: the first instant after it.
    end: DateTime<Utc>,
    /// The rules that it breaks.
    violations: Vec<ViolationView>,
}

impl From<Skipped> for SkippedView {
    fn from(skipped: Skipped) -> Self {
        Self {
            start: skipped.during.start(),
            end: skipped.during.end(),
            violations: skipped.violations.into_iter().map(ViolationView::from).collect(),
        }
    }
}

/// How a broken rule is told.
pub struct Told {
    /// As which problem, where it is the first.
    pub kind: &'static Kind,
    /// By which field of the booking.
    pub field: &'static str,
    /// In which words.
    pub detail: &'static str,
}

/// How a broken rule is told.
pub fn told(violation: Violation) -> Told {
    let (kind, field, detail) = match violation {
        Violation::InThePast => {
            (problem::IN_THE_PAST, "appointment_datetime", "The appointment must start in the future.")
        }
        Violation::TooSoon => (
            problem::TOO_SOON,
            "appointment_datetime",
            "The appointment starts sooner than this doctor's notice allows.",
        ),
        Violation::TooFar => (
            problem::TOO_FAR,
            "appointment_datetime",
            "The appointment is further ahead than this doctor can be booked.",
        ),
        Violation::DoctorInactive => (problem::DOCTOR_INACTIVE, "doctor", "This doctor takes no bookings at present."),
        Violation::ClinicClosed => {
            (problem::CLINIC_CLOSED, "appointment_datetime", "The clinic is closed on this day.")
        }
        Violation::TimeOff => (problem::TIME_OFF, "appointment_datetime", "Doctor is away at this time."),
        Violation::OutsideHours => (
            problem::OUTSIDE_HOURS,
            "appointment_datetime",
            "The appointment is not within the doctor's working hours.",
        ),
        Violation::SlotTaken => (problem::SLOT_TAKEN, NON_FIELD, "Doctor already has an appointment at this time."),
        Violation::TooClose => (
            problem::TOO_CLOSE,
            NON_FIELD,
            "It leaves less than the doctor's buffer to the appointment before or after.",
        ),
        Violation::DayFull => (problem::DAY_FULL, NON_FIELD, "Doctor takes no more appointments on this day."),
        Violation::PatientBusy => {
            (problem::PATIENT_BUSY, NON_FIELD, "Patient already has an appointment at this time.")
        }
        Violation::NoSuchDoctor => (problem::INVALID, "doctor", "There is no such doctor."),
        Violation::NoSuchPatient => (problem::INVALID, "patient", "There is no such patient."),
    };
    Told { kind, field, detail }
}
