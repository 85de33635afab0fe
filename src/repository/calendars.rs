//! Reads a doctor's calendar: what a schedule actor starts from.

use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Utc, Weekday};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, postgres::types::PgRange, types::Json};

use super::{
    Error, Result,
    appointments::{self, interval},
    stored_zone,
};
use crate::domain::{
    AppointmentId, ClinicId, DoctorId,
    appointments::Outside,
    calendar::{Calendar, ClosedDays, Hours, Rules, Window},
};

/// A window as `working_hours.windows` keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WindowRow {
    weekday: u8,
    start: NaiveTime,
    end: NaiveTime,
}

/// Hours as the calendar's statement gathers them.
#[derive(Debug, Deserialize)]
struct HoursRow {
    effective_from: NaiveDate,
    windows: Option<Vec<WindowRow>>,
}

impl From<Window> for WindowRow {
    fn from(window: Window) -> Self {
        let weekday = window.weekday.number_from_monday() as u8;
        Self { weekday, start: window.start, end: window.end }
    }
}

impl WindowRow {
    fn checked(self) -> Result<Window> {
        let weekday = self.weekday.checked_sub(1).and_then(|day| Weekday::try_from(day).ok());
        let weekday = weekday.ok_or_else(|| Error::Corrupt("unknown weekday of a working window".into()))?;
        Ok(Window { weekday, start: self.start, end: self.end })
    }
}

impl HoursRow {
    fn checked(self) -> Result<Hours> {
        let windows = self.windows.map(|windows| windows.into_iter().map(WindowRow::checked).collect());
        Ok(Hours { effective_from: self.effective_from, windows: windows.transpose()? })
    }
}

/// The doctor's rules, and the active appointments that have not long been over. Holds that have
/// expired are free.
///
/// One statement, so that rules and appointments are of one moment.
///
/// # Errors
/// [`Error::NotFound`] where the clinic has no such doctor.
pub async fn load(db: &mut PgConnection, clinic: ClinicId, doctor: DoctorId) -> Result<Calendar> {
    let loaded = sqlx::query!(
        r#"SELECT d.is_active, d.slot_minutes, COALESCE(d.time_zone, c.time_zone) AS "time_zone!",
             d.buffer_before_minutes, d.buffer_after_minutes, d.max_appointments_per_day,
             d.min_notice_minutes, d.max_horizon_days, d.rules_revision,
             (
                 SELECT jsonb_agg(to_jsonb(h) ORDER BY h.effective_from)
                 FROM working_hours h
                 WHERE h.clinic_id = d.clinic_id AND h.doctor_id = d.id
             ) AS "hours: Json<Vec<HoursRow>>",
             (
                 SELECT array_agg(o.during ORDER BY o.during)
                 FROM time_off o
                 WHERE o.clinic_id = d.clinic_id AND o.doctor_id = d.id AND upper(o.during) > now()
             ) AS "time_off: Vec<PgRange<DateTime<Utc>>>",
             (
                 SELECT jsonb_agg(jsonb_build_array(z.first_day, z.last_day) ORDER BY z.first_day, z.last_day)
                 FROM clinic_closures z
                 WHERE z.clinic_id = d.clinic_id AND z.last_day > now() - interval '3 days'
             ) AS "closed: Json<Vec<(NaiveDate, NaiveDate)>>",
             taken.ids, taken.times AS "times: Vec<PgRange<DateTime<Utc>>>"
         FROM doctors d
         JOIN clinics c ON c.clinic_id = d.clinic_id
         CROSS JOIN LATERAL (
             SELECT array_agg(a.id ORDER BY a.id) AS ids, array_agg(a.during ORDER BY a.id) AS times
             FROM appointments a
             WHERE a.clinic_id = d.clinic_id AND a.doctor_id = d.id
               AND a.status IN ('SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED')
               AND (a.held_until IS NULL OR a.held_until > now())
               AND a.during && tstzrange(now() - interval '2 days', NULL)
         ) AS taken
         WHERE d.clinic_id = $1 AND d.id = $2 AND d.deleted_at IS NULL"#,
        clinic.0,
        doctor.0,
    )
    .fetch_one(db)
    .await?;
    let minutes = |minutes: i32| Duration::minutes(minutes.into());
    let hours = loaded.hours.map(|hours| hours.0).unwrap_or_default();
    let time_off = loaded.time_off.unwrap_or_default();
    let closed = loaded.closed.map(|closed| closed.0).unwrap_or_default();
    let rules = Rules {
        is_active: loaded.is_active,
        slot: minutes(loaded.slot_minutes),
        zone: stored_zone(&loaded.time_zone)?,
        buffer_before: minutes(loaded.buffer_before_minutes),
        buffer_after: minutes(loaded.buffer_after_minutes),
        most_a_day: loaded.max_appointments_per_day.and_then(|most| most.try_into().ok()),
        notice: minutes(loaded.min_notice_minutes),
        horizon_days: loaded.max_horizon_days.and_then(|days| days.try_into().ok()),
        hours: hours.into_iter().map(HoursRow::checked).collect::<Result<_>>()?,
        time_off: time_off.iter().map(interval).collect::<Result<_>>()?,
        closed: closed.into_iter().map(|(first, last)| ClosedDays { first, last }).collect(),
        revision: loaded.rules_revision,
    };
    let ids = loaded.ids.unwrap_or_default().into_iter().map(AppointmentId);
    let times = loaded.times.unwrap_or_default();
    let times = times.iter().map(interval).collect::<Result<Vec<_>>>()?;
    Ok(Calendar::new(rules, ids.zip(times)))
}

/// The appointments to come that the doctor's rules would not allow now.
pub async fn outside(db: &mut PgConnection, clinic: ClinicId, doctor: DoctorId) -> Result<Vec<Outside>> {
    let mut broken = load(&mut *db, clinic, doctor).await?.outside(Utc::now());
    let ids: Vec<i64> = broken.iter().map(|(id, _)| id.0).collect();
    let rows = appointments::find_all(db, clinic, &ids).await?;
    let found = rows.into_iter().filter_map(|appointment| {
        let at = broken.iter().position(|(id, _)| *id == appointment.id)?;
        Some(Outside { appointment, violations: broken.swap_remove(at).1 })
    });
    Ok(found.collect())
}
