//! Series of appointments: a recurrence rule (RFC 5545 §3.3.10) at one local time of day.

#[cfg(test)]
mod tests;

use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, Offset, SubsecRound, Utc};
use chrono_tz::Tz;
use rrule::{RRule, RRuleSet, Unvalidated};
use serde::{Deserialize, Serialize};

use super::appointments::Appointment;
use super::calendar::Violation;
use super::fields::FieldErrors;
use super::interval::YEARS;
use super::{AccountId, Caller, DoctorId, Identified, Interval, PatientId, SeriesId, Visibility, zone};

/// The maximum number of appointments in a series.
pub const LONGEST: usize = 100;

/// The parts that a rule may have. The time of day comes from the first start.
const PARTS: [&str; 9] = ["FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS"];

/// A recurrence rule: it selects the days after the first one.
#[derive(Debug, Clone)]
pub struct Repeat {
    text: String,
    /// Without `UNTIL`: the library would read a local `UNTIL` in the machine's time zone.
    rule: RRule<Unvalidated>,
    until: Option<Until>,
}

/// The last day or instant of a rule, inclusive.
#[derive(Debug, Clone, Copy)]
enum Until {
    Instant(DateTime<Utc>),
    Local(NaiveDateTime),
    Day(NaiveDate),
}

impl Repeat {
    /// Parses a rule such as `FREQ=WEEKLY;BYDAY=MO,WE;COUNT=10`.
    ///
    /// # Errors
    /// Returns the error for the field `rrule`.
    pub fn parse(text: &str) -> Result<Self, FieldErrors> {
        let text = text.trim().to_ascii_uppercase();
        let text = text.strip_prefix("RRULE:").unwrap_or(&text).to_owned();
        let (mut until, mut kept, mut has_count) = (None, Vec::new(), false);
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
                    continue;
                }
                "COUNT" => has_count = true,
                name if !PARTS.contains(&name) => {
                    return Err(wrong(format!("A rule may contain only {}.", PARTS.join(", "))));
                }
                _ => {}
            }
            kept.push(part);
        }
        match (has_count, until) {
            (false, None) => return Err(wrong("A rule must end: give COUNT or UNTIL.".into())),
            (true, Some(_)) => {
                return Err(wrong("A rule ends by COUNT or by UNTIL, not by both: leave one out.".into()));
            }
            _ => {}
        }
        let unreadable = || wrong("Must be an RFC 5545 rule, such as FREQ=WEEKLY;BYDAY=MO;COUNT=10.".into());
        let rule = kept.join(";").parse().map_err(|_| unreadable())?;
        Ok(Self { text, rule, until })
    }

    /// Returns the text of the rule.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the times of the appointments, to the microsecond. Each is on one of the rule's days, at the local time
    /// of the first appointment in `zone`. If a day has that time twice, the occurrence with the first start's offset
    /// is used, otherwise the first occurrence. If a day does not have it, the offset before the gap applies.
    ///
    /// # Errors
    /// Returns the error for the field `rrule`. A time outside [`YEARS`] is an error too; no time is skipped.
    pub fn times(&self, zone: Tz, first: DateTime<Utc>, length: Duration) -> Result<Vec<Interval>, FieldErrors> {
        let first = first.with_timezone(&zone);
        let (local, offset) = (first.naive_local(), first.offset().fix());
        // The library drops a first start that has fractions of a second. PostgreSQL stores microseconds.
        let whole = local.trunc_subsecs(0);
        let fraction = local.trunc_subsecs(6) - whole;
        // The rule runs as if local time were UTC, which has no gaps. Each start is then resolved on its own.
        let start = whole.and_utc().with_timezone(&rrule::Tz::UTC);
        let rule = self.rule.clone().validate(start);
        let rule = rule.map_err(|_| wrong("The rule cannot repeat from this start.".into()))?;
        let (mut times, mut has_ended) = (Vec::new(), false);
        for local in RRuleSet::new(start).rrule(rule).limit().into_iter().map(|at| at.naive_utc()) {
            let at = zone::instant_in(zone, local, offset).ok_or_else(|| leaves_years(times.len()))?;
            if self.until.is_some_and(|until| until.is_before(local, at)) {
                has_ended = true;
                break;
            }
            if times.len() == LONGEST {
                return Err(wrong(format!("A series has at most {LONGEST} appointments.")));
            }
            times.push(Interval::starting(at + fraction, length).ok_or_else(|| leaves_years(times.len()))?);
        }
        // The library stops silently some centuries after those years.
        let is_whole = match self.until {
            Some(until) => has_ended || until.year() <= *YEARS.end(),
            None => self.rule.get_count().is_some_and(|count| times.len() >= count as usize),
        };
        match times.len() {
            0 => Err(wrong("The rule gives no appointment.".into())),
            fit if !is_whole => Err(leaves_years(fit)),
            _ => Ok(times),
        }
    }
}

