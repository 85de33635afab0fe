//! Writes batches of bookings in one transaction: one batch a doctor, each as if it were alone.
//!
//! A batch was decided by a copy of its doctor's calendar. Where the calendar is in that state, it is written. Where it
//! is not, the transaction holds it by then: the copy is brought up to date, what is left of the batch is decided anew,
//! and is written by a state that nobody can change meanwhile.

use std::{collections::HashMap, time::Instant};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{
    Error, Result, alarms,
    bookings::{self, Asked, Inserted},
    calendars::{self, Known, Question, Since},
    context::{self, Context},
    retries,
};
use crate::domain::{
    ClinicId, DoctorId, Interval,
    appointments::{Appointment, Booking},
    calendar::{CalendarCopy, Decision, SpanChange, Stamp, Versions, Violation},
    proposal::{Proposal, Refusal},
    waitlist::Hold,
};

/// How often what is left is written: once as it was decided, once as it is, and once more after holds were freed.
const PASSES: usize = 3;

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
pub enum BatchWritten {
    /// Nothing: somebody else holds the calendar.
    Held,
    /// What became of each of its bookings.
    Done {
        /// In order.
        written: Vec<Written>,
        /// A later copy of the calendar, where the batch was decided by one.
        copy: Option<CalendarCopy>,
        /// What the transaction made of the calendar.
        stamp: Stamp,
    },
}

/// A batch while it is worked on.
struct Work<'a> {
    batch: &'a mut Batch,
    /// In which state the transaction found the calendar.
    found: Versions,
    /// In which it is by now.
    versions: Versions,
    changes: Vec<SpanChange>,
    is_caught_up: bool,
    is_held: bool,
    written: Vec<Option<Written>>,
}

impl Work<'_> {
    /// The places of the bookings whose outcome is open.
    fn open(&self) -> Vec<usize> {
        if self.is_held {
            return Vec::new();
        }
        (0..self.written.len()).filter(|at| self.written[*at].is_none()).collect()
    }

    fn question(&self, at: usize) -> Question {
        let request = &self.batch.bookings[at].request;
        let proposal = Proposal::new(self.batch.bookings[at].during);
        let (clinic, doctor) = (self.batch.clinic, self.batch.doctor);
        Question { clinic, doctor, patient: request.patient, bookable: request.bookable, proposal }
    }

    /// The calendar with what this transaction has made of it.
    fn shown(&self) -> CalendarCopy {
        let mut copy = self.batch.copy.clone();
        copy.follow(&self.stamp());
        copy
    }

    fn stamp(&self) -> Stamp {
        Stamp { before: self.found, version: self.versions.doctor, changes: self.changes.clone() }
    }

    /// Decides what is open by the copy, which is up to date. Answers the places of those that break a rule.
    fn decide(&mut self, now: DateTime<Utc>) -> Vec<usize> {
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

/// Writes batches, sorted by clinic and doctor, whose bookings were decided by their copies.
pub async fn write(db: &mut PgConnection, batches: &mut [Batch], now: DateTime<Utc>) -> Result<Vec<BatchWritten>> {
    let mut works: Vec<_> = batches.iter_mut().map(work).collect();
    for _ in 0..PASSES {
        let left = insert(&mut *db, &mut works).await?;
        resolve(&mut *db, &mut works, left, now).await?;
        if works.iter().all(|work| work.open().is_empty()) {
            break;
        }
    }
    keep(db, &works).await?;
    Ok(works.into_iter().map(finish).collect())
}

/// Decides a batch by its copy, which is up to date and held by the transaction, and writes it.
pub async fn decide_and_write(db: &mut PgConnection, batch: &mut Batch, now: DateTime<Utc>) -> Result<BatchWritten> {
    let mut works = [work(batch)];
    let broken = works[0].decide(now);
    refuse(&mut *db, &mut works, broken.into_iter().map(|at| (0, at)).collect(), now).await?;
    for _ in 0..PASSES {
        if works[0].open().is_empty() {
            break;
        }
        let left = insert(&mut *db, &mut works).await?;
        resolve(&mut *db, &mut works, left, now).await?;
    }
    keep(db, &works).await?;
    let [work] = works;
    Ok(finish(work))
}

fn work(batch: &mut Batch) -> Work<'_> {
    let versions = batch.copy.versions;
    let written = vec![None; batch.bookings.len()];
    Work { batch, found: versions, versions, changes: Vec::new(), is_caught_up: false, is_held: false, written }
}

