//! SQL of lists of appointments. One round trip reads several lists.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::{DateTime, Duration, TimeZone, Utc};

use super::context::GroupedDb;
use super::{Error, Page, Result, context};
use crate::domain::appointments::{Appointment, AppointmentFilter};
use crate::domain::fields::filled;
use crate::domain::interval::YEARS;
use crate::domain::lifecycle::Status;
use crate::domain::{AccountId, AppointmentId, ClinicId, DoctorId, Interval, PatientId, SeriesId, Visibility};

/// The longest span of days of one doctor that is read by its start.
const DOCTORS_DAYS: Duration = Duration::days(62);
/// The longest span of days of a whole clinic that is read by its start at once.
const FEW_DAYS: Duration = Duration::days(7);

/// A request for a list.
#[derive(Debug, Clone)]
pub struct AppointmentList {
    /// The clinic.
    pub clinic: ClinicId,
    /// The rows that the caller may see.
    pub seen: Visibility,
    /// The filters.
    pub filter: AppointmentFilter,
    /// The page.
    pub page: Page,
}

/// How a list is read. Each way has its own index, independent of other filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    OfPatient,
    OfDoctor,
    OfDoctorFiltered,
    OfDoctorInDays,
    OfOwner,
    OfOwnerFiltered,
    InDays,
    NewestInDays,
    OfStatus,
    Newest,
}

impl AppointmentList {
    /// Returns the doctor to read by. For a caller who sees only one doctor's rows it is that doctor.
    fn doctor(&self) -> Option<DoctorId> {
        self.filter.doctor.or(self.seen.only_doctor())
    }

    fn way(&self) -> Way {
        let filter = &self.filter;
        let days = filter.from.zip(filter.to).map(|(from, to)| to - from);
        let is_within = |most| days.is_some_and(|days| days <= most);
        let has_days = filter.from.is_some() || filter.to.is_some();
        let is_filtered = has_days || filter.status.is_some();
        let sees_all_of_doctor = self.seen.whole_clinic || self.seen.only_doctor().is_some();
        match () {
            () if filter.patient.is_some() => Way::OfPatient,
            () if self.doctor().is_some() => match () {
                () if is_within(DOCTORS_DAYS) => Way::OfDoctorInDays,
                () if is_filtered || !sees_all_of_doctor => Way::OfDoctorFiltered,
                () => Way::OfDoctor,
            },
            () if is_within(FEW_DAYS) => Way::InDays,
            () if self.seen.only_owner().is_some() && is_filtered => Way::OfOwnerFiltered,
            () if self.seen.only_owner().is_some() => Way::OfOwner,
            () if has_days => Way::NewestInDays,
            () if filter.status.is_some() => Way::OfStatus,
            () => Way::Newest,
        }
    }

    /// Returns whether the list reads few more rows than it returns, in a clinic of any size.
    pub fn is_quick(&self) -> bool {
        match self.way() {
            Way::OfPatient | Way::OfDoctor | Way::OfDoctorInDays | Way::OfOwner => true,
            Way::Newest => self.seen.whole_clinic,
            Way::OfDoctorFiltered | Way::OfOwnerFiltered | Way::InDays | Way::NewestInDays | Way::OfStatus => false,
        }
    }
}

/// Returns the matching appointments that the callers may see, newest first, in the order of the lists. Each [`Way`]
/// has its own statement: a generic plan serves all values, so a condition that selects an index must not be optional.
///
/// Each list is read in the context of its clinic. The planner needs a context too: without one it would expect no
/// rows.
pub async fn read_all(db: &mut GroupedDb<'_>, lists: &[AppointmentList]) -> Result<Vec<Vec<Appointment>>> {
    let mut found: Vec<Vec<Appointment>> = lists.iter().map(|_| Vec::new()).collect();
    let mut by_way: BTreeMap<Way, Vec<usize>> = BTreeMap::new();
    for (at, list) in lists.iter().enumerate().filter(|(_, list)| !list.seen.is_nothing()) {
        by_way.entry(list.way()).or_default().push(at);
    }
    for (way, mut asked) in by_way {
        read_by(&mut *db, way, lists, &asked, &mut found).await?;
        if way == Way::NewestInDays {
            // The newest appointments of the clinic contained too few matches, so all of the days are sorted.
            asked.retain(|at| (found[*at].len() as i64) < lists[*at].page.limit);
            asked.iter().for_each(|at| found[*at].clear());
            read_by(&mut *db, Way::InDays, lists, &asked, &mut found).await?;
        }
    }
    for list in &mut found {
        list.sort_unstable_by_key(|appointment| Reverse(appointment.id.0));
    }
    Ok(found)
}

