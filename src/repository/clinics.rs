//! SQL of clinics.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::context::{ClinicDb, GroupedDb};
use super::{Result, expect_version, stored_zone};
use crate::domain::ClinicId;
use crate::domain::clinics::{Clinic, ClinicDetails};
use crate::domain::fields::FieldErrors;

struct ClinicRow {
    clinic_id: i64,
    name: String,
    time_zone: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
}

impl ClinicRow {
    fn checked(self) -> Result<Clinic> {
        Ok(Clinic {
            id: ClinicId(self.clinic_id),
            details: ClinicDetails { name: self.name, time_zone: stored_zone(&self.time_zone)? },
            created_at: self.created_at,
            updated_at: self.updated_at,
            version: self.version,
        })
    }
}

/// Returns the id for a new clinic. Its context must be set before its row can be inserted.
pub async fn next_id(db: impl PgExecutor<'_>) -> Result<ClinicId> {
    let id = sqlx::query_scalar!(r#"SELECT nextval('clinics_clinic_id_seq') AS "id!""#).fetch_one(db).await?;
    Ok(ClinicId(id))
}

/// Creates the clinic of the current context.
pub async fn insert(db: &mut ClinicDb<'_>, details: &ClinicDetails) -> Result<Clinic> {
    sqlx::query_as!(
        ClinicRow,
        "INSERT INTO clinics (clinic_id, name, time_zone) VALUES ($1, $2, $3) RETURNING *",
        db.clinic().0,
        details.name,
        details.time_zone.name(),
    )
    .fetch_one(db)
    .await?
    .checked()
}

/// Returns the clinic.
pub async fn find(db: &mut ClinicDb<'_>) -> Result<Clinic> {
    sqlx::query_as!(ClinicRow, "SELECT * FROM clinics WHERE clinic_id = $1", db.clinic().0)
        .fetch_one(db)
        .await?
        .checked()
}

/// Applies `change` to the clinic.
pub async fn update(
    db: &mut ClinicDb<'_>,
    expected: Option<i64>,
    change: impl FnOnce(ClinicDetails) -> Result<ClinicDetails, FieldErrors>,
) -> Result<Clinic> {
    let stored =
        sqlx::query_as!(ClinicRow, "SELECT * FROM clinics WHERE clinic_id = $1 FOR NO KEY UPDATE", db.clinic().0)
            .fetch_one(&mut *db)
            .await?
            .checked()?;
    expect_version(expected, stored.version)?;
    let details = change(stored.details)?;
    sqlx::query_as!(
        ClinicRow,
        "UPDATE clinics SET name = $2, time_zone = $3, updated_at = now(), version = version + 1
         WHERE clinic_id = $1
         RETURNING *",
        db.clinic().0,
        details.name,
        details.time_zone.name(),
    )
    .fetch_one(db)
    .await?
    .checked()
}

/// Returns the oldest clinic with this name. Row-level security shows one clinic at a time, so each is checked in its
/// own context. That is slow for many clinics; only the operator's command line uses it.
pub async fn find_named(db: &mut GroupedDb<'_>, name: &str) -> Result<Option<ClinicId>> {
    let newest = next_id(&mut *db).await?;
    for id in 1..newest.0 {
        let found = sqlx::query_scalar!("SELECT clinic_id FROM clinics WHERE clinic_id = $1 AND name = $2", id, name,)
            .fetch_optional(&mut db.in_clinic(ClinicId(id)).await?)
            .await?;
        if let Some(id) = found {
            return Ok(Some(ClinicId(id)));
        }
    }
    Ok(None)
}
