//! SQL of doctors.

use super::context::ClinicDb;
use super::{Conflict, Error, Page, Result, calendars, cancellations, expect_version, stored_gender, stored_zone};
use crate::domain::doctors::{Doctor, DoctorDetails, DoctorFilter, Scheduling};
use crate::domain::fields::{FieldErrors, filled};
use crate::domain::search::Words;
use crate::domain::{AccountId, Caller, DoctorId, Visibility};

/// Reads a doctor from a row that has the columns of the table.
macro_rules! doctor {
    ($row:ident) => {
        Ok(filled!(Doctor {
            id: DoctorId($row.id),
            details: filled!(DoctorDetails {
                gender: stored_gender(&$row.gender)?,
                scheduling: filled!(Scheduling {
                    time_zone: $row.time_zone.as_deref().map(stored_zone).transpose()?,
                } from $row {
                    slot_minutes, buffer_before_minutes, buffer_after_minutes, max_appointments_per_day,
                    min_notice_minutes, max_horizon_days,
                }),
                user: $row.account_id.map(AccountId),
            } from $row {
                first_name, last_name, specialization, license_number, email, phone_number, years_of_experience,
                office_address, is_active,
            }),
        } from $row { created_at, updated_at, version }))
    };
}

/// Writes the details of a doctor by a statement whose first parameter is the clinic, and whose last are `$last`.
macro_rules! written {
    ($db:ident, $details:ident, $begin:tt, $between:tt, $end:tt $(, $last:expr)?) => {
        sqlx::query!(
            $begin
                + "account_id, first_name, last_name, specialization, license_number, email, phone_number, gender,
                   years_of_experience, office_address, max_appointments_per_day, slot_minutes, time_zone, is_active,
                   buffer_before_minutes, buffer_after_minutes, min_notice_minutes, max_horizon_days"
                + $between
                + "$2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19"
                + $end,
            $db.clinic().0,
            $details.user.map(|id| id.0),
            $details.first_name,
            $details.last_name,
            $details.specialization,
            $details.license_number,
            $details.email,
            $details.phone_number,
            $details.gender.letter(),
            $details.years_of_experience,
            $details.office_address,
            $details.scheduling.max_appointments_per_day,
            $details.scheduling.slot_minutes,
            $details.scheduling.time_zone.map(|zone| zone.name()),
            $details.is_active,
            $details.scheduling.buffer_before_minutes,
            $details.scheduling.buffer_after_minutes,
            $details.scheduling.min_notice_minutes,
            $details.scheduling.max_horizon_days,
            $($last,)?
        )
    };
}

/// Creates a doctor.
pub async fn insert(db: &mut ClinicDb<'_>, details: &DoctorDetails) -> Result<Doctor> {
    let row = written!(db, details, "INSERT INTO doctors (clinic_id, ", ") VALUES ($1, ", ") RETURNING *");
    let row = row.fetch_one(db).await?;
    doctor!(row)
}

/// Returns the matching doctors that the caller may see, newest first.
///
/// A doctor is `own` for the accounts whose patients they treat, and `assigned` for their own login.
pub async fn list(db: &mut ClinicDb<'_>, seen: Visibility, filter: &DoctorFilter, page: Page) -> Result<Vec<Doctor>> {
    sqlx::query!(
        "SELECT *
         FROM doctors
         WHERE clinic_id = $1
           AND deleted_at IS NULL
           AND ($2 OR id = $4 OR EXISTS (
               SELECT FROM mappings m JOIN patients p ON p.clinic_id = m.clinic_id AND p.id = m.patient_id
               WHERE m.clinic_id = $1 AND m.doctor_id = doctors.id AND p.created_by = $3
           ))
           AND ($5::text[] IS NULL
               OR searched_text(first_name, last_name, email, phone_number) || lower(' ' || specialization)
                  LIKE ALL ((SELECT searched_patterns(searched_words($5)))::text[]))
           AND ($6::text IS NULL OR lower(specialization) = lower($6))
           AND ($7::boolean IS NULL OR is_active = $7)
           AND ($8::bigint IS NULL OR EXISTS (
               SELECT FROM mappings m
               WHERE m.clinic_id = $1 AND m.patient_id = $8 AND m.doctor_id = doctors.id AND m.is_active
           ))
           AND ($9::bigint IS NULL OR id < $9)
         ORDER BY id DESC
         LIMIT $10",
        db.clinic().0,
        seen.whole_clinic,
        seen.owner_id(),
        seen.doctor_id(),
        filter.search.as_ref().map(Words::as_slice) as Option<&[String]>,
        filter.specialization,
        filter.is_active,
        filter.patient.map(|id| id.0),
        page.before,
        page.limit,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| doctor!(row))
    .collect()
}

