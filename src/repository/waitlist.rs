//! SQL of the waitlist. The offer of an entry is a hold: an appointment that no list shows until it is accepted.

use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Utc};

use super::appointments::AppointmentRow;
use super::calendars::Question;
use super::changes::{Basis, Holding, Outcome};
use super::context::ClinicDb;
use super::ranges::range;
use super::{Conflict, Error, Page, Result, alarms, calendars, changes, expect_version, retries};
use crate::domain::appointments::Appointment;
use crate::domain::calendar::{SpanChange, Stamp};
use crate::domain::fields::filled;
use crate::domain::proposal::{Proposal, Refusal};
use crate::domain::waitlist::{Acceptance, Alarm, Entry, EntryStatus, NewEntry, Sought, WantedTimes};
use crate::domain::{AccountId, Caller, DoctorId, PatientId, Visibility, WaitlistEntryId};

/// An entry with its hold, if it has one.
struct EntryRow {
    id: i64,
    patient_id: i64,
    doctor_id: Option<i64>,
    specialization: Option<String>,
    first_day: NaiveDate,
    last_day: NaiveDate,
    earliest_time: NaiveTime,
    latest_time: NaiveTime,
    duration_minutes: Option<i32>,
    reason: String,
    status: String,
    created_by: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
}

impl EntryRow {
    fn checked(self, hold: Option<AppointmentRow>) -> Result<Entry> {
        let corrupt = |what: &str| Error::Corrupt(format!("{what} of a waitlist entry"));
        let status = match (self.status.as_str(), &hold) {
            ("WAITING", None) => EntryStatus::Waiting,
            ("WAITING", Some(_)) => EntryStatus::Offered,
            ("ACCEPTED", _) => EntryStatus::Accepted,
            ("WITHDRAWN", _) => EntryStatus::Withdrawn,
            _ => return Err(corrupt("unknown status")),
        };
        let offer = match hold.filter(|_| status == EntryStatus::Offered) {
            Some(row) => row.held_until.map(|until| Ok::<_, Error>((row.checked()?, until))).transpose()?,
            None => None,
        };
        Ok(Entry {
            id: WaitlistEntryId(self.id),
            patient: PatientId(self.patient_id),
            sought: match (self.doctor_id, self.specialization) {
                (Some(id), None) => Sought::Doctor(DoctorId(id)),
                (None, Some(specialization)) => Sought::Specialization(specialization),
                _ => return Err(corrupt("the doctor or specialization")),
            },
            wanted: filled!(WantedTimes {
                length: self.duration_minutes.map(|minutes| Duration::minutes(minutes.into())),
            } from self { first_day, last_day, earliest_time, latest_time }),
            reason: self.reason,
            status,
            created_by: AccountId(self.created_by),
            created_at: self.created_at,
            updated_at: self.updated_at,
            // An offer begins and ends without a change of the row.
            version: offer.as_ref().map_or(self.version, |(held, _)| -held.id.0),
            offer,
        })
    }
}

/// Creates an entry for a patient that the caller may see.
///
/// # Errors
/// Returns a field error if the caller may see no such patient or doctor.
pub async fn insert(db: &mut ClinicDb<'_>, caller: &Caller, seen: Visibility, new: &NewEntry) -> Result<Entry> {
    let (doctor, specialization) = match &new.sought {
        Sought::Doctor(id) => (Some(id.0), None),
        Sought::Specialization(name) => (None, Some(name.as_str())),
    };
    let known = sqlx::query!(
        r#"SELECT
             EXISTS (
                 SELECT FROM patients
                 WHERE clinic_id = $1 AND id = $2 AND deleted_at IS NULL
                   AND ($3 OR created_by = $4)
             ) AS "patient!",
             $5::bigint IS NULL
                 OR EXISTS (SELECT FROM doctors WHERE clinic_id = $1 AND id = $5 AND deleted_at IS NULL) AS "doctor!""#,
        db.clinic().0,
        new.patient.0,
        seen.whole_clinic,
        seen.owner_id(),
        doctor,
    )
    .fetch_one(&mut *db)
    .await?;
    if !known.patient {
        return Err(Error::invalid("patient", "There is no such patient."));
    }
    if !known.doctor {
        return Err(Error::invalid("doctor", "There is no such doctor."));
    }
    sqlx::query_as!(
        EntryRow,
        "INSERT INTO waitlist_entries (
             clinic_id, patient_id, doctor_id, specialization, first_day, last_day, earliest_time, latest_time,
             duration_minutes, reason, created_by
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         RETURNING id, patient_id, doctor_id, specialization, first_day, last_day, earliest_time, latest_time,
             duration_minutes, reason, status, created_by, created_at, updated_at, version",
        db.clinic().0,
        new.patient.0,
        doctor,
        specialization,
        new.wanted.first_day,
        new.wanted.last_day,
        new.wanted.earliest_time,
        new.wanted.latest_time,
        new.wanted.length.and_then(|length| i32::try_from(length.num_minutes()).ok()),
        new.reason,
        db.account_of(caller)?.0,
    )
    .fetch_one(db)
    .await?
    .checked(None)
}

