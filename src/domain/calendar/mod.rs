//! A doctor's calendar: the only evaluator that decides whether a time can be booked.
//!
//! The evaluator is pure: `(calendar, proposal, now) -> decision`. Booking, rescheduling, un-cancelling, the dry run
//! and the search for free times use the same rules, so that every offered time can be booked.

mod copy;
mod openings;
#[cfg(test)]
mod properties;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::{AppointmentId, Interval};
pub use copy::{CalendarCopy, Decision, SpanChange, Stamp, Versions};
use openings::Openings;
pub use rules::{ClosedDays, Hours, Rules, Window};

/// How many days after a refused time the search for free times covers.
const SEARCH_DAYS: i64 = 60;
/// How long an appointment is kept after its end. It may have started on a day that has not ended yet, and then it
/// still counts for that day.
const REMEMBERED: Duration = Duration::days(2);

/// The holder of a span of a calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// An active appointment in the database.
    Appointment(AppointmentId),
    /// A booking that is decided together with others, by its position among them.
    Claim(u32),
}

/// A rule that a proposed time breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Violation {
    /// It starts before now.
    InThePast,
    /// It starts sooner than the doctor's notice allows.
    TooSoon,
    /// It starts on a day beyond the doctor's horizon.
    TooFar,
    /// The doctor does not take bookings.
    DoctorInactive,
    /// The clinic is closed.
    ClinicClosed,
    /// The doctor is away.
    TimeOff,
    /// It is not within the doctor's working hours.
    OutsideHours,
    /// The doctor has an active appointment that overlaps.
    SlotTaken,
    /// The gap to the appointment before or after is shorter than the doctor's buffer.
    TooClose,
    /// The doctor already has the maximum number of appointments on that day.
    DayFull,
    /// The patient has an active appointment that overlaps, with any doctor.
    PatientBusy,
    /// No such doctor exists for this caller.
    NoSuchDoctor,
    /// No such patient exists for this caller.
    NoSuchPatient,
}

impl Violation {
    /// The rules of a doctor's calendar, in the order in which a refusal lists them.
    pub const OF_CALENDAR: [Self; 10] = [
        Self::InThePast,
        Self::TooSoon,
        Self::TooFar,
        Self::DoctorInactive,
        Self::ClinicClosed,
        Self::TimeOff,
        Self::OutsideHours,
        Self::SlotTaken,
        Self::TooClose,
        Self::DayFull,
    ];

    /// Returns whether the rule depends on the current time and not on the calendar.
    fn is_about_now(self) -> bool {
        matches!(self, Self::InThePast | Self::TooSoon)
    }
}

/// The parameters of a search for free times.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// The earliest start.
    pub from: DateTime<Utc>,
    /// The first instant that is too late for a start.
    pub to: DateTime<Utc>,
    /// The length of the time to find.
    pub length: Duration,
    /// Times that are not wanted, such as the patient's own appointments.
    pub also_busy: &'a [Interval],
    /// The appointment to be moved; its own time counts as free.
    pub ignored: Option<AppointmentId>,
    /// The current time.
    pub now: DateTime<Utc>,
}

/// A span's start in microseconds and its holder, packed because thousands of calendars are in memory. The database
/// stores microseconds too. Appointments have numbers from 0 upwards, claims from -1 downwards.
type Key = (i64, i64);
/// The end of a span, in microseconds.
type End = i64;

fn key(start: DateTime<Utc>, holder: Holder) -> Key {
    let holder = match holder {
        Holder::Appointment(id) => id.0,
        Holder::Claim(number) => -1 - i64::from(number),
    };
    (start.timestamp_micros(), holder)
}

/// Returns the key range of the spans that start in `[from, to)`, for every holder.
fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> std::ops::Range<Key> {
    (from.timestamp_micros(), i64::MIN)..(to.timestamp_micros(), i64::MIN)
}

/// Returns a packed span as an interval.
fn unpacked((start, _): Key, end: End) -> Option<Interval> {
    Interval::between(DateTime::from_timestamp_micros(start)?, DateTime::from_timestamp_micros(end)?)
}

/// A doctor's calendar: the rules and the occupied spans.
#[derive(Debug, Clone)]
pub struct Calendar {
    rules: Rules,
    /// Ordered by start. Spans overlap only with holds that have ended.
    taken: BTreeMap<Key, End>,
    /// The ends of holds in microseconds, by appointment. After its end a hold occupies no time.
    held: HashMap<i64, End>,
    /// The length of the longest span: how far before a given time a span that reaches it may start.
    longest: Duration,
}

