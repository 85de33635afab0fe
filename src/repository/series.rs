//! SQL of series of appointments.

use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use super::appointments::AppointmentRow;
use super::batches::{Batch, BatchWritten, Written};
use super::changes::{Basis, Holding, Outcome};
use super::context::ClinicDb;
use super::{Error, Result, batches, calendars, cancellations, changes, retries};
use crate::domain::appointments::{Appointment, Booking, BookingRequest};
use crate::domain::calendar::Violation;
use crate::domain::fields::filled;
use crate::domain::lifecycle::Status;
use crate::domain::series::{BookedSeries, Series, SeriesRefusal, SeriesRequest, Skipped};
use crate::domain::{AccountId, Caller, DoctorId, Interval, PatientId, SeriesId, Visibility};

struct SeriesRow {
    id: i64,
    doctor_id: i64,
    patient_id: i64,
    rrule: String,
    first_start: DateTime<Utc>,
    duration_minutes: i32,
    reason: String,
    created_by: i64,
    created_at: DateTime<Utc>,
}

impl SeriesRow {
    fn with(self, appointments: Vec<Appointment>) -> Series {
        filled!(Series {
            id: SeriesId(self.id),
            doctor: DoctorId(self.doctor_id),
            patient: PatientId(self.patient_id),
            first: self.first_start,
            created_by: AccountId(self.created_by),
            appointments,
        } from self { rrule, duration_minutes, reason, created_at })
    }
}

/// Decides and writes a series with its appointments: all of them or, if it skips conflicts, those that can be booked.
///
/// # Errors
/// Returns the error of the rule or of the patient.
pub async fn write(
    db: &mut ClinicDb<'_>,
    reference: Uuid,
    request: &SeriesRequest,
    basis: &Basis,
) -> Result<Outcome<BookedSeries, SeriesRefusal>> {
    let (clinic, doctor) = (db.clinic(), request.doctor);
    let copy = match changes::hold_up_to_date(&mut *db, doctor, basis).await? {
        Holding::BySomebody => return Ok(Outcome::Held),
        Holding::Gone => return Ok(Outcome::Refused(SeriesRefusal::NoSuchDoctor)),
        Holding::UpToDate(copy) => copy,
    };
    let rules = copy.calendar.rules();
    let length = request.length.unwrap_or(rules.slot);
    let times = request.repeat.times(rules.zone, request.first, length)?;
    sqlx::raw_sql("SAVEPOINT series").execute(&mut *db).await?;
    let row = insert(&mut *db, reference, request, length).await?;
    let bookings = times.into_iter().map(|during| occurrence(request, SeriesId(row.id), during));
    let batch = Batch { clinic, doctor, copy, bookings: bookings.collect(), deadline: basis.deadline };
    let (times, done) = batches::decide_and_write(&mut *db, batch, basis.now).await?;
    let BatchWritten { written, copy, stamp } = done;
    let (mut booked, mut skipped) = (Vec::new(), Vec::new());
    for (during, written) in times.into_iter().zip(written) {
        match written {
            Written::Booked(appointment) => booked.push(appointment),
            Written::Refused(refusal) => skipped.push(Skipped { during, violations: refusal.violations }),
            // Another appointment of the series takes the time.
            Written::Again => skipped.push(Skipped { during, violations: vec![Violation::SlotTaken] }),
            Written::Held | Written::Outdated | Written::OutOfYears | Written::KeyLost => return Err(Error::TryAgain),
        }
    }
    if booked.is_empty() || !(skipped.is_empty() || request.skip_conflicts) {
        sqlx::raw_sql("ROLLBACK TO SAVEPOINT series").execute(&mut *db).await?;
        return Ok(Outcome::Refused(SeriesRefusal::Times(skipped)));
    }
    let row = BookedSeries { series: row.with(booked), skipped };
    retries::keep(db, &request.caller, &row).await?;
    Ok(Outcome::Done { row, copy, stamp })
}

fn occurrence(request: &SeriesRequest, series: SeriesId, during: Interval) -> Booking {
    Booking {
        reference: Uuid::now_v7(),
        request: BookingRequest {
            caller: request.caller.clone(),
            bookable: request.bookable,
            doctor: request.doctor,
            patient: request.patient,
            start: during.start(),
            length: Some(during.length()),
            reason: request.reason.clone(),
            hold: None,
        },
        during,
        series: Some(series),
    }
}

