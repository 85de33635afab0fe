//! Changes of a calendar that are decided while the transaction holds it: moves, cancellations, series, accepted offers.

use std::time::Instant;

use chrono::{DateTime, Utc};

use super::{
    Error, Result, alarms,
    calendars::{self, Question},
    context::ClinicDb,
};
use crate::domain::{
    DoctorId, PatientId,
    calendar::{CalendarCopy, Stamp},
    proposal::Refusal,
};

/// By what a change is decided.
#[derive(Debug, Clone)]
pub struct Basis {
    /// A copy of the calendar, perhaps of an earlier state; none for a change that takes no time.
    pub copy: Option<CalendarCopy>,
    /// Whether to wait for whoever holds the calendar.
    pub waits: bool,
    /// When it is decided.
    pub now: DateTime<Utc>,
    /// After this nobody waits for it any more.
    pub deadline: Instant,
}

/// What became of a change, once the transaction commits.
#[derive(Debug, Clone)]
pub enum Outcome<T, R = Refusal> {
    /// Nothing: somebody else holds the calendar, or the patient.
    Held,
    /// Nothing: this stands against it.
    Refused(R),
    /// It is done.
    Done {
        /// What was changed.
        row: T,
        /// A later copy of the calendar, where it was decided by one.
        copy: Option<CalendarCopy>,
        /// What the transaction made of the calendar.
        stamp: Stamp,
    },
}

/// A calendar that the transaction holds.
#[derive(Debug)]
pub enum Holding {
    /// Somebody else does.
    BySomebody,
    /// There is no such doctor any more.
    Gone,
    /// This transaction does, and this copy is up to date.
    UpToDate(CalendarCopy),
}

/// Holds a calendar and brings the copy up to date.
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

/// What a time meets, by a calendar that the transaction holds; keeps the patient's other bookings out until the commit.
/// `None` where somebody else holds the patient.
///
/// # Errors
/// [`Error::NotFound`] where the patient was deleted.
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

/// Keeps a patient's other bookings and changes of them out until the commit; answers whether nobody else does.
pub async fn hold_patient(db: &mut ClinicDb<'_>, patient: PatientId) -> Result<bool> {
    let held = sqlx::query_scalar!(
        "SELECT id FROM patients WHERE clinic_id = $1 AND id = $2 FOR NO KEY UPDATE SKIP LOCKED",
        db.clinic().0,
        patient.0,
    );
    Ok(held.fetch_optional(db).await?.is_some())
}
