//! Writes batches of bookings in one transaction: one batch per doctor, each as if it were alone.
//!
//! A batch was decided on a copy of its doctor's calendar. It is written if the calendar is still in that state. It is
//! also written in a later state if the rules are the same and only an overlap can prevent a booking, because the
//! database refuses overlaps itself. Otherwise the transaction, which now holds the calendar's lock, brings the copy up
//! to date. It decides the open bookings again and writes them in a state that nobody else can change.

mod work;

use std::collections::HashMap;

use chrono::{DateTime, Utc};

pub use self::work::{Batch, BatchWritten, Work, Written};
use super::bookings::{CalendarBookings, Inserted};
use super::calendars::{Known, Question, Since};
use super::context::{ClinicDb, GroupedDb};
use super::{Error, Result, alarms, bookings, calendars, retries};
use crate::domain::Interval;
use crate::domain::appointments::Hold;
use crate::domain::calendar::{Stamp, Violation};
use crate::domain::proposal::Refusal;

/// How often open bookings are written: as decided, as decided again, and once more after expired holds were freed.
const PASSES: usize = 3;

/// Writes what one statement can write outside a longer transaction. The batches are sorted by clinic and doctor. Other
/// consequences of the bookings, such as a key's outcome, are not stored.
pub async fn write_at_once(db: &mut GroupedDb<'_>, mut works: Vec<Work>) -> Result<Vec<Work>> {
    insert(db, &mut works).await?;
    Ok(works)
}

/// Writes batches, sorted by clinic and doctor, whose bookings were decided by their copies.
pub async fn write(db: &mut GroupedDb<'_>, mut works: Vec<Work>, now: DateTime<Utc>) -> Result<Vec<Work>> {
    for _ in 0..PASSES {
        let left = insert(&mut *db, &mut works).await?;
        resolve(&mut *db, &mut works, left, now).await?;
        if works.iter().all(Work::is_done) {
            break;
        }
    }
    keep(db, &works).await?;
    Ok(works)
}

/// Decides a batch by its copy and writes it. The copy must be up to date and its calendar locked by the transaction.
/// Returns the time and the outcome of each booking.
pub async fn decide_and_write(
    db: &mut ClinicDb<'_>,
    batch: Batch,
    now: DateTime<Utc>,
) -> Result<(Vec<Interval>, BatchWritten)> {
    let mut works = vec![Work::new(batch)];
    let broken = works[0].decide(now);
    refuse(&mut db.grouped(), &mut works, broken.into_iter().map(|at| (0, at)).collect(), now).await?;
    if !works[0].is_done() {
        works = write(&mut db.grouped(), works, now).await?;
    }
    let mut work = works.pop().ok_or(Error::TryAgain)?;
    let times = work.batch.bookings.iter().map(|booking| booking.during).collect();
    work.is_caught_up = true;
    Ok((times, work.finish(Written::Again)))
}

/// The bookings that were not inserted, by reason.
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

/// Inserts the open bookings.
async fn insert(db: &mut GroupedDb<'_>, works: &mut [Work]) -> Result<Left> {
    let open: Vec<_> = (0..works.len()).map(|n| (n, works[n].open())).filter(|(_, open)| !open.is_empty()).collect();
    let asked = open.iter().map(|(n, open)| {
        let Work { batch, versions, .. } = &works[*n];
        CalendarBookings {
            clinic: batch.clinic,
            doctor: batch.doctor,
            versions: *versions,
            by_rules: batch.copy.calendar.rules().allow_all_but_overlaps(),
            bookings: open.iter().map(|at| &batch.bookings[*at]).collect(),
        }
    });
    let inserted = bookings::insert(&mut *db, &asked.collect::<Vec<_>>()).await?;
    let mut left = Left::default();
    for ((n, open), (version, inserted)) in open.into_iter().zip(inserted) {
        let work = &mut works[n];
        match inserted.first() {
            Some(Inserted::Held) => {
                work.close(&Written::Held);
                continue;
            }
            Some(Inserted::Outdated) => {
                left.outdated.push(n);
                continue;
            }
            _ => {}
        }
        work.advance(version);
        let mut is_outdated = false;
        for (at, inserted) in open.into_iter().zip(inserted) {
            match inserted {
                Inserted::Booked(appointment, change) => {
                    work.changes.push(change);
                    work.written[at] = Some(Written::Booked(appointment));
                }
                // The reason may be a change that the copy does not contain yet.
                _ if work.is_behind => is_outdated = true,
                Inserted::WithoutKey => left.without_key.push((n, at)),
                Inserted::Not { has_patient } => left.without_row.push((n, at, has_patient)),
                Inserted::Outdated | Inserted::Held => {}
            }
        }
        if is_outdated {
            left.outdated.push(n);
        }
    }
    Ok(left)
}

