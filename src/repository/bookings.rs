//! Writes bookings, many at a time, and says of each that was refused why.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, postgres::types::PgRange};
use uuid::Uuid;

use super::{
    Result, alarms,
    appointments::{AppointmentRow, interval, range},
    context::{self, Context},
    retries,
};
use crate::domain::{
    AppointmentId, ClinicId, DoctorId, Interval, PatientId,
    appointments::{Appointment, Booking, BookingRequest, Refusal},
    calendar::{Terms, Violation},
};

/// What became of a booking, once the transaction commits.
#[derive(Debug, Clone)]
pub enum Written {
    /// It has its row.
    Booked(Appointment),
    /// It has none, and this is why.
    Refused(Refusal),
    /// It has none: the schedule is bound by other rules, or fuller, than when the time was found free.
    Outdated,
}

/// Writes bookings, sorted by clinic, with their audit events, and answers each by its reference.
///
/// A booking that was written before (its acknowledgement was lost) is found by its reference. A
/// refused booking does not fail the others.
pub async fn write(db: &mut PgConnection, bookings: &[Booking]) -> Result<HashMap<Uuid, Written>> {
    let mut outcomes = HashMap::with_capacity(bookings.len());
    // Of a doctor with limits, each booking is looked at with those before it in place.
    let mut limited = HashSet::new();
    let (first, later): (Vec<&Booking>, Vec<&Booking>) = bookings.iter().partition(|booking| {
        !booking.terms.limit(&booking.during) || limited.insert((booking.caller.clinic, booking.doctor))
    });
    let mut crowded = Vec::new();
    for of_clinic in first.chunk_by(|a, b| a.caller.clinic == b.caller.clinic) {
        crowded.extend(self::crowded(&mut *db, of_clinic[0].caller.clinic, of_clinic).await?);
    }
    let admitted: Vec<&Booking> = first.into_iter().filter(|booking| !crowded.contains(&booking.reference)).collect();
    let mut inserted = insert(&mut *db, &admitted).await?;
    for booking in later {
        let is_crowded = self::crowded(&mut *db, booking.caller.clinic, &[booking]).await?;
        if is_crowded.is_empty() {
            inserted.extend(insert(&mut *db, &[booking]).await?);
        }
        crowded.extend(is_crowded);
    }
    for (reference, row) in inserted {
        outcomes.insert(reference, Written::Booked(row));
    }
    for booking in bookings {
        let clinic = booking.caller.clinic;
        if let Some(Written::Booked(row)) = outcomes.get(&booking.reference) {
            // Those of a series are kept with it.
            if booking.caller.retry.is_some() && booking.series.is_none() {
                context::set(&mut *db, Context::Clinic(clinic), true).await?;
                retries::keep(&mut *db, &booking.caller, row).await?;
            }
            continue;
        }
        context::set(&mut *db, Context::Clinic(clinic), true).await?;
        let outcome = match find(&mut *db, clinic, booking.reference).await? {
            Some(earlier) => Written::Booked(earlier),
            None if crowded.contains(&booking.reference) => Written::Outdated,
            None => refusal(&mut *db, booking).await?,
        };
        outcomes.insert(booking.reference, outcome);
    }
    Ok(outcomes)
}

