//! A copy of a doctor's calendar, with the version of the state that it shows.
//!
//! The database stores a calendar as a version and as appointments, each stamped with the version that changed it last.
//! The appointments with a later stamp bring a copy up to date. A copy shows no state later than its version.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Calendar, Holder, Interval, Violation};
use crate::domain::AppointmentId;

/// The versions of a calendar's state: the doctor's, and the clinic's for the rules that apply to all its doctors. Both
/// only increase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Versions {
    /// Counts the transactions that changed the doctor's calendar.
    pub doctor: i64,
    /// Counts the transactions that changed the clinic's closures or time zone.
    pub clinic: i64,
}

impl Versions {
    /// Returns whether this state is the same as `other` or later.
    pub fn includes(self, other: Self) -> bool {
        self.doctor >= other.doctor && self.clinic >= other.clinic
    }
}

/// How one changed appointment affects its doctor's calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanChange {
    /// The appointment.
    pub appointment: AppointmentId,
    /// Its time.
    pub during: Interval,
    /// Whether it occupies that time.
    pub is_active: bool,
    /// The end of the hold, if the appointment is a hold.
    pub held_until: Option<DateTime<Utc>>,
    /// Whether the transaction created it, so that no earlier state contains it.
    pub is_new: bool,
}

/// The effect of one transaction on a calendar. The default applies to no state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The versions before the transaction.
    pub before: Versions,
    /// The doctor's version after the transaction.
    pub version: i64,
    /// The changed appointments.
    pub changes: Vec<SpanChange>,
}

/// The decision on one of several bookings that are decided together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The booking is to be written.
    Write,
    /// The booking conflicts only with one of the bookings to be written. It waits for their outcome.
    Wait,
    /// The booking breaks these rules.
    Refuse(Vec<Violation>),
}

/// A calendar and its versions. Cheap to clone: clones share the calendar until one of them changes it.
#[derive(Debug, Clone, PartialEq)]
pub struct CalendarCopy {
    /// The calendar.
    pub calendar: Arc<Calendar>,
    /// The versions of the state that it shows.
    pub versions: Versions,
}

impl CalendarCopy {
    /// Creates a copy from a calendar that was read in full.
    pub fn new(calendar: Calendar, versions: Versions) -> Self {
        Self { calendar: Arc::new(calendar), versions }
    }

    /// Applies the changes that were stamped after this copy's versions, up to `versions`. Does nothing if the copy
    /// already includes them.
    pub fn catch_up(&mut self, versions: Versions, changes: &[SpanChange]) {
        if self.versions.includes(versions) {
            return;
        }
        self.apply(changes);
        self.versions = versions;
    }

    /// Applies the effect of one transaction. Does nothing unless this copy shows the state right before that
    /// transaction.
    pub fn follow(&mut self, stamp: &Stamp) {
        if self.versions == stamp.before {
            self.apply(&stamp.changes);
            self.versions.doctor = stamp.version;
        }
    }

    /// Drops appointments that ended long before `now`.
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

    /// Decides new bookings in order. Each booking is checked together with the earlier ones that are to be written. A
    /// booking is refused only for what the copy shows, never for another booking of the same call.
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