fn finish(work: Work<'_>) -> BatchWritten {
    if work.is_held {
        return BatchWritten::Held;
    }
    let stamp = work.stamp();
    let copy = work.is_caught_up.then(|| work.batch.copy.clone());
    let written = work.written.into_iter().map(|written| written.unwrap_or(Written::Again)).collect();
    BatchWritten::Done { written, copy, stamp }
}

/// Why some bookings were not inserted.
#[derive(Default)]
struct Left {
    /// Works whose calendars are in another state.
    outdated: Vec<usize>,
    /// Bookings whose keys could not be locked.
    without_key: Vec<(usize, usize)>,
    /// Bookings without a row, and whether their patient could be locked.
    without_row: Vec<(usize, usize, bool)>,
}

impl Left {
    fn is_empty(&self) -> bool {
        self.outdated.is_empty() && self.without_key.is_empty() && self.without_row.is_empty()
    }
}

/// Inserts what is open.
async fn insert(db: &mut PgConnection, works: &mut [Work<'_>]) -> Result<Left> {
    let open: Vec<_> = (0..works.len()).map(|n| (n, works[n].open())).filter(|(_, open)| !open.is_empty()).collect();
    let asked = open.iter().map(|(n, open)| {
        let Work { batch, versions, .. } = &works[*n];
        let bookings = open.iter().map(|at| &batch.bookings[*at]).collect();
        Asked { clinic: batch.clinic, doctor: batch.doctor, versions: *versions, bookings }
    });
    let inserted = bookings::insert(&mut *db, &asked.collect::<Vec<_>>()).await?;
    let mut left = Left::default();
    for ((n, open), inserted) in open.into_iter().zip(inserted) {
        let work = &mut works[n];
        let is_held = inserted.iter().any(|inserted| matches!(inserted, Inserted::Held));
        let is_outdated = inserted.iter().any(|inserted| matches!(inserted, Inserted::Outdated));
        if is_held {
            work.is_held = true;
            continue;
        } else if is_outdated {
            left.outdated.push(n);
            continue;
        }
        work.versions.doctor += 1;
        for (at, inserted) in open.into_iter().zip(inserted) {
            match inserted {
                Inserted::Booked(appointment, change) => {
                    work.changes.push(change);
                    work.written[at] = Some(Written::Booked(appointment));
                }
                Inserted::WithoutKey => left.without_key.push((n, at)),
                Inserted::Not { has_patient } => left.without_row.push((n, at, has_patient)),
                Inserted::Outdated | Inserted::Held => {}
            }
        }
    }
    Ok(left)
}

/// Decides anew what was outdated, frees holds that have ended, and says why what has no row has none.
async fn resolve(db: &mut PgConnection, works: &mut [Work<'_>], left: Left, now: DateTime<Utc>) -> Result<()> {
    if left.is_empty() {
        return Ok(());
    }
    let known: Vec<_> = left.outdated.iter().map(|n| known(&works[*n])).collect();
    let since = match known.is_empty() {
        true => Vec::new(),
        false => calendars::read(&mut *db, &known, &[]).await?.0,
    };
    let mut unexplained = Vec::new();
    for (n, since) in left.outdated.into_iter().zip(since) {
        let work = &mut works[n];
        match since {
            Since::Changed(versions, changes) => {
                work.batch.copy.catch_up(versions, &changes);
                (work.found, work.versions, work.is_caught_up) = (versions, versions, true);
                unexplained.extend(work.decide(now).into_iter().map(|at| (n, at)));
            }
            // Reading it whole here would keep the others of the group waiting.
            Since::Rules => work.open().into_iter().for_each(|at| work.written[at] = Some(Written::Outdated)),
            Since::Gone => {
                for at in work.open() {
                    work.written[at] = Some(Written::Refused(Refusal::no_such_doctor()));
                }
            }
        }
    }
    for (n, at) in left.without_key {
        let caller = &works[n].batch.bookings[at].request.caller;
        context::set(&mut *db, Context::Clinic(caller.clinic), true).await?;
        let is_claimed = match &caller.retry {
            Some(retry) => retries::is_claimed(&mut *db, caller, retry).await?,
            None => false,
        };
        works[n].written[at] = Some(if is_claimed { Written::Held } else { Written::KeyLost });
    }
    for (n, at, has_patient) in left.without_row {
        let Batch { clinic, doctor, bookings, .. } = &*works[n].batch;
        let (patient, during) = (bookings[at].request.patient, bookings[at].during);
        context::set(&mut *db, Context::Clinic(*clinic), true).await?;
        if !(has_patient && alarms::lapse(&mut *db, *clinic, *doctor, patient, &during).await?) {
            unexplained.push((n, at));
        }
    }
    refuse(db, works, unexplained, now).await
}

fn known(work: &Work<'_>) -> Known {
    Known { clinic: work.batch.clinic, doctor: work.batch.doctor, versions: work.batch.copy.versions }
}

/// Says of bookings all that stands against them.
async fn refuse(
    db: &mut PgConnection,
    works: &mut [Work<'_>],
    unexplained: Vec<(usize, usize)>,
    now: DateTime<Utc>,
) -> Result<()> {
    if unexplained.is_empty() {
        return Ok(());
    }
    let questions: Vec<_> = unexplained.iter().map(|(n, at)| works[*n].question(*at)).collect();
    let (_, sides) = calendars::read(&mut *db, &[], &questions).await?;
    let mut shown = HashMap::new();
    for (((n, at), asked), side) in unexplained.into_iter().zip(questions).zip(sides) {
        let shown = shown.entry(n).or_insert_with(|| works[n].shown());
        let refusal = asked.proposal.weigh(&shown.calendar, &side, now);
        let hold = works[n].batch.bookings[at].request.hold;
        works[n].written[at] = Some(if refusal.violations.is_empty() {
            unexplained_by_rules(&mut *db, asked, hold, refusal).await?
        } else {
            Written::Refused(refusal)
        });
    }
    Ok(())
}

/// No rule stands against the booking, and it has no row. The doctor's time is taken by what the calendar does not show
/// (a hold that has ended by our clock and not by the database's), or its entry is offered another time, or somebody
/// holds its patient.
async fn unexplained_by_rules(
    db: &mut PgConnection,
    asked: Question,
    hold: Option<Hold>,
    refusal: Refusal,
) -> Result<Written> {
    context::set(&mut *db, Context::Clinic(asked.clinic), true).await?;
    let conflicts = bookings::overlapping(&mut *db, asked.clinic, asked.doctor, &asked.proposal.during).await?;
    if !conflicts.is_empty() {
        return Ok(Written::Refused(Refusal { violations: vec![Violation::SlotTaken], conflicts, ..refusal }));
    }
    match hold {
        Some(hold) if bookings::is_offered(db, asked.clinic, hold.entry).await? => {
            Ok(Written::Refused(Refusal { violations: vec![Violation::PatientBusy], ..refusal }))
        }
        _ => Ok(Written::Held),
    }
}

/// Keeps what keys brought about, and sets the alarms of holds.
async fn keep(db: &mut PgConnection, works: &[Work<'_>]) -> Result<()> {
    for work in works {
        let Batch { clinic, doctor, bookings, .. } = &*work.batch;
        let keyed = bookings.iter().zip(&work.written).filter_map(|(booking, written)| match written {
            Some(Written::Booked(appointment)) if booking.series.is_none() => {
                Some((&booking.request.caller, booking.request.caller.retry.as_deref()?, appointment))
            }
            _ => None,
        });
        let keyed: Vec<_> = keyed.collect();
        if !keyed.is_empty() {
            context::set(&mut *db, Context::Clinic(*clinic), true).await?;
            retries::keep_all(&mut *db, *clinic, &keyed).await?;
        }
        for held in work.changes.iter().filter(|change| change.held_until.is_some()) {
            context::set(&mut *db, Context::Clinic(*clinic), true).await?;
            bookings::alarm_at_the_end(&mut *db, *clinic, *doctor, held).await?;
        }
    }
    Ok(())
}

/// Which of these bookings were committed by a transaction whose outcome was lost. Waits until that transaction has ended:
/// it held the calendar.
///
/// # Errors
/// [`Error::TryAgain`] where it has not ended in time.
pub async fn settle(db: &mut PgConnection, batch: &Batch) -> Result<BatchWritten> {
    context::set(&mut *db, Context::Clinic(batch.clinic), true).await?;
    calendars::hold(&mut *db, batch.clinic, batch.doctor, true).await?.ok_or(Error::TryAgain)?;
    let references: Vec<_> = batch.bookings.iter().map(|booking| booking.reference).collect();
    let mut found = bookings::find(db, batch.clinic, &references).await?;
    let written = references.iter().map(|reference| {
        let at = found.iter().position(|(of, _)| of == reference);
        at.map_or(Written::Again, |at| Written::Booked(found.swap_remove(at).1))
    });
    // What else is in the calendar by now is read when it is needed.
    Ok(BatchWritten::Done { written: written.collect(), copy: None, stamp: Stamp::default() })
}
