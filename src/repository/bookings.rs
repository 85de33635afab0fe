//! SQL that writes bookings of several calendars in one round trip, and finds them again.

use chrono::{DateTime, Utc};
use sqlx::postgres::types::{PgInterval, PgRange};
use uuid::Uuid;

use super::appointments::AppointmentRow;
use super::context::{ClinicDb, GroupedDb};
use super::ranges::{interval, range};
use super::{Error, Result, context};
use crate::domain::appointments::{Appointment, Booking};
use crate::domain::calendar::{SpanChange, Versions};
use crate::domain::lifecycle::Status;
use crate::domain::{AppointmentId, ClinicId, DoctorId, Interval, PatientId, WaitlistEntryId};

/// Bookings of one calendar to write, and the state by which they were decided.
pub struct CalendarBookings<'a> {
    /// The doctor's clinic.
    pub clinic: ClinicId,
    /// The doctor of the calendar.
    pub doctor: DoctorId,
    /// The versions of the state by which the bookings were decided.
    pub versions: Versions,
    /// Whether a later state with the same rules is sufficient. Only an overlap can prevent a booking then, and the
    /// database refuses overlaps itself.
    pub by_rules: bool,
    /// The bookings.
    pub bookings: Vec<&'a Booking>,
}

/// The outcome of a booking to write.
#[derive(Debug)]
pub enum Inserted {
    /// The booking has its row.
    Booked(Appointment, SpanChange),
    /// No row was written, although the calendar was in the expected state: the patient is unknown or locked, or a
    /// constraint refused it.
    Not {
        /// Whether the patient is known to the caller and could be locked.
        has_patient: bool,
    },
    /// No row was written: the attempt no longer holds its idempotency key, or the key is locked.
    WithoutKey,
    /// No row was written: the calendar, which the transaction has now locked, is in another state.
    Outdated,
    /// No row was written: the calendar is locked by another transaction.
    Held,
}

/// Bookings column by column, as the function `book` of the migrations takes them.
pub struct Columns<'a> {
    calendars: Vec<i32>,
    references: Vec<Uuid>,
    patients: Vec<i64>,
    during: Vec<PgRange<DateTime<Utc>>>,
    reasons: Vec<&'a str>,
    accounts: Vec<i64>,
    whole_clinic: Vec<bool>,
    owners: Vec<Option<i64>>,
    own_doctors: Vec<Option<i64>>,
    series: Vec<Option<i64>>,
    entries: Vec<Option<i64>>,
    holds: Vec<Option<PgInterval>>,
    roles: Vec<&'a str>,
    requests: Vec<Uuid>,
    keys: Vec<Option<&'a str>>,
    claims: Vec<Option<Uuid>>,
}

impl<'a> Columns<'a> {
    /// Creates the columns of bookings, each given with the position of its calendar, from 1.
    pub fn of(bookings: &[(i32, &'a Booking)]) -> Self {
        fn column<'a, T>(bookings: &[(i32, &'a Booking)], of: impl Fn(&'a Booking) -> T) -> Vec<T> {
            bookings.iter().map(|(_, booking)| of(booking)).collect()
        }
        // The bookings of a series are stored for its key together, elsewhere.
        let key = |b: &'a Booking| b.request.caller.retry.as_deref().filter(|_| b.series.is_none());
        Self {
            calendars: bookings.iter().map(|(calendar, _)| *calendar).collect(),
            references: column(bookings, |b| b.reference),
            patients: column(bookings, |b| b.request.patient.0),
            during: column(bookings, |b| range(&b.during)),
            reasons: column(bookings, |b| b.request.reason.as_str()),
            accounts: column(bookings, |b| b.request.caller.account.0),
            whole_clinic: column(bookings, |b| b.request.bookable.whole_clinic),
            owners: column(bookings, |b| b.request.bookable.owner_id()),
            own_doctors: column(bookings, |b| b.request.bookable.doctor_id()),
            series: column(bookings, |b| b.series.map(|id| id.0)),
            entries: column(bookings, |b| b.request.hold.map(|hold| hold.entry.0)),
            holds: column(bookings, |b| b.request.hold.and_then(|hold| PgInterval::try_from(hold.length).ok())),
            roles: column(bookings, |b| b.request.caller.role.as_str()),
            requests: column(bookings, |b| b.request.caller.request),
            keys: column(bookings, |b| key(b).map(|retry| retry.key.as_str())),
            claims: column(bookings, |b| key(b).map(|retry| retry.claim)),
        }
    }
}

