//! Reads a doctor's calendar: what a schedule actor starts from.

use chrono::{DateTime, Duration, Utc};
use sqlx::{PgConnection, postgres::types::PgRange};

use super::{Result, appointments::interval, stored_zone};
use crate::domain::{
    AppointmentId, ClinicId, DoctorId,
    calendar::{Calendar, Rules},
};

/// The doctor's rules and the active appointments that have not ended.
///
/// One statement, so that rules and appointments are of one moment.
///
/// # Errors
/// [`Error::NotFound`](super::Error::NotFound) where the clinic has no such doctor.
pub async fn load(db: &mut PgConnection, clinic: ClinicId, doctor: DoctorId) -> Result<Calendar> {
    let loaded = sqlx::query!(
        r#"SELECT d.is_active, d.slot_minutes, COALESCE(d.time_zone, c.time_zone) AS "time_zone!",
             (
                 SELECT array_agg(a.id ORDER BY a.id)
                 FROM appointments a
                 WHERE a.clinic_id = d.clinic_id AND a.doctor_id = d.id
                   AND a.status IN ('SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED')
                   AND a.during && tstzrange(now(), NULL)
             ) AS ids,
             (
                 SELECT array_agg(a.during ORDER BY a.id)
                 FROM appointments a
                 WHERE a.clinic_id = d.clinic_id AND a.doctor_id = d.id
                   AND a.status IN ('SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED')
                   AND a.during && tstzrange(now(), NULL)
             ) AS "times: Vec<PgRange<DateTime<Utc>>>"
         FROM doctors d JOIN clinics c ON c.clinic_id = d.clinic_id
         WHERE d.clinic_id = $1 AND d.id = $2 AND d.deleted_at IS NULL"#,
        clinic.0,
        doctor.0,
    )
    .fetch_one(db)
    .await?;
    let rules = Rules {
        is_active: loaded.is_active,
        slot: Duration::minutes(loaded.slot_minutes.into()),
        zone: stored_zone(&loaded.time_zone)?,
    };
    let ids = loaded.ids.unwrap_or_default().into_iter().map(AppointmentId);
    let times = loaded.times.unwrap_or_default();
    let times = times.iter().map(interval).collect::<Result<Vec<_>>>()?;
    Ok(Calendar::new(rules, ids.zip(times)))
}
