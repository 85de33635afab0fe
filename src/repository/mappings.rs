//! SQL of mappings. A mapping is `own` to its patient's owner and `assigned` to its doctor's login.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Conflict, Error, Page, Result, expect_version};
use crate::domain::{
    AccountId, Caller, ClinicId, DoctorId, MappingId, PatientId, Visibility,
    fields::{FieldErrors, NON_FIELD},
    mappings::{MappedDoctor, MappedPatient, Mapping, MappingDetails, MappingFilter, NewMapping},
};

struct MappingRow {
    id: i64,
    patient_id: i64,
    patient_first_name: String,
    patient_last_name: String,
    doctor_id: i64,
    doctor_first_name: String,
    doctor_last_name: String,
    specialization: String,
    reason_for_visit: Option<String>,
    notes: Option<String>,
    is_active: bool,
    assigned_by: i64,
    assigned_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
}

impl From<MappingRow> for Mapping {
    fn from(row: MappingRow) -> Self {
        Self {
            id: MappingId(row.id),
            patient: MappedPatient {
                id: PatientId(row.patient_id),
                first_name: row.patient_first_name,
                last_name: row.patient_last_name,
            },
            doctor: MappedDoctor {
                id: DoctorId(row.doctor_id),
                first_name: row.doctor_first_name,
                last_name: row.doctor_last_name,
                specialization: row.specialization,
            },
            details: MappingDetails {
                reason_for_visit: row.reason_for_visit,
                notes: row.notes,
                is_active: row.is_active,
            },
            assigned_by: AccountId(row.assigned_by),
            assigned_at: row.assigned_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}

/// Assigns a doctor to a patient that the caller may map.
pub async fn insert(db: &mut PgConnection, caller: &Caller, mappable: Visibility, new: &NewMapping) -> Result<Mapping> {
    let id = sqlx::query_scalar!(
        "INSERT INTO mappings (
             clinic_id, patient_id, doctor_id, reason_for_visit, notes, is_active, assigned_by
         )
         SELECT p.clinic_id, p.id, d.id, $4, $5, $6, $7
         FROM patients p JOIN doctors d ON d.clinic_id = p.clinic_id AND d.id = $3 AND d.deleted_at IS NULL
         WHERE p.clinic_id = $1
           AND p.id = $2
           AND p.deleted_at IS NULL
           AND ($8 OR p.created_by = $9 OR d.id = $10)
         FOR KEY SHARE OF p, d
         ON CONFLICT ON CONSTRAINT mappings_pair_unique DO NOTHING
         RETURNING id",
        caller.clinic.0,
        new.patient.0,
        new.doctor.0,
        new.details.reason_for_visit,
        new.details.notes,
        new.details.is_active,
        caller.account.0,
        mappable.whole_clinic,
        mappable.owner_id(),
        mappable.doctor_id(),
    )
    .fetch_optional(&mut *db)
    .await?;
    match id {
        Some(id) => find(db, caller.clinic, MappingId(id), Visibility::WHOLE_CLINIC).await,
        None => Err(refusal(db, caller, mappable, new).await?),
    }
}

/// Why [`insert`] made nothing.
async fn refusal(db: &mut PgConnection, caller: &Caller, mappable: Visibility, new: &NewMapping) -> Result<Error> {
    let known = sqlx::query!(
        r#"SELECT
             EXISTS (
                 SELECT FROM patients
                 WHERE clinic_id = $1 AND id = $2 AND deleted_at IS NULL AND ($4 OR created_by = $5 OR $6::bigint = $3)
             ) AS "patient!",
             EXISTS (SELECT FROM doctors WHERE clinic_id = $1 AND id = $3 AND deleted_at IS NULL) AS "doctor!""#,
        caller.clinic.0,
        new.patient.0,
        new.doctor.0,
        mappable.whole_clinic,
        mappable.owner_id(),
        mappable.doctor_id(),
    )
    .fetch_one(db)
    .await?;
    let mut errors = FieldErrors::default();
    if !known.patient {
        errors.add("patient", "There is no such patient.");
    }
    if !known.doctor {
        errors.add("doctor", "There is no such doctor.");
    }
    Ok(match errors.into_result() {
        Err(errors) => errors.into(),
        Ok(()) => Error::Conflict(Conflict::Taken {
            field: NON_FIELD,
            message: "This doctor is already assigned to this patient.",
        }),
    })
}

/// The mappings that match and that the caller may see, newest first.
pub async fn list(
    db: &mut PgConnection,
    clinic: ClinicId,
    seen: Visibility,
    filter: &MappingFilter,
    page: Page,
) -> Result<Vec<Mapping>> {
    select(db, clinic, None, seen, filter, page).await
}

/// The mapping, if the caller may see it.
pub async fn find(db: &mut PgConnection, clinic: ClinicId, id: MappingId, seen: Visibility) -> Result<Mapping> {
    let page = Page { before: None, limit: 1 };
    let found = select(db, clinic, Some(id), seen, &MappingFilter::default(), page).await?;
    found.into_iter().next().ok_or(Error::NotFound)
}

async fn select(
    db: &mut PgConnection,
    clinic: ClinicId,
    id: Option<MappingId>,
    seen: Visibility,
    filter: &MappingFilter,
    page: Page,
) -> Result<Vec<Mapping>> {
    if seen.is_nothing() {
        return Ok(Vec::new());
    }
    // A caller who sees only a doctor's rows asks for that doctor's.
    let doctor = filter.doctor.or(seen.only_doctor());
    // From the newest on, until there are enough: OFFSET keeps the other conditions out, which the planner takes for so rare
    // that it would sort all.
    macro_rules! by {
        ($way:tt) => {
            sqlx::query_as!(
                MappingRow,
                "SELECT m.id, m.patient_id, p.first_name AS patient_first_name, p.last_name AS patient_last_name,
                     m.doctor_id, d.first_name AS doctor_first_name, d.last_name AS doctor_last_name, d.specialization,
                     m.reason_for_visit, m.notes, m.is_active, m.assigned_by, m.assigned_at, m.updated_at, m.version
                 FROM (SELECT * FROM mappings WHERE clinic_id = $1 AND id < $9 AND "
                    + $way
                    + " ORDER BY id DESC OFFSET 0) AS m
                 JOIN patients p ON p.clinic_id = m.clinic_id AND p.id = m.patient_id AND p.deleted_at IS NULL
                 JOIN doctors d ON d.clinic_id = m.clinic_id AND d.id = m.doctor_id AND d.deleted_at IS NULL
                 WHERE ($2 OR m.patient_owner = $3 OR m.doctor_id = $4)
                   AND ($5::bigint IS NULL OR m.id = $5)
                   AND ($6::bigint IS NULL OR m.patient_id = $6)
                   AND ($7::bigint IS NULL OR m.doctor_id = $7)
                   AND ($8::boolean IS NULL OR m.is_active = $8)
                 ORDER BY m.id DESC
                 LIMIT $10",
                clinic.0,
                seen.whole_clinic,
                seen.owner_id(),
                seen.doctor_id(),
                id.map(|id| id.0),
                filter.patient.map(|id| id.0),
                doctor.map(|id| id.0),
                filter.is_active,
                page.before.unwrap_or(i64::MAX),
                page.limit,
            )
            .fetch_all(db)
            .await?
        };
    }
    let rows = match (id, filter.patient, doctor, seen.only_owner()) {
        (Some(_), ..) => by!("id = $5"),
        (None, Some(_), ..) => by!("patient_id = $6"),
        (None, None, Some(_), _) => by!("doctor_id = $7"),
        (None, None, None, Some(_)) => by!("patient_owner = $3"),
        (None, None, None, None) => by!("true"),
    };
    Ok(rows.into_iter().map(Mapping::from).collect())
}

/// Keeps the row as it is until the transaction ends, and reads it if the caller may see it.
async fn lock(
    db: &mut PgConnection,
    clinic: ClinicId,
    id: MappingId,
    seen: Visibility,
    expected: Option<i64>,
) -> Result<Mapping> {
    sqlx::query!("SELECT id FROM mappings WHERE clinic_id = $1 AND id = $2 FOR UPDATE", clinic.0, id.0)
        .fetch_one(&mut *db)
        .await?;
    let stored = find(db, clinic, id, seen).await?;
    expect_version(expected, stored.version)?;
    Ok(stored)
}

/// Changes a mapping that the caller may see by `change`.
pub async fn update(
    db: &mut PgConnection,
    clinic: ClinicId,
    id: MappingId,
    seen: Visibility,
    expected: Option<i64>,
    change: impl FnOnce(MappingDetails) -> Result<MappingDetails, FieldErrors>,
) -> Result<Mapping> {
    let stored = lock(db, clinic, id, seen, expected).await?;
    let details = change(stored.details)?;
    sqlx::query!(
        "UPDATE mappings
         SET reason_for_visit = $3, notes = $4, is_active = $5, updated_at = now(), version = version + 1
         WHERE clinic_id = $1 AND id = $2",
        clinic.0,
        id.0,
        details.reason_for_visit,
        details.notes,
        details.is_active,
    )
    .execute(&mut *db)
    .await?;
    find(db, clinic, id, seen).await
}

/// Ends an assignment for good.
pub async fn delete(
    db: &mut PgConnection,
    clinic: ClinicId,
    id: MappingId,
    seen: Visibility,
    expected: Option<i64>,
) -> Result<()> {
    lock(db, clinic, id, seen, expected).await?;
    sqlx::query!("DELETE FROM mappings WHERE clinic_id = $1 AND id = $2", clinic.0, id.0).execute(db).await?;
    Ok(())
}
