//! SQL of patients.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;

use super::{Conflict, Error, Page, Result, appointments, containing, expect_version};
use crate::domain::{
    AccountId, Caller, ClinicId, DoctorId, PatientId, Visibility,
    fields::FieldErrors,
    patients::{BirthDate, Gender, Patient, PatientDetails, PatientFilter},
};

/// A whole row, for `SELECT *`.
#[expect(dead_code, reason = "clinic_id and deleted_at are conditions, not results")]
struct PatientRow {
    clinic_id: i64,
    id: i64,
    first_name: String,
    last_name: String,
    date_of_birth: Option<NaiveDate>,
    date_of_birth_estimated: bool,
    gender: String,
    phone_number: Option<String>,
    email: Option<String>,
    email_shared: bool,
    address: Option<String>,
    medical_history: Option<String>,
    emergency_contact_name: Option<String>,
    emergency_contact_phone: Option<String>,
    created_by: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
    deleted_at: Option<DateTime<Utc>>,
}

impl PatientRow {
    fn checked(self) -> Result<Patient> {
        let gender = Gender::lettered(&self.gender);
        let estimated = self.date_of_birth_estimated;
        Ok(Patient {
            id: PatientId(self.id),
            details: PatientDetails {
                first_name: self.first_name,
                last_name: self.last_name,
                birth: self.date_of_birth.map(|date| BirthDate { date, estimated }),
                gender: gender.ok_or_else(|| Error::Corrupt("unknown gender of a patient".into()))?,
                phone_number: self.phone_number,
                email: self.email,
                email_shared: self.email_shared,
                address: self.address,
                medical_history: self.medical_history,
                emergency_contact_name: self.emergency_contact_name,
                emergency_contact_phone: self.emergency_contact_phone,
            },
            created_by: AccountId(self.created_by),
            created_at: self.created_at,
            updated_at: self.updated_at,
            version: self.version,
        })
    }
}

/// Registers a patient, owned by the caller.
pub async fn insert(db: &mut PgConnection, caller: &Caller, details: &PatientDetails) -> Result<Patient> {
    sqlx::query_as!(
        PatientRow,
        "INSERT INTO patients (
             clinic_id, first_name, last_name, date_of_birth, date_of_birth_estimated, gender, phone_number,
             email, email_shared, address, medical_history, emergency_contact_name, emergency_contact_phone,
             created_by
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         RETURNING *",
        caller.clinic.0,
        details.first_name,
        details.last_name,
        details.birth.map(|birth| birth.date),
        details.birth.is_some_and(|birth| birth.estimated),
        details.gender.letter(),
        details.phone_number,
        details.email,
        details.email_shared,
        details.address,
        details.medical_history,
        details.emergency_contact_name,
        details.emergency_contact_phone,
        caller.account.0,
    )
    .fetch_one(db)
    .await?
    .checked()
}

/// The patients that match and that the caller may see, newest first.
pub async fn list(
    db: &mut PgConnection,
    clinic: ClinicId,
    seen: Visibility,
    filter: &PatientFilter,
    page: Page,
) -> Result<Vec<Patient>> {
    sqlx::query_as!(
        PatientRow,
        "SELECT *
         FROM patients
         WHERE clinic_id = $1
           AND deleted_at IS NULL
           AND ($2 OR created_by = $3 OR EXISTS (
               SELECT FROM mappings m
               WHERE m.clinic_id = $1 AND m.doctor_id = $4 AND m.patient_id = patients.id AND m.is_active
           ))
           AND ($5::text IS NULL
               OR first_name || ' ' || last_name ILIKE $5 OR email ILIKE $5 OR phone_number ILIKE $5)
           AND ($6::bigint IS NULL OR created_by = $6)
           AND ($7::bigint IS NULL OR EXISTS (
               SELECT FROM mappings m
               WHERE m.clinic_id = $1 AND m.doctor_id = $7 AND m.patient_id = patients.id AND m.is_active
           ))
           AND ($8::bigint IS NULL OR id < $8)
         ORDER BY id DESC
         LIMIT $9",
        clinic.0,
        seen.whole_clinic,
        seen.owner_id(),
        seen.doctor_id(),
        filter.search.as_deref().map(containing),
        filter.created_by.map(|id| id.0),
        filter.doctor.map(|id| id.0),
        page.before,
        page.limit,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(PatientRow::checked)
    .collect()
}

/// A patient that somebody asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// In which clinic.
    pub clinic: ClinicId,
    /// Which.
    pub id: PatientId,
    /// Within which rows.
    pub seen: Visibility,
}

