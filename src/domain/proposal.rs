//! A requested time, checked against the doctor's calendar and the patient's appointments.

use chrono::{DateTime, Utc};

use super::calendar::{Calendar, Search, Violation};
use super::{AppointmentId, Interval};

/// How many alternative times a refusal offers.
const OFFERS: usize = 3;

/// A requested time for an appointment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposal {
    /// The requested time.
    pub during: Interval,
    /// The appointment to be moved; its own time counts as free.
    pub ignored: Option<AppointmentId>,
}

/// What the decision needs to know of the patient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatientSide {
    /// Whether the patient exists and the caller may book for them.
    pub is_known: bool,
    /// The patient's other appointments in the month that begins with the requested time.
    pub busy: Vec<Interval>,
}

/// Why a time cannot be booked, and which times can be booked instead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Every rule that the time breaks. Empty if it can be booked.
    pub violations: Vec<Violation>,
    /// The times that prevent the booking.
    pub conflicts: Vec<Interval>,
    /// The next times that break none of the doctor's rules and at which the patient is free.
    pub next_slots: Vec<Interval>,
}

impl Refusal {
    /// Creates the refusal for a doctor that does not exist.
    pub fn no_such_doctor() -> Self {
        Self { violations: vec![Violation::NoSuchDoctor], ..Self::default() }
    }
}

impl Proposal {
    /// Creates a proposal for a new appointment.
    pub fn new(during: Interval) -> Self {
        Self { during, ignored: None }
    }

    /// Returns every rule that the proposal breaks: the doctor's and the patient's.
    pub fn violations(&self, calendar: &Calendar, patient: &PatientSide, now: DateTime<Utc>) -> Vec<Violation> {
        let of_calendar = calendar.violations(&self.during, self.ignored, now);
        // An unknown patient comes first, because no other time can solve that.
        let mut violations = if patient.is_known { Vec::new() } else { vec![Violation::NoSuchPatient] };
        violations.extend(of_calendar);
        if patient.is_known && patient.busy.iter().any(|busy| busy.overlaps(&self.during)) {
            violations.push(Violation::PatientBusy);
        }
        violations
    }

    /// Returns the broken rules, the conflicting times, and the next times that suit the doctor and the patient.
    pub fn weigh(&self, calendar: &Calendar, patient: &PatientSide, now: DateTime<Utc>) -> Refusal {
        let overlapping = patient.busy.iter().filter(|busy| busy.overlaps(&self.during));
        let mut conflicts = calendar.conflicts(&self.during, self.ignored, now);
        conflicts.extend(overlapping);
        conflicts.sort_unstable();
        conflicts.dedup();
        let from = self.during.start();
        let (length, also_busy, ignored) = (self.during.length(), patient.busy.as_slice(), self.ignored);
        let search = Search { from, to: from, length, also_busy, ignored, now };
        Refusal {
            violations: self.violations(calendar, patient, now),
            conflicts,
            next_slots: calendar.next_free(search, OFFERS),
        }
    }
}
