//! A time that somebody wants, weighed by the doctor's calendar and by the patient's appointments.

use chrono::{DateTime, Utc};

use super::{
    AppointmentId, Interval,
    calendar::{Calendar, Search, Violation},
};

/// How many other times a refusal offers.
const OFFERS: usize = 3;

/// A time that is wanted for an appointment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposal {
    /// When.
    pub during: Interval,
    /// The appointment that is to be moved there: its own time does not count.
    pub ignored: Option<AppointmentId>,
}

/// What a patient stands against a proposal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatientSide {
    /// Whether there is such a patient whom the caller may book.
    pub is_known: bool,
    /// When the patient has other appointments, from the wanted time on for a month.
    pub busy: Vec<Interval>,
}

/// Why a time cannot be booked, and what would work instead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Every rule that it breaks; none where it can be booked.
    pub violations: Vec<Violation>,
    /// The times that stand in the way.
    pub conflicts: Vec<Interval>,
    /// The next times that break no rule of the doctor's, and at which the patient is free.
    pub next_slots: Vec<Interval>,
}

impl Refusal {
    /// There is no such doctor.
    pub fn no_such_doctor() -> Self {
        Self { violations: vec![Violation::NoSuchDoctor], ..Self::default() }
    }
}

impl Proposal {
    /// A time for a new appointment.
    pub fn new(during: Interval) -> Self {
        Self { during, ignored: None }
    }

    /// Every rule that the proposal breaks, the doctor's and the patient's.
    pub fn violations(&self, calendar: &Calendar, patient: &PatientSide, now: DateTime<Utc>) -> Vec<Violation> {
        let of_calendar = calendar.violations(&self.during, self.ignored, now);
        // First: a booking for nobody cannot be mended by another time.
        let mut violations = if patient.is_known { Vec::new() } else { vec![Violation::NoSuchPatient] };
        violations.extend(of_calendar);
        if patient.is_known && patient.busy.iter().any(|busy| busy.overlaps(&self.during)) {
            violations.push(Violation::PatientBusy);
        }
        violations
    }

    /// What stands against the proposal, and the next times that suit both.
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
