//! SQL of patients.

use super::context::ClinicDb;
use super::{Conflict, Error, Page, Result, calendars, cancellations, expect_version, stored_gender};
use crate::domain::fields::{FieldErrors, filled};
use crate::domain::patients::{BirthDate, Patient, PatientDetails, PatientFilter};
use crate::domain::search::Words;
use crate::domain::{AccountId, Caller, DoctorId, PatientId, Visibility};

/// Converts a row with the table's columns into a patient.
macro_rules! patient {
    ($row:ident) => {
        patient!($row, $row.id)
    };
    ($row:ident, $id:expr) => {
        stored_gender(&$row.gender).map(|gender| filled!(Patient {
            id: PatientId($id),
            details: filled!(PatientDetails {
                birth: $row.date_of_birth.map(|date| BirthDate { date, estimated: $row.date_of_birth_estimated }),
                gender,
            } from $row {
                first_name, last_name, phone_number, email, email_shared, address, medical_history,
                emergency_contact_name, emergency_contact_phone,
            }),
            created_by: AccountId($row.created_by),
        } from $row { created_at, updated_at, version }))
    };
}
pub(super) use patient;

/// Builds a statement that writes a patient's details. Its first parameter is the clinic, its last one is `$last`.
macro_rules! written {
    ($db:ident, $details:ident, $begin:tt, $between:tt, $end:tt, $last:expr) => {
        sqlx::query!(
            $begin
                + "first_name, last_name, date_of_birth, date_of_birth_estimated, gender, phone_number, email, email_shared,
                   address, medical_history, emergency_contact_name, emergency_contact_phone"
                + $between
                + "$2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13"
                + $end,
            $db.clinic().0,
            $details.first_name,
            $details.last_name,
            $details.birth.map(|birth| birth.date),
            $details.birth.is_some_and(|birth| birth.estimated),
            $details.gender.letter(),
            $details.phone_number,
            $details.email,
            $details.email_shared,
            $details.address,
            $details.medical_history,
            $details.emergency_contact_name,
            $details.emergency_contact_phone,
            $last,
        )
    };
}

/// Creates a patient. The caller becomes the owner.
pub async fn insert(db: &mut ClinicDb<'_>, caller: &Caller, details: &PatientDetails) -> Result<Patient> {
    let row = written!(
        db,
        details,
        "INSERT INTO patients (clinic_id, ",
        ", created_by) VALUES ($1, ",
        ", $14) RETURNING *",
        db.account_of(caller)?.0
    );
    let row = row.fetch_one(db).await?;
    patient!(row)
}

/// Returns the matching patients that the caller may see, newest first. Each way to read them has its own statement: a
/// generic plan serves all values, so a condition that selects an index must not be optional.
pub async fn list(db: &mut ClinicDb<'_>, seen: Visibility, filter: &PatientFilter, page: Page) -> Result<Vec<Patient>> {
    if seen.is_nothing() {
        return Ok(Vec::new());
    }
    // For a caller who sees only the rows of an owner or a doctor, that is a filter.
    let (owner, doctor) = (filter.created_by.or(seen.only_owner()), filter.doctor.or(seen.only_doctor()));
    if let Some(words) = &filter.search {
        return search(db, seen, words, owner, doctor, page).await;
    }
    macro_rules! by {
        ($from:tt, $way:tt) => {
            sqlx::query!(
                "SELECT p.*
                 FROM "
                    + $from
                    + " WHERE p.clinic_id = $1
                   AND p.deleted_at IS NULL
                   AND ($2 OR p.created_by = $3 OR EXISTS (
                       SELECT FROM mappings s
                       WHERE s.clinic_id = $1 AND s.doctor_id = $4 AND s.patient_id = p.id AND s.is_active
                   ))
                   AND ($5::bigint IS NULL OR p.created_by = $5)
                   AND ($6::bigint IS NULL OR EXISTS (
                       SELECT FROM mappings f
                       WHERE f.clinic_id = $1 AND f.doctor_id = $6 AND f.patient_id = p.id AND f.is_active
                   ))
                   AND p.id < $7
                   AND "
                    + $way
                    + " LIMIT $8",
                db.clinic().0,
                seen.whole_clinic,
                seen.owner_id(),
                seen.doctor_id(),
                owner.map(|id| id.0),
                doctor.map(|id| id.0),
                page.before.unwrap_or(i64::MAX),
                page.limit,
            )
            .fetch_all(db)
            .await?
            .into_iter()
            .map(|row| patient!(row))
            .collect()
        };
    }
    match (owner, doctor) {
        (_, Some(_)) => by!(
            "mappings m JOIN patients p ON p.clinic_id = m.clinic_id AND p.id = m.patient_id",
            "m.clinic_id = $1 AND m.doctor_id = $6 AND m.is_active AND m.patient_id < $7 ORDER BY m.patient_id DESC"
        ),
        (Some(_), None) => by!("patients p", "p.created_by = $5 ORDER BY p.id DESC"),
        (None, None) => by!("patients p", "true ORDER BY p.id DESC"),
    }
}

