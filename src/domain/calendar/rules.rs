//! What a doctor's schedule is bound by, beside the times already taken.

use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::domain::{Interval, zone};

/// A weekly window of work, in the doctor's local time. It belongs to the day on which it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The day on which it starts.
    pub weekday: Weekday,
    /// When it starts.
    pub start: NaiveTime,
    /// When it ends; not after `start` means on the next day.
    pub end: NaiveTime,
}

/// The hours that hold from a day on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// The first day that they hold for.
    pub effective_from: NaiveDate,
    /// The week's windows; `None` where no hours are set, so that every time can be booked.
    pub windows: Option<Vec<Window>>,
}

/// Days on which the whole clinic is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedDays {
    /// The first.
    pub first: NaiveDate,
    /// The last.
    pub last: NaiveDate,
}

/// What a doctor's schedule is bound by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Whether the doctor takes bookings at all.
    pub is_active: bool,
    /// The length of a booking that does not say its own, and the step of the slot grid.
    pub slot: Duration,
    /// The doctor's zone, which hours and days are read in.
    pub zone: Tz,
    /// What is kept free before an appointment.
    pub buffer_before: Duration,
    /// What is kept free after an appointment.
    pub buffer_after: Duration,
    /// The most appointments that start on one local day.
    pub most_a_day: Option<usize>,
    /// How long before its start an appointment must be booked.
    pub notice: Duration,
    /// How many local days ahead an appointment can be booked.
    pub horizon_days: Option<u32>,
    /// The hours, by the day from which they hold; before the first, none are set.
    pub hours: Vec<Hours>,
    /// When the doctor is away, by start.
    pub time_off: Vec<Interval>,
    /// When the clinic is closed.
    pub closed: Vec<ClosedDays>,
}

impl Rules {
    /// The rules of a doctor for whom nothing is set.
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

    /// Whether of all other appointments only those that overlap can stand against a booking: there are neither buffers nor
    /// a limit a day.
    pub fn allow_all_but_overlaps(&self) -> bool {
        self.gap().is_zero() && self.most_a_day.is_none()
    }

    /// The least gap between two appointments: the longer of the earlier's buffer after and the
    /// later's before, which are the doctor's.
    pub fn gap(&self) -> Duration {
        self.buffer_before.max(self.buffer_after)
    }

    /// Whether the clinic is closed on a local day.
    pub fn is_closed(&self, day: NaiveDate) -> bool {
        self.closed.iter().any(|closed| closed.first <= day && day <= closed.last)
    }

    /// The local day on which an instant lies.
    pub fn day_of(&self, at: DateTime<Utc>) -> NaiveDate {
        zone::day_of(self.zone, at)
    }

    /// A local day; `None` for one that a zone has left out.
    pub fn day(&self, day: NaiveDate) -> Option<Interval> {
        let (start, end) = (zone::start_of_day(self.zone, day)?, zone::start_of_day(self.zone, day.succ_opt()?)?);
        Interval::of_rule(start, end)
    }

    /// The windows of work that start on a local day, in order; overlapping ones are one. Closed days
    /// and time off are not taken out. Where no hours are set it is the whole day.
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

/// Joins `later` to `earlier` where the two overlap, or, with `touching`, where they meet.
pub(super) fn joined(earlier: &mut Interval, later: Interval, touching: bool) -> bool {
    let meets = later.start() < earlier.end() || touching && later.start() == earlier.end();
    if meets && let Some(union) = Interval::of_rule(earlier.start(), earlier.end().max(later.end())) {
        *earlier = union;
    }
    meets
}
