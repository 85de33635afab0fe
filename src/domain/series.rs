//! Series of appointments: a repeat (RFC 5545 §3.3.10) at one wall-clock time.

use chrono::{DateTime, Duration, NaiveDate, NaiveDateTime, Utc};
use chrono_tz::Tz;
use rrule::{RRule, RRuleSet, Unvalidated};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    AccountId, Caller, DoctorId, Identified, Interval, PatientId, SeriesId, Visibility,
    appointments::{Appointment, Booking},
    calendar::Violation,
    fields::FieldErrors,
    zone,
};

/// The most appointments of a series.
pub const LONGEST: usize = 100;

/// What a rule may say; times of day come from the first start.
const PARTS: [&str; 9] = ["FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS"];

/// A repeat: which days follow a first one.
#[derive(Debug, Clone)]
pub struct Repeat {
    text: String,
    /// Without `UNTIL`, whose local time the library would read in the machine's zone.
    rule: RRule<Unvalidated>,
    until: Option<Until>,
}

/// Until when a rule repeats, inclusive.
#[derive(Debug, Clone, Copy)]
enum Until {
    Instant(DateTime<Utc>),
    Local(NaiveDateTime),
    Day(NaiveDate),
}

impl Repeat {
    /// Reads the text of a rule, such as `FREQ=WEEKLY;BYDAY=MO,WE;COUNT=10`.
    ///
    /// # Errors
    /// What is wrong with it, for the field `rrule`.
    pub fn parse(text: &str) -> Result<Self, FieldErrors> {
        let wrong = |message: String| FieldErrors::one("rrule", message);
        let text = text.trim().to_ascii_uppercase();
        let text = text.strip_prefix("RRULE:").unwrap_or(&text).to_owned();
        let (mut until, mut kept, mut is_bounded) = (None, Vec::new(), false);
        for part in text.split(';') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name {
                "FREQ" if !["DAILY", "WEEKLY", "MONTHLY"].contains(&value) => {
                    return Err(wrong("FREQ must be DAILY, WEEKLY or MONTHLY.".into()));
                }
                "UNTIL" => {
                    until = Some(Until::parse(value).ok_or_else(|| {
                        wrong("UNTIL must be a date or a time, such as 20300131 or 20300131T090000Z.".into())
                    })?);
                    is_bounded = true;
                    continue;
                }
                "COUNT" => is_bounded = true,
                name if !PARTS.contains(&name) => {
                    return Err(wrong(format!("A rule may have {}.", PARTS.join(", "))));
                }
                _ => {}
            }
            kept.push(part);
        }
        if !is_bounded {
            return Err(wrong("A rule must end: give COUNT or UNTIL.".into()));
        }
        let unreadable = || wrong("Must be an RFC 5545 rule, such as FREQ=WEEKLY;BYDAY=MO;COUNT=10.".into());
        let rule = kept.join(";").parse().map_err(|_| unreadable())?;
        Ok(Self { text, rule, until })
    }

    /// The rule's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The starts of the appointments: on the rule's days at the first one's local time in `zone`. A
    /// time that a day does not have takes the offset before the gap.
    ///
    /// # Errors
    /// What is wrong with the rule, for the field `rrule`.
    pub fn starts(&self, zone: Tz, first: DateTime<Utc>) -> Result<Vec<DateTime<Utc>>, FieldErrors> {
        let wrong = |message: String| FieldErrors::one("rrule", message);
        // Repeated as if local time were UTC, which has no gaps; each start is resolved for itself.
        let local = first.with_timezone(&zone).naive_local().and_utc().with_timezone(&rrule::Tz::UTC);
        let rule = self.rule.clone().validate(local);
        let rule = rule.map_err(|_| wrong("Not a rule that can repeat from this start.".into()))?;
        let days = RRuleSet::new(local).rrule(rule).limit();
        let local_starts = days.into_iter().map(|at| at.naive_utc()).take_while(|at| self.reaches(zone, *at));
        let starts: Vec<_> = local_starts.take(LONGEST + 1).filter_map(|local| zone::instant(zone, local)).collect();
        match starts.len() {
            0 => Err(wrong("The rule has no appointment.".into())),
            n if n > LONGEST => Err(wrong(format!("A series has at most {LONGEST} appointments."))),
            _ => Ok(starts),
        }
    }

    fn reaches(&self, zone: Tz, local: NaiveDateTime) -> bool {
        match self.until {
            None => true,
            Some(Until::Instant(until)) => zone::instant(zone, local).is_some_and(|at| at <= until),
            Some(Until::Local(until)) => local <= until,
            Some(Until::Day(until)) => local.date() <= until,
        }
    }
}

impl Until {
    fn parse(text: &str) -> Option<Self> {
        if let Some(text) = text.strip_suffix('Z') {
            let at = NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%S").ok()?;
            return Some(Self::Instant(at.and_utc()));
        }
        if let Ok(at) = NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%S") {
            return Some(Self::Local(at));
        }
        (text.len() == 8).then(|| NaiveDate::parse_from_str(text, "%Y%m%d").ok().map(Self::Day))?
    }
}

