//! A doctor's calendar: the one evaluator that decides whether a time can be booked.
//!
//! Pure: `(calendar, proposal, now) -> decision`. Booking, reschedule, un-cancel, the dry run, and the
//! search for free times all ask the same rules, so that what is offered can be booked.

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

/// How far ahead of a refused time free times are looked for.
const SEARCH_DAYS: i64 = 60;
/// For how long an appointment that is over still counts: it may have begun on a day that has not ended.
const REMEMBERED: Duration = Duration::days(2);

/// What holds a span of a calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// An active appointment that is in the database.
    Appointment(AppointmentId),
    /// A booking that is decided together with others, by its place among them.
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
    /// The doctor takes no bookings.
    DoctorInactive,
    /// The clinic is closed.
    ClinicClosed,
    /// The doctor is away.
    TimeOff,
    /// It is not within the doctor's working hours.
    OutsideHours,
    /// The doctor has an active appointment that overlaps.
    SlotTaken,
    /// It leaves less than the doctor's buffer to the appointment before or after.
    TooClose,
    /// The doctor has as many appointments on that day as they take.
    DayFull,
    /// The patient has an active appointment that overlaps, with any doctor.
    PatientBusy,
    /// There is no such doctor for this caller.
    NoSuchDoctor,
    /// There is no such patient for this caller.
    NoSuchPatient,
}

impl Violation {
    /// The rules of a doctor's calendar, in the order in which they are told.
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

    /// Whether the rule is about the time at which somebody asks, not about the calendar.
    fn is_about_now(self) -> bool {
        matches!(self, Self::InThePast | Self::TooSoon)
    }
}

/// What free times are looked for.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// The earliest start.
    pub from: DateTime<Utc>,
    /// No start at or after this.
    pub to: DateTime<Utc>,
    /// How long.
    pub length: Duration,
    /// Times that are of no use, such as the patient's own appointments.
    pub also_busy: &'a [Interval],
    /// The appointment that is to be moved.
    pub ignored: Option<AppointmentId>,
    /// When it is asked.
    pub now: DateTime<Utc>,
}

/// When a span starts and who holds it, packed: thousands of calendars are in memory. Microseconds are
/// what the database keeps. Appointments count from 0 up, claims from -1 down.
type Key = (i64, i64);
/// When a span ends, in microseconds.
type End = i64;

fn key(start: DateTime<Utc>, holder: Holder) -> Key {
    let holder = match holder {
        Holder::Appointment(id) => id.0,
        Holder::Claim(number) => -1 - i64::from(number),
    };
    (start.timestamp_micros(), holder)
}

/// The spans that start in `[from, to)`, whoever holds them.
fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> std::ops::Range<Key> {
    (from.timestamp_micros(), i64::MIN)..(to.timestamp_micros(), i64::MIN)
}

/// A span as it was before it was packed.
fn unpacked((start, _): Key, end: End) -> Option<Interval> {
    Interval::between(DateTime::from_timestamp_micros(start)?, DateTime::from_timestamp_micros(end)?)
}

/// A doctor's calendar: rules and the spans that are taken from now on.
#[derive(Debug, Clone)]
pub struct Calendar {
    rules: Rules,
    /// Ordered by start. Spans may overlap only those of holds that have ended.
    taken: BTreeMap<Key, End>,
    /// When holds end, by the appointment, in microseconds: from then on their time is free.
    held: HashMap<i64, End>,
    /// No span is longer: how far back one may start and still reach here.
    longest: Duration,
}

/// Calendars are alike where the same rules hold and the same time is taken.
impl PartialEq for Calendar {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules && self.taken == other.taken && self.held == other.held
    }
}

