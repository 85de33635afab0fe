//! A state of a calendar and its rules, in the simplest form.

use chrono::TimeDelta;

use super::{BUSY, UNKNOWN, start_of_day};
use crate::domain::calendar::{Rules, Violation};
use crate::domain::proposal::PatientSide;
use crate::domain::{AppointmentId, Interval, PatientId};

/// A state of the calendar, in the simplest form.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) most: Option<usize>,
    pub(super) gap: TimeDelta,
    pub(super) taken: Vec<(AppointmentId, Interval)>,
}

impl State {
    /// Returns the rules that a time breaks, by checking each appointment.
    pub(super) fn violations(&self, during: &Interval, ignored: Option<AppointmentId>) -> Vec<Violation> {
        let others: Vec<_> = self.taken.iter().filter(|(id, _)| Some(*id) != ignored).map(|(_, taken)| taken).collect();
        let is_near = |taken: &&Interval| !taken.overlaps(during) && taken.overlaps(&during.widened(self.gap));
        let mut violations = Vec::new();
        if others.iter().any(|taken| taken.overlaps(during)) {
            violations.push(Violation::SlotTaken);
        }
        if others.iter().copied().any(|taken| is_near(&taken)) {
            violations.push(Violation::TooClose);
        }
        if self.most.is_some_and(|most| others.len() >= most) {
            violations.push(Violation::DayFull);
        }
        violations
    }

    pub(super) fn rules(&self) -> Rules {
        let rules = Rules::unset(chrono_tz::Tz::UTC, TimeDelta::minutes(30));
        Rules { most_a_day: self.most, buffer_after: self.gap, ..rules }
    }
}

/// Returns the patient's side for any time of the day.
pub(super) fn side(patient: PatientId) -> PatientSide {
    let day = Interval::starting(start_of_day(), TimeDelta::hours(24)).unwrap();
    PatientSide { is_known: patient.0 != UNKNOWN, busy: if patient.0 == BUSY { vec![day] } else { Vec::new() } }
}
