//! SQL that cancels many appointments: those of a deleted doctor or patient, or those of a series.

use std::collections::BTreeMap;

use super::appointments::AppointmentRow;
use super::audit::{Event, Outcome as Audited};
use super::context::ClinicDb;
use super::{Result, alarms, audit, calendars, history};
use crate::domain::appointments::Appointment;
use crate::domain::lifecycle::Status;
use crate::domain::{Caller, DoctorId, PatientId};

/// The owner of the upcoming appointments.
#[derive(Debug, Clone, Copy)]
pub enum Future {
    /// A doctor.
    OfDoctor(DoctorId),
    /// A patient.
    OfPatient(PatientId),
}

impl Future {
    fn doctor(self) -> Option<i64> {
        match self {
            Self::OfDoctor(id) => Some(id.0),
            Self::OfPatient(_) => None,
        }
    }

    fn patient(self) -> Option<i64> {
        match self {
            Self::OfPatient(id) => Some(id.0),
            Self::OfDoctor(_) => None,
        }
    }
}

/// Returns whether there are active appointments that have not ended.
pub async fn has_future(db: &mut ClinicDb<'_>, whose: Future) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT FROM appointments
             WHERE clinic_id = $1
               AND (doctor_id = $2 OR patient_id = $3)
               AND status IN ('SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED')
               AND held_until IS NULL
               AND ends_at > now()
         ) AS "found!""#,
        db.clinic().0,
        whose.doctor(),
        whose.patient(),
    )
    .fetch_one(db)
    .await?;
    Ok(found)
}

/// Returns the doctors of the active appointments that have not ended, sorted by id.
pub async fn future_doctors(db: &mut ClinicDb<'_>, whose: Future) -> Result<Vec<i64>> {
    let doctors = sqlx::query_scalar!(
        "SELECT DISTINCT doctor_id FROM appointments
         WHERE clinic_id = $1
           AND (doctor_id = $2 OR patient_id = $3)
           AND status IN ('SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED')
           AND ends_at > now()
         ORDER BY doctor_id",
        db.clinic().0,
        whose.doctor(),
        whose.patient(),
    );
    Ok(doctors.fetch_all(db).await?)
}

/// Cancels the active appointments that have not ended. The transaction must have locked their doctors' calendars.
pub async fn cancel_future(db: &mut ClinicDb<'_>, caller: &Caller, whose: Future) -> Result<()> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM appointments
         WHERE clinic_id = $1
           AND (doctor_id = $2 OR patient_id = $3)
           AND status IN ('SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED')
           AND ends_at > now()",
        db.clinic().0,
        whose.doctor(),
        whose.patient(),
    )
    .fetch_all(&mut *db)
    .await?;
    let active: Vec<_> = Status::ALL.into_iter().filter(|status| status.is_active()).collect();
    cancel_all(db, caller, &ids, &active).await?;
    Ok(())
}

/// Cancels the appointments that have one of these statuses, each with its events. The transaction must have locked
/// their doctors' calendars; this function increases their versions.
pub async fn cancel_all(
    db: &mut ClinicDb<'_>,
    caller: &Caller,
    ids: &[i64],
    statuses: &[Status],
) -> Result<Vec<Appointment>> {
    // Patients are locked before appointments, because a transfer of a patient changes them in this order.
    sqlx::query!(
        "SELECT id FROM patients
         WHERE clinic_id = $1 AND id IN (SELECT patient_id FROM appointments WHERE clinic_id = $1 AND id = ANY($2))
         ORDER BY id
         FOR NO KEY UPDATE",
        db.clinic().0,
        ids,
    )
    .fetch_all(&mut *db)
    .await?;
    let statuses: Vec<_> = statuses.iter().map(|status| status.name().to_owned()).collect();
    let before = sqlx::query_as!(
        AppointmentRow,
        "SELECT * FROM appointments
         WHERE clinic_id = $1 AND id = ANY($2) AND status = ANY($3)
         ORDER BY starts_at, id
         FOR UPDATE",
        db.clinic().0,
        ids,
        &statuses,
    );
    let before = before.fetch_all(&mut *db).await?;
    let mut versions = BTreeMap::new();
    let mut cancelled = Vec::with_capacity(ids.len());
    for before in before {
        let before = before.checked()?;
        let version = match versions.get(&before.doctor) {
            Some(version) => *version,
            None => calendars::advance(&mut *db, before.doctor).await?,
        };
        versions.insert(before.doctor, version);
        let after = sqlx::query_as!(
            AppointmentRow,
            "UPDATE appointments
             SET status = 'CANCELLED', updated_at = now(), version = version + 1, calendar_version = $3
             WHERE clinic_id = $1 AND id = $2
             RETURNING *",
            db.clinic().0,
            before.id.0,
            version,
        )
        .fetch_one(&mut *db)
        .await?
        .checked()?;
        history::record(&mut *db, caller, &before, &after, None).await?;
        alarms::ring(&mut *db, after.doctor, &after.during).await?;
        let event = Event {
            caller: caller.clone(),
            action: "transition",
            resource: "appointments",
            resource_id: Some(before.id.0),
            outcome: Audited::Done,
        };
        audit::record(&mut *db, &event).await?;
        cancelled.push(after);
    }
    Ok(cancelled)
}
