//! SQL of versioned calendars: reads them, brings copies up to date, and locks them for a transaction that changes
//! them.
//!
//! The order of locks, for every transaction that locks more than one row: the clinic's version, the doctors' versions
//! by id, the idempotency key, patients, then everything else.

use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Utc, Weekday};
use serde::{Deserialize, Serialize};
use sqlx::postgres::types::PgRange;
use sqlx::types::Json;

use super::context::{ClinicDb, GroupedDb};
use super::ranges::{interval, range};
use super::{Error, Result, context, stored_zone};
use crate::domain::calendar::{Calendar, CalendarCopy, ClosedDays, Hours, Rules, SpanChange, Versions, Window};
use crate::domain::proposal::{PatientSide, Proposal};
use crate::domain::{AppointmentId, ClinicId, DoctorId, PatientId, Visibility};

/// A window as `working_hours.windows` stores it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WindowRow {
    weekday: u8,
    start: NaiveTime,
    end: NaiveTime,
}

/// Hours as the calendar's statement returns them.
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

/// The versions of the state that a copy of a calendar shows.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The doctor's clinic.
    pub clinic: ClinicId,
    /// The doctor of the calendar.
    pub doctor: DoctorId,
    /// The versions of the state.
    pub versions: Versions,
}

/// A question to the database: whether a patient's appointments prevent a time.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// The patient's clinic.
    pub clinic: ClinicId,
    /// The doctor of the proposal.
    pub doctor: DoctorId,
    /// The patient.
    pub patient: PatientId,
    /// Which patients the caller may book.
    pub bookable: Visibility,
    /// The requested time.
    pub proposal: Proposal,
}

/// The changes of a calendar since a known state.
#[derive(Debug)]
pub enum Since {
    /// These appointments were changed. The calendar now has these versions.
    Changed(Versions, Vec<SpanChange>),
    /// The rules were changed too, so the calendar must be read in full.
    Rules,
    /// The calendar does not exist any more.
    Gone,
}

