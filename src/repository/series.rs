//! SQL of series of appointments.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Error, Result, alarms,
    appointments::{self, AppointmentRow},
    bookings::{self, Written},
    retries,
};
use crate::domain::{
    AccountId, Caller, ClinicId, DoctorId, PatientId, SeriesId, Visibility,
    appointments::{Appointment, Refusal},
    series::{BookedSeries, NewSeries, Series, Skipped},
};

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
        Series {
            id: SeriesId(self.id),
            doctor: DoctorId(self.doctor_id),
            patient: PatientId(self.patient_id),
            rrule: self.rrule,
            first: self.first_start,
            duration_minutes: self.duration_minutes,
            reason: self.reason,
            created_by: AccountId(self.created_by),
            created_at: self.created_at,
            appointments,
        }
    }
}

/// What became of a series, once the transaction commits.
#[derive(Debug, Clone)]
pub enum SeriesWritten {
    /// It has its rows.
    Booked(BookedSeries),
    /// It has none, because of these times.
    Refused(Vec<Skipped>),
    /// It has none: the schedule is bound by other rules, or fuller, than when the times were found free.
    Outdated,
}

/// Writes a series with its appointments: all of them or, where it skips conflicts, those that can be.
/// One that was written before (its acknowledgement was lost) is found by its reference.
pub async fn write(db: &mut PgConnection, clinic: ClinicId, series: &NewSeries) -> Result<SeriesWritten> {
    if let Some(earlier) = find_by_reference(&mut *db, clinic, series.reference).await? {
        return Ok(SeriesWritten::Booked(BookedSeries { series: earlier, skipped: series.skipped.clone() }));
    }
    sqlx::raw_sql("SAVEPOINT series").execute(&mut *db).await?;
    let row = insert(&mut *db, clinic, series).await?;
    let mut of_series = series.bookings.clone();
    for booking in &mut of_series {
        booking.series = Some(SeriesId(row.id));
    }
    let mut outcomes = bookings::write(&mut *db, &of_series).await?;
    let (mut booked, mut skipped, mut is_outdated) = (Vec::new(), series.skipped.clone(), false);
    for booking in &of_series {
        match outcomes.remove(&booking.reference) {
            Some(Written::Booked(appointment)) => booked.push(appointment),
            Some(Written::Refused(Refusal { violations, .. })) => {
                skipped.push(Skipped { during: booking.during, violations });
            }
            Some(Written::Outdated) | None => is_outdated = true,
        }
    }
    skipped.sort_by_key(|skipped| skipped.during);
    let is_refused = booked.is_empty() || (!skipped.is_empty() && !series.skip_conflicts);
    if is_outdated || is_refused {
        sqlx::raw_sql("ROLLBACK TO SAVEPOINT series").execute(&mut *db).await?;
        if is_outdated {
            // Also undone: that expired holds were freed, which would be in the way again.
            for booking in &series.bookings {
                alarms::lapse(&mut *db, clinic, series.doctor, series.patient, &booking.during).await?;
            }
        }
        return Ok(if is_outdated { SeriesWritten::Outdated } else { SeriesWritten::Refused(skipped) });
    }
    let booked = BookedSeries { series: row.with(booked), skipped };
    retries::keep(db, &series.caller, &booked).await?;
    Ok(SeriesWritten::Booked(booked))
}

/// For any patient of the clinic: whether the caller may have them, the series' own appointments say.
async fn insert(db: &mut PgConnection, clinic: ClinicId, series: &NewSeries) -> Result<SeriesRow> {
    let row = sqlx::query_as!(
        SeriesRow,
        "INSERT INTO appointment_series (
             clinic_id, reference, doctor_id, patient_id, rrule, first_start, duration_minutes, reason, created_by
         )
         SELECT $1, $2, $3, p.id, $5, $6, $7, $8, $9
         FROM patients p
         WHERE p.clinic_id = $1 AND p.id = $4 AND p.deleted_at IS NULL
         RETURNING id, doctor_id, patient_id, rrule, first_start, duration_minutes, reason, created_by, created_at",
        clinic.0,
        series.reference,
        series.doctor.0,
        series.patient.0,
        series.rrule,
        series.first,
        i32::try_from(series.length.num_minutes()).unwrap_or(i32::MAX),
        series.reason,
        series.caller.account.0,
    )
    .fetch_optional(db)
    .await?;
    row.ok_or_else(|| Error::invalid("patient", "There is no such patient."))
}

async fn find_by_reference(db: &mut PgConnection, clinic: ClinicId, reference: Uuid) -> Result<Option<Series>> {
    let id = sqlx::query_scalar!(
        "SELECT id FROM appointment_series WHERE clinic_id = $1 AND reference = $2",
        clinic.0,
        reference,
    )
    .fetch_optional(&mut *db)
    .await?;
    match id {
        Some(id) => Ok(Some(find(db, clinic, SeriesId(id), Visibility::WHOLE_CLINIC).await?)),
        None => Ok(None),
    }
}

/// The series with its appointments by start, if the caller may see it.
pub async fn find(db: &mut PgConnection, clinic: ClinicId, id: SeriesId, seen: Visibility) -> Result<Series> {
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
        clinic.0,
        id.0,
        seen.whole_clinic,
        seen.owner_id(),
        seen.doctor_id(),
    )
    .fetch_one(&mut *db)
    .await?;
    let appointments = sqlx::query_as!(
        AppointmentRow,
        "SELECT * FROM appointments WHERE clinic_id = $1 AND series_id = $2 ORDER BY lower(during), id",
        clinic.0,
        id.0,
    )
    .fetch_all(db)
    .await?;
    Ok(row.with(appointments.into_iter().map(AppointmentRow::checked).collect::<Result<_>>()?))
}

/// Cancels an appointment of a series and those of the series that follow it, as far as they can be:
/// what is checked in, over or cancelled already stays as it is.
pub async fn cancel_from(
    db: &mut PgConnection,
    caller: &Caller,
    series: SeriesId,
    from: DateTime<Utc>,
) -> Result<Vec<Appointment>> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM appointments
         WHERE clinic_id = $1 AND series_id = $2 AND lower(during) >= $3 AND status IN ('SCHEDULED', 'CONFIRMED')
         ORDER BY lower(during), id
         FOR UPDATE",
        caller.clinic.0,
        series.0,
        from,
    )
    .fetch_all(&mut *db)
    .await?;
    appointments::cancel_all(db, caller, &ids).await
}