/// Two calendars are equal if they have the same rules and the same occupied time.
impl PartialEq for Calendar {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules && self.taken == other.taken && self.held == other.held
    }
}

impl Calendar {
    /// Creates a calendar with these rules and active appointments.
    pub fn new(rules: Rules, appointments: impl IntoIterator<Item = (AppointmentId, Interval)>) -> Self {
        let mut longest = Duration::zero();
        let taken = appointments.into_iter().map(|(id, during)| {
            longest = longest.max(during.length());
            (key(during.start(), Holder::Appointment(id)), during.end().timestamp_micros())
        });
        // Collecting all spans at once fills the nodes of the tree; inserting them one by one does not.
        let taken = taken.collect();
        Self { rules, taken, held: HashMap::new(), longest }
    }

    /// Returns the current rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Replaces the rules and keeps the occupied spans.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Marks an appointment as a hold that ends at `until`.
    pub fn hold(&mut self, appointment: AppointmentId, until: DateTime<Utc>) {
        self.held.insert(appointment.0, until.timestamp_micros());
    }

    /// Frees every span of these appointments.
    fn release_all(&mut self, appointments: &HashSet<i64>) {
        self.taken.retain(|(_, holder), _| !appointments.contains(holder));
        self.held.retain(|id, _| !appointments.contains(id));
    }

    /// Marks a span as occupied.
    pub fn take(&mut self, holder: Holder, during: Interval) {
        self.longest = self.longest.max(during.length());
        self.taken.insert(key(during.start(), holder), during.end().timestamp_micros());
    }

    /// Frees one span of this holder.
    pub fn release_span(&mut self, holder: Holder, during: Interval) {
        self.taken.remove(&key(during.start(), holder));
    }

    /// Drops appointments that ended long before `now` and that no rule needs any more.
    pub fn forget_before(&mut self, now: DateTime<Utc>) {
        let kept = (now - REMEMBERED).timestamp_micros();
        let held = std::mem::take(&mut self.held);
        self.taken.retain(|(_, holder), end| *end > kept && held.get(holder).is_none_or(|until| *until > kept));
        self.held = held.into_iter().filter(|(_, until)| *until > kept).collect();
    }

    /// Returns whether a span occupies its time at `now`: it belongs neither to `ignored` nor to a hold that has ended.
    fn is_taken(&self, key: Key, ignored: Option<AppointmentId>, now: DateTime<Utc>) -> bool {
        let is_ignored = ignored.is_some_and(|id| id.0 == key.1);
        let has_ended = || self.held.get(&key.1).is_some_and(|until| *until <= now.timestamp_micros());
        !is_ignored && (self.held.is_empty() || !has_ended())
    }

    /// Returns the number of occupied spans.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Returns whether no span is occupied.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Returns the spans that conflict with `during`: they overlap it or are nearer than the minimum gap. Spans of
    /// `ignored` are left out.
    pub fn conflicts(&self, during: &Interval, ignored: Option<AppointmentId>, now: DateTime<Utc>) -> Vec<Interval> {
        let kept_free = during.widened(self.rules.gap());
        self.taken
            .range(between(kept_free.start() - self.longest, kept_free.end()))
            .filter(|(key, _)| self.is_taken(**key, ignored, now))
            .filter_map(|(key, end)| unpacked(*key, *end))
            .filter(|taken| taken.overlaps(&kept_free))
            .collect()
    }

    /// Returns every rule that `during` breaks. An empty list means that the time can be booked.
    pub fn violations(&self, during: &Interval, ignored: Option<AppointmentId>, now: DateTime<Utc>) -> Vec<Violation> {
        let openings = Openings::around(&self.rules, during.start(), during.end());
        let on_its_day = self.count_on(during.start(), ignored, now);
        self.broken(during, ignored, now, &openings, on_its_day)
    }

    /// Returns free times in order: starts of the slot grid that break no rule.
    pub fn free<'a>(&'a self, search: Search<'a>) -> impl Iterator<Item = Interval> + 'a {
        let first = self.rules.day_of(search.from);
        let first = first.pred_opt().unwrap_or(first);
        let last = self.rules.day_of(search.to);
        let days = first.iter_days().take_while(move |day| self.rules.is_active && *day <= last);
        days.flat_map(move |day| self.free_on(day, search))
    }

    /// Returns the first `count` free times from `from` on, within the next 60 days.
    pub fn next_free(&self, search: Search<'_>, count: usize) -> Vec<Interval> {
        let from = search.from.max(search.now);
        let to = from.checked_add_signed(Duration::days(SEARCH_DAYS)).unwrap_or(from);
        self.free(Search { from, to, ..search }).take(count).collect()
    }

