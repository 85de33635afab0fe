//! SQL of the rules of a doctor's schedule: working hours, time off, and the clinic's closures.
//!
//! The caller of a function that changes them increases the versions of the affected calendars.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::postgres::types::PgRange;
use sqlx::types::Json;

use super::calendars::WindowRow;
use super::context::ClinicDb;
use super::ranges::{interval, range};
use super::{Error, Page, Result, appointments, calendars};
use crate::domain::appointments::Outside;
use crate::domain::calendar::{CalendarCopy, ClosedDays, Window};
use crate::domain::schedules::{Closure, TimeOff};
use crate::domain::{AccountId, ClosureId, DoctorId, Interval, TimeOffId};

struct TimeOffRow {
    id: i64,
    doctor_id: i64,
    during: PgRange<DateTime<Utc>>,
    reason: String,
    created_by: i64,
    created_at: DateTime<Utc>,
}

impl TimeOffRow {
    fn checked(self) -> Result<TimeOff> {
        Ok(TimeOff {
            id: TimeOffId(self.id),
            doctor: DoctorId(self.doctor_id),
            during: interval(&self.during)?,
            reason: self.reason,
            created_by: AccountId(self.created_by),
            created_at: self.created_at,
        })
    }
}

struct ClosureRow {
    id: i64,
    first_day: NaiveDate,
    last_day: NaiveDate,
    reason: String,
    created_by: i64,
    created_at: DateTime<Utc>,
}

impl From<ClosureRow> for Closure {
    fn from(row: ClosureRow) -> Self {
        Self {
            id: ClosureId(row.id),
            days: ClosedDays { first: row.first_day, last: row.last_day },
            reason: row.reason,
            created_by: AccountId(row.created_by),
            created_at: row.created_at,
        }
    }
}