/// Reads the changes of calendars, and the patients' appointments that matter for proposals, in the order of the
/// arguments. One round trip and one snapshot (the function `read_calendars` of the migrations).
pub async fn read(
    db: &mut GroupedDb<'_>,
    known: &[Known],
    questions: &[Question],
) -> Result<(Vec<Since>, Vec<PatientSide>)> {
    fn column<T, C>(of: &[T], value: impl Fn(&T) -> C) -> Vec<C> {
        of.iter().map(value).collect()
    }
    let rows = sqlx::query!(
        r#"SELECT calendar, question, clinic_id AS "clinic_id!", version, clinic_version, is_whole, is_known, ids,
             during AS "during: Vec<PgRange<DateTime<Utc>>>", is_active,
             held_until AS "held_until: Vec<Option<DateTime<Utc>>>"
         FROM read_calendars($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"#,
        &db.column(known.iter().map(|known| known.clinic))?,
        &column(known, |known| known.doctor.0),
        &column(known, |known| known.versions.doctor),
        &column(known, |known| known.versions.clinic),
        &db.column(questions.iter().map(|asked| asked.clinic))?,
        &column(questions, |asked| asked.doctor.0),
        &column(questions, |asked| asked.patient.0),
        &column(questions, |asked| range(&asked.proposal.during)),
        &column(questions, |asked| asked.bookable.whole_clinic),
        &column(questions, |asked| asked.bookable.owner_id()) as &[Option<i64>],
        &column(questions, |asked| asked.bookable.doctor_id()) as &[Option<i64>],
        &column(questions, |asked| asked.proposal.ignored.map_or(0, |id| id.0)),
    )
    .fetch_all(db)
    .await?;
    let place = |number: Option<i32>| number.and_then(|number| usize::try_from(number - 1).ok());
    let mut since: Vec<_> = known.iter().map(|_| Since::Gone).collect();
    let mut sides = vec![PatientSide::default(); questions.len()];
    for row in rows {
        let times = row.during.unwrap_or_default();
        let times = times.iter().map(interval).collect::<Result<Vec<_>>>()?;
        let (calendar, question) = (place(row.calendar), place(row.question));
        if let Some((side, asked)) = question.and_then(|at| Some((sides.get_mut(at)?, questions.get(at)?))) {
            context::same(asked.clinic, row.clinic_id)?;
            *side = PatientSide { is_known: row.is_known == Some(true), busy: times };
        } else if let Some((since, asked)) = calendar.and_then(|at| Some((since.get_mut(at)?, known.get(at)?))) {
            context::same(asked.clinic, row.clinic_id)?;
            let versions = row.version.zip(row.clinic_version).map(|(doctor, clinic)| Versions { doctor, clinic });
            let versions = versions.ok_or_else(|| Error::Corrupt("a calendar without versions".into()))?;
            let (ids, active) = (row.ids.unwrap_or_default(), row.is_active.unwrap_or_default());
            let held = row.held_until.unwrap_or_default();
            let changes = ids.into_iter().zip(times).zip(active).zip(held);
            let changes = changes.map(|(((id, during), is_active), held_until)| SpanChange {
                appointment: AppointmentId(id),
                during,
                is_active,
                held_until,
                is_new: false,
            });
            let is_whole = row.is_whole != Some(false);
            *since = if is_whole { Since::Rules } else { Since::Changed(versions, changes.collect()) };
        }
    }
    Ok((since, sides))
}

/// Brings a copy up to date. Returns `None` if the doctor does not exist any more.
pub async fn catch_up(db: &mut ClinicDb<'_>, doctor: DoctorId, copy: CalendarCopy) -> Result<Option<CalendarCopy>> {
    let known = Known { clinic: db.clinic(), doctor, versions: copy.versions };
    let since = read(&mut db.grouped(), &[known], &[]).await?.0.pop().unwrap_or(Since::Gone);
    resolve(db, known, copy, since).await
}

/// Applies the changes to a copy. If the rules changed, it reads the calendar in full, in its clinic's context.
pub async fn resolve(
    db: &mut ClinicDb<'_>,
    known: Known,
    mut copy: CalendarCopy,
    since: Since,
) -> Result<Option<CalendarCopy>> {
    match since {
        Since::Changed(versions, changes) => {
            copy.catch_up(versions, &changes);
            Ok(Some(copy))
        }
        Since::Rules => match load(db, known.doctor).await {
            Ok(copy) => Ok(Some(copy)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        },
        Since::Gone => Ok(None),
    }
}

/// Locks a doctor's calendar until the transaction ends, so that no other transaction changes it, and returns its
/// versions. If the calendar is locked, it waits with `waits`, and returns `None` without.
///
/// # Errors
/// [`Error::NotFound`] if the doctor never existed. [`Error::TryAgain`] if the wait took too long.
pub async fn hold(db: &mut ClinicDb<'_>, doctor: DoctorId, waits: bool) -> Result<Option<Versions>> {
    let of_clinic =
        sqlx::query_scalar!("SELECT version FROM clinic_versions WHERE clinic_id = $1 FOR SHARE", db.clinic().0);
    let if_free = sqlx::query_scalar!(
        "SELECT version FROM clinic_versions WHERE clinic_id = $1 FOR SHARE SKIP LOCKED",
        db.clinic().0,
    );
    let found =
        if waits { of_clinic.fetch_optional(&mut *db).await? } else { if_free.fetch_optional(&mut *db).await? };
    let Some(of_clinic) = found else { return Ok(None) };
    let of_doctor = sqlx::query_scalar!(
        "SELECT version FROM calendar_versions WHERE clinic_id = $1 AND doctor_id = $2 FOR NO KEY UPDATE",
        db.clinic().0,
        doctor.0,
    );
    let if_free = sqlx::query_scalar!(
        "SELECT version FROM calendar_versions WHERE clinic_id = $1 AND doctor_id = $2 FOR NO KEY UPDATE SKIP LOCKED",
        db.clinic().0,
        doctor.0,
    );
    let found = if waits { Some(of_doctor.fetch_one(db).await?) } else { if_free.fetch_optional(db).await? };
    Ok(found.map(|version| Versions { doctor: version, clinic: of_clinic }))
}

/// Locks the calendars of several doctors, in the order of locks.
pub async fn hold_all(db: &mut ClinicDb<'_>, doctors: &[i64]) -> Result<()> {
    sqlx::query!("SELECT version FROM clinic_versions WHERE clinic_id = $1 FOR SHARE", db.clinic().0)
        .fetch_optional(&mut *db)
        .await?;
    sqlx::query!(
        "SELECT version FROM calendar_versions
         WHERE clinic_id = $1 AND doctor_id = ANY($2)
         ORDER BY doctor_id
         FOR NO KEY UPDATE",
        db.clinic().0,
        doctors,
    )
    .fetch_all(db)
    .await?;
    Ok(())
}

/// Increases the version of a doctor's calendar and returns it. It is the stamp of the appointments that the
/// transaction changes.
pub async fn advance(db: &mut ClinicDb<'_>, doctor: DoctorId) -> Result<i64> {
    let version = sqlx::query_scalar!(
        "UPDATE calendar_versions SET version = version + 1 WHERE clinic_id = $1 AND doctor_id = $2 RETURNING version",
        db.clinic().0,
        doctor.0,
    );
    Ok(version.fetch_one(db).await?)
}

/// Increases the version of a doctor's calendar because its rules change, and returns it.
pub async fn advance_rules(db: &mut ClinicDb<'_>, doctor: DoctorId) -> Result<i64> {
    let version = sqlx::query_scalar!(
        "UPDATE calendar_versions SET version = version + 1, rules_version = version + 1
         WHERE clinic_id = $1 AND doctor_id = $2
         RETURNING version",
        db.clinic().0,
        doctor.0,
    );
    Ok(version.fetch_one(db).await?)
}

/// Locks every calendar of a clinic until the transaction ends.
pub async fn hold_clinic(db: &mut ClinicDb<'_>) -> Result<()> {
    sqlx::query!("SELECT version FROM clinic_versions WHERE clinic_id = $1 FOR NO KEY UPDATE", db.clinic().0)
        .fetch_one(db)
        .await?;
    Ok(())
}

/// Increases the version of the rules that apply to all doctors of a clinic.
pub async fn advance_clinic(db: &mut ClinicDb<'_>) -> Result<()> {
    sqlx::query!("UPDATE clinic_versions SET version = version + 1 WHERE clinic_id = $1", db.clinic().0)
        .execute(db)
        .await?;
    Ok(())
}

/// Returns the version of a doctor's rules: the `ETag` of the working hours.
pub async fn rules_version(db: &mut ClinicDb<'_>, doctor: DoctorId) -> Result<i64> {
    let version = sqlx::query_scalar!(
        "SELECT rules_version FROM calendar_versions WHERE clinic_id = $1 AND doctor_id = $2",
        db.clinic().0,
        doctor.0,
    );
    Ok(version.fetch_one(db).await?)
}

/// Returns a doctor's calendar: the rules, and the active appointments that ended recently or have not ended.
///
/// # Errors
/// [`Error::NotFound`] if the clinic has no such doctor.
pub async fn load(db: &mut ClinicDb<'_>, doctor: DoctorId) -> Result<CalendarCopy> {
    let loaded = load_all(db, &[doctor.0]).await?.pop();
    loaded.map(|(_, copy)| copy).ok_or(Error::NotFound)
}

/// Returns the calendars of these doctors, except missing ones. One statement, so that each calendar is from one
/// snapshot.
pub async fn load_all(db: &mut ClinicDb<'_>, doctors: &[i64]) -> Result<Vec<(DoctorId, CalendarCopy)>> {
    let rows = sqlx::query!(
        r#"SELECT d.id, d.is_active, d.slot_minutes, COALESCE(d.time_zone, c.time_zone) AS "time_zone!",
             d.buffer_before_minutes, d.buffer_after_minutes, d.max_appointments_per_day,
             d.min_notice_minutes, d.max_horizon_days, v.version, cv.version AS clinic_version,
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
             taken.ids, taken.times AS "times: Vec<PgRange<DateTime<Utc>>>",
             taken.held AS "held: Vec<Option<DateTime<Utc>>>"
         FROM doctors d
         JOIN clinics c ON c.clinic_id = d.clinic_id
         JOIN clinic_versions cv ON cv.clinic_id = d.clinic_id
         JOIN calendar_versions v ON v.clinic_id = d.clinic_id AND v.doctor_id = d.id
         CROSS JOIN LATERAL (
             SELECT array_agg(a.id ORDER BY a.id) AS ids, array_agg(a.during ORDER BY a.id) AS times,
                 array_agg(a.held_until ORDER BY a.id) AS held
             FROM appointments a
             WHERE a.clinic_id = d.clinic_id AND a.doctor_id = d.id
               AND a.status IN ('SCHEDULED', 'CONFIRMED', 'CHECKED_IN', 'COMPLETED')
               AND (a.held_until IS NULL OR a.held_until > now())
               AND a.starts_at > now() - interval '3 days' AND a.ends_at > now() - interval '2 days'
         ) AS taken
         WHERE d.clinic_id = $1 AND d.id = ANY($2) AND d.deleted_at IS NULL"#,
        db.clinic().0,
        doctors,
    )
    .fetch_all(db)
    .await?;
    let minutes = |minutes: i32| Duration::minutes(minutes.into());
    let mut copies = Vec::with_capacity(rows.len());
    for row in rows {
        let hours = row.hours.map(|hours| hours.0).unwrap_or_default();
        let time_off = row.time_off.unwrap_or_default();
        let closed = row.closed.map(|closed| closed.0).unwrap_or_default();
        let rules = Rules {
            is_active: row.is_active,
            slot: minutes(row.slot_minutes),
            zone: stored_zone(&row.time_zone)?,
            buffer_before: minutes(row.buffer_before_minutes),
            buffer_after: minutes(row.buffer_after_minutes),
            most_a_day: row.max_appointments_per_day.and_then(|most| most.try_into().ok()),
            notice: minutes(row.min_notice_minutes),
            horizon_days: row.max_horizon_days.and_then(|days| days.try_into().ok()),
            hours: hours.into_iter().map(HoursRow::checked).collect::<Result<_>>()?,
            time_off: time_off.iter().map(interval).collect::<Result<_>>()?,
            closed: closed.into_iter().map(|(first, last)| ClosedDays { first, last }).collect(),
        };
        let ids: Vec<_> = row.ids.unwrap_or_default().into_iter().map(AppointmentId).collect();
        let times = row.times.unwrap_or_default();
        let times = times.iter().map(interval).collect::<Result<Vec<_>>>()?;
        let mut calendar = Calendar::new(rules, ids.iter().copied().zip(times));
        for (id, until) in ids.into_iter().zip(row.held.unwrap_or_default()) {
            until.into_iter().for_each(|until| calendar.hold(id, until));
        }
        let versions = Versions { doctor: row.version, clinic: row.clinic_version };
        copies.push((DoctorId(row.id), CalendarCopy::new(calendar, versions)));
    }
    Ok(copies)
}
