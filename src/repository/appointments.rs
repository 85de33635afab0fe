//! SQL of appointments. An appointment is `own` for its patient's owner and `assigned` for its doctor's login.
//! [`bookings`](super::bookings) writes new ones.

use chrono::{DateTime, Utc};
use sqlx::postgres::types::PgRange;
use uuid::Uuid;

use super::calendars::Question;
use super::changes::{Basis, Holding, Outcome};
use super::context::ClinicDb;
use super::ranges::{interval, range};
use super::{Error, Result, alarms, calendars, changes, history};
use crate::domain::appointments::{Amendment, Appointment};
use crate::domain::calendar::{CalendarCopy, SpanChange, Stamp};
use crate::domain::fields::filled;
use crate::domain::lifecycle::Status;
use crate::domain::proposal::{Proposal, Refusal};
use crate::domain::{AccountId, AppointmentId, DoctorId, PatientId, SeriesId, Visibility};

/// A whole row, for `SELECT *`.
#[expect(
    dead_code,
    reason = "clinic_id is a condition, what is held is not seen, the stamp is the calendar's, the ends are in `during`, the owner is a condition"
)]
pub(super) struct AppointmentRow {
    pub(super) clinic_id: i64,
    pub(super) id: i64,
    pub(super) reference: Uuid,
    pub(super) doctor_id: i64,
    pub(super) patient_id: i64,
    pub(super) during: PgRange<DateTime<Utc>>,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) created_by: i64,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) version: i64,
    pub(super) series_id: Option<i64>,
    pub(super) waitlist_entry_id: Option<i64>,
    pub(super) held_until: Option<DateTime<Utc>>,
    pub(super) calendar_version: i64,
    pub(super) starts_at: DateTime<Utc>,
    pub(super) ends_at: DateTime<Utc>,
    pub(super) patient_owner: i64,
}

impl AppointmentRow {
    pub(super) fn checked(self) -> Result<Appointment> {
        let status = Status::named(&self.status);
        Ok(filled!(Appointment {
            id: AppointmentId(self.id),
            doctor: DoctorId(self.doctor_id),
            patient: PatientId(self.patient_id),
            during: interval(&self.during)?,
            status: status.ok_or_else(|| Error::Corrupt("unknown status of an appointment".into()))?,
            series: self.series_id.map(SeriesId),
            created_by: AccountId(self.created_by),
        } from self { reason, created_at, updated_at, version }))
    }
}

/// Returns the appointment, if the caller may see it.
pub async fn find(db: &mut ClinicDb<'_>, id: AppointmentId, seen: Visibility) -> Result<Appointment> {
    sqlx::query_as!(
        AppointmentRow,
        "SELECT a.*
         FROM appointments a
         WHERE a.clinic_id = $1
           AND a.id = $2
           AND a.held_until IS NULL
           AND ($3 OR a.doctor_id = $5 OR a.patient_owner = $4)",
        db.clinic().0,
        id.0,
        seen.whole_clinic,
        seen.owner_id(),
        seen.doctor_id(),
    )
    .fetch_one(db)
    .await?
    .checked()
}