/// Sets the hours from a day on. `None` removes them from that day on.
pub async fn set_hours(
    db: &mut ClinicDb<'_>,
    doctor: DoctorId,
    effective_from: NaiveDate,
    windows: Option<Vec<Window>>,
) -> Result<()> {
    let windows: Option<Vec<WindowRow>> = windows.map(|windows| windows.into_iter().map(WindowRow::from).collect());
    sqlx::query!(
        "INSERT INTO working_hours (clinic_id, doctor_id, effective_from, windows)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (clinic_id, doctor_id, effective_from) DO UPDATE SET windows = EXCLUDED.windows",
        db.clinic().0,
        doctor.0,
        effective_from,
        windows.map(Json) as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Creates time off.
pub async fn insert_time_off(
    db: &mut ClinicDb<'_>,
    doctor: DoctorId,
    during: &Interval,
    reason: &str,
    by: AccountId,
) -> Result<TimeOff> {
    sqlx::query_as!(
        TimeOffRow,
        "INSERT INTO time_off (clinic_id, doctor_id, during, reason, created_by)
         VALUES ($1, $2, $3, $4, $5)
         RETURNING id, doctor_id, during, reason, created_by, created_at",
        db.clinic().0,
        doctor.0,
        range(during),
        reason,
        by.0,
    )
    .fetch_one(db)
    .await?
    .checked()
}

/// Returns a doctor's time off, newest first.
pub async fn list_time_off(db: &mut ClinicDb<'_>, doctor: DoctorId, page: Page) -> Result<Vec<TimeOff>> {
    sqlx::query_as!(
        TimeOffRow,
        "SELECT id, doctor_id, during, reason, created_by, created_at
         FROM time_off
         WHERE clinic_id = $1 AND doctor_id = $2 AND ($3::bigint IS NULL OR id < $3)
         ORDER BY id DESC
         LIMIT $4",
        db.clinic().0,
        doctor.0,
        page.before,
        page.limit,
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(TimeOffRow::checked)
    .collect()
}

/// Deletes time off.
pub async fn delete_time_off(db: &mut ClinicDb<'_>, doctor: DoctorId, id: TimeOffId) -> Result<()> {
    let deleted = sqlx::query!(
        "DELETE FROM time_off WHERE clinic_id = $1 AND doctor_id = $2 AND id = $3",
        db.clinic().0,
        doctor.0,
        id.0
    )
    .execute(db)
    .await?;
    if deleted.rows_affected() == 0 { Err(Error::NotFound) } else { Ok(()) }
}

/// Closes the clinic for some days.
pub async fn insert_closure(db: &mut ClinicDb<'_>, days: ClosedDays, reason: &str, by: AccountId) -> Result<Closure> {
    let row = sqlx::query_as!(
        ClosureRow,
        "INSERT INTO clinic_closures (clinic_id, first_day, last_day, reason, created_by)
         VALUES ($1, $2, $3, $4, $5)
         RETURNING id, first_day, last_day, reason, created_by, created_at",
        db.clinic().0,
        days.first,
        days.last,
        reason,
        by.0,
    )
    .fetch_one(db)
    .await?;
    Ok(row.into())
}

/// Returns the clinic's closures, newest first.
pub async fn list_closures(db: &mut ClinicDb<'_>, page: Page) -> Result<Vec<Closure>> {
    let rows = sqlx::query_as!(
        ClosureRow,
        "SELECT id, first_day, last_day, reason, created_by, created_at
         FROM clinic_closures
         WHERE clinic_id = $1 AND ($2::bigint IS NULL OR id < $2)
         ORDER BY id DESC
         LIMIT $3",
        db.clinic().0,
        page.before,
        page.limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Closure::from).collect())
}

/// Deletes a closure.
pub async fn delete_closure(db: &mut ClinicDb<'_>, id: ClosureId) -> Result<()> {
    let deleted = sqlx::query!("DELETE FROM clinic_closures WHERE clinic_id = $1 AND id = $2", db.clinic().0, id.0)
        .execute(db)
        .await?;
    if deleted.rows_affected() == 0 { Err(Error::NotFound) } else { Ok(()) }
}

/// Returns the doctors with upcoming active appointments: all, or those on some days. The days are extended by one on
/// both sides because of time zones.
pub async fn doctors_with_appointments(db: &mut ClinicDb<'_>, on: Option<ClosedDays>) -> Result<Vec<DoctorId>> {
    let doctors = sqlx::query_scalar!(
        r#"SELECT DISTINCT a.doctor_id
         FROM appointments a
         WHERE a.clinic_id = $1
           AND a.status IN ('SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED')
           AND a.ends_at > now()
           AND ($2::date IS NULL
               OR a.ends_at > $2::date - interval '1 day' AND a.starts_at < $3::date + interval '3 days')
         ORDER BY a.doctor_id"#,
        db.clinic().0,
        on.map(|days| days.first),
        on.map(|days| days.last),
    )
    .fetch_all(db)
    .await?;
    Ok(doctors.into_iter().map(DoctorId).collect())
}

/// The upcoming appointments of these doctors that their rules would not allow now.
pub async fn outside(db: &mut ClinicDb<'_>, doctors: &[i64], now: DateTime<Utc>) -> Result<Vec<Outside>> {
    let copies = calendars::load_all(&mut *db, doctors).await?;
    outside_of(db, &copies, now).await
}

/// The same, of calendars that have been read.
pub async fn outside_of(
    db: &mut ClinicDb<'_>,
    copies: &[(DoctorId, CalendarCopy)],
    now: DateTime<Utc>,
) -> Result<Vec<Outside>> {
    let broken = copies.iter().flat_map(|(_, copy)| copy.calendar.outside(now));
    let mut broken: HashMap<_, _> = broken.collect();
    if broken.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = broken.keys().map(|id| id.0).collect();
    let rows = appointments::find_all(db, &ids).await?;
    let found = rows.into_iter().filter_map(|appointment| {
        let violations = broken.remove(&appointment.id)?;
        Some(Outside { appointment, violations })
    });
    Ok(found.collect())
}