/// Decides outdated batches again, frees expired holds, and finds the reason for every booking without a row.
async fn resolve(db: &mut GroupedDb<'_>, works: &mut [Work], left: Left, now: DateTime<Utc>) -> Result<()> {
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
                work.catch_up(versions, &changes);
                unexplained.extend(work.decide(now).into_iter().map(|at| (n, at)));
            }
            // Reading the calendar in full here would delay the rest of the group.
            Since::Rules => work.close(&Written::Outdated),
            Since::Gone => work.close(&Written::Refused(Refusal::no_such_doctor())),
        }
    }
    for (n, at) in left.without_key {
        let caller = &works[n].batch.bookings[at].request.caller;
        let mut db = db.in_clinic(caller.clinic).await?;
        let is_claimed = match &caller.retry {
            Some(retry) => retries::is_claimed(&mut db, caller, retry).await?,
            None => false,
        };
        works[n].written[at] = Some(if is_claimed { Written::Held } else { Written::KeyLost });
    }
    for (n, at, has_patient) in left.without_row {
        let Batch { clinic, doctor, bookings, .. } = &works[n].batch;
        let (patient, during) = (bookings[at].request.patient, bookings[at].during);
        let mut db = db.in_clinic(*clinic).await?;
        if !(has_patient && alarms::lapse(&mut db, *doctor, patient, &during).await?) {
            unexplained.push((n, at));
        }
    }
    refuse(db, works, unexplained, now).await
}

fn known(work: &Work) -> Known {
    Known { clinic: work.batch.clinic, doctor: work.batch.doctor, versions: work.batch.copy.versions }
}

/// Refuses bookings with every reason that prevents them.
async fn refuse(
    db: &mut GroupedDb<'_>,
    works: &mut [Work],
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

/// Handles a booking that breaks no rule but has no row. There are three causes. The doctor's time is taken by a hold
/// that has ended by the program's clock but not by the database's. Or the waitlist entry has another offer. Or the
/// patient is locked.
async fn unexplained_by_rules(
    db: &mut GroupedDb<'_>,
    asked: Question,
    hold: Option<Hold>,
    refusal: Refusal,
) -> Result<Written> {
    let mut db = db.in_clinic(asked.clinic).await?;
    let conflicts = bookings::overlapping(&mut db, asked.doctor, &asked.proposal.during).await?;
    if !conflicts.is_empty() {
        return Ok(Written::Refused(Refusal { violations: vec![Violation::SlotTaken], conflicts, ..refusal }));
    }
    match hold {
        Some(hold) if bookings::is_offered(&mut db, hold.entry).await? => {
            Ok(Written::Refused(Refusal { violations: vec![Violation::PatientBusy], ..refusal }))
        }
        _ => Ok(Written::Held),
    }
}

/// Stores the outcomes of keys and sets the alarms of holds.
async fn keep(db: &mut GroupedDb<'_>, works: &[Work]) -> Result<()> {
    for work in works {
        let Batch { clinic, doctor, bookings, .. } = &work.batch;
        let keyed = bookings.iter().zip(&work.written).filter_map(|(booking, written)| match written {
            Some(Written::Booked(appointment)) if booking.series.is_none() => {
                Some((&booking.request.caller, booking.request.caller.retry.as_deref()?, appointment))
            }
            _ => None,
        });
        let keyed: Vec<_> = keyed.collect();
        if !keyed.is_empty() {
            retries::keep_all(&mut db.in_clinic(*clinic).await?, &keyed).await?;
        }
        for held in work.changes.iter().filter(|change| change.held_until.is_some()) {
            bookings::alarm_at_the_end(&mut db.in_clinic(*clinic).await?, *doctor, held).await?;
        }
    }
    Ok(())
}

/// Looks up which bookings a statement or transaction with a lost outcome committed. Waits until it has ended, because
/// it had locked the calendar. If the server receives it only later, it will write nothing: the lookup gives the
/// calendar a new version of its rules, and every comparison with an earlier state fails.
///
/// # Errors
/// [`Error::TryAgain`] if it has not ended in time.
pub async fn settle(db: &mut ClinicDb<'_>, batch: &Batch) -> Result<BatchWritten> {
    db.expect(batch.clinic)?;
    calendars::hold(&mut *db, batch.doctor, true).await?.ok_or(Error::TryAgain)?;
    let references: Vec<_> = batch.bookings.iter().map(|booking| booking.reference).collect();
    let mut found = bookings::find(&mut *db, &references).await?;
    if found.len() < references.len() {
        calendars::advance_rules(db, batch.doctor).await?;
    }
    let written = references.iter().map(|reference| {
        let at = found.iter().position(|(of, _)| of == reference);
        at.map_or(Written::Again, |at| Written::Booked(found.swap_remove(at).1))
    });
    // Other changes of the calendar are read when they are needed.
    Ok(BatchWritten { written: written.collect(), copy: None, stamp: Stamp::default() })
}