fn wrong(message: String) -> FieldErrors {
    FieldErrors::one("rrule", message)
}

/// Creates the error for a series of which only the first `fit` appointments are within [`YEARS`].
fn leaves_years(fit: usize) -> FieldErrors {
    let years = format!("the years {} to {}", YEARS.start(), YEARS.end());
    wrong(match fit {
        0 => format!("The first appointment leaves {years}: start earlier."),
        1 => format!("Only the first appointment fits into {years}: end the rule by COUNT=1."),
        _ => format!("Only the first {fit} appointments fit into {years}: end the rule by COUNT={fit}."),
    })
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

    /// Returns whether an appointment starts after this limit, given its instant and its local time. Both are in whole
    /// seconds like `UNTIL`, so that a start within the limit's last second is included.
    fn is_before(self, local: NaiveDateTime, at: DateTime<Utc>) -> bool {
        match self {
            Self::Instant(until) => at > until,
            Self::Local(until) => local > until,
            Self::Day(until) => local.date() > until,
        }
    }

    fn year(self) -> i32 {
        match self {
            Self::Instant(until) => until.year(),
            Self::Local(until) => until.year(),
            Self::Day(until) => until.year(),
        }
    }
}

/// A request for a series, not yet decided by the doctor's schedule.
#[derive(Debug, Clone)]
pub struct SeriesRequest {
    /// The caller.
    pub caller: Caller,
    /// Which patients the caller may book.
    pub bookable: Visibility,
    /// The doctor to book.
    pub doctor: DoctorId,
    /// The patient to book for.
    pub patient: PatientId,
    /// The start of the first appointment. Its local time is the time of day of all others.
    pub first: DateTime<Utc>,
    /// The recurrence rule.
    pub repeat: Repeat,
    /// The length of each appointment; `None` means the doctor's slot length.
    pub length: Option<Duration>,
    /// Why the patient comes, as free text.
    pub reason: String,
    /// Whether to book the times that can be booked when others cannot.
    pub skip_conflicts: bool,
}

/// Why a series was not booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeriesRefusal {
    /// The doctor does not exist.
    NoSuchDoctor,
    /// These times cannot be booked.
    Times(Vec<Skipped>),
}

/// A booked series and the times that were skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookedSeries {
    /// The series with its appointments.
    pub series: Series,
    /// The times that could not be booked.
    pub skipped: Vec<Skipped>,
}

impl Identified for BookedSeries {
    fn id(&self) -> i64 {
        self.series.id.0
    }
}

/// A time of a series that could not be booked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The skipped time.
    pub during: Interval,
    /// The rules that it breaks.
    pub violations: Vec<Violation>,
}

/// A series of appointments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// The row's id.
    pub id: SeriesId,
    /// The doctor.
    pub doctor: DoctorId,
    /// The patient.
    pub patient: PatientId,
    /// The text of the rule.
    pub rrule: String,
    /// The requested start of the first appointment.
    pub first: DateTime<Utc>,
    /// The length of each appointment, in minutes.
    pub duration_minutes: i32,
    /// Why the patient comes, as free text.
    pub reason: String,
    /// The account that booked it.
    pub created_by: AccountId,
    /// When it was booked.
    pub created_at: DateTime<Utc>,
    /// Its appointments, sorted by start.
    pub appointments: Vec<Appointment>,
}

impl Identified for Series {
    fn id(&self) -> i64 {
        self.id.0
    }
}
