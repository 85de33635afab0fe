//! SQL of appointments. An appointment is `own` to its patient's owner and `assigned` to its doctor's
//! login. New ones are written by [`bookings`](super::bookings).

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, postgres::types::PgRange};
use uuid::Uuid;

use super::{
    Conflict, Error, Page, Result, alarms,
    audit::{self, Event, Outcome},
    bookings, history,
};
use crate::domain::{
    AccountId, AppointmentId, Caller, ClinicId, DoctorId, Interval, PatientId, SeriesId, Visibility,
    appointments::{Amendment, Appointment, AppointmentFilter},
    calendar::Terms,
    lifecycle::Status,
};

/// A whole row, for `SELECT *`.
#[expect(dead_code, reason = "clinic_id is a condition, and what is held is not seen")]
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
}

impl AppointmentRow {
    pub(super) fn checked(self) -> Result<Appointment> {
        let status = Status::named(&self.status);
        Ok(Appointment {
            id: AppointmentId(self.id),
            doctor: DoctorId(self.doctor_id),
            patient: PatientId(self.patient_id),
            during: interval(&self.during)?,
            status: status.ok_or_else(|| Error::Corrupt("unknown status of an appointment".into()))?,
            reason: self.reason,
            series: self.series_id.map(SeriesId),
            created_by: AccountId(self.created_by),
            created_at: self.created_at,
            updated_at: self.updated_at,
            version: self.version,
        })
    }
}

/// A stored range as an interval.
pub(super) fn interval(range: &PgRange<DateTime<Utc>>) -> Result<Interval> {
    use std::ops::Bound::{Excluded, Included};
    match (range.start, range.end) {
        (Included(start), Excluded(end)) => Interval::between(start, end),
        _ => None,
    }
    .ok_or_else(|| Error::Corrupt("a range of time that is not [start, end)".into()))
}

/// An interval as a range to store.
pub(super) fn range(during: &Interval) -> PgRange<DateTime<Utc>> {
    PgRange::from(during.start()..during.end())
}

/// The appointments that match and that the caller may see, newest first.
pub async fn list(
    db: &mut PgConnection,
    clinic: ClinicId,
    seen: Visibility,
    filter: &AppointmentFilter,
    page: Page,
) -> Result<Vec<Appointment>> {
    sqlx::query_as!(
        AppointmentRow,
        r#"SELECT a.*
         FROM appointments a
         WHERE a.clinic_id = $1
           AND a.held_until IS NULL
           AND ($2 OR a.doctor_id = $4 OR EXISTS (
               SELECT FROM patients p WHERE p.clinic_id = $1 AND p.id = a.patient_id AND p.created_by = $3
           ))
           AND ($5::bigint IS NULL OR a.doctor_id = $5)
           AND ($6::bigint IS NULL OR a.patient_id = $6)
           AND ($7::text IS NULL OR a.status = $7)
           AND ($8::timestamptz IS NULL OR upper(a.during) > $8)
           AND ($9::timestamptz IS NULL OR lower(a.during) < $9)
           AND ($10::bigint IS NULL OR a.id < $10)
         ORDER BY a.id DESC
         LIMIT $11"#,
        clinic.0,
        seen.whole_clinic,
        seen.owner_id(),
        seen.doctor_id(),
        filter.doctor.map(|id| id.0),
        filter.patient.map(|id| id.0),
        filter.status.map(Status::name),
        filter.from,
        filter.to,
        page.before,
        page.limit,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(AppointmentRow::checked)
    .collect()
}

/// The appointment, if the caller may see it.
pub async fn find(db: &mut PgConnection, clinic: ClinicId, id: AppointmentId, seen: Visibility) -> Result<Appointment> {
    sqlx::query_as!(
        AppointmentRow,
        "SELECT a.*
         FROM appointments a
         WHERE a.clinic_id = $1
           AND a.id = $2
           AND a.held_until IS NULL
           AND ($3 OR a.doctor_id = $5 OR EXISTS (
               SELECT FROM patients p WHERE p.clinic_id = $1 AND p.id = a.patient_id AND p.created_by = $4
           ))",
        clinic.0,
        id.0,
        seen.whole_clinic,
        seen.owner_id(),
        seen.doctor_id(),
    )
    .fetch_one(db)
    .await?
    .checked()
}

/// The appointments of those ids, by start.
pub async fn find_all(db: &mut PgConnection, clinic: ClinicId, ids: &[i64]) -> Result<Vec<Appointment>> {
    sqlx::query_as!(
        AppointmentRow,
        "SELECT * FROM appointments
         WHERE clinic_id = $1 AND id = ANY($2) AND held_until IS NULL
         ORDER BY lower(during), id",
        clinic.0,
        ids,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(AppointmentRow::checked)
    .collect()
}

/// Changes an appointment from the version that the amendment was made of. Where it takes time, that
/// was found free by `terms`.
///
/// # Errors
/// [`Error::Stale`] where it has another version by now; [`Conflict`] where its new time is taken or
/// the schedule is bound by other rules by now; [`Error::NotFound`] where its doctor or patient was
/// deleted and it would take time.
pub async fn amend(db: &mut PgConnection, amendment: &Amendment, terms: Option<&Terms>) -> Result<Appointment> {
    if let Some(terms) = terms {
        admit(&mut *db, amendment, terms).await?;
    }
    let amended = sqlx::query_as!(
        AppointmentRow,
        "UPDATE appointments
         SET during = $4, status = $5, reason = $6, updated_at = now(), version = version + 1
         WHERE clinic_id = $1 AND id = $2 AND version = $3
         RETURNING *",
        amendment.clinic().0,
        amendment.current.id.0,
        amendment.current.version,
        range(&amendment.during),
        amendment.status.name(),
        amendment.reason,
    )
    .fetch_optional(&mut *db)
    .await?;
    let amended = amended.ok_or(Error::Stale)?.checked()?;
    history::record(&mut *db, &amendment.caller, &amendment.current, &amended).await?;
    if amendment.frees_time() {
        let (doctor, freed) = (amendment.current.doctor, amendment.current.during);
        alarms::ring(db, amendment.clinic(), doctor, &freed).await?;
    }
    Ok(amended)
}

/// Sees that an amendment's new time may be written, and keeps it so until the commit: neither the
/// doctor nor the patient is deleted, and the doctor's rules stay those that it was found free by.
async fn admit(db: &mut PgConnection, amendment: &Amendment, terms: &Terms) -> Result<()> {
    let (clinic, doctor, patient) = (amendment.clinic(), amendment.current.doctor, amendment.current.patient);
    let is_limited = terms.limit(&amendment.during);
    if is_limited {
        bookings::lock_doctors(&mut *db, clinic, &[doctor.0]).await?;
    }
    let revision = sqlx::query_scalar!(
        "SELECT d.rules_revision
         FROM patients p JOIN doctors d ON d.clinic_id = p.clinic_id
         WHERE p.clinic_id = $1 AND p.id = $2 AND d.id = $3 AND p.deleted_at IS NULL AND d.deleted_at IS NULL
         FOR SHARE OF d FOR KEY SHARE OF p",
        clinic.0,
        patient.0,
        doctor.0,
    )
    .fetch_one(&mut *db)
    .await?;
    alarms::lapse(&mut *db, clinic, doctor, patient, &amendment.during).await?;
    let is_outdated = revision != terms.revision
        || (is_limited && bookings::is_crowded(db, clinic, doctor, terms, amendment.current.id).await?);
    if is_outdated { Err(Error::Conflict(Conflict::ScheduleChanged)) } else { Ok(()) }
}

/// Whose appointments in the future.
#[derive(Debug, Clone, Copy)]
pub enum Future {
    /// A doctor's.
    OfDoctor(DoctorId),
    /// A patient's.
    OfPatient(PatientId),
}

impl Future {
    fn doctor(self) -> Option<i64> {
        match self {
            Self::OfDoctor(id) => Some(id.0),
            Self::OfPatient(_) => None,
        }
    }

    fn patient(self) -> Option<i64> {
        match self {
            Self::OfPatient(id) => Some(id.0),
            Self::OfDoctor(_) => None,
        }
    }
}

/// Whether there are active appointments that have not ended.
pub async fn has_future(db: &mut PgConnection, clinic: ClinicId, whose: Future) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT FROM appointments
             WHERE clinic_id = $1
               AND (doctor_id = $2 OR patient_id = $3)
               AND status IN ('SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED')
               AND held_until IS NULL
               AND upper(during) > now()
         ) AS "found!""#,
        clinic.0,
        whose.doctor(),
        whose.patient(),
    )
    .fetch_one(db)
    .await?;
    Ok(found)
}

