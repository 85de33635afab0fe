//! SQL of alarms (times to offer to the waitlist) and of expired holds.

use chrono::{DateTime, Utc};
use sqlx::postgres::types::PgRange;

use super::Result;
use super::context::{ClinicDb, GlobalDb};
use super::ranges::{interval, range};
use crate::domain::waitlist::Alarm;
use crate::domain::{ClinicId, DoctorId, Interval, PatientId};

/// Sets an alarm for a doctor's freed time, if an entry may match. Nodes are notified so that they react sooner;
/// nothing depends on the notification.
pub async fn ring(db: &mut ClinicDb<'_>, doctor: DoctorId, freed: &Interval) -> Result<()> {
    sqlx::query!(
        "WITH rung AS (
             INSERT INTO waitlist_alarms (clinic_id, doctor_id, during)
             SELECT $1, $2, $3
             WHERE upper($3::tstzrange) > now()
               AND EXISTS (
                   SELECT FROM waitlist_entries w JOIN doctors d ON d.clinic_id = w.clinic_id AND d.id = $2
                   WHERE w.clinic_id = $1 AND w.status = 'WAITING'
                     AND (w.doctor_id = $2 OR lower(w.specialization) = lower(d.specialization))
               )
             RETURNING id
         )
         SELECT pg_notify('clinicd_waitlist', '')::text AS told FROM rung",
        db.clinic().0,
        doctor.0,
        range(freed),
    )
    .fetch_optional(db)
    .await?;
    Ok(())
}

/// Returns the due alarms of all clinics, a few of each. It runs without a clinic's context, so that no other row is
/// visible.
pub async fn due(db: &mut GlobalDb<'_>) -> Result<Vec<Alarm>> {
    let rows = sqlx::query!(
        r#"SELECT clinic_id, id, doctor_id, during AS "during!: PgRange<DateTime<Utc>>"
         FROM (
             SELECT clinic_id, id, doctor_id, during, due_at,
                 row_number() OVER (PARTITION BY clinic_id ORDER BY due_at, id) AS place
             FROM waitlist_alarms
             WHERE due_at <= now()
         ) AS due
         WHERE place <= 8
         ORDER BY due_at, id
         LIMIT 100"#,
    )
    .fetch_all(db)
    .await?;
    let alarms = rows.into_iter().map(|row| {
        Ok(Alarm {
            clinic: ClinicId(row.clinic_id),
            id: row.id,
            doctor: DoctorId(row.doctor_id),
            during: interval(&row.during)?,
        })
    });
    alarms.collect()
}

/// Claims an alarm, unless another node has. The claim expires, so the alarm is due again if this node does not finish.
pub async fn take_on(db: &mut ClinicDb<'_>, alarm: &Alarm) -> Result<bool> {
    db.expect(alarm.clinic)?;
    let taken = sqlx::query!(
        "UPDATE waitlist_alarms SET due_at = now() + interval '30 seconds'
         WHERE clinic_id = $1
           AND id = (
               SELECT id FROM waitlist_alarms
               WHERE clinic_id = $1 AND id = $2 AND due_at <= now()
               FOR UPDATE SKIP LOCKED
           )",
        db.clinic().0,
        alarm.id,
    );
    Ok(taken.execute(db).await?.rows_affected() > 0)
}

/// Frees the clinic's expired holds except locked ones, so that their entries may get another offer. No calendar
/// changes, because copies know when holds end.
pub async fn lapse_all(db: &mut ClinicDb<'_>) -> Result<()> {
    sqlx::query!(
        "UPDATE appointments SET status = 'CANCELLED', updated_at = now(), version = version + 1
         WHERE clinic_id = $1 AND id IN (
             SELECT id FROM appointments
             WHERE clinic_id = $1 AND waitlist_entry_id IS NOT NULL AND held_until <= now() AND status = 'SCHEDULED'
             FOR UPDATE SKIP LOCKED
         )",
        db.clinic().0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Frees the expired holds of a doctor and of a patient that overlap `during`. Otherwise they would prevent a booking
/// until their alarm is handled. Returns whether there were any.
pub async fn lapse(db: &mut ClinicDb<'_>, doctor: DoctorId, patient: PatientId, during: &Interval) -> Result<bool> {
    let lapsed = sqlx::query!(
        "UPDATE appointments SET status = 'CANCELLED', updated_at = now(), version = version + 1
         WHERE clinic_id = $1 AND (doctor_id = $2 OR patient_id = $3)
           AND starts_at > lower($4::tstzrange) - interval '24 hours' AND starts_at < upper($4::tstzrange) AND ends_at > lower($4::tstzrange)
           AND status = 'SCHEDULED' AND held_until <= now()",
        db.clinic().0,
        doctor.0,
        patient.0,
        range(during),
    )
    .execute(db)
    .await?;
    Ok(lapsed.rows_affected() > 0)
}

/// Deletes a handled alarm.
pub async fn delete(db: &mut ClinicDb<'_>, alarm: &Alarm) -> Result<()> {
    db.expect(alarm.clinic)?;
    sqlx::query!("DELETE FROM waitlist_alarms WHERE clinic_id = $1 AND id = $2", db.clinic().0, alarm.id)
        .execute(db)
        .await?;
    Ok(())
}