/// Reads the `asked` lists in this way.
async fn read_by(
    db: &mut GroupedDb<'_>,
    way: Way,
    lists: &[AppointmentList],
    asked: &[usize],
    found: &mut [Vec<Appointment>],
) -> Result<()> {
    if asked.is_empty() {
        return Ok(());
    }
    let asked: Vec<(i32, &AppointmentList)> = asked.iter().map(|at| (*at as i32, &lists[*at])).collect();
    // The index of starts is read between two ends. No appointment lies outside these years.
    let start_of = |year| Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).single().filter(|_| way == Way::InDays);
    let ends = (start_of(*YEARS.start()), start_of(*YEARS.end() + 1));
    fn all<T>(asked: &[(i32, &AppointmentList)], of: impl Fn(&AppointmentList) -> T) -> Vec<T> {
        asked.iter().map(|(_, list)| of(list)).collect()
    }
    macro_rules! by {
        ([$($way:tt)+], $order:tt) => {{
            let rows = sqlx::query!(
                r#"SELECT q.request AS "request!", a.*
                 FROM unnest(
                     $1::bigint[], $2::integer[], $3::boolean[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                     $8::text[], $9::timestamptz[], $10::timestamptz[], $11::bigint[], $12::bigint[]
                 ) AS q (
                     clinic_id, request, sees_all, owner, sees_doctor, doctor, patient, status, since, until, before, most
                 )
                 CROSS JOIN LATERAL (
                     SELECT set_config('app.clinic_id', q.clinic_id::text, true)::bigint AS clinic_id OFFSET 0
                 ) AS c
                 CROSS JOIN LATERAL (
                     SELECT a.clinic_id, a.id, a.doctor_id, a.patient_id, a.starts_at, a.ends_at, a.status, a.reason,
                         a.series_id, a.created_by, a.created_at, a.updated_at, a.version
                     FROM (SELECT * FROM appointments WHERE clinic_id = c.clinic_id AND id < q.before AND "#
                    + $($way)+
                    + $order
                    + ") AS a
                     WHERE a.held_until IS NULL
                       AND (q.sees_all OR a.doctor_id = q.sees_doctor OR a.patient_owner = q.owner)
                       AND (q.doctor IS NULL OR a.doctor_id = q.doctor)
                       AND (q.patient IS NULL OR a.patient_id = q.patient)
                       AND (q.status IS NULL OR a.status = q.status)
                       AND (q.since IS NULL OR a.ends_at > q.since)
                       AND (q.until IS NULL OR a.starts_at < q.until)
                     ORDER BY a.id DESC
                     LIMIT q.most
                 ) AS a",
                &db.column(asked.iter().map(|(_, list)| list.clinic))?,
                &asked.iter().map(|(request, _)| *request).collect::<Vec<_>>(),
                &all(&asked, |list| list.seen.whole_clinic),
                &all(&asked, |list| list.seen.owner_id()) as &[Option<i64>],
                &all(&asked, |list| list.seen.doctor_id()) as &[Option<i64>],
                &all(&asked, |list| list.doctor().map(|id| id.0)) as &[Option<i64>],
                &all(&asked, |list| list.filter.patient.map(|id| id.0)) as &[Option<i64>],
                &all(&asked, |list| list.filter.status.map(Status::name)) as &[Option<&str>],
                &all(&asked, |list| list.filter.from.or(ends.0)) as &[Option<DateTime<Utc>>],
                &all(&asked, |list| list.filter.to.or(ends.1)) as &[Option<DateTime<Utc>>],
                &all(&asked, |list| list.page.before.unwrap_or(i64::MAX)),
                &all(&asked, |list| list.page.limit),
            )
            .fetch_all(db)
            .await?;
            for row in rows {
                let request = usize::try_from(row.request).ok();
                let list = request.and_then(|request| Some((lists.get(request)?, found.get_mut(request)?)));
                let (list, found) = list.ok_or_else(|| Error::Corrupt("an appointment of a list that was not requested".into()))?;
                context::same(list.clinic, row.clinic_id)?;
                let (status, during) = (Status::named(&row.status), Interval::between(row.starts_at, row.ends_at));
                let (status, during) = status.zip(during).ok_or_else(|| Error::Corrupt("an appointment's status or time".into()))?;
                found.push(filled!(Appointment {
                    id: AppointmentId(row.id),
                    doctor: DoctorId(row.doctor_id),
                    patient: PatientId(row.patient_id),
                    during,
                    status,
                    series: row.series_id.map(SeriesId),
                    created_by: AccountId(row.created_by),
                } from row { reason, created_at, updated_at, version }));
            }
        }};
    }
    // Reads from the newest row on until there are enough. OFFSET separates the other conditions: the planner estimates
    // them as so selective that it would sort all rows.
    macro_rules! newest {
        ($way:tt) => {
            by!([$way], " ORDER BY id DESC OFFSET 0")
        };
    }
    // Finds the ids by an index that has all filtered columns, and reads only those rows.
    macro_rules! filtered {
        ($way:tt) => {
            by!(
                ["id = ANY (ARRAY(
                             SELECT o.id
                             FROM appointments o
                             WHERE o.clinic_id = c.clinic_id AND o.held_until IS NULL AND o.id < q.before AND "
                    + $way
                    + "
                               AND (q.sees_all OR o.doctor_id = q.sees_doctor OR o.patient_owner = q.owner)
                               AND (q.status IS NULL OR o.status = q.status)
                               AND (q.since IS NULL OR o.ends_at > q.since)
                               AND (q.until IS NULL OR o.starts_at < q.until)
                             ORDER BY o.id DESC
                             LIMIT q.most
                         ))"],
                ""
            )
        };
    }
    // No appointment is longer than a day.
    match way {
        Way::OfPatient => newest!("patient_id = q.patient"),
        Way::OfDoctor => newest!("doctor_id = q.doctor AND held_until IS NULL"),
        Way::OfDoctorFiltered => filtered!("o.doctor_id = q.doctor"),
        Way::OfDoctorInDays => {
            by!(["doctor_id = q.doctor AND starts_at > q.since - interval '1 day' AND starts_at < q.until"], "")
        }
        Way::OfOwner => newest!("patient_owner = q.owner AND held_until IS NULL"),
        Way::OfOwnerFiltered => filtered!("o.patient_owner = q.owner"),
        Way::InDays => filtered!("o.starts_at > q.since - interval '1 day' AND o.starts_at < q.until"),
        Way::NewestInDays => by!(["true"], " ORDER BY id DESC LIMIT 10000"),
        Way::OfStatus => newest!("status = q.status"),
        Way::Newest => newest!("true"),
    }
    Ok(())
}