/// Returns the entries that the caller may see, newest first.
pub async fn list(db: &mut ClinicDb<'_>, seen: Visibility, page: Page) -> Result<Vec<Entry>> {
    let rows = sqlx::query_as!(
        EntryRow,
        "SELECT w.id, w.patient_id, w.doctor_id, w.specialization, w.first_day, w.last_day, w.earliest_time,
             w.latest_time, w.duration_minutes, w.reason, w.status, w.created_by, w.created_at, w.updated_at, w.version
         FROM waitlist_entries w
         WHERE w.clinic_id = $1
           AND ($2 OR w.doctor_id = $4 OR EXISTS (
               SELECT FROM patients p WHERE p.clinic_id = $1 AND p.id = w.patient_id AND p.created_by = $3
           ))
           AND ($5::bigint IS NULL OR w.id < $5)
         ORDER BY w.id DESC
         LIMIT $6",
        db.clinic().0,
        seen.whole_clinic,
        seen.owner_id(),
        seen.doctor_id(),
        page.before,
        page.limit,
    )
    .fetch_all(&mut *db)
    .await?;
    with_holds(db, rows).await
}

/// Returns the entry, if the caller may see it.
pub async fn find(db: &mut ClinicDb<'_>, id: WaitlistEntryId, seen: Visibility) -> Result<Entry> {
    let row = sqlx::query_as!(
        EntryRow,
        "SELECT w.id, w.patient_id, w.doctor_id, w.specialization, w.first_day, w.last_day, w.earliest_time,
             w.latest_time, w.duration_minutes, w.reason, w.status, w.created_by, w.created_at, w.updated_at, w.version
         FROM waitlist_entries w
         WHERE w.clinic_id = $1
           AND w.id = $2
           AND ($3 OR w.doctor_id = $5 OR EXISTS (
               SELECT FROM patients p WHERE p.clinic_id = $1 AND p.id = w.patient_id AND p.created_by = $4
           ))",
        db.clinic().0,
        id.0,
        seen.whole_clinic,
        seen.owner_id(),
        seen.doctor_id(),
    )
    .fetch_one(&mut *db)
    .await?;
    with_holds(db, vec![row]).await?.pop().ok_or(Error::NotFound)
}

