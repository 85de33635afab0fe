//! The rules of a doctor's schedule, apart from the occupied times.

use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::domain::{Interval, zone};

/// A weekly working window in the doctor's local time. It belongs to the day on which it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The day on which it starts.
    pub weekday: Weekday,
    /// When it starts.
    pub start: NaiveTime,
    /// When it ends. An end that is not after `start` is on the next day.
    pub end: NaiveTime,
}

/// The working hours that apply from a given day on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// The first day to which they apply.
    pub effective_from: NaiveDate,
    /// The windows of the week. `None` means that no hours are set and every time can be booked.
    pub windows: Option<Vec<Window>>,
}

/// Days on which the whole clinic is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedDays {
    /// The first closed day.
    pub first: NaiveDate,
    /// The last closed day.
    pub last: NaiveDate,
}

/// The rules of a doctor's schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Whether the doctor takes bookings.
    pub is_active: bool,
    /// The length of a booking that gives none, and the step of the slot grid.
    pub slot: Duration,
    /// The time zone of the hours and days.
    pub zone: Tz,
    /// The buffer before each appointment.
    pub buffer_before: Duration,
    /// The buffer after each appointment.
    pub buffer_after: Duration,
    /// The maximum number of appointments that start on one local day.
    pub most_a_day: Option<usize>,
    /// The minimum time between booking and start.
    pub notice: Duration,
    /// How many local days ahead an appointment can be booked.
    pub horizon_days: Option<u32>,
    /// The hours, sorted by the first day to which they apply. Before the first of these days no hours are set.
    pub hours: Vec<Hours>,
    /// The doctor's time off, sorted by start.
    pub time_off: Vec<Interval>,
    /// The clinic's closed days.
    pub closed: Vec<ClosedDays>,
}

impl Rules {
    /// Returns the rules of a doctor with no settings.
    pub fn unset(zone: Tz, slot: Duration) -> Self {
        Self {
            is_active: true,
            slot,
            zone,
            buffer_before: Duration::zero(),
            buffer_after: Duration::zero(),
            most_a_day: None,
            notice: Duration::zero(),
            horizon_days: None,
            hours: Vec::new(),
            time_off: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// Returns whether another appointment can prevent a booking only by overlapping it: the doctor has no buffers and
    /// no daily limit.
    pub fn allow_all_but_overlaps(&self) -> bool {
        self.gap().is_zero() && self.most_a_day.is_none()
    }

    /// Returns the minimum gap between two appointments. It is the longer of two buffers: the one after the earlier
    /// appointment and the one before the later appointment.
    pub fn gap(&self) -> Duration {
        self.buffer_before.max(self.buffer_after)
    }

    /// Returns whether the clinic is closed on a local day.
    pub fn is_closed(&self, day: NaiveDate) -> bool {
        self.closed.iter().any(|closed| closed.first <= day && day <= closed.last)
    }

    /// Returns the local day of an instant.
    pub fn day_of(&self, at: DateTime<Utc>) -> NaiveDate {
        zone::day_of(self.zone, at)
    }

    /// Returns the span of a local day. `None` if the zone skipped that day.
    pub fn day(&self, day: NaiveDate) -> Option<Interval> {
        let (start, end) = (zone::start_of_day(self.zone, day)?, zone::start_of_day(self.zone, day.succ_opt()?)?);
        Interval::of_rule(start, end)
    }

    /// Returns the working windows that start on a local day, in order; overlapping windows are merged. Closed days and
    /// time off are not removed. Returns the whole day if no hours are set.
    pub fn windows(&self, day: NaiveDate) -> Vec<Interval> {
        let in_force = self.hours.iter().rev().find(|hours| hours.effective_from <= day);
        let Some(windows) = in_force.and_then(|hours| hours.windows.as_ref()) else {
            return self.day(day).into_iter().collect();
        };
        let weekday = chrono::Datelike::weekday(&day);
        let of_day = windows.iter().filter(|window| window.weekday == weekday);
        let mut spans: Vec<_> = of_day.filter_map(|window| self.resolved(window, day)).collect();
        spans.sort_unstable();
        spans.dedup_by(|later, earlier| joined(earlier, *later, false));
        spans
    }

    fn resolved(&self, window: &Window, day: NaiveDate) -> Option<Interval> {
        let ends_on = if window.end > window.start { day } else { day.succ_opt()? };
        let start = zone::instant(self.zone, day.and_time(window.start))?;
        Interval::of_rule(start, zone::instant(self.zone, ends_on.and_time(window.end))?)
    }
}

/// Merges `later` into `earlier` if the two overlap or, with `touching`, if they touch.
pub(super) fn joined(earlier: &mut Interval, later: Interval, touching: bool) -> bool {
    let meets = later.start() < earlier.end() || touching && later.start() == earlier.end();
    if meets && let Some(union) = Interval::of_rule(earlier.start(), earlier.end().max(later.end())) {
        *earlier = union;
    }
    meets
}
