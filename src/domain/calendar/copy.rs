//! A copy of a doctor's calendar that knows which state of it it shows.
//!
//! What a calendar is, is kept in the database as a version and the appointments that were stamped with it. A copy is
//! brought up to date by what was stamped later, and says nothing of a version that it has not seen.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, Utc};

use super::{Calendar, Holder, Interval, Violation};
use crate::domain::AppointmentId;

/// A state of a calendar: the doctor's version, and the clinic's for what binds all its doctors. Both only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Versions {
    /// Counts the transactions that changed the doctor's calendar.
    pub doctor: i64,
    /// Counts those that changed the clinic's closures or time zone.
    pub clinic: i64,
}

impl Versions {
    /// Whether a state with these versions came after, or is, one with those.
    pub fn includes(self, other: Self) -> bool {
        self.doctor >= other.doctor && self.clinic >= other.clinic
    }
}

/// What an appointment means to its doctor's calendar after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanChange {
    /// The appointment.
    pub appointment: AppointmentId,
    /// Its time.
    pub during: Interval,
    /// Whether it takes that time.
    pub is_active: bool,
    /// Until when it is only held.
    pub held_until: Option<DateTime<Utc>>,
    /// Whether the transaction made it: no earlier state shows it.
    pub is_new: bool,
}

/// What a transaction made of a calendar. The default says nothing of any state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The state that it found.
    pub before: Versions,
    /// The doctor's version that it left.
    pub version: i64,
    /// What it changed.
    pub changes: Vec<SpanChange>,
}

/// What becomes of one of several bookings that are decided together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is to be written.
    Write,
    /// It would be, but for one of those that are to be written: it waits for their outcome.
    Wait,
    /// It breaks these rules.
    Refuse(Vec<Violation>),
}

/// A calendar with the versions of the state that it shows. Cheap to clone: the calendar is shared until one changes it.
#[derive(Debug, Clone, PartialEq)]
pub struct CalendarCopy {
    /// The calendar.
    pub calendar: Arc<Calendar>,
    /// Which state of it.
    pub versions: Versions,
}

impl CalendarCopy {
    /// A copy as it was read whole.
    pub fn new(calendar: Calendar, versions: Versions) -> Self {
        Self { calendar: Arc::new(calendar), versions }
    }

    /// Takes over what was stamped since this copy's versions, up to `versions`. What the copy includes already is left.
    pub fn catch_up(&mut self, versions: Versions, changes: &[SpanChange]) {
        if self.versions.includes(versions) {
            return;
        }
        self.apply(changes);
        self.versions = versions;
    }

    /// Takes over what a transaction made of the state that this copy shows; of any other state it says nothing.
    pub fn follow(&mut self, stamp: &Stamp) {
        if self.versions == stamp.before {
            self.apply(&stamp.changes);
            self.versions.doctor = stamp.version;
        }
    }

    /// Drops appointments that were over long before `now`.
    pub fn forget_before(&mut self, now: DateTime<Utc>) {
        Arc::make_mut(&mut self.calendar).forget_before(now);
    }

    fn apply(&mut self, changes: &[SpanChange]) {
        if changes.is_empty() {
            return;
        }
        let calendar = Arc::make_mut(&mut self.calendar);
        let known: HashSet<_> = changes.iter().filter(|c| !c.is_new).map(|change| change.appointment.0).collect();
        if !known.is_empty() {
            calendar.release_all(&known);
        }
        for change in changes.iter().filter(|change| change.is_active) {
            calendar.take(Holder::Appointment(change.appointment), change.during);
            if let Some(until) = change.held_until {
                calendar.hold(change.appointment, until);
            }
        }
    }

    /// Decides new bookings in order, each with those before it that are to be written in place. A booking is refused only
    /// for what the copy shows, never for another of them.
    pub fn decide(&mut self, wanted: &[Interval], now: DateTime<Utc>) -> Vec<Decision> {
        let calendar = Arc::make_mut(&mut self.calendar);
        let mut claimed = Vec::new();
        let mut decisions: Vec<_> = (0..)
            .zip(wanted)
            .map(|(place, during)| {
                if !calendar.violations(during, None, now).is_empty() {
                    return Decision::Wait;
                }
                calendar.take(Holder::Claim(place), *during);
                claimed.push((place, during));
                Decision::Write
            })
            .collect();
        for (place, during) in claimed {
            calendar.release_span(Holder::Claim(place), *during);
        }
        for (decision, during) in decisions.iter_mut().zip(wanted) {
            if *decision == Decision::Wait {
                let violations = calendar.violations(during, None, now);
                if !violations.is_empty() {
                    *decision = Decision::Refuse(violations);
                }
            }
        }
        decisions
    }
}