/// Returns the entries that may be offered a doctor's free time, the longest waiting first. They wait, have no hold,
/// and have not let an offer of this time expire.
pub async fn candidates(db: &mut ClinicDb<'_>, alarm: &Alarm) -> Result<Vec<Entry>> {
    db.expect(alarm.clinic)?;
    sqlx::query_as!(
        EntryRow,
        "SELECT w.id, w.patient_id, w.doctor_id, w.specialization, w.first_day, w.last_day, w.earliest_time,
             w.latest_time, w.duration_minutes, w.reason, w.status, w.created_by, w.created_at, w.updated_at, w.version
         FROM waitlist_entries w
         JOIN doctors d ON d.clinic_id = w.clinic_id AND d.id = $2 AND d.deleted_at IS NULL
         JOIN patients p ON p.clinic_id = w.clinic_id AND p.id = w.patient_id AND p.deleted_at IS NULL
         WHERE w.clinic_id = $1
           AND w.status = 'WAITING'
           AND (w.doctor_id = $2 OR lower(w.specialization) = lower(d.specialization))
           AND tstzrange(w.first_day - interval '1 day', w.last_day + interval '3 days') && $3
           AND NOT EXISTS (
               SELECT FROM appointments a
               WHERE a.clinic_id = w.clinic_id AND a.waitlist_entry_id = w.id AND a.held_until IS NOT NULL
                 AND (a.status = 'SCHEDULED' OR (a.doctor_id = $2 AND a.during && $3))
           )
         ORDER BY w.id
         LIMIT 100",
        db.clinic().0,
        alarm.doctor.0,
        range(&alarm.during),
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| row.checked(None))
    .collect()
}

async fn with_holds(db: &mut ClinicDb<'_>, rows: Vec<EntryRow>) -> Result<Vec<Entry>> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let mut holds = sqlx::query_as!(
        AppointmentRow,
        "SELECT * FROM appointments
         WHERE clinic_id = $1 AND waitlist_entry_id = ANY($2) AND status = 'SCHEDULED' AND held_until > now()",
        db.clinic().0,
        &ids,
    )
    .fetch_all(db)
    .await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        let hold = holds.iter().position(|hold| hold.waitlist_entry_id == Some(row.id));
        entries.push(row.checked(hold.map(|at| holds.swap_remove(at)))?);
    }
    Ok(entries)
}

/// Returns the hold of an entry.
///
/// # Errors
/// [`Conflict::NoOffer`] if the entry has no hold. [`Conflict::OfferAccepted`] if its offer was accepted before.
pub fn offered(entry: &Entry) -> Result<&Appointment> {
    match (&entry.offer, entry.status) {
        (_, EntryStatus::Accepted) => Err(Error::Conflict(Conflict::OfferAccepted)),
        (Some((held, _)), _) => Ok(held),
        (None, _) => Err(Error::Conflict(Conflict::NoOffer)),
    }
}

/// Accepts the offer of an entry with a doctor: the hold becomes an appointment, if no rule prevents it now.
///
/// # Errors
/// Those of [`offered`]. [`Error::Stale`] if the entry has another version.
pub async fn accept(db: &mut ClinicDb<'_>, accepting: &Acceptance, basis: &Basis) -> Result<Outcome<Appointment>> {
    let Acceptance { caller, entry: id, doctor, reach, expected } = accepting;
    let copy = match changes::hold_up_to_date(&mut *db, *doctor, basis).await? {
        Holding::BySomebody => return Ok(Outcome::Held),
        Holding::Gone => return Ok(Outcome::Refused(Refusal::no_such_doctor())),
        Holding::UpToDate(copy) => copy,
    };
    lock(&mut *db, *id).await?;
    let entry = find(&mut *db, *id, *reach).await?;
    expect_version(*expected, entry.version)?;
    let held = offered(&entry)?;
    if held.doctor != *doctor {
        return Err(Error::Conflict(Conflict::NoOffer));
    }
    let asked = Question {
        clinic: db.clinic(),
        doctor: held.doctor,
        patient: held.patient,
        bookable: Visibility::WHOLE_CLINIC,
        proposal: Proposal { during: held.during, ignored: Some(held.id) },
    };
    match changes::weigh(&mut *db, asked, &copy, basis.now).await? {
        None => return Ok(Outcome::Held),
        Some(refusal) if !refusal.violations.is_empty() => return Ok(Outcome::Refused(refusal)),
        Some(_) => {}
    }
    let version = calendars::advance(&mut *db, *doctor).await?;
    let accepted = sqlx::query_as!(
        AppointmentRow,
        "UPDATE appointments
         SET held_until = NULL, created_by = $3, created_at = now(), updated_at = now(), version = version + 1,
             calendar_version = $4
         WHERE clinic_id = $1 AND id = $2 AND status = 'SCHEDULED' AND held_until > now()
         RETURNING *",
        db.clinic().0,
        held.id.0,
        db.account_of(caller)?.0,
        version,
    )
    .fetch_optional(&mut *db)
    .await?;
    let row = accepted.ok_or(Error::Conflict(Conflict::NoOffer))?.checked()?;
    set_status(&mut *db, *id, "ACCEPTED").await?;
    retries::keep(db, caller, &row).await?;
    let change =
        SpanChange { appointment: row.id, during: row.during, is_active: true, held_until: None, is_new: false };
    let stamp = Stamp { before: copy.versions, version, changes: vec![change] };
    Ok(Outcome::Done { row, copy: Some(copy), stamp })
}

