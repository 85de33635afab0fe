//! The waitlist: its entries, and the times that are offered to them.

use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Utc};
use serde::{Deserialize, Serialize};

use super::appointments::Appointment;
use super::calendar::{Calendar, Search};
use super::{AccountId, Caller, ClinicId, DoctorId, Identified, Interval, PatientId, Visibility, WaitlistEntryId};

/// The doctors that an entry waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sought {
    /// One doctor.
    Doctor(DoctorId),
    /// Any doctor of this specialization; case is ignored.
    Specialization(String),
}

/// The status of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryStatus {
    /// The entry has no offer.
    Waiting,
    /// A time is held for the entry.
    Offered,
    /// The offer was accepted and is now an appointment.
    Accepted,
    /// The entry was withdrawn.
    Withdrawn,
}

/// The times that suit an entry, in the doctor's local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedTimes {
    /// The first day.
    pub first_day: NaiveDate,
    /// The last day.
    pub last_day: NaiveDate,
    /// The earliest start within a day.
    pub earliest_time: NaiveTime,
    /// The latest start within a day.
    pub latest_time: NaiveTime,
    /// The length; `None` means the doctor's slot length.
    pub length: Option<Duration>,
}

/// An entry to be created.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// The patient who waits.
    pub patient: PatientId,
    /// The doctors that the patient waits for.
    pub sought: Sought,
    /// The times that suit the patient.
    pub wanted: WantedTimes,
    /// Why the patient comes, as free text.
    pub reason: String,
}

/// An entry of the waitlist: a patient who waits for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The row's id. Lower ids have waited longer.
    pub id: WaitlistEntryId,
    /// The patient who waits.
    pub patient: PatientId,
    /// The doctors that the patient waits for.
    pub sought: Sought,
    /// The times that suit the patient.
    pub wanted: WantedTimes,
    /// Why the patient comes, as free text.
    pub reason: String,
    /// The entry's status.
    pub status: EntryStatus,
    /// The time held for the entry, and when the hold ends.
    pub offer: Option<(Appointment, DateTime<Utc>)>,
    /// The account that created it.
    pub created_by: AccountId,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts the changes, from 1. While a time is offered it is negative, with another value for each offer.
    pub version: i64,
}

impl Identified for Entry {
    fn id(&self) -> i64 {
        self.id.0
    }
}

/// A request to accept the time offered to an entry.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// The caller.
    pub caller: Caller,
    /// The entry.
    pub entry: WaitlistEntryId,
    /// The doctor of the offer that the caller saw.
    pub doctor: DoctorId,
    /// The entries that the caller may accept for.
    pub reach: Visibility,
    /// The version that the entry must have; `None` accepts any.
    pub expected: Option<i64>,
}

/// A time of a doctor that became free and may be offered to the waitlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// The clinic.
    pub clinic: ClinicId,
    /// The row's id.
    pub id: i64,
    /// The doctor.
    pub doctor: DoctorId,
    /// The time that became free.
    pub during: Interval,
}

impl WantedTimes {
    /// Returns the times within `free` that suit the entry, that the calendar allows and that do not overlap `busy`.
    /// The first candidate is the start of `free`; the starts of the slot grid follow.
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
    /// Returns the caller on whose behalf a time is offered: the account that created the entry.
    pub fn caller(&self, clinic: ClinicId, request: uuid::Uuid) -> Caller {
        Caller { clinic, account: self.created_by, role: "waitlist".into(), doctor: None, request, retry: None }
    }

    /// The waitlist may book every patient. The rights were checked when the entry was created.
    pub const BOOKABLE: Visibility = Visibility::WHOLE_CLINIC;
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::domain::AppointmentId;
    use crate::domain::calendar::Rules;

    fn span(from: &str, to: &str) -> Interval {
        let at = |time: &str| format!("2030-01-07T{time}:00Z").parse().unwrap();
        Interval::between(at(from), at(to)).unwrap()
    }

    fn wanted(earliest: &str, latest: &str) -> WantedTimes {
        let time = |text| NaiveTime::parse_from_str(text, "%H:%M").unwrap();
        let day = "2030-01-07".parse().unwrap();
        WantedTimes {
            first_day: day,
            last_day: day,
            earliest_time: time(earliest),
            latest_time: time(latest),
            length: None,
        }
    }

    #[test]
    fn a_freed_time_is_offered_if_it_suits_and_can_be_booked() {
        let now = "2030-01-01T00:00:00Z".parse().unwrap();
        let rules = Rules::unset(Tz::UTC, Duration::minutes(30));
        let calendar = Calendar::new(rules, [(AppointmentId(1), span("10:00", "10:20"))]);
        let freed = span("10:00", "11:30");
        let fit = |wanted: WantedTimes| wanted.fits(&freed, &calendar, &[], now).next();
        assert_eq!(fit(wanted("00:00", "23:59")), Some(span("10:30", "11:00")));
        assert_eq!(fit(wanted("10:45", "23:59")), Some(span("11:00", "11:30")));
        assert_eq!(fit(wanted("11:01", "23:59")), None);
        assert_eq!(fit(WantedTimes { length: Some(Duration::minutes(90)), ..wanted("00:00", "23:59") }), None);
        let elsewhere = WantedTimes {
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
