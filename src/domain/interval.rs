//! A span of time that is never empty.

use chrono::{DateTime, Datelike, Duration, SubsecRound, Utc};
use serde::{Deserialize, Serialize};

/// The years in which clinicd supports times (docs/scheduling.md, "time extremes").
pub const YEARS: std::ops::RangeInclusive<i32> = 1900..=2200;

/// A half-open span `[start, end)` with `start < end`: 10:00–10:30 and 10:30–11:00 do not overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "(DateTime<Utc>, DateTime<Utc>)", into = "(DateTime<Utc>, DateTime<Utc>)")]
pub struct Interval {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl Interval {
    /// Returns the span from `start` of the given length. `None` if it would be empty or leave [`YEARS`].
    pub fn starting(start: DateTime<Utc>, length: Duration) -> Option<Self> {
        Self::between(start, start.checked_add_signed(length)?)
    }

    /// Returns the span `[start, end)`, truncated to whole microseconds as in the database. `None` if it would be empty
    /// or leave [`YEARS`].
    pub fn between(start: DateTime<Utc>, end: DateTime<Utc>) -> Option<Self> {
        let (start, end) = (start.trunc_subsecs(6), end.trunc_subsecs(6));
        let kept = YEARS.contains(&start.year()) && YEARS.contains(&end.year());
        (start < end && kept).then_some(Self { start, end })
    }

    /// Returns the first instant of the span.
    pub fn start(&self) -> DateTime<Utc> {
        self.start
    }

    /// Returns the first instant after the span.
    pub fn end(&self) -> DateTime<Utc> {
        self.end
    }

    /// Returns the length.
    pub fn length(&self) -> Duration {
        self.end - self.start
    }

    /// Returns the span `[start, end)` of a rule, which may reach outside [`YEARS`]. `None` if it would be empty.
    pub fn of_rule(start: DateTime<Utc>, end: DateTime<Utc>) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// Returns the span extended by `by` on both sides.
    pub fn widened(&self, by: Duration) -> Self {
        Self { start: self.start - by, end: self.end + by }
    }

    /// Returns whether the two spans share an instant.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

impl TryFrom<(DateTime<Utc>, DateTime<Utc>)> for Interval {
    type Error = &'static str;

    fn try_from((start, end): (DateTime<Utc>, DateTime<Utc>)) -> Result<Self, Self::Error> {
        Self::of_rule(start, end).ok_or("an empty span of time")
    }
}

impl From<Interval> for (DateTime<Utc>, DateTime<Utc>) {
    fn from(interval: Interval) -> Self {
        (interval.start, interval.end)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    fn at(hour: u32, minute: u32) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2030, 1, 1, hour, minute, 0).unwrap()
    }

    #[test]
    fn times_are_truncated_to_microseconds() {
        let fine = Duration::nanoseconds(400);
        let span = Interval::starting(at(10, 0) + fine, Duration::minutes(30)).unwrap();
        assert_eq!((span.start(), span.end()), (at(10, 0), at(10, 30)));
    }

    #[test]
    fn adjacent_intervals_do_not_overlap() {
        let first = Interval::between(at(10, 0), at(10, 30)).unwrap();
        let second = Interval::between(at(10, 30), at(11, 0)).unwrap();
        assert!(!first.overlaps(&second) && !second.overlaps(&first));
        let third = Interval::between(at(10, 29), at(10, 31)).unwrap();
        assert!(first.overlaps(&third) && second.overlaps(&third) && third.overlaps(&first));
    }

    #[test]
    fn an_empty_or_reversed_interval_cannot_be_made() {
        assert_eq!(Interval::between(at(10, 0), at(10, 0)), None);
        assert_eq!(Interval::between(at(10, 1), at(10, 0)), None);
        assert_eq!(Interval::starting(at(10, 0), Duration::zero()), None);
    }

    #[test]
    fn an_interval_outside_the_kept_years_cannot_be_made() {
        let late = Utc.with_ymd_and_hms(2200, 12, 31, 23, 59, 0).unwrap();
        assert_eq!(Interval::starting(late, Duration::minutes(5)), None);
        let early = Utc.with_ymd_and_hms(1899, 12, 31, 0, 0, 0).unwrap();
        assert_eq!(Interval::starting(early, Duration::minutes(5)), None);
    }
}