/// Returns the appointment if a transaction with a lost outcome accepted the offer. That transaction had locked the
/// calendar until its end.
pub async fn settle(db: &mut ClinicDb<'_>, accepting: &Acceptance) -> Result<Option<Appointment>> {
    let Acceptance { caller, entry, doctor, .. } = accepting;
    calendars::hold(&mut *db, *doctor, true).await?;
    let accepted = sqlx::query_as!(
        AppointmentRow,
        "SELECT a.* FROM appointments a
         JOIN waitlist_entries w ON w.clinic_id = a.clinic_id AND w.id = a.waitlist_entry_id
         WHERE a.clinic_id = $1 AND a.waitlist_entry_id = $2 AND a.held_until IS NULL AND a.created_by = $3
           AND w.status = 'ACCEPTED'",
        db.clinic().0,
        entry.0,
        db.account_of(caller)?.0,
    );
    accepted.fetch_optional(db).await?.map(AppointmentRow::checked).transpose()
}

/// Withdraws an entry and frees its hold, if it has one.
pub async fn withdraw(
    db: &mut ClinicDb<'_>,
    id: WaitlistEntryId,
    seen: Visibility,
    expected: Option<i64>,
) -> Result<()> {
    // The calendar is locked before the entry. An offer that comes in between makes this start again.
    let doctor = find(&mut *db, id, seen).await?.offer.map(|(held, _)| held.doctor);
    if let Some(doctor) = doctor {
        calendars::hold(&mut *db, doctor, true).await?;
    }
    lock(&mut *db, id).await?;
    let entry = find(&mut *db, id, seen).await?;
    expect_version(expected, entry.version)?;
    if entry.status == EntryStatus::Withdrawn {
        return Err(Error::NotFound);
    }
    if entry.status == EntryStatus::Accepted {
        return Err(Error::Conflict(Conflict::OfferAccepted));
    }
    set_status(&mut *db, id, "WITHDRAWN").await?;
    let Some((held, _)) = entry.offer else { return Ok(()) };
    if !changes::hold_patient(&mut *db, held.patient).await? {
        return Err(Error::TryAgain);
    }
    if doctor != Some(held.doctor) {
        return Err(Error::TryAgain);
    }
    let stamp = calendars::advance(&mut *db, held.doctor).await?;
    sqlx::query!(
        "UPDATE appointments
         SET status = 'CANCELLED', updated_at = now(), version = version + 1, calendar_version = $3
         WHERE clinic_id = $1 AND id = $2",
        db.clinic().0,
        held.id.0,
        stamp,
    )
    .execute(&mut *db)
    .await?;
    alarms::ring(db, held.doctor, &held.during).await
}

async fn lock(db: &mut ClinicDb<'_>, id: WaitlistEntryId) -> Result<()> {
    sqlx::query!("SELECT id FROM waitlist_entries WHERE clinic_id = $1 AND id = $2 FOR UPDATE", db.clinic().0, id.0)
        .fetch_one(db)
        .await?;
    Ok(())
}

async fn set_status(db: &mut ClinicDb<'_>, id: WaitlistEntryId, status: &str) -> Result<()> {
    sqlx::query!(
        "UPDATE waitlist_entries SET status = $3, updated_at = now(), version = version + 1
         WHERE clinic_id = $1 AND id = $2",
        db.clinic().0,
        id.0,
        status,
    )
    .execute(db)
    .await?;
    Ok(())
}
