//! SQL of the history of appointments after their booking: who changed what, and when.

use chrono::{DateTime, Utc};
use sqlx::postgres::types::PgRange;
use uuid::Uuid;

use super::context::ClinicDb;
use super::ranges::{interval, range};
use super::{Error, Page, Result};
use crate::domain::appointments::{Appointment, AppointmentEvent};
use crate::domain::lifecycle::Status;
use crate::domain::{AccountId, AppointmentId, Caller};

struct EventRow {
    id: i64,
    at: DateTime<Utc>,
    account_id: i64,
    from_status: Option<String>,
    to_status: String,
    from_during: Option<PgRange<DateTime<Utc>>>,
    to_during: PgRange<DateTime<Utc>>,
}

impl EventRow {
    fn checked(self) -> Result<AppointmentEvent> {
        let status = |name: &str| {
            Status::named(name).ok_or_else(|| Error::Corrupt("unknown status in an appointment's past".into()))
        };
        Ok(AppointmentEvent {
            id: self.id,
            at: self.at,
            account: AccountId(self.account_id),
            from_status: self.from_status.as_deref().map(status).transpose()?,
            to_status: status(&self.to_status)?,
            from: self.from_during.as_ref().map(interval).transpose()?,
            to: interval(&self.to_during)?,
        })
    }
}

/// Records a change of an appointment's status or time, with the reference of the change if it has one.
pub async fn record(
    db: &mut ClinicDb<'_>,
    caller: &Caller,
    before: &Appointment,
    after: &Appointment,
    reference: Option<Uuid>,
) -> Result<()> {
    if (before.status, before.during) == (after.status, after.during) {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO appointment_events (
             clinic_id, appointment_id, account_id, from_status, to_status, from_during, to_during, reference
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        db.clinic().0,
        after.id.0,
        db.account_of(caller)?.0,
        before.status.name(),
        after.status.name(),
        range(&before.during),
        range(&after.during),
        reference,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Returns whether an appointment has an event with this reference.
pub async fn has(db: &mut ClinicDb<'_>, id: AppointmentId, reference: Uuid) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT FROM appointment_events WHERE clinic_id = $1 AND appointment_id = $2 AND reference = $3
         ) AS "found!""#,
        db.clinic().0,
        id.0,
        reference,
    );
    Ok(found.fetch_one(db).await?)
}

/// Returns the history of an appointment, newest first. The last event is its booking, which has the id 0.
pub async fn list(db: &mut ClinicDb<'_>, id: AppointmentId, page: Page) -> Result<Vec<AppointmentEvent>> {
    sqlx::query_as!(
        EventRow,
        r#"SELECT e.id AS "id!", e.at AS "at!", e.account_id AS "account_id!", e.from_status,
             e.to_status AS "to_status!", e.from_during AS "from_during: PgRange<DateTime<Utc>>",
             e.to_during AS "to_during!: PgRange<DateTime<Utc>>"
         FROM (
             SELECT id, at, account_id, from_status, to_status, from_during, to_during
             FROM appointment_events
             WHERE clinic_id = $1 AND appointment_id = $2
             UNION ALL
             SELECT 0, a.created_at, a.created_by, NULL, 'SCHEDULED', NULL, COALESCE(
                 (
                     SELECT e.from_during FROM appointment_events e
                     WHERE e.clinic_id = $1 AND e.appointment_id = $2
                     ORDER BY e.id LIMIT 1
                 ),
                 a.during
             )
             FROM appointments a
             WHERE a.clinic_id = $1 AND a.id = $2
         ) AS e
         WHERE $3::bigint IS NULL OR e.id < $3
         ORDER BY e.id DESC
         LIMIT $4"#,
        db.clinic().0,
        id.0,
        page.before,
        page.limit,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(EventRow::checked)
    .collect()
}