    /// Returns whether `start` is on the slot grid.
    pub fn is_on_grid(&self, start: DateTime<Utc>) -> bool {
        let day = self.rules.day_of(start);
        let days = [day.pred_opt(), Some(day)];
        days.into_iter().flatten().any(|day| openings::starts(&self.rules, day).contains(&start))
    }

    /// Returns the upcoming appointments that the current rules would not allow, each with the rules that it breaks.
    /// The appointments are kept; the response to the change of the rules lists them.
    pub fn outside(&self, now: DateTime<Utc>) -> Vec<(AppointmentId, Vec<Violation>)> {
        let to_come = self.taken.iter().filter(|((_, holder), end)| *holder >= 0 && **end > now.timestamp_micros());
        let checked = to_come.filter_map(|(key, end)| {
            let id = AppointmentId(key.1);
            let mut broken = self.violations(&unpacked(*key, *end)?, Some(id), now);
            broken.retain(|violation| !violation.is_about_now());
            (!broken.is_empty()).then_some((id, broken))
        });
        checked.collect()
    }

    /// Returns the free times that start on a local day. The iterator is lazy because most callers want only the first
    /// few.
    fn free_on<'a>(&'a self, day: chrono::NaiveDate, search: Search<'a>) -> impl Iterator<Item = Interval> + 'a {
        let starts = openings::starts(&self.rules, day);
        let wanted = starts.into_iter().filter(|start| search.from <= *start && *start < search.to);
        let slots: Vec<_> = wanted.filter_map(|start| Interval::starting(start, search.length)).collect();
        let openings = slots.first().zip(slots.last());
        let openings = openings.map(|(first, last)| Openings::around(&self.rules, first.start(), last.end()));
        // A window that begins on this day may reach into the next day, which has its own count.
        let mut counted: Option<(chrono::NaiveDate, usize)> = None;
        slots.into_iter().filter(move |slot| {
            let Some(openings) = &openings else { return false };
            let its_day = self.rules.day_of(slot.start());
            let count = match counted {
                Some((day, count)) if day == its_day => count,
                _ => self.count_on(slot.start(), search.ignored, search.now),
            };
            counted = Some((its_day, count));
            !search.also_busy.iter().any(|busy| busy.overlaps(slot))
                && self.broken(slot, search.ignored, search.now, openings, count).is_empty()
        })
    }

    /// Counts the appointments that start on the local day of `start`. Returns 0 without counting if there is no limit.
    fn count_on(&self, start: DateTime<Utc>, ignored: Option<AppointmentId>, now: DateTime<Utc>) -> usize {
        let day = self.rules.most_a_day.and_then(|_| self.rules.day(self.rules.day_of(start)));
        let Some(day) = day else { return 0 };
        let on_day = self.taken.range(between(day.start(), day.end()));
        on_day.filter(|(key, _)| self.is_taken(**key, ignored, now)).count()
    }

    /// Returns for each rule whether it is broken.
    fn broken(
        &self,
        during: &Interval,
        ignored: Option<AppointmentId>,
        now: DateTime<Utc>,
        openings: &Openings,
        on_its_day: usize,
    ) -> Vec<Violation> {
        let rules = &self.rules;
        let conflicts = self.conflicts(during, ignored, now);
        let last_day =
            rules.horizon_days.and_then(|days| rules.day_of(now).checked_add_days(chrono::Days::new(days.into())));
        let broken = |violation: &Violation| match violation {
            Violation::InThePast => during.start() < now,
            Violation::TooSoon => rules.notice > Duration::zero() && during.start() - now < rules.notice,
            Violation::TooFar => last_day.is_some_and(|last| rules.day_of(during.start()) > last),
            Violation::DoctorInactive => !rules.is_active,
            Violation::ClinicClosed => openings.is_closed(during),
            Violation::TimeOff => rules.time_off.iter().any(|away| away.overlaps(during)),
            Violation::OutsideHours => !openings.is_scheduled(during),
            Violation::SlotTaken => conflicts.iter().any(|taken| taken.overlaps(during)),
            Violation::TooClose => conflicts.iter().any(|taken| !taken.overlaps(during)),
            Violation::DayFull => rules.most_a_day.is_some_and(|most| on_its_day >= most),
            Violation::PatientBusy | Violation::NoSuchDoctor | Violation::NoSuchPatient => false,
        };
        Violation::OF_CALENDAR.into_iter().filter(broken).collect()
    }
}