/// Writes the bookings whose calendars are still in the state by which they were decided, with their audit events.
/// Returns the version of each calendar and the outcomes of its bookings, in order. It takes one round trip (the
/// function `book` of the migrations). The transaction locks every calendar that is not locked yet, and increases the
/// version of each calendar for which it wrote bookings. A calendar whose clinic is being changed counts as locked.
pub async fn insert(db: &mut GroupedDb<'_>, asked: &[CalendarBookings<'_>]) -> Result<Vec<(i64, Vec<Inserted>)>> {
    let numbered = (1..).zip(asked).flat_map(|(n, asked)| asked.bookings.iter().map(move |booking| (n, *booking)));
    let numbered: Vec<(i32, &Booking)> = numbered.collect();
    let columns = Columns::of(&numbered);
    let rows = sqlx::query!(
        r#"SELECT booking AS "booking!", calendar AS "calendar!", version AS "version!", has_patient AS "has_patient!",
             has_key AS "has_key!", clinic_id AS "clinic_id!", id, made_at, held_until
         FROM book(
             $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21
         )
         ORDER BY booking"#,
        &db.column(asked.iter().map(|asked| asked.clinic))?,
        &asked.iter().map(|asked| asked.doctor.0).collect::<Vec<_>>(),
        &asked.iter().map(|asked| asked.versions.doctor).collect::<Vec<_>>(),
        &asked.iter().map(|asked| asked.versions.clinic).collect::<Vec<_>>(),
        &asked.iter().map(|asked| asked.by_rules).collect::<Vec<_>>(),
        &columns.calendars,
        &columns.references,
        &columns.patients,
        &columns.during,
        &columns.reasons as &[&str],
        &columns.accounts,
        &columns.whole_clinic,
        &columns.owners as &[Option<i64>],
        &columns.own_doctors as &[Option<i64>],
        &columns.series as &[Option<i64>],
        &columns.entries as &[Option<i64>],
        &columns.holds as &[Option<PgInterval>],
        &columns.roles as &[&str],
        &columns.requests,
        &columns.keys as &[Option<&str>],
        &columns.claims as &[Option<Uuid>],
    )
    .fetch_all(&mut *db)
    .await?;
    if rows.len() != numbered.len() {
        return Err(Error::Corrupt("book returned no outcome for a booking".into()));
    }
    let mut inserted: Vec<_> = asked.iter().map(|_| (0, Vec::new())).collect();
    for (row, (calendar, booking)) in rows.into_iter().zip(numbered) {
        context::same(booking.request.caller.clinic, row.clinic_id)?;
        let outcome = match (row.calendar, row.id.zip(row.made_at)) {
            (0, Some((id, made_at))) => booked(booking, AppointmentId(id), made_at, row.held_until),
            (0, None) if !row.has_key => Inserted::WithoutKey,
            (0, None) => Inserted::Not { has_patient: row.has_patient },
            (1, _) => Inserted::Outdated,
            _ => Inserted::Held,
        };
        if let Some((version, outcomes)) = usize::try_from(calendar - 1).ok().and_then(|at| inserted.get_mut(at)) {
            *version = row.version;
            outcomes.push(outcome);
        }
    }
    Ok(inserted)
}

fn booked(booking: &Booking, id: AppointmentId, made_at: DateTime<Utc>, held_until: Option<DateTime<Utc>>) -> Inserted {
    let appointment = Appointment {
        id,
        doctor: booking.request.doctor,
        patient: booking.request.patient,
        during: booking.during,
        status: Status::Scheduled,
        reason: booking.request.reason.clone(),
        series: booking.series,
        created_by: booking.request.caller.account,
        created_at: made_at,
        updated_at: made_at,
        version: 1,
    };
    let change = SpanChange { appointment: id, during: booking.during, is_active: true, held_until, is_new: true };
    Inserted::Booked(appointment, change)
}

/// Sets an alarm for the end of a hold. Its time is then offered to the next entry.
pub async fn alarm_at_the_end(db: &mut ClinicDb<'_>, doctor: DoctorId, held: &SpanChange) -> Result<()> {
    sqlx::query!(
        "INSERT INTO waitlist_alarms (clinic_id, doctor_id, during, due_at) VALUES ($1, $2, $3, $4)",
        db.clinic().0,
        doctor.0,
        range(&held.during),
        held.held_until,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Returns the active appointments of a doctor that overlap a time, as the database has them. None is longer than a
/// day, so the search can use the index of starts.
pub async fn overlapping(db: &mut ClinicDb<'_>, doctor: DoctorId, during: &Interval) -> Result<Vec<Interval>> {
    let times = sqlx::query_scalar!(
        r#"SELECT during AS "during!: PgRange<DateTime<Utc>>"
         FROM appointments
         WHERE clinic_id = $1 AND doctor_id = $2
           AND starts_at > lower($3::tstzrange) - interval '24 hours' AND starts_at < upper($3::tstzrange) AND ends_at > lower($3::tstzrange)
           AND status IN ('SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED')
         ORDER BY during"#,
        db.clinic().0,
        doctor.0,
        range(during),
    )
    .fetch_all(db)
    .await?;
    times.iter().map(interval).collect()
}

/// Returns the active appointments of a patient that overlap a span. Expired holds do not count.
pub async fn patient_busy(db: &mut ClinicDb<'_>, patient: PatientId, within: &Interval) -> Result<Vec<Interval>> {
    let times = sqlx::query_scalar!(
        r#"SELECT during AS "during!: PgRange<DateTime<Utc>>"
         FROM appointments
         WHERE clinic_id = $1 AND patient_id = $2
           AND starts_at > lower($3::tstzrange) - interval '24 hours' AND starts_at < upper($3::tstzrange) AND ends_at > lower($3::tstzrange)
           AND status IN ('SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED')
           AND (held_until IS NULL OR held_until > now())
         ORDER BY during"#,
        db.clinic().0,
        patient.0,
        range(within),
    )
    .fetch_all(db)
    .await?;
    times.iter().map(interval).collect()
}

/// Returns whether a waitlist entry has a hold.
pub async fn is_offered(db: &mut ClinicDb<'_>, entry: WaitlistEntryId) -> Result<bool> {
    let offered = sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT FROM appointments
             WHERE clinic_id = $1 AND waitlist_entry_id = $2 AND held_until IS NOT NULL AND status = 'SCHEDULED'
         ) AS "offered!""#,
        db.clinic().0,
        entry.0,
    );
    Ok(offered.fetch_one(db).await?)
}

/// Returns the appointments that were booked with these references.
pub async fn find(db: &mut ClinicDb<'_>, references: &[Uuid]) -> Result<Vec<(Uuid, Appointment)>> {
    let rows = sqlx::query_as!(
        AppointmentRow,
        "SELECT * FROM appointments WHERE clinic_id = $1 AND reference = ANY($2)",
        db.clinic().0,
        references,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(|row| Ok((row.reference, row.checked()?))).collect()
}