/// Returns the doctor, if the caller may see them.
pub async fn find(db: &mut ClinicDb<'_>, id: DoctorId, seen: Visibility) -> Result<Doctor> {
    let row = sqlx::query!(
        "SELECT *
         FROM doctors
         WHERE clinic_id = $1
           AND id = $2
           AND deleted_at IS NULL
           AND ($3 OR id = $5 OR EXISTS (
               SELECT FROM mappings m JOIN patients p ON p.clinic_id = m.clinic_id AND p.id = m.patient_id
               WHERE m.clinic_id = $1 AND m.doctor_id = doctors.id AND p.created_by = $4
           ))",
        db.clinic().0,
        id.0,
        seen.whole_clinic,
        seen.owner_id(),
        seen.doctor_id(),
    )
    .fetch_one(db)
    .await?;
    doctor!(row)
}

/// Locks the row until the transaction ends.
pub async fn lock(db: &mut ClinicDb<'_>, id: DoctorId) -> Result<()> {
    sqlx::query!(
        "SELECT id FROM doctors WHERE clinic_id = $1 AND id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE",
        db.clinic().0,
        id.0,
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// Applies `change` to a doctor that the caller may see. The caller of this function increases the calendar's version,
/// because the rules belong to the calendar.
pub async fn update(
    db: &mut ClinicDb<'_>,
    id: DoctorId,
    seen: Visibility,
    expected: Option<i64>,
    change: impl FnOnce(DoctorDetails) -> Result<DoctorDetails, FieldErrors>,
) -> Result<Doctor> {
    calendars::hold(&mut *db, id, true).await?;
    lock(db, id).await?;
    let stored = find(db, id, seen).await?;
    expect_version(expected, stored.version)?;
    calendars::advance_rules(&mut *db, id).await?;
    let details = change(stored.details)?;
    let row = written!(
        db,
        details,
        "UPDATE doctors SET updated_at = now(), version = version + 1, (",
        ") = (",
        ") WHERE clinic_id = $1 AND id = $20 RETURNING *",
        id.0
    );
    let row = row.fetch_one(db).await?;
    doctor!(row)
}

/// Deletes a doctor softly: history is kept, but reads no longer find the row. Upcoming active appointments are
/// cancelled with `cancel_appointments`; otherwise they prevent the deletion.
pub async fn delete(
    db: &mut ClinicDb<'_>,
    caller: &Caller,
    id: DoctorId,
    seen: Visibility,
    expected: Option<i64>,
    cancel_appointments: bool,
) -> Result<()> {
    calendars::hold(&mut *db, id, true).await?;
    lock(db, id).await?;
    let stored = find(db, id, seen).await?;
    expect_version(expected, stored.version)?;
    let future = cancellations::Future::OfDoctor(id);
    if !cancel_appointments && cancellations::has_future(db, future).await? {
        return Err(Error::Conflict(Conflict::HasFutureAppointments));
    }
    cancellations::cancel_future(db, caller, future).await?;
    calendars::advance_rules(&mut *db, id).await?;
    sqlx::query!(
        "UPDATE doctors SET deleted_at = now(), updated_at = now(), version = version + 1
         WHERE clinic_id = $1 AND id = $2",
        db.clinic().0,
        id.0,
    )
    .execute(db)
    .await?;
    Ok(())
}
