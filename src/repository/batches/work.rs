//! Batches of bookings, what becomes of them, and how far one is while it is worked on.

use std::time::Instant;

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        ClinicId, DoctorId, Interval,
        appointments::{Appointment, Booking},
        calendar::{CalendarCopy, Decision, SpanChange, Stamp, Versions},
        proposal::{Proposal, Refusal},
    },
    repository::calendars::Question,
};

/// Bookings of one doctor, in order.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The doctor's clinic.
    pub clinic: ClinicId,
    /// Whose calendar.
    pub doctor: DoctorId,
    /// By which copy the bookings were decided.
    pub copy: CalendarCopy,
    /// The bookings.
    pub bookings: Vec<Booking>,
    /// After this nobody waits for it any more: what has not begun by then is not done.
    pub deadline: Instant,
}

/// What became of a booking, once the transaction commits.
#[derive(Debug, Clone)]
pub enum Written {
    /// It has its row.
    Booked(Appointment),
    /// It breaks these rules.
    Refused(Refusal),
    /// Its time leaves the years that are kept.
    OutOfYears,
    /// Its key was taken over by another attempt.
    KeyLost,
    /// It is not written: it must wait for another of its batch, and be decided again.
    Again,
    /// It is not written: the calendar's rules have changed, and must be looked at first.
    Outdated,
    /// It is not written: somebody holds its patient or its key.
    Held,
}

/// What became of a batch, once the transaction commits.
#[derive(Debug, Clone)]
pub struct BatchWritten {
    /// What became of each of its bookings, in order.
    pub written: Vec<Written>,
    /// A later copy of the calendar, where the batch was decided by one.
    pub copy: Option<CalendarCopy>,
    /// What the transaction made of the calendar.
    pub stamp: Stamp,
}

impl BatchWritten {
    /// Nothing was: somebody else holds the calendar.
    pub fn held(batch: &Batch) -> Self {
        Self { written: vec![Written::Held; batch.bookings.len()], copy: None, stamp: Stamp::default() }
    }
}

/// A batch while it is worked on.
#[derive(Clone)]
pub struct Work {
    pub(super) batch: Batch,
    /// In which state the transaction found the calendar.
    pub(super) found: Versions,
    /// In which it is by now.
    pub(super) versions: Versions,
    /// What was changed since it was found.
    pub(super) changes: Vec<SpanChange>,
    /// Whether bookings were written by its rules alone: the copy does not show what else there is.
    pub(super) is_behind: bool,
    pub(super) is_caught_up: bool,
    pub(super) written: Vec<Option<Written>>,
}

impl Work {
    /// A batch that was decided by its copy.
    pub fn new(batch: Batch) -> Self {
        let versions = batch.copy.versions;
        let written = vec![None; batch.bookings.len()];
        let changes = Vec::new();
        Self { batch, found: versions, versions, changes, is_behind: false, is_caught_up: false, written }
    }

    /// Whether the outcome of each booking is known.
    pub fn is_done(&self) -> bool {
        self.written.iter().all(Option::is_some)
    }

    /// Whether bookings bring more about than their rows: a key's outcome, an alarm at the end of a hold.
    pub fn has_consequences(&self) -> bool {
        self.batch.bookings.iter().any(|b| b.request.caller.retry.is_some() || b.request.hold.is_some())
    }

    /// What became of the batch; of a booking whose outcome is open, `otherwise`.
    pub fn finish(self, otherwise: Written) -> BatchWritten {
        let stamp = self.stamp();
        let copy = self.is_caught_up.then_some(self.batch.copy);
        let written = self.written.into_iter().map(|written| written.unwrap_or_else(|| otherwise.clone()));
        BatchWritten { written: written.collect(), copy, stamp }
    }

    /// The places of the bookings whose outcome is open.
    pub(super) fn open(&self) -> Vec<usize> {
        (0..self.written.len()).filter(|at| self.written[*at].is_none()).collect()
    }

    /// Says of all whose outcome is open what it is.
    pub(super) fn close(&mut self, outcome: &Written) {
        self.open().into_iter().for_each(|at| self.written[at] = Some(outcome.clone()));
    }

    pub(super) fn question(&self, at: usize) -> Question {
        let request = &self.batch.bookings[at].request;
        let proposal = Proposal::new(self.batch.bookings[at].during);
        let (clinic, doctor) = (self.batch.clinic, self.batch.doctor);
        Question { clinic, doctor, patient: request.patient, bookable: request.bookable, proposal }
    }

    /// The calendar with what this transaction has made of it.
    pub(super) fn shown(&self) -> CalendarCopy {
        let mut copy = self.batch.copy.clone();
        copy.follow(&self.stamp());
        copy
    }

    pub(super) fn stamp(&self) -> Stamp {
        Stamp { before: self.found, version: self.versions.doctor, changes: self.changes.clone() }
    }

    /// Takes over what became of the calendar, which the transaction holds.
    pub(super) fn catch_up(&mut self, versions: Versions, changes: &[SpanChange]) {
        self.batch.copy.catch_up(versions, changes);
        (self.found, self.versions, self.is_behind, self.is_caught_up) = (versions, versions, false, true);
        // The copy has them by now.
        self.changes.clear();
    }

    /// The calendar has one version more.
    pub(super) fn advance(&mut self, version: i64) {
        if version != self.versions.doctor + 1 {
            self.found.doctor = version - 1;
            self.is_behind = true;
        }
        self.versions.doctor = version;
    }

    /// Decides what is open by the copy, which is up to date. Answers the places of those that break a rule.
    pub(super) fn decide(&mut self, now: DateTime<Utc>) -> Vec<usize> {
        let slot = self.batch.copy.calendar.rules().slot;
        for at in self.open() {
            let booking = &mut self.batch.bookings[at];
            match booking.request.during(slot) {
                Some(during) => booking.during = during,
                None => self.written[at] = Some(Written::OutOfYears),
            }
        }
        let open = self.open();
        let wanted: Vec<Interval> = open.iter().map(|at| self.batch.bookings[*at].during).collect();
        let decisions = self.batch.copy.decide(&wanted, now);
        let mut broken = Vec::new();
        for (at, decision) in open.into_iter().zip(decisions) {
            match decision {
                Decision::Write => {}
                Decision::Wait => self.written[at] = Some(Written::Again),
                Decision::Refuse(_) => broken.push(at),
            }
        }
        broken
    }
}