/// A wish for a series, before the schedule has looked at it.
#[derive(Debug, Clone)]
pub struct SeriesRequest {
    /// Who asks.
    pub caller: Caller,
    /// Which patients the caller may book.
    pub bookable: Visibility,
    /// With whom.
    pub doctor: DoctorId,
    /// For whom.
    pub patient: PatientId,
    /// When the first appointment starts, and the others' time of day.
    pub first: DateTime<Utc>,
    /// On which days.
    pub repeat: Repeat,
    /// For how long each; the doctor's slot length where absent.
    pub length: Option<Duration>,
    /// Why.
    pub reason: String,
    /// Whether those that can be booked are, where others cannot.
    pub skip_conflicts: bool,
}

/// A series that its doctor's schedule has accepted, ready to be written.
#[derive(Debug, Clone)]
pub struct NewSeries {
    /// Names the series before it has an id.
    pub reference: Uuid,
    /// Who asks.
    pub caller: Caller,
    /// With whom.
    pub doctor: DoctorId,
    /// For whom.
    pub patient: PatientId,
    /// When the first appointment was to start.
    pub first: DateTime<Utc>,
    /// The rule's text.
    pub rrule: String,
    /// For how long each.
    pub length: Duration,
    /// Why.
    pub reason: String,
    /// Its appointments.
    pub bookings: Vec<Booking>,
    /// Whether those that can be written are, where others cannot.
    pub skip_conflicts: bool,
    /// The times that its schedule could not accept.
    pub skipped: Vec<Skipped>,
}

/// A series that was booked, and the times that were skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookedSeries {
    /// The series with its appointments.
    pub series: Series,
    /// The times that could not be booked.
    pub skipped: Vec<Skipped>,
}

/// One time of a series that could not be booked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// When it would have been.
    pub during: Interval,
    /// The rules that it breaks.
    pub violations: Vec<Violation>,
}

/// A series of appointments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// The row's id.
    pub id: SeriesId,
    /// With whom.
    pub doctor: DoctorId,
    /// For whom.
    pub patient: PatientId,
    /// The rule's text.
    pub rrule: String,
    /// When the first appointment was to start.
    pub first: DateTime<Utc>,
    /// For how long each, in minutes.
    pub duration_minutes: i32,
    /// Why.
    pub reason: String,
    /// The account that booked it.
    pub created_by: AccountId,
    /// When it was booked.
    pub created_at: DateTime<Utc>,
    /// Its appointments, by start.
    pub appointments: Vec<Appointment>,
}

impl Identified for Series {
    fn id(&self) -> i64 {
        self.id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(rule: &str, zone: Tz, first: &str) -> Result<Vec<String>, FieldErrors> {
        let starts = Repeat::parse(rule)?.starts(zone, first.parse().unwrap())?;
        Ok(starts.iter().map(|at| at.format("%Y-%m-%dT%H:%MZ").to_string()).collect())
    }

    #[test]
    fn a_series_keeps_its_wall_clock_time_over_a_clock_change() {
        let starts = starts("FREQ=WEEKLY;COUNT=3", Tz::America__New_York, "2026-10-26T13:00:00Z").unwrap();
        assert_eq!(starts, ["2026-10-26T13:00Z", "2026-11-02T14:00Z", "2026-11-09T14:00Z"]);
    }

    #[test]
    fn a_time_that_a_day_does_not_have_takes_the_offset_before_the_gap() {
        let starts = starts("RRULE:FREQ=DAILY;COUNT=3", Tz::America__New_York, "2026-03-07T07:30:00Z").unwrap();
        assert_eq!(starts, ["2026-03-07T07:30Z", "2026-03-08T07:30Z", "2026-03-09T06:30Z"]);
    }

    #[test]
    fn weekdays_months_and_ends_are_those_of_the_rule() {
        let monday = "2030-01-07T09:00:00Z";
        let weekly = starts("FREQ=WEEKLY;BYDAY=MO,WE;UNTIL=20300116", Tz::UTC, monday).unwrap();
        assert_eq!(weekly, ["2030-01-07T09:00Z", "2030-01-09T09:00Z", "2030-01-14T09:00Z", "2030-01-16T09:00Z"]);
        let until = starts("FREQ=DAILY;UNTIL=20300108T085959Z", Tz::UTC, monday).unwrap();
        assert_eq!(until, ["2030-01-07T09:00Z"]);
        let monthly = starts("FREQ=MONTHLY;BYDAY=2MO;COUNT=2", Tz::UTC, "2030-01-14T09:00:00Z").unwrap();
        assert_eq!(monthly, ["2030-01-14T09:00Z", "2030-02-11T09:00Z"]);
    }

    #[test]
    fn a_rule_that_cannot_be_a_series_is_refused() {
        for rule in [
            "",
            "weekly",
            "FREQ=WEEKLY",
            "FREQ=HOURLY;COUNT=3",
            "FREQ=YEARLY;COUNT=3",
            "FREQ=WEEKLY;BYHOUR=9;COUNT=2",
            "FREQ=WEEKLY;COUNT=x",
            "FREQ=WEEKLY;COUNT=101",
            "FREQ=DAILY;UNTIL=20310101",
            "FREQ=DAILY;UNTIL=tomorrow",
            "FREQ=DAILY;UNTIL=20200101",
            "FREQ=WEEKLY;BYDAY=XX;COUNT=2",
            "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=31;COUNT=2",
        ] {
            let refused = starts(rule, Tz::UTC, "2030-01-07T09:00:00Z").unwrap_err();
            assert_eq!(refused.0["rrule"].len(), 1, "{rule}");
        }
        assert_eq!(starts("FREQ=DAILY;COUNT=100", Tz::UTC, "2030-01-07T09:00:00Z").unwrap().len(), 100);
    }
}
