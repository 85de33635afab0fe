//! Batches of bookings, their outcomes, and their state while they are written.

use std::time::Instant;

use chrono::{DateTime, Utc};

use crate::domain::appointments::{Appointment, Booking};
use crate::domain::calendar::{CalendarCopy, Decision, SpanChange, Stamp, Versions};
use crate::domain::proposal::{Proposal, Refusal};
use crate::domain::{ClinicId, DoctorId, Interval};
use crate::repository::calendars::Question;

/// Bookings of one doctor, in order.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The doctor's clinic.
    pub clinic: ClinicId,
    /// The doctor of the calendar.
    pub doctor: DoctorId,
    /// The copy by which the bookings were decided.
    pub copy: CalendarCopy,
    /// The bookings.
    pub bookings: Vec<Booking>,
    /// No caller waits after this, so work that has not begun is not done.
    pub deadline: Instant,
}

/// The outcome of a booking, valid once the transaction commits.
#[derive(Debug, Clone)]
pub enum Written {
    /// The booking has its row.
    Booked(Appointment),
    /// The booking breaks these rules.
    Refused(Refusal),
    /// The time leaves the supported years.
    OutOfYears,
    /// Another attempt took over the key.
    KeyLost,
    /// Not written: the booking conflicts with another one of its batch and must be decided again.
    Again,
    /// Not written: the calendar's rules have changed and must be read first.
    Outdated,
    /// Not written: the patient or the key is locked.
    Held,
}

/// The outcome of a batch, valid once the transaction commits.
#[derive(Debug, Clone)]
pub struct BatchWritten {
    /// The outcomes of its bookings, in order.
    pub written: Vec<Written>,
    /// A later copy of the calendar, if the batch was decided by one.
    pub copy: Option<CalendarCopy>,
    /// The effect of the transaction on the calendar.
    pub stamp: Stamp,
}

impl BatchWritten {
    /// Creates the outcome of a batch whose calendar is locked: nothing was written.
    pub fn held(batch: &Batch) -> Self {
        Self { written: vec![Written::Held; batch.bookings.len()], copy: None, stamp: Stamp::default() }
    }
}

/// A batch while it is being written.
#[derive(Clone)]
pub struct Work {
    pub(super) batch: Batch,
    /// The calendar's versions when the transaction found it.
    pub(super) found: Versions,
    /// The calendar's current versions.
    pub(super) versions: Versions,
    /// The changes since it was found.
    pub(super) changes: Vec<SpanChange>,
    /// Whether bookings were written by comparing only the version of the rules, so that the copy may lack other
    /// bookings.
    pub(super) is_behind: bool,
    pub(super) is_caught_up: bool,
    pub(super) written: Vec<Option<Written>>,
}

impl Work {
    /// Creates the work for a batch that was decided by its copy.
    pub fn new(batch: Batch) -> Self {
        let versions = batch.copy.versions;
        let written = vec![None; batch.bookings.len()];
        let changes = Vec::new();
        Self { batch, found: versions, versions, changes, is_behind: false, is_caught_up: false, written }
    }

    /// Returns whether the outcome of every booking is known.
    pub fn is_done(&self) -> bool {
        self.written.iter().all(Option::is_some)
    }

    /// Returns whether bookings have more consequences than their rows: a key's outcome, or an alarm at the end of a
    /// hold.
    pub fn has_consequences(&self) -> bool {
        self.batch.bookings.iter().any(|b| b.request.caller.retry.is_some() || b.request.hold.is_some())
    }

    /// Returns the outcome of the batch. Open bookings get the outcome `otherwise`.
    pub fn finish(self, otherwise: Written) -> BatchWritten {
        let stamp = self.stamp();
        let copy = self.is_caught_up.then_some(self.batch.copy);
        let written = self.written.into_iter().map(|written| written.unwrap_or_else(|| otherwise.clone()));
        BatchWritten { written: written.collect(), copy, stamp }
    }

    /// Returns the positions of the bookings without an outcome.
    pub(super) fn open(&self) -> Vec<usize> {
        (0..self.written.len()).filter(|at| self.written[*at].is_none()).collect()
    }

    /// Gives this outcome to all bookings without one.
    pub(super) fn close(&mut self, outcome: &Written) {
        self.open().into_iter().for_each(|at| self.written[at] = Some(outcome.clone()));
    }

    pub(super) fn question(&self, at: usize) -> Question {
        let request = &self.batch.bookings[at].request;
        let proposal = Proposal::new(self.batch.bookings[at].during);
        let (clinic, doctor) = (self.batch.clinic, self.batch.doctor);
        Question { clinic, doctor, patient: request.patient, bookable: request.bookable, proposal }
    }

    /// Returns the calendar with the changes of this transaction.
    pub(super) fn shown(&self) -> CalendarCopy {
        let mut copy = self.batch.copy.clone();
        copy.follow(&self.stamp());
        copy
    }

    pub(super) fn stamp(&self) -> Stamp {
        Stamp { before: self.found, version: self.versions.doctor, changes: self.changes.clone() }
    }

    /// Applies the calendar's changes. The transaction has locked the calendar.
    pub(super) fn catch_up(&mut self, versions: Versions, changes: &[SpanChange]) {
        self.batch.copy.catch_up(versions, changes);
        (self.found, self.versions, self.is_behind, self.is_caught_up) = (versions, versions, false, true);
        // The copy now includes them.
        self.changes.clear();
    }

    /// Records that the calendar's version was increased.
    pub(super) fn advance(&mut self, version: i64) {
        if version != self.versions.doctor + 1 {
            self.found.doctor = version - 1;
            self.is_behind = true;
        }
        self.versions.doctor = version;
    }

    /// Decides the open bookings by the copy, which is up to date. Returns the positions of those that break a rule.
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
