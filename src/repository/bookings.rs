//! Writes bookings, many of one clinic at a time, and says of each that was refused why.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, postgres::types::PgRange};
use uuid::Uuid;

use super::{
    Result,
    appointments::{AppointmentRow, interval, range},
};
use crate::domain::{
    AppointmentId, ClinicId, DoctorId, Interval, PatientId,
    appointments::{Appointment, Booking, Refusal},
    calendar::Violation,
};

/// What became of a booking, once the transaction commits.
#[derive(Debug, Clone)]
pub enum Written {
    /// It has its row.
    Booked(Appointment),
    /// It has none, and this is why.
    Refused(Refusal),
}

/// Writes bookings of one clinic, with their audit events, and answers each by its reference.
///
/// A booking that was written before (its acknowledgement was lost) is found by its reference. A
/// refused booking does not fail the others.
pub async fn write(db: &mut PgConnection, clinic: ClinicId, bookings: &[Booking]) -> Result<HashMap<Uuid, Written>> {
    let mut outcomes = HashMap::with_capacity(bookings.len());
    for (reference, row) in insert(db, clinic, bookings).await? {
        outcomes.insert(reference, Written::Booked(row));
    }
    for booking in bookings {
        if outcomes.contains_key(&booking.reference) {
            continue;
        }
        let outcome = match find(db, clinic, booking.reference).await? {
            Some(earlier) => Written::Booked(earlier),
            None => Written::Refused(refusal(db, booking).await?),
        };
        outcomes.insert(booking.reference, outcome);
    }
    Ok(outcomes)
}

/// Inserts those whose doctor and patient exist and are free.
///
/// The shares of the doctors' and patients' rows keep them from being deleted before the commit.
async fn insert(db: &mut PgConnection, clinic: ClinicId, bookings: &[Booking]) -> Result<Vec<(Uuid, Appointment)>> {
    let column = |of: fn(&Booking) -> i64| bookings.iter().map(of).collect::<Vec<_>>();
    let references: Vec<Uuid> = bookings.iter().map(|b| b.reference).collect();
    let during: Vec<PgRange<DateTime<Utc>>> = bookings.iter().map(|b| range(&b.during)).collect();
    let reasons: Vec<String> = bookings.iter().map(|b| b.reason.clone()).collect();
    let whole_clinic: Vec<bool> = bookings.iter().map(|b| b.bookable.whole_clinic).collect();
    let owners: Vec<Option<i64>> = bookings.iter().map(|b| b.bookable.owner_id()).collect();
    let own_doctors: Vec<Option<i64>> = bookings.iter().map(|b| b.bookable.doctor_id()).collect();
    let roles: Vec<String> = bookings.iter().map(|b| b.caller.role.clone()).collect();
    let requests: Vec<Uuid> = bookings.iter().map(|b| b.caller.request).collect();

    let rows = sqlx::query_as!(
        AppointmentRow,
        r#"INSERT INTO appointments (clinic_id, reference, doctor_id, patient_id, during, reason, created_by)
         SELECT $1, b.reference, b.doctor_id, b.patient_id, b.during, b.reason, b.created_by
         FROM UNNEST(
             $2::uuid[], $3::bigint[], $4::bigint[], $5::tstzrange[], $6::text[], $7::bigint[],
             $8::boolean[], $9::bigint[], $10::bigint[]
         ) AS b (
             reference, doctor_id, patient_id, during, reason, created_by, whole_clinic, owner, own_doctor
         )
         JOIN doctors d ON d.clinic_id = $1 AND d.id = b.doctor_id AND d.deleted_at IS NULL AND d.is_active
         JOIN patients p ON p.clinic_id = $1 AND p.id = b.patient_id AND p.deleted_at IS NULL
             AND (b.whole_clinic OR p.created_by = b.owner OR b.doctor_id = b.own_doctor)
         FOR KEY SHARE OF d, p
         ON CONFLICT DO NOTHING
         RETURNING *"#,
        clinic.0,
        &references,
        &column(|b| b.doctor.0),
        &column(|b| b.patient.0),
        &during,
        &reasons,
        &column(|b| b.caller.account.0),
        &whole_clinic,
        &owners as &[Option<i64>],
        &own_doctors as &[Option<i64>],
    )
    .fetch_all(&mut *db)
    .await?;

    let booked: Vec<(Uuid, Appointment)> =
        rows.into_iter().map(|row| Ok((row.reference, row.checked()?))).collect::<Result<_>>()?;
    let of_reference: HashMap<Uuid, i64> = booked.iter().map(|(r, a)| (*r, a.id.0)).collect();
    let ids: Vec<Option<i64>> = references.iter().map(|r| of_reference.get(r).copied()).collect();
    if !booked.is_empty() {
        sqlx::query!(
            "INSERT INTO audit_events (clinic_id, account_id, role, action, resource, resource_id, outcome, request_id)
             SELECT $1, e.account_id, e.role, 'create', 'appointments', e.id, 'done', e.request_id
             FROM UNNEST($2::bigint[], $3::bigint[], $4::text[], $5::uuid[]) AS e (id, account_id, role, request_id)
             WHERE e.id IS NOT NULL",
            clinic.0,
            &ids as &[Option<i64>],
            &column(|b| b.caller.account.0),
            &roles,
            &requests,
        )
        .execute(db)
        .await?;
    }
    Ok(booked)
}

