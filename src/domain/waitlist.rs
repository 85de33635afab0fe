//! Who waits for a time, and what they are offered.

use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    AccountId, Caller, ClinicId, DoctorId, Identified, Interval, PatientId, Visibility, WaitlistEntryId,
    appointments::Appointment,
    calendar::{Calendar, Search},
};

/// Whom somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sought {
    /// One doctor.
    Doctor(DoctorId),
    /// Any doctor of this field of medicine, whatever its case.
    Specialization(String),
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryStatus {
    /// It waits.
    Waiting,
    /// A time is held for it.
    Offered,
    /// It has its appointment.
    Accepted,
    /// It was taken back.
    Withdrawn,
}

/// Which times an entry is content with, in the doctor's local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The first day.
    pub first_day: NaiveDate,
    /// The last day.
    pub last_day: NaiveDate,
    /// The earliest start of a day.
    pub earliest_time: NaiveTime,
    /// The latest start of a day.
    pub latest_time: NaiveTime,
    /// For how long; the doctor's slot length where absent.
    pub length: Option<Duration>,
}

/// A wish to wait.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// Who waits.
    pub patient: PatientId,
    /// For whom.
    pub sought: Sought,
    /// For which times.
    pub wanted: Wanted,
    /// Why, in words.
    pub reason: String,
}

/// Somebody who waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The row's id; the lower waits longer.
    pub id: WaitlistEntryId,
    /// Who waits.
    pub patient: PatientId,
    /// For whom.
    pub sought: Sought,
    /// For which times.
    pub wanted: Wanted,
    /// Why, in words.
    pub reason: String,
    /// Where it stands.
    pub status: EntryStatus,
    /// What is held for it, and until when.
    pub offer: Option<(Appointment, DateTime<Utc>)>,
    /// The account that entered it.
    pub created_by: AccountId,
    /// When it was entered.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts the changes, from 1; while something is offered, less than 0 and another for each offer.
    pub version: i64,
}

impl Identified for Entry {
    fn id(&self) -> i64 {
        self.id.0
    }
}

/// A wish to take what an entry is offered.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// Who asks.
    pub caller: Caller,
    /// For which entry.
    pub entry: WaitlistEntryId,
    /// Whose time it was seen to be offered.
    pub doctor: DoctorId,
    /// Within which entries the caller may accept.
    pub reach: Visibility,
    /// The version that the entry must still have.
    pub expected: Option<i64>,
}

/// A time of a doctor that those who wait may be offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// Where.
    pub clinic: ClinicId,
    /// The row's id.
    pub id: i64,
    /// Whose time.
    pub doctor: DoctorId,
    /// Which time.
    pub during: Interval,
}

/// What makes a booking a hold: nobody sees it until it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// For which entry.
    pub entry: WaitlistEntryId,
    /// For how long at most: a hold ends at the latest when its time begins.
    pub length: Duration,
}

impl Wanted {
    /// The times within `free` that suit, that the calendar allows and that overlap none of `busy`: the free time's own
    /// start, then the starts of the slot grid.
    pub fn fits<'a>(
        &'a self,
        free: &'a Interval,
        calendar: &'a Calendar,
        busy: &'a [Interval],
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = Interval> + 'a {
        let length = self.length.unwrap_or(calendar.rules().slot);
        let search = Search { from: free.start(), to: free.end(), length, also_busy: busy, ignored: None, now };
        let own = Interval::starting(free.start(), length).filter(|slot| {
            calendar.violations(slot, None, now).is_empty() && !busy.iter().any(|busy| busy.overlaps(slot))
        });
        own.into_iter()
            .chain(calendar.free(search).filter(move |slot| Some(*slot) != own))
            .filter(|slot| slot.end() <= free.end() && self.suits(calendar, slot.start()))
    }

    fn suits(&self, calendar: &Calendar, start: DateTime<Utc>) -> bool {
        let local = start.with_timezone(&calendar.rules().zone).naive_local();
        (self.first_day..=self.last_day).contains(&local.date())
            && (self.earliest_time..=self.latest_time).contains(&local.time())
    }
}

impl Entry {
    /// In whose name the entry is offered a time.
    pub fn caller(&self, clinic: ClinicId, request: uuid::Uuid) -> Caller {
        Caller { clinic, account: self.created_by, role: "waitlist".into(), doctor: None, request, retry: None }
    }

    /// Every patient may be booked from the list: who entered them was asked then.
    pub const BOOKABLE: Visibility = Visibility::WHOLE_CLINIC;
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::domain::{AppointmentId, calendar::Rules};

    fn span(from: &str, to: &str) -> Interval {
        let at = |time: &str| format!("2030-01-07T{time}:00Z").parse().unwrap();
        Interval::between(at(from), at(to)).unwrap()
    }

    fn wanted(earliest: &str, latest: &str) -> Wanted {
        let time = |text| NaiveTime::parse_from_str(text, "%H:%M").unwrap();
        let day = "2030-01-07".parse().unwrap();
        Wanted { first_day: day, last_day: day, earliest_time: time(earliest), latest_time: time(latest), length: None }
    }

    #[test]
    fn a_freed_time_is_offered_if_it_suits_and_can_be_booked() {
        let now = "2030-01-01T00:00:00Z".parse().unwrap();
        let rules = Rules::unset(Tz::UTC, Duration::minutes(30));
        let calendar = Calendar::new(rules, [(AppointmentId(1), span("10:00", "10:20"))]);
        let freed = span("10:00", "11:30");
        let fit = |wanted: Wanted| wanted.fits(&freed, &calendar, &[], now).next();
        assert_eq!(fit(wanted("00:00", "23:59")), Some(span("10:30", "11:00")));
        assert_eq!(fit(wanted("10:45", "23:59")), Some(span("11:00", "11:30")));
        assert_eq!(fit(wanted("11:01", "23:59")), None);
        assert_eq!(fit(Wanted { length: Some(Duration::minutes(90)), ..wanted("00:00", "23:59") }), None);
        let elsewhere = Wanted {
            first_day: "2030-01-08".parse().unwrap(),
            last_day: "2030-01-09".parse().unwrap(),
            ..wanted("00:00", "23:59")
        };
        assert_eq!(fit(elsewhere), None);
    }

    #[test]
    fn a_freed_time_off_the_grid_is_offered_unchanged() {
        let now = "2030-01-01T00:00:00Z".parse().unwrap();
        let calendar = Calendar::new(Rules::unset(Tz::UTC, Duration::minutes(30)), []);
        let freed = span("10:10", "10:40");
        assert_eq!(wanted("00:00", "23:59").fits(&freed, &calendar, &[], now).next(), Some(freed));
    }
}