/// Keeps the rows of doctors to this transaction, so that nobody else books with them meanwhile.
pub async fn lock_doctors(db: &mut PgConnection, clinic: ClinicId, doctors: &[i64]) -> Result<()> {
    sqlx::query!(
        "SELECT id FROM doctors WHERE clinic_id = $1 AND id = ANY($2) ORDER BY id FOR NO KEY UPDATE",
        clinic.0,
        doctors,
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

/// Those that break a buffer or the capacity of a day by now. The constraints do not hold these rules;
/// the doctors' rows, which are kept until the commit, do, so that it is true for every node.
async fn crowded(db: &mut PgConnection, clinic: ClinicId, bookings: &[&Booking]) -> Result<Vec<Uuid>> {
    let limited: Vec<&Booking> =
        bookings.iter().copied().filter(|booking| booking.terms.limit(&booking.during)).collect();
    if limited.is_empty() {
        return Ok(Vec::new());
    }
    let doctors: Vec<i64> = limited.iter().map(|booking| booking.doctor.0).collect();
    context::set(&mut *db, Context::Clinic(clinic), true).await?;
    lock_doctors(&mut *db, clinic, &doctors).await?;
    let mut crowded = Vec::new();
    for booking in limited {
        if is_crowded(&mut *db, clinic, booking.doctor, &booking.terms, AppointmentId(0)).await? {
            crowded.push(booking.reference);
        }
    }
    Ok(crowded)
}

/// Whether another active appointment than `ignored` is where none may be, or the day is full.
pub async fn is_crowded(
    db: &mut PgConnection,
    clinic: ClinicId,
    doctor: DoctorId,
    terms: &Terms,
    ignored: AppointmentId,
) -> Result<bool> {
    let (day, most) = match terms.most_on {
        Some((day, most)) => (day, i64::try_from(most).unwrap_or(i64::MAX)),
        None => (terms.kept_free, i64::MAX),
    };
    let crowded = sqlx::query_scalar!(
        r#"SELECT
             EXISTS (
                 SELECT FROM appointments
                 WHERE clinic_id = $1 AND doctor_id = $2 AND during && $3 AND id <> $6
                   AND status IN ('SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED')
                   AND (held_until IS NULL OR held_until > now())
             )
             OR (
                 SELECT count(*) >= $5 FROM appointments
                 WHERE clinic_id = $1 AND doctor_id = $2 AND during && $4 AND lower(during) >= lower($4::tstzrange)
                   AND id <> $6
                   AND status IN ('SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED')
                   AND (held_until IS NULL OR held_until > now())
             ) AS "crowded!""#,
        clinic.0,
        doctor.0,
        range(&terms.kept_free),
        range(&day),
        most,
        ignored.0,
    )
    .fetch_one(db)
    .await?;
    Ok(crowded)
}

/// Bookings column by column, as the function `book` of the migrations takes them.
pub struct Columns<'a> {
    clinics: Vec<i64>,
    references: Vec<Uuid>,
    doctors: Vec<i64>,
    patients: Vec<i64>,
    during: Vec<PgRange<DateTime<Utc>>>,
    reasons: Vec<&'a str>,
    accounts: Vec<i64>,
    whole_clinic: Vec<bool>,
    owners: Vec<Option<i64>>,
    own_doctors: Vec<Option<i64>>,
    revisions: Vec<i64>,
    series: Vec<Option<i64>>,
    entries: Vec<Option<i64>>,
    held_until: Vec<Option<DateTime<Utc>>>,
    roles: Vec<&'a str>,
    requests: Vec<Uuid>,
}

impl<'a> Columns<'a> {
    /// The columns of these bookings.
    pub fn of(bookings: &[&'a Booking]) -> Self {
        fn column<'a, T>(bookings: &[&'a Booking], of: impl Fn(&'a Booking) -> T) -> Vec<T> {
            bookings.iter().copied().map(of).collect()
        }
        Self {
            clinics: column(bookings, |b| b.caller.clinic.0),
            references: column(bookings, |b| b.reference),
            doctors: column(bookings, |b| b.doctor.0),
            patients: column(bookings, |b| b.patient.0),
            during: column(bookings, |b| range(&b.during)),
            reasons: column(bookings, |b| b.reason.as_str()),
            accounts: column(bookings, |b| b.caller.account.0),
            whole_clinic: column(bookings, |b| b.bookable.whole_clinic),
            owners: column(bookings, |b| b.bookable.owner_id()),
            own_doctors: column(bookings, |b| b.bookable.doctor_id()),
            revisions: column(bookings, |b| b.terms.revision),
            series: column(bookings, |b| b.series.map(|id| id.0)),
            entries: column(bookings, |b| b.hold.map(|hold| hold.entry.0)),
            held_until: column(bookings, |b| b.hold.map(|hold| hold.until)),
            roles: column(bookings, |b| b.caller.role.as_str()),
            requests: column(bookings, |b| b.caller.request),
        }
    }
}

/// Inserts those that can be, in one round trip (the function `book` of the migrations).
async fn insert(db: &mut PgConnection, bookings: &[&Booking]) -> Result<Vec<(Uuid, Appointment)>> {
    if bookings.is_empty() {
        return Ok(Vec::new());
    }
    let columns = Columns::of(bookings);
    let rows = sqlx::query_as!(
        AppointmentRow,
        r#"SELECT clinic_id AS "clinic_id!", id AS "id!", reference AS "reference!", doctor_id AS "doctor_id!",
             patient_id AS "patient_id!", during AS "during!", status AS "status!", reason AS "reason!",
             created_by AS "created_by!", created_at AS "created_at!", updated_at AS "updated_at!",
             version AS "version!", series_id, waitlist_entry_id, held_until
         FROM book($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"#,
        &columns.clinics,
        &columns.references,
        &columns.doctors,
        &columns.patients,
        &columns.during,
        &columns.reasons as &[&str],
        &columns.accounts,
        &columns.whole_clinic,
        &columns.owners as &[Option<i64>],
        &columns.own_doctors as &[Option<i64>],
        &columns.revisions,
        &columns.series as &[Option<i64>],
        &columns.entries as &[Option<i64>],
        &columns.held_until as &[Option<DateTime<Utc>>],
        &columns.roles as &[&str],
        &columns.requests,
    )
    .fetch_all(&mut *db)
    .await?;
    let booked: Vec<(Uuid, Appointment)> =
        rows.into_iter().map(|row| Ok((row.reference, row.checked()?))).collect::<Result<_>>()?;
    for booking in bookings.iter().filter(|booking| booking.hold.is_some()) {
        // When a hold expires, the next who waits is offered its time.
        context::set(&mut *db, Context::Clinic(booking.caller.clinic), true).await?;
        sqlx::query!(
            "INSERT INTO waitlist_alarms (clinic_id, doctor_id, during, due_at)
             SELECT clinic_id, doctor_id, during, held_until
             FROM appointments
             WHERE clinic_id = $1 AND reference = $2 AND held_until IS NOT NULL",
            booking.caller.clinic.0,
            booking.reference,
        )
        .execute(&mut *db)
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

/// Why a booking was not inserted: everything that stands against it, or that it was decided on what
/// is not so any more.
async fn refusal(db: &mut PgConnection, booking: &Booking) -> Result<Written> {
    let known = sqlx::query!(
        r#"SELECT
             (SELECT is_active FROM doctors WHERE clinic_id = $1 AND id = $2 AND deleted_at IS NULL) AS doctor_active,
             (SELECT rules_revision FROM doctors WHERE clinic_id = $1 AND id = $2) AS revision,
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
        return Ok(Written::Refused(refusal));
    }
    let clinic = booking.caller.clinic;
    let is_outdated = refusal.violations.is_empty() && known.revision != Some(booking.terms.revision);
    if is_outdated || alarms::lapse(&mut *db, clinic, booking.doctor, booking.patient, &booking.during).await? {
        return Ok(Written::Outdated);
    }
    refusal.merge(busy(db, clinic, booking.doctor, booking.patient, &booking.during, None).await?);
    if refusal.violations.is_empty() {
        // What stood in the way has gone since: to the caller it was taken all the same.
        refusal.violations.push(Violation::SlotTaken);
    }
    Ok(Written::Refused(refusal))
}

/// What a booking's patient stands against it: nobody whom the caller may book, or busy elsewhere.
pub async fn patient_busy(db: &mut PgConnection, request: &BookingRequest, during: &Interval) -> Result<Refusal> {
    let clinic = request.caller.clinic;
    let is_known = sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT FROM patients
             WHERE clinic_id = $1 AND id = $2 AND deleted_at IS NULL
               AND ($3 OR created_by = $4 OR $5::bigint = $6)
         ) AS "known!""#,
        clinic.0,
        request.patient.0,
        request.bookable.whole_clinic,
        request.bookable.owner_id(),
        request.bookable.doctor_id(),
        request.doctor.0,
    )
    .fetch_one(&mut *db)
    .await?;
    if !is_known {
        return Ok(Refusal { violations: vec![Violation::NoSuchPatient], ..Refusal::default() });
    }
    let mut refusal = busy(db, clinic, request.doctor, request.patient, during, None).await?;
    // The doctor's side is the calendar's to say.
    refusal.violations.retain(|violation| *violation == Violation::PatientBusy);
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
