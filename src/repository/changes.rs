//! Changes of a calendar that are decided while the transaction has it locked: moves, cancellations, series, accepted
//! offers.

use std::time::Instant;

use chrono::{DateTime, Utc};

use super::calendars::Question;
use super::context::ClinicDb;
use super::{Error, Result, alarms, calendars};
use crate::domain::calendar::{CalendarCopy, Stamp};
use crate::domain::proposal::Refusal;
use crate::domain::{DoctorId, PatientId};

/// The data by which a change is decided.
#[derive(Debug, Clone)]
pub struct Basis {
    /// A copy of the calendar, perhaps of an earlier state. `None` for a change that takes no time.
    pub copy: Option<CalendarCopy>,
    /// Whether to wait if the calendar is locked.
    pub waits: bool,
    /// The time of the decision.
    pub now: DateTime<Utc>,
    /// No caller waits after this.
    pub deadline: Instant,
}

/// The outcome of a change, valid once the transaction commits.
#[derive(Debug, Clone)]
pub enum Outcome<T, R = Refusal> {
    /// Nothing was changed: the calendar or the patient is locked.
    Held,
    /// Nothing was changed, for this reason.
    Refused(R),
    /// The change was made.
    Done {
        /// The changed row.
        row: T,
        /// A later copy of the calendar, if the change was decided by one.
        copy: Option<CalendarCopy>,
        /// The effect of the transaction on the calendar.
        stamp: Stamp,
    },
}

/// The result of locking a calendar.
#[derive(Debug)]
pub enum Holding {
    /// Another transaction has locked it.
    BySomebody,
    /// The doctor does not exist any more.
    Gone,
    /// This transaction has locked it, and the copy is up to date.
    UpToDate(CalendarCopy),
}

/// Locks a calendar and brings the copy up to date.
pub async fn hold_up_to_date(db: &mut ClinicDb<'_>, doctor: DoctorId, basis: &Basis) -> Result<Holding> {
    let Some(found) = calendars::hold(&mut *db, doctor, basis.waits).await? else {
        return Ok(Holding::BySomebody);
    };
    let copy = match &basis.copy {
        Some(copy) if copy.versions == found => Some(copy.clone()),
        Some(copy) => match calendars::catch_up(&mut *db, doctor, copy.clone()).await? {
            Some(copy) if copy.versions == found => Some(copy),
            Some(_) => Some(calendars::load(db, doctor).await?),
            None => None,
        },
        None => match calendars::load(db, doctor).await {
            Err(Error::NotFound) => None,
            loaded => Some(loaded?),
        },
    };
    Ok(copy.map_or(Holding::Gone, Holding::UpToDate))
}

/// Checks a time by a calendar that the transaction has locked. Locks the patient, so that no other booking of theirs
/// commits meanwhile. Returns `None` if the patient is locked.
///
/// # Errors
/// [`Error::NotFound`] if the patient was deleted.
pub async fn weigh(
    db: &mut ClinicDb<'_>,
    asked: Question,
    copy: &CalendarCopy,
    now: DateTime<Utc>,
) -> Result<Option<Refusal>> {
    let Question { doctor, patient, proposal, .. } = asked;
    let is_held = hold_patient(&mut *db, patient).await?;
    alarms::lapse(&mut *db, doctor, patient, &proposal.during).await?;
    let (_, mut sides) = calendars::read(&mut db.grouped(), &[], &[asked]).await?;
    let side = sides.pop().unwrap_or_default();
    match (side.is_known, is_held) {
        (false, _) => Err(Error::NotFound),
        (true, false) => Ok(None),
        (true, true) => Ok(Some(proposal.weigh(&copy.calendar, &side, now))),
    }
}

/// Locks a patient, so that no other booking of theirs, and no change of one, commits meanwhile. Returns whether it
/// succeeded.
pub async fn hold_patient(db: &mut ClinicDb<'_>, patient: PatientId) -> Result<bool> {
    let held = sqlx::query_scalar!(
        "SELECT id FROM patients WHERE clinic_id = $1 AND id = $2 FOR NO KEY UPDATE SKIP LOCKED",
        db.clinic().0,
        patient.0,
    );
    Ok(held.fetch_optional(db).await?.is_some())
}
