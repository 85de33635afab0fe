//! The scheduling rules under their names in the contract, and the details of a refused booking: conflicts and
//! alternatives.

use chrono::{DateTime, Utc};
use poem_openapi::{Enum, Object};

use crate::actors::repository::Error;
use crate::actors::schedule::ScheduleError;
use crate::api::http::problem::{INVALID, Problem, SERIES_CONFLICT, told};
use crate::domain::Interval;
use crate::domain::calendar::Violation;
use crate::domain::proposal::Refusal;
use crate::domain::series::Skipped;

/// A time span: `start` is inclusive, `end` is exclusive.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Slot")]
pub struct SlotView {
    /// Start (inclusive).
    start: DateTime<Utc>,
    /// End (exclusive).
    end: DateTime<Utc>,
}

impl From<Interval> for SlotView {
    fn from(interval: Interval) -> Self {
        Self { start: interval.start(), end: interval.end() }
    }
}

/// A scheduling rule. The names are those of the problem types.
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

/// A violated scheduling rule.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Violation")]
pub struct ViolationView {
    /// The rule.
    rule: RuleView,
    /// What is wrong.
    detail: String,
}

impl From<Violation> for ViolationView {
    fn from(violation: Violation) -> Self {
        Self { rule: violation.into(), detail: told(violation).detail.to_owned() }
    }
}

/// An occurrence of a series that cannot be booked.
#[derive(Debug, Clone, Object)]
#[oai(rename = "SkippedOccurrence")]
pub struct SkippedView {
    /// Start (inclusive).
    start: DateTime<Utc>,
    /// End (exclusive).
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

/// Why a booking was refused, and what could be booked instead. The fields are part of the problem.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Instead", skip_serializing_if_is_none)]
pub struct InsteadView {
    /// For a refused booking: the times that overlap it.
    conflicts: Option<Vec<SlotView>>,
    /// For a refused booking: the next bookable slots.
    next_slots: Option<Vec<SlotView>>,
    /// For a refused series: the occurrences that cannot be booked, with the rules that they break.
    occurrences: Option<Vec<SkippedView>>,
}

fn slots(spans: impl IntoIterator<Item = Interval>) -> Vec<SlotView> {
    spans.into_iter().map(SlotView::from).collect()
}

impl From<ScheduleError> for Problem {
    fn from(error: ScheduleError) -> Self {
        match error {
            ScheduleError::Refused(refused) => refused.into(),
            ScheduleError::SeriesRefused(skipped) => skipped.into(),
            ScheduleError::Repository(error) => error.into(),
        }
    }
}

/// Lists all broken rules. The first one decides the kind of the problem.
impl From<Refusal> for Problem {
    fn from(refused: Refusal) -> Self {
        let mut violations = refused.violations.into_iter();
        let Some(first) = violations.next() else {
            return Error::TryAgain.into();
        };
        let mut problem = Self::from(first);
        for violation in violations {
            let told = told(violation);
            problem = problem.with_error(told.field, told.detail);
        }
        if problem.kind() == INVALID {
            return problem;
        }
        problem.with_more(&InsteadView {
            conflicts: Some(slots(refused.conflicts)),
            next_slots: Some(slots(refused.next_slots)),
            occurrences: None,
        })
    }
}

/// A series of an unknown doctor or patient is invalid. Otherwise the problem lists each occurrence that cannot be
/// booked.
impl From<Vec<Skipped>> for Problem {
    fn from(skipped: Vec<Skipped>) -> Self {
        let unknown = [Violation::NoSuchDoctor, Violation::NoSuchPatient];
        let mut violations = skipped.iter().flat_map(|skipped| &skipped.violations);
        if let Some(violation) = violations.find(|violation| unknown.contains(violation)) {
            return (*violation).into();
        }
        let detail = format!("{} of the times cannot be booked; nothing was booked.", skipped.len());
        Self::new(SERIES_CONFLICT, detail.clone()).with_error("rrule", detail).with_more(&InsteadView {
            conflicts: Some(slots(skipped.iter().map(|skipped| skipped.during))),
            next_slots: Some(Vec::new()),
            occurrences: Some(skipped.into_iter().map(SkippedView::from).collect()),
        })
    }
}