/// Returns the patients that match all words, filtered by owner and doctor if given. The function `search_patients` of
/// the migrations finds the ids without row-level security. The rows are then read with row-level security.
async fn search(
    db: &mut ClinicDb<'_>,
    seen: Visibility,
    words: &Words,
    owner: Option<AccountId>,
    doctor: Option<DoctorId>,
    page: Page,
) -> Result<Vec<Patient>> {
    sqlx::query!(
        "SELECT p.*
         FROM patients p
         WHERE p.clinic_id = $1
           AND p.id = ANY ((SELECT search_patients($5, $2, $3, $4, $6, $7, $8, $9))::bigint[])
           AND p.deleted_at IS NULL
           AND ($2 OR p.created_by = $3 OR EXISTS (
               SELECT FROM mappings s
               WHERE s.clinic_id = $1 AND s.doctor_id = $4 AND s.patient_id = p.id AND s.is_active
           ))
         ORDER BY p.id DESC",
        db.clinic().0,
        seen.whole_clinic,
        seen.owner_id(),
        seen.doctor_id(),
        words.as_slice(),
        owner.map(|id| id.0),
        doctor.map(|id| id.0),
        page.before.unwrap_or(i64::MAX),
        page.limit,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| patient!(row))
    .collect()
}

/// Returns the patient, if the caller may see the patient.
pub async fn find(db: &mut ClinicDb<'_>, id: PatientId, seen: Visibility) -> Result<Patient> {
    let row = sqlx::query!(
        "SELECT *
         FROM patients
         WHERE clinic_id = $1
           AND id = $2
           AND deleted_at IS NULL
           AND ($3 OR created_by = $4 OR EXISTS (
               SELECT FROM mappings m
               WHERE m.clinic_id = $1 AND m.doctor_id = $5 AND m.patient_id = patients.id AND m.is_active
           ))",
        db.clinic().0,
        id.0,
        seen.whole_clinic,
        seen.owner_id(),
        seen.doctor_id(),
    )
    .fetch_one(db)
    .await?;
    patient!(row)
}

/// Locks the row until the transaction ends. Until then, nobody can book with the patient.
async fn lock(db: &mut ClinicDb<'_>, id: PatientId) -> Result<()> {
    sqlx::query!(
        "SELECT id FROM patients WHERE clinic_id = $1 AND id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE",
        db.clinic().0,
        id.0,
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// Applies `change` to a patient that the caller may see.
pub async fn update(
    db: &mut ClinicDb<'_>,
    id: PatientId,
    seen: Visibility,
    expected: Option<i64>,
    change: impl FnOnce(PatientDetails) -> Result<PatientDetails, FieldErrors>,
) -> Result<Patient> {
    lock(db, id).await?;
    let stored = find(db, id, seen).await?;
    expect_version(expected, stored.version)?;
    let details = change(stored.details)?;
    let row = written!(
        db,
        details,
        "UPDATE patients SET updated_at = now(), version = version + 1, (",
        ") = (",
        ") WHERE clinic_id = $1 AND id = $14 RETURNING *",
        id.0
    );
    let row = row.fetch_one(db).await?;
    patient!(row)
}

/// Changes the patient's owner. The new owner must be an active member of the clinic.
pub async fn transfer(
    db: &mut ClinicDb<'_>,
    id: PatientId,
    seen: Visibility,
    expected: Option<i64>,
    owner: AccountId,
) -> Result<Patient> {
    lock(db, id).await?;
    let stored = find(db, id, seen).await?;
    expect_version(expected, stored.version)?;
    let moved = sqlx::query!(
        "UPDATE patients SET created_by = $3, updated_at = now(), version = version + 1
         WHERE clinic_id = $1
           AND id = $2
           AND EXISTS (
               SELECT FROM memberships m WHERE m.clinic_id = $1 AND m.account_id = $3 AND m.is_active
           )
         RETURNING *",
        db.clinic().0,
        id.0,
        owner.0,
    )
    .fetch_optional(db)
    .await?;
    match moved {
        Some(row) => patient!(row),
        None => Err(Error::invalid("user", "There is no such active user in this clinic.")),
    }
}

/// Marks a patient as deleted: the history stays, but reads no longer find the row. Future active appointments are
/// cancelled if `cancel_appointments` is true; otherwise they prevent the deletion.
pub async fn delete(
    db: &mut ClinicDb<'_>,
    caller: &Caller,
    id: PatientId,
    seen: Visibility,
    expected: Option<i64>,
    cancel_appointments: bool,
) -> Result<()> {
    let future = cancellations::Future::OfPatient(id);
    // Calendars are locked before patients. If another doctor is booked in between, the deletion starts again.
    let doctors = cancellations::future_doctors(&mut *db, future).await?;
    calendars::hold_all(&mut *db, &doctors).await?;
    lock(db, id).await?;
    if cancellations::future_doctors(&mut *db, future).await?.iter().any(|doctor| !doctors.contains(doctor)) {
        return Err(Error::TryAgain);
    }
    let stored = find(db, id, seen).await?;
    expect_version(expected, stored.version)?;
    if !cancel_appointments && cancellations::has_future(db, future).await? {
        return Err(Error::Conflict(Conflict::HasFutureAppointments));
    }
    cancellations::cancel_future(db, caller, future).await?;
    sqlx::query!(
        "UPDATE patients SET deleted_at = now(), updated_at = now(), version = version + 1
         WHERE clinic_id = $1 AND id = $2",
        db.clinic().0,
        id.0,
    )
    .execute(db)
    .await?;
    Ok(())
}