/// Returns the appointments with these ids, sorted by start.
pub async fn find_all(db: &mut ClinicDb<'_>, ids: &[i64]) -> Result<Vec<Appointment>> {
    sqlx::query_as!(
        AppointmentRow,
        "SELECT * FROM appointments
         WHERE clinic_id = $1 AND id = ANY($2) AND held_until IS NULL
         ORDER BY starts_at, id",
        db.clinic().0,
        ids,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(AppointmentRow::checked)
    .collect()
}

/// Applies an amendment to the version of the appointment that it is based on. If it takes time, it is decided by the
/// calendar, which the transaction has locked.
///
/// # Errors
/// [`Error::Stale`] if the appointment has another version now. [`Error::NotFound`] if its patient was deleted and the
/// amendment would take time.
pub async fn amend(db: &mut ClinicDb<'_>, amendment: &Amendment, basis: &Basis) -> Result<Outcome<Appointment>> {
    let (clinic, current) = (db.clinic(), &amendment.current);
    if !amendment.changes_calendar() {
        let row = update(db, amendment, None).await?;
        return Ok(Outcome::Done { row, copy: None, stamp: Stamp::default() });
    }
    let (before, copy) = if amendment.takes_time() {
        let copy = match changes::hold_up_to_date(&mut *db, current.doctor, basis).await? {
            Holding::BySomebody => return Ok(Outcome::Held),
            Holding::Gone => return Ok(Outcome::Refused(Refusal::no_such_doctor())),
            Holding::UpToDate(copy) => copy,
        };
        let asked = Question {
            clinic,
            doctor: current.doctor,
            patient: current.patient,
            bookable: Visibility::WHOLE_CLINIC,
            proposal: Proposal { during: amendment.during, ignored: Some(current.id) },
        };
        // The version is checked first, so that a stale request is always reported as stale.
        expect_current(&mut *db, amendment).await?;
        match changes::weigh(&mut *db, asked, &copy, basis.now).await? {
            None => return Ok(Outcome::Held),
            Some(refusal) if !refusal.violations.is_empty() => return Ok(Outcome::Refused(refusal)),
            Some(_) => {}
        }
        (copy.versions, Some(copy))
    } else {
        let Some(found) = calendars::hold(&mut *db, current.doctor, basis.waits).await? else {
            return Ok(Outcome::Held);
        };
        // A concurrent booking of the patient elsewhere would wait for this transaction.
        if !changes::hold_patient(&mut *db, current.patient).await? {
            return Ok(Outcome::Held);
        }
        (found, None::<CalendarCopy>)
    };
    let version = calendars::advance(&mut *db, current.doctor).await?;
    let row = update(&mut *db, amendment, Some(version)).await?;
    if amendment.frees_time() {
        alarms::ring(db, current.doctor, &current.during).await?;
    }
    let change = SpanChange {
        appointment: row.id,
        during: row.during,
        is_active: row.status.is_active(),
        held_until: None,
        is_new: false,
    };
    Ok(Outcome::Done { row, copy, stamp: Stamp { before, version, changes: vec![change] } })
}

async fn expect_current(db: &mut ClinicDb<'_>, amendment: &Amendment) -> Result<()> {
    let version = sqlx::query_scalar!(
        "SELECT version FROM appointments WHERE clinic_id = $1 AND id = $2",
        db.clinic().0,
        amendment.current.id.0,
    );
    if version.fetch_one(db).await? == amendment.current.version { Ok(()) } else { Err(Error::Stale) }
}

/// Writes an amendment and its event. `stamp` is the calendar's new version if the amendment changes the calendar.
async fn update(db: &mut ClinicDb<'_>, amendment: &Amendment, stamp: Option<i64>) -> Result<Appointment> {
    let amended = sqlx::query_as!(
        AppointmentRow,
        "UPDATE appointments
         SET during = $4, status = $5, reason = $6, updated_at = now(), version = version + 1,
             calendar_version = COALESCE($7, calendar_version)
         WHERE clinic_id = $1 AND id = $2 AND version = $3
         RETURNING *",
        db.clinic().0,
        amendment.current.id.0,
        amendment.current.version,
        range(&amendment.during),
        amendment.status.name(),
        amendment.reason,
        stamp,
    )
    .fetch_optional(&mut *db)
    .await?;
    let amended = amended.ok_or(Error::Stale)?.checked()?;
    history::record(db, &amendment.caller, &amendment.current, &amended, Some(amendment.reference)).await?;
    Ok(amended)
}

/// Looks up whether a transaction with a lost outcome committed an amendment, and returns the appointment as it is now.
/// Waits until that transaction has ended, because it had locked the appointment.
///
/// # Errors
/// [`Error::OutcomeUnknown`] if the amendment has no event and the appointment has changed since.
pub async fn settle(db: &mut ClinicDb<'_>, amendment: &Amendment) -> Result<Option<Appointment>> {
    let row = sqlx::query_as!(
        AppointmentRow,
        "SELECT * FROM appointments WHERE clinic_id = $1 AND id = $2 FOR UPDATE",
        db.clinic().0,
        amendment.current.id.0,
    );
    let row = row.fetch_one(&mut *db).await?.checked()?;
    if row.version == amendment.current.version {
        return Ok(None);
    }
    let is_told = (amendment.current.status, amendment.current.during) != (amendment.status, amendment.during);
    match is_told {
        true => Ok(history::has(db, row.id, amendment.reference).await?.then_some(row)),
        false => Err(Error::OutcomeUnknown),
    }
}