/// The appointment that was booked under that reference.
async fn find(db: &mut PgConnection, clinic: ClinicId, reference: Uuid) -> Result<Option<Appointment>> {
    sqlx::query_as!(
        AppointmentRow,
        "SELECT * FROM appointments WHERE clinic_id = $1 AND reference = $2",
        clinic.0,
        reference,
    )
    .fetch_optional(db)
    .await?
    .map(AppointmentRow::checked)
    .transpose()
}

/// Everything that stands against a booking.
async fn refusal(db: &mut PgConnection, booking: &Booking) -> Result<Refusal> {
    let known = sqlx::query!(
        r#"SELECT
             (SELECT is_active FROM doctors WHERE clinic_id = $1 AND id = $2 AND deleted_at IS NULL) AS doctor_active,
             EXISTS (
                 SELECT FROM patients
                 WHERE clinic_id = $1 AND id = $3 AND deleted_at IS NULL
                   AND ($4 OR created_by = $5 OR $6::bigint = $2)
             ) AS "patient!""#,
        booking.caller.clinic.0,
        booking.doctor.0,
        booking.patient.0,
        booking.bookable.whole_clinic,
        booking.bookable.owner_id(),
        booking.bookable.doctor_id(),
    )
    .fetch_one(&mut *db)
    .await?;
    let mut refusal = Refusal::default();
    match known.doctor_active {
        None => refusal.violations.push(Violation::NoSuchDoctor),
        Some(false) => refusal.violations.push(Violation::DoctorInactive),
        Some(true) => {}
    }
    if !known.patient {
        refusal.violations.push(Violation::NoSuchPatient);
        return Ok(refusal);
    }
    let clinic = booking.caller.clinic;
    refusal.merge(busy(db, clinic, booking.doctor, booking.patient, &booking.during, None).await?);
    if refusal.violations.is_empty() {
        // What stood in the way has gone since: to the caller it was taken all the same.
        refusal.violations.push(Violation::SlotTaken);
    }
    Ok(refusal)
}

/// Which active appointments of the doctor or the patient overlap `during`, and when the patient is
/// busy in the days after; `ignored` is the appointment that is to be moved.
pub async fn busy(
    db: &mut PgConnection,
    clinic: ClinicId,
    doctor: DoctorId,
    patient: PatientId,
    during: &Interval,
    ignored: Option<AppointmentId>,
) -> Result<Refusal> {
    let taken = sqlx::query!(
        r#"SELECT during AS "during!: PgRange<DateTime<Utc>>", doctor_id = $2 AS "of_doctor!", patient_id = $3 AS "of_patient!"
         FROM appointments
         WHERE clinic_id = $1
           AND status IN ('SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED')
           AND ($5::bigint IS NULL OR id <> $5)
           AND (
               (doctor_id = $2 AND during && $4)
               OR (patient_id = $3 AND during && tstzrange(lower($4), upper($4) + interval '31 days'))
           )
         ORDER BY lower(during)"#,
        clinic.0,
        doctor.0,
        patient.0,
        range(during),
        ignored.map(|id| id.0),
    )
    .fetch_all(db)
    .await?;
    let mut refusal = Refusal::default();
    let (mut slot_taken, mut patient_busy) = (false, false);
    for row in taken {
        let taken = interval(&row.during)?;
        if taken.overlaps(during) {
            refusal.conflicts.push(taken);
            slot_taken |= row.of_doctor;
            patient_busy |= row.of_patient;
        }
        if row.of_patient {
            refusal.patient_busy.push(taken);
        }
    }
    if slot_taken {
        refusal.violations.push(Violation::SlotTaken);
    }
    if patient_busy {
        refusal.violations.push(Violation::PatientBusy);
    }
    Ok(refusal)
}