/// Returns the series that a transaction with a lost outcome wrote under a reference.
pub async fn settle(db: &mut ClinicDb<'_>, reference: Uuid, request: &SeriesRequest) -> Result<Option<Series>> {
    // The transaction had locked the calendar until its end.
    calendars::hold(&mut *db, request.doctor, true).await?;
    find_by_reference(db, reference).await
}

/// Inserts the series for any patient of the clinic. The inserts of its appointments check whether the caller may book
/// for the patient.
async fn insert(
    db: &mut ClinicDb<'_>,
    reference: Uuid,
    request: &SeriesRequest,
    length: Duration,
) -> Result<SeriesRow> {
    let row = sqlx::query_as!(
        SeriesRow,
        "INSERT INTO appointment_series (
             clinic_id, reference, doctor_id, patient_id, rrule, first_start, duration_minutes, reason, created_by
         )
         SELECT $1, $2, $3, p.id, $5, $6, $7, $8, $9
         FROM patients p
         WHERE p.clinic_id = $1 AND p.id = $4 AND p.deleted_at IS NULL
         RETURNING id, doctor_id, patient_id, rrule, first_start, duration_minutes, reason, created_by, created_at",
        db.clinic().0,
        reference,
        request.doctor.0,
        request.patient.0,
        request.repeat.text(),
        request.first,
        i32::try_from(length.num_minutes()).unwrap_or(i32::MAX),
        request.reason,
        db.account_of(&request.caller)?.0,
    )
    .fetch_optional(db)
    .await?;
    row.ok_or_else(|| Error::invalid("patient", "There is no such patient."))
}

async fn find_by_reference(db: &mut ClinicDb<'_>, reference: Uuid) -> Result<Option<Series>> {
    let id = sqlx::query_scalar!(
        "SELECT id FROM appointment_series WHERE clinic_id = $1 AND reference = $2",
        db.clinic().0,
        reference,
    )
    .fetch_optional(&mut *db)
    .await?;
    match id {
        Some(id) => Ok(Some(find(db, SeriesId(id), Visibility::WHOLE_CLINIC).await?)),
        None => Ok(None),
    }
}

/// Returns the series with its appointments sorted by start, if the caller may see it.
pub async fn find(db: &mut ClinicDb<'_>, id: SeriesId, seen: Visibility) -> Result<Series> {
    let row = sqlx::query_as!(
        SeriesRow,
        "SELECT s.id, s.doctor_id, s.patient_id, s.rrule, s.first_start, s.duration_minutes, s.reason, s.created_by,
             s.created_at
         FROM appointment_series s
         WHERE s.clinic_id = $1
           AND s.id = $2
           AND ($3 OR s.doctor_id = $5 OR EXISTS (
               SELECT FROM patients p WHERE p.clinic_id = $1 AND p.id = s.patient_id AND p.created_by = $4
           ))",
        db.clinic().0,
        id.0,
        seen.whole_clinic,
        seen.owner_id(),
        seen.doctor_id(),
    )
    .fetch_one(&mut *db)
    .await?;
    let appointments = sqlx::query_as!(
        AppointmentRow,
        "SELECT * FROM appointments WHERE clinic_id = $1 AND series_id = $2 ORDER BY starts_at, id",
        db.clinic().0,
        id.0,
    )
    .fetch_all(db)
    .await?;
    Ok(row.with(appointments.into_iter().map(AppointmentRow::checked).collect::<Result<_>>()?))
}

/// Cancels an appointment of a series and the later ones, if their status allows it: checked-in, finished and cancelled
/// appointments do not change. The transaction must have locked the doctor's calendar.
pub async fn cancel_from(
    db: &mut ClinicDb<'_>,
    caller: &Caller,
    series: SeriesId,
    from: DateTime<Utc>,
) -> Result<Vec<Appointment>> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM appointments
         WHERE clinic_id = $1 AND series_id = $2 AND starts_at >= $3 AND status IN ('SCHEDULED', 'CONFIRMED')",
        db.clinic().0,
        series.0,
        from,
    )
    .fetch_all(&mut *db)
    .await?;
    cancellations::cancel_all(db, caller, &ids, &[Status::Scheduled, Status::Confirmed]).await
}