impl Calendar {
    /// A calendar with these rules and active appointments.
    pub fn new(rules: Rules, appointments: impl IntoIterator<Item = (AppointmentId, Interval)>) -> Self {
        let mut longest = Duration::zero();
        let taken = appointments.into_iter().map(|(id, during)| {
            longest = longest.max(during.length());
            (key(during.start(), Holder::Appointment(id)), during.end().timestamp_micros())
        });
        // Collected, and not entered one by one, so that its nodes are full.
        let taken = taken.collect();
        Self { rules, taken, held: HashMap::new(), longest }
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Puts other rules in force; what is taken stays.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Says until when an appointment is only held: from then on its time is free.
    pub fn hold(&mut self, appointment: AppointmentId, until: DateTime<Utc>) {
        self.held.insert(appointment.0, until.timestamp_micros());
    }

    /// Frees every span of these appointments.
    fn release_all(&mut self, appointments: &HashSet<i64>) {
        self.taken.retain(|(_, holder), _| !appointments.contains(holder));
        self.held.retain(|id, _| !appointments.contains(id));
    }

    /// Marks a span as held.
    pub fn take(&mut self, holder: Holder, during: Interval) {
        self.longest = self.longest.max(during.length());
        self.taken.insert(key(during.start(), holder), during.end().timestamp_micros());
    }

    /// Frees one span of that holder.
    pub fn release_span(&mut self, holder: Holder, during: Interval) {
        self.taken.remove(&key(during.start(), holder));
    }

    /// Drops appointments that were over long before `now`: no rule looks at them any more.
    pub fn forget_before(&mut self, now: DateTime<Utc>) {
        let kept = (now - REMEMBERED).timestamp_micros();
        let held = std::mem::take(&mut self.held);
        self.taken.retain(|(_, holder), end| *end > kept && held.get(holder).is_none_or(|until| *until > kept));
        self.held = held.into_iter().filter(|(_, until)| *until > kept).collect();
    }

    /// Whether a span takes its time at `now`: it is not that of `ignored`, nor of a hold that has ended.
    fn is_taken(&self, key: Key, ignored: Option<AppointmentId>, now: DateTime<Utc>) -> bool {
        let is_ignored = ignored.is_some_and(|id| id.0 == key.1);
        let has_ended = || self.held.get(&key.1).is_some_and(|until| *until <= now.timestamp_micros());
        !is_ignored && (self.held.is_empty() || !has_ended())
    }

    /// How many spans are held.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// The spans that stand in the way of `during`, leaving out those of `ignored`: those that overlap
    /// it or are nearer than the gap.
    pub fn conflicts(&self, during: &Interval, ignored: Option<AppointmentId>, now: DateTime<Utc>) -> Vec<Interval> {
        let kept_free = during.widened(self.rules.gap());
        self.taken
            .range(between(kept_free.start() - self.longest, kept_free.end()))
            .filter(|(key, _)| self.is_taken(**key, ignored, now))
            .filter_map(|(key, end)| unpacked(*key, *end))
            .filter(|taken| taken.overlaps(&kept_free))
            .collect()
    }

    /// Every rule that `during` breaks; empty where it can be booked.
    pub fn violations(&self, during: &Interval, ignored: Option<AppointmentId>, now: DateTime<Utc>) -> Vec<Violation> {
        let openings = Openings::around(&self.rules, during.start(), during.end());
        let on_its_day = self.count_on(during.start(), ignored, now);
        self.broken(during, ignored, now, &openings, on_its_day)
    }

    /// Free times, in order: starts of the slot grid that break no rule.
    pub fn free<'a>(&'a self, search: Search<'a>) -> impl Iterator<Item = Interval> + 'a {
        let first = self.rules.day_of(search.from);
        let first = first.pred_opt().unwrap_or(first);
        let last = self.rules.day_of(search.to);
        let days = first.iter_days().take_while(move |day| self.rules.is_active && *day <= last);
        days.flat_map(move |day| self.free_on(day, search))
    }

    /// The first `count` free times from `from` on, within the next weeks.
    pub fn next_free(&self, search: Search<'_>, count: usize) -> Vec<Interval> {
        let from = search.from.max(search.now);
        let to = from.checked_add_signed(Duration::days(SEARCH_DAYS)).unwrap_or(from);
        self.free(Search { from, to, ..search }).take(count).collect()
    }

    /// Whether `start` is one that the slot grid offers.
    pub fn is_on_grid(&self, start: DateTime<Utc>) -> bool {
        let day = self.rules.day_of(start);
        let days = [day.pred_opt(), Some(day)];
        days.into_iter().flatten().any(|day| openings::starts(&self.rules, day).contains(&start))
    }

    /// The appointments to come that the rules would not allow now, each with the rules it breaks.
    /// They stay: who changed the rules is told.
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

    /// The free times that start on a local day. Each is found when it is asked for: most callers want the first few.
    fn free_on<'a>(&'a self, day: chrono::NaiveDate, search: Search<'a>) -> impl Iterator<Item = Interval> + 'a {
        let starts = openings::starts(&self.rules, day);
        let wanted = starts.into_iter().filter(|start| search.from <= *start && *start < search.to);
        let slots: Vec<_> = wanted.filter_map(|start| Interval::starting(start, search.length)).collect();
        let openings = slots.first().zip(slots.last());
        let openings = openings.map(|(first, last)| Openings::around(&self.rules, first.start(), last.end()));
        // A window that begins on this day may reach into the next, which has a count of its own.
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

    /// How many appointments start on the local day of `start`; not counted where there is no limit.
    fn count_on(&self, start: DateTime<Utc>, ignored: Option<AppointmentId>, now: DateTime<Utc>) -> usize {
        let day = self.rules.most_a_day.and_then(|_| self.rules.day(self.rules.day_of(start)));
        let Some(day) = day else { return 0 };
        let on_day = self.taken.range(between(day.start(), day.end()));
        on_day.filter(|(key, _)| self.is_taken(**key, ignored, now)).count()
    }

    /// The rules, each in a line.
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