/// Those of the patients whom their callers may see, in the order of the requests. One round trip for all
/// (the function `find_patients` of the migrations).
pub async fn find_all(db: &mut PgConnection, wanted: &[Wanted]) -> Result<Vec<Option<Patient>>> {
    let rows = sqlx::query!(
        r#"SELECT request AS "request!", id AS "id!", first_name AS "first_name!", last_name AS "last_name!",
             date_of_birth, date_of_birth_estimated AS "date_of_birth_estimated!", gender AS "gender!", phone_number,
             email, email_shared AS "email_shared!", address, medical_history, emergency_contact_name,
             emergency_contact_phone, created_by AS "created_by!", created_at AS "created_at!",
             updated_at AS "updated_at!", version AS "version!"
         FROM find_patients($1, $2, $3, $4, $5, $6)"#,
        &wanted.iter().map(|wanted| wanted.clinic.0).collect::<Vec<_>>(),
        &(0..).take(wanted.len()).collect::<Vec<i32>>(),
        &wanted.iter().map(|wanted| wanted.id.0).collect::<Vec<_>>(),
        &wanted.iter().map(|wanted| wanted.seen.whole_clinic).collect::<Vec<_>>(),
        &wanted.iter().map(|wanted| wanted.seen.owner_id()).collect::<Vec<_>>() as &[Option<i64>],
        &wanted.iter().map(|wanted| wanted.seen.doctor_id()).collect::<Vec<_>>() as &[Option<i64>],
    )
    .fetch_all(db)
    .await?;
    let mut found = vec![None; wanted.len()];
    for row in rows {
        let place = usize::try_from(row.request).ok().and_then(|request| found.get_mut(request));
        let place = place.ok_or_else(|| Error::Corrupt("a patient that nobody asked for".into()))?;
        let row = PatientRow {
            clinic_id: 0,
            id: row.id,
            first_name: row.first_name,
            last_name: row.last_name,
            date_of_birth: row.date_of_birth,
            date_of_birth_estimated: row.date_of_birth_estimated,
            gender: row.gender,
            phone_number: row.phone_number,
            email: row.email,
            email_shared: row.email_shared,
            address: row.address,
            medical_history: row.medical_history,
            emergency_contact_name: row.emergency_contact_name,
            emergency_contact_phone: row.emergency_contact_phone,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
            deleted_at: None,
        };
        *place = Some(row.checked()?);
    }
    Ok(found)
}

/// The patient, if the caller may see them.
pub async fn find(db: &mut PgConnection, clinic: ClinicId, id: PatientId, seen: Visibility) -> Result<Patient> {
    sqlx::query_as!(
        PatientRow,
        "SELECT *
         FROM patients
         WHERE clinic_id = $1
           AND id = $2
           AND deleted_at IS NULL
           AND ($3 OR created_by = $4 OR EXISTS (
               SELECT FROM mappings m
               WHERE m.clinic_id = $1 AND m.doctor_id = $5 AND m.patient_id = patients.id AND m.is_active
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

/// Keeps the row as it is until the transaction ends. A booking's share of the row waits for this.
async fn lock(db: &mut PgConnection, clinic: ClinicId, id: PatientId) -> Result<()> {
    sqlx::query!(
        "SELECT id FROM patients WHERE clinic_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE",
        clinic.0,
        id.0,
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// Changes a patient that the caller may see by `change`.
pub async fn update(
    db: &mut PgConnection,
    clinic: ClinicId,
    id: PatientId,
    seen: Visibility,
    expected: Option<i64>,
    change: impl FnOnce(PatientDetails) -> Result<PatientDetails, FieldErrors>,
) -> Result<Patient> {
    lock(db, clinic, id).await?;
    let stored = find(db, clinic, id, seen).await?;
    expect_version(expected, stored.version)?;
    let details = change(stored.details)?;
    sqlx::query_as!(
        PatientRow,
        "UPDATE patients
         SET first_name = $3, last_name = $4, date_of_birth = $5, date_of_birth_estimated = $6, gender = $7,
             phone_number = $8, email = $9, email_shared = $10, address = $11, medical_history = $12,
             emergency_contact_name = $13, emergency_contact_phone = $14,
             updated_at = now(), version = version + 1
         WHERE clinic_id = $1 AND id = $2
         RETURNING *",
        clinic.0,
        id.0,
        details.first_name,
        details.last_name,
        details.birth.map(|birth| birth.date),
        details.birth.is_some_and(|birth| birth.estimated),
        details.gender.letter(),
        details.phone_number,
        details.email,
        details.email_shared,
        details.address,
        details.medical_history,
        details.emergency_contact_name,
        details.emergency_contact_phone,
    )
    .fetch_one(db)
    .await?
    .checked()
}

/// Gives the patient another owner, who must be a member of the clinic.
pub async fn transfer(
    db: &mut PgConnection,
    clinic: ClinicId,
    id: PatientId,
    seen: Visibility,
    expected: Option<i64>,
    owner: AccountId,
) -> Result<Patient> {
    lock(db, clinic, id).await?;
    let stored = find(db, clinic, id, seen).await?;
    expect_version(expected, stored.version)?;
    let moved = sqlx::query_as!(
        PatientRow,
        "UPDATE patients SET created_by = $3, updated_at = now(), version = version + 1
         WHERE clinic_id = $1
           AND id = $2
           AND EXISTS (
               SELECT FROM memberships m WHERE m.clinic_id = $1 AND m.account_id = $3 AND m.is_active
           )
         RETURNING *",
        clinic.0,
        id.0,
        owner.0,
    )
    .fetch_optional(db)
    .await?;
    match moved {
        Some(row) => row.checked(),
        None => Err(Error::invalid("user", "There is no such active user in this clinic.")),
    }
}

/// Deletes a patient softly: history stays, reads no longer find the row. Active appointments in the
/// future are cancelled with it where `cancel_appointments` says so, and otherwise stand against it.
///
/// Answers the doctors whose time was freed.
pub async fn delete(
    db: &mut PgConnection,
    caller: &Caller,
    id: PatientId,
    seen: Visibility,
    expected: Option<i64>,
    cancel_appointments: bool,
) -> Result<Vec<DoctorId>> {
    let clinic = caller.clinic;
    lock(db, clinic, id).await?;
    let stored = find(db, clinic, id, seen).await?;
    expect_version(expected, stored.version)?;
    let future = appointments::Future::OfPatient(id);
    if !cancel_appointments && appointments::has_future(db, clinic, future).await? {
        return Err(Error::Conflict(Conflict::HasFutureAppointments));
    }
    let freed = appointments::cancel_future(db, caller, future).await?;
    sqlx::query!(
        "UPDATE patients SET deleted_at = now(), updated_at = now(), version = version + 1
         WHERE clinic_id = $1 AND id = $2",
        clinic.0,
        id.0,
    )
    .execute(db)
    .await?;
    Ok(freed)
}