/// Cancels the active appointments that have not ended, and answers the doctors whose time that frees.
pub async fn cancel_future(db: &mut PgConnection, caller: &Caller, whose: Future) -> Result<Vec<DoctorId>> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM appointments
         WHERE clinic_id = $1
           AND (doctor_id = $2 OR patient_id = $3)
           AND status IN ('SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED')
           AND upper(during) > now()
         ORDER BY id
         FOR UPDATE",
        caller.clinic.0,
        whose.doctor(),
        whose.patient(),
    )
    .fetch_all(&mut *db)
    .await?;
    let cancelled = cancel_all(db, caller, &ids).await?;
    let mut doctors: Vec<_> = cancelled.iter().map(|appointment| appointment.doctor).collect();
    doctors.sort();
    doctors.dedup();
    Ok(doctors)
}

/// Cancels appointments that the transaction has locked, each with its events.
pub async fn cancel_all(db: &mut PgConnection, caller: &Caller, ids: &[i64]) -> Result<Vec<Appointment>> {
    let mut cancelled = Vec::with_capacity(ids.len());
    for id in ids {
        let before = sqlx::query_as!(
            AppointmentRow,
            "SELECT * FROM appointments WHERE clinic_id = $1 AND id = $2",
            caller.clinic.0,
            id,
        )
        .fetch_one(&mut *db)
        .await?
        .checked()?;
        let after = sqlx::query_as!(
            AppointmentRow,
            "UPDATE appointments
             SET status = 'CANCELLED', updated_at = now(), version = version + 1
             WHERE clinic_id = $1 AND id = $2
             RETURNING *",
            caller.clinic.0,
            id,
        )
        .fetch_one(&mut *db)
        .await?
        .checked()?;
        history::record(&mut *db, caller, &before, &after).await?;
        alarms::ring(&mut *db, caller.clinic, after.doctor, &after.during).await?;
        let event = Event {
            caller: caller.clone(),
            action: "transition",
            resource: "appointments",
            resource_id: Some(*id),
            outcome: Outcome::Done,
        };
        audit::record(&mut *db, &event).await?;
        cancelled.push(after);
    }
    Ok(cancelled)
}
