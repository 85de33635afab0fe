//! Property tests with ten thousand cases: the calendar against a slow, simple model, and against itself.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Weekday};
use chrono_tz::Tz;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Days on which clocks change in one of the zones, and one day on which no clock changes.
const DAYS: [&str; 6] = ["2026-03-08", "2026-11-01", "2026-10-25", "2026-03-29", "2026-04-05", "2026-06-10"];
const ZONES: [Tz; 6] = [
    Tz::UTC,
    Tz::America__New_York,
    Tz::Europe__Berlin,
    Tz::Australia__Lord_Howe,
    Tz::Asia__Kolkata,
    Tz::America__Santiago,
];

fn utc(day: NaiveDate, minutes: i64) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc() + Duration::minutes(minutes)
}

fn weekday() -> impl Strategy<Value = Weekday> {
    (0u8..7).prop_map(|n| Weekday::try_from(n).unwrap())
}

fn time() -> impl Strategy<Value = NaiveTime> {
    // Quarters of an hour, with more weight on the hours at which clocks change.
    prop_oneof![0u32..96, 0u32..16]
        .prop_map(|quarter| NaiveTime::from_hms_opt(quarter / 4, quarter % 4 * 15, 0).unwrap())
}

fn hours(day: NaiveDate) -> impl Strategy<Value = Hours> {
    let window = (weekday(), time(), time()).prop_map(|(weekday, start, end)| Window { weekday, start, end });
    let windows = prop_oneof![4 => vec(window, 0..12).prop_map(Some), 1 => Just(None)];
    (-9i64..9, windows)
        .prop_map(move |(offset, windows)| Hours { effective_from: day + Duration::days(offset), windows })
}

/// A span near the day, in multiples of five minutes.
fn span(day: NaiveDate) -> impl Strategy<Value = Interval> {
    (-500i64..700, 1i64..24).prop_map(move |(start, length)| {
        Interval::starting(utc(day, start * 5), Duration::minutes(length * 5)).unwrap()
    })
}

fn some_rules(day: NaiveDate) -> impl Strategy<Value = Rules> {
    let limits = (0i64..5, 0i64..5, prop::option::of(0usize..4), 0i64..40, prop::option::of(0u32..4));
    let away = (vec(span(day), 0..3), vec((-3i64..4, 0i64..2), 0..2));
    (
        select(&ZONES[..]),
        select(&[10i64, 30, 45, 60][..]),
        prop::bool::weighted(0.95),
        limits,
        vec(hours(day), 0..3),
        away,
    )
        .prop_map(move |(zone, slot, is_active, limits, mut hours, (mut time_off, closed))| {
            hours.sort_by_key(|hours| hours.effective_from);
            hours.dedup_by_key(|hours| hours.effective_from);
            time_off.sort_unstable();
            Rules {
                is_active,
                buffer_before: Duration::minutes(limits.0 * 5),
                buffer_after: Duration::minutes(limits.1 * 5),
                most_a_day: limits.2.map(|most| most + 1),
                notice: Duration::minutes(limits.3 * 15),
                horizon_days: limits.4,
                hours,
                time_off,
                closed: closed
                    .into_iter()
                    .map(|(from, more)| ClosedDays {
                        first: day + Duration::days(from),
                        last: day + Duration::days(from + more),
                    })
                    .collect(),
                ..Rules::unset(zone, Duration::minutes(slot))
            }
        })
}

/// A day, rules, appointments, and the current time.
fn situation() -> impl Strategy<Value = (NaiveDate, Rules, Vec<Interval>, DateTime<Utc>)> {
    select(&DAYS[..]).prop_flat_map(|day| {
        let day: NaiveDate = day.parse().unwrap();
        (Just(day), some_rules(day), vec(span(day), 0..8), (-600i64..100).prop_map(move |n| utc(day, n * 5)))
    })
}

/// Returns the spans that a schedule would accept one after the other if it checked only overlaps.
fn without_overlap(spans: Vec<Interval>) -> Vec<Interval> {
    let mut kept: Vec<Interval> = Vec::new();
    for span in spans {
        if !kept.iter().any(|other| other.overlaps(&span)) {
            kept.push(span);
        }
    }
    kept
}

fn numbered(rules: Rules, taken: &[Interval]) -> Calendar {
    Calendar::new(rules, taken.iter().enumerate().map(|(n, during)| (AppointmentId(n as i64), *during)))
}

/// A calendar that checks every minute and every appointment and precomputes nothing.
struct Model<'a> {
    rules: &'a Rules,
    taken: &'a [Interval],
    now: DateTime<Utc>,
}

impl Model<'_> {
    fn local_day(&self, at: DateTime<Utc>) -> NaiveDate {
        at.with_timezone(&self.rules.zone).date_naive()
    }

    /// Implements RFC 5545 §3.3.5 literally: the first instant that shows this local time, otherwise the local time
    /// with the offset before the gap. Clocks change at most once in the two days around it.
    fn instant(&self, local: NaiveDateTime) -> DateTime<Utc> {
        let offset_at = |at: NaiveDateTime| self.rules.zone.offset_from_utc_datetime(&at).fix().local_minus_utc();
        let before = offset_at(local - Duration::hours(26));
        let after = offset_at(local + Duration::hours(26));
        let by = |offset: i32| (local - Duration::seconds(offset.into())).and_utc();
        let shows = |at: &DateTime<Utc>| at.with_timezone(&self.rules.zone).naive_local() == local;
        [by(before), by(after)].into_iter().filter(shows).min().unwrap_or_else(|| by(before))
    }

    fn windows_of(&self, day: NaiveDate) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        let mut in_force = None;
        for hours in &self.rules.hours {
            if hours.effective_from <= day {
                in_force = hours.windows.as_ref();
            }
        }
        let midnight = |day: NaiveDate| self.instant(day.and_time(NaiveTime::MIN));
        let Some(windows) = in_force else {
            return vec![(midnight(day), midnight(day + Duration::days(1)))];
        };
        let mut found = Vec::new();
        for window in windows {
            if window.weekday == chrono::Datelike::weekday(&day) {
                let last = if window.end <= window.start { day + Duration::days(1) } else { day };
                found.push((self.instant(day.and_time(window.start)), self.instant(last.and_time(window.end))));
            }
        }
        found
    }

    fn is_closed(&self, day: NaiveDate) -> bool {
        self.rules.closed.iter().any(|closed| (closed.first..=closed.last).contains(&day))
    }

    /// Returns whether the doctor works in that minute: by the hours alone, and with closed days.
    fn works(&self, minute: DateTime<Utc>) -> (bool, bool) {
        let today = self.local_day(minute);
        let (mut scheduled, mut open) = (false, false);
        for day in [today - Duration::days(1), today] {
            for (start, end) in self.windows_of(day) {
                if start <= minute && minute < end {
                    scheduled = true;
                    open |= !self.is_closed(day) && !self.is_closed(today);
                }
            }
        }
        (scheduled, open)
    }

    fn violations(&self, during: &Interval) -> Vec<Violation> {
        let (rules, start) = (self.rules, during.start());
        // Every time in these tests is a multiple of five minutes.
        let fives = (0..during.length().num_minutes() / 5).map(|n| start + Duration::minutes(n * 5));
        let works: Vec<_> = fives.clone().map(|minute| self.works(minute)).collect();
        let is_scheduled = works.iter().all(|(scheduled, _)| *scheduled);
        let is_open = works.iter().all(|(_, open)| *open);
        let on_closed_day = fives.clone().any(|minute| self.is_closed(self.local_day(minute)));
        let gap = rules.buffer_after.max(rules.buffer_before);
        let day = self.local_day(start);
        let of_day = self.taken.iter().filter(|taken| self.local_day(taken.start()) == day).count();
        let mut broken = Vec::new();
        let mut tell = |is_broken: bool, violation| {
            if is_broken {
                broken.push(violation);
            }
        };
        tell(start < self.now, Violation::InThePast);
        tell(rules.notice > Duration::zero() && start < self.now + rules.notice, Violation::TooSoon);
        let days_ahead = (day - self.local_day(self.now)).num_days();
        tell(rules.horizon_days.is_some_and(|most| days_ahead > most.into()), Violation::TooFar);
        tell(!rules.is_active, Violation::DoctorInactive);
        tell(on_closed_day || is_scheduled && !is_open, Violation::ClinicClosed);
        let fives_away = |away: &Interval| fives.clone().any(|minute| away.start() <= minute && minute < away.end());
        tell(rules.time_off.iter().any(fives_away), Violation::TimeOff);
        tell(!is_scheduled, Violation::OutsideHours);
        let overlaps = |other: &Interval| other.start() < during.end() && start < other.end();
        tell(self.taken.iter().any(overlaps), Violation::SlotTaken);
        let is_near =
            |other: &Interval| !overlaps(other) && other.start() < during.end() + gap && start < other.end() + gap;
        tell(self.taken.iter().any(is_near), Violation::TooClose);
        tell(rules.most_a_day.is_some_and(|most| of_day >= most), Violation::DayFull);
        broken
    }
}

/// One change of a calendar.
#[derive(Debug, Clone)]
enum Step {
    Book(Interval),
    Cancel(usize),
    Reschedule(usize, Interval),
    TimeOff(Interval),
    Rules(Box<Rules>),
}

fn step(day: NaiveDate) -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => span(day).prop_map(Step::Book),
        2 => (0usize..20).prop_map(Step::Cancel),
        3 => (0usize..20, span(day)).prop_map(|(n, to)| Step::Reschedule(n, to)),
        1 => span(day).prop_map(Step::TimeOff),
        1 => some_rules(day).prop_map(|rules| Step::Rules(Box::new(rules))),
    ]
}

/// The expected content of the database: rules and rows.
struct Stored {
    rules: Rules,
    rows: Vec<(AppointmentId, Interval)>,
    next: i64,
}

/// Applies a step as a schedule actor does: the booking has a claim while its write is pending.
fn apply(step: Step, memory: &mut Calendar, stored: &mut Stored, now: DateTime<Utc>) {
    let claim = Holder::Claim(stored.next as u32);
    match step {
        Step::Book(during) if memory.violations(&during, None, now).is_empty() => {
            memory.take(claim, during);
            stored.rows.push((AppointmentId(stored.next), during));
            memory.release_span(claim, during);
            memory.take(Holder::Appointment(AppointmentId(stored.next)), during);
            stored.next += 1;
        }
        Step::Cancel(n) if n < stored.rows.len() => {
            let (id, during) = stored.rows.remove(n);
            memory.release_span(Holder::Appointment(id), during);
        }
        Step::Reschedule(n, to) if n < stored.rows.len() => {
            let (id, during) = stored.rows[n];
            if memory.violations(&to, Some(id), now).is_empty() {
                memory.take(claim, to);
                stored.rows[n].1 = to;
                memory.release_span(claim, to);
                memory.release_span(Holder::Appointment(id), during);
                memory.take(Holder::Appointment(id), to);
            }
        }
        Step::TimeOff(away) => {
            stored.rules.time_off.push(away);
            stored.rules.time_off.sort_unstable();
            memory.set_rules(stored.rules.clone());
        }
        Step::Rules(rules) => {
            stored.rules = *rules;
            memory.set_rules(stored.rules.clone());
        }
        Step::Book(_) | Step::Cancel(_) | Step::Reschedule(..) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_evaluator_agrees_with_the_slow_model(
        (day, rules, taken, now) in situation(),
        proposals in vec((-500i64..700, 1i64..40), 1..4),
    ) {
        let taken = without_overlap(taken);
        let calendar = numbered(rules.clone(), &taken);
        let model = Model { rules: &rules, taken: &taken, now };
        for (start, length) in proposals {
            let during = Interval::starting(utc(day, start * 5), Duration::minutes(length * 5)).unwrap();
            prop_assert_eq!(calendar.violations(&during, None, now), model.violations(&during), "{:?}", during);
        }
    }

    #[test]
    fn exactly_the_times_that_can_be_booked_are_offered(
        (day, rules, taken, now) in situation(),
        from in -400i64..400,
        minutes in select(&[5i64, 20, 30, 60, 90][..]),
    ) {
        let calendar = numbered(rules, &without_overlap(taken));
        let (from, length) = (utc(day, from * 5), Duration::minutes(minutes));
        let to = from + Duration::days(2);
        let search = Search { from, to, length, also_busy: &[], ignored: None, now };
        let offered: Vec<_> = calendar.free(search).collect();
        prop_assert!(offered.is_sorted_by(|a, b| a.start() < b.start()), "in order, none twice: {:?}", offered);
        for slot in &offered {
            prop_assert_eq!(calendar.violations(slot, None, now), [], "offered {:?}", slot);
            prop_assert!(calendar.is_on_grid(slot.start()));
        }
        // Exactly the grid starts that can be booked are offered.
        let days = (-1..=3).map(|n| calendar.rules().day_of(from) + Duration::days(n));
        let grid = days.flat_map(|day| openings::starts(calendar.rules(), day));
        let asked = grid.filter(|start| from <= *start && *start < to);
        let bookable = asked.filter_map(|start| Interval::starting(start, length));
        let bookable: Vec<_> = bookable.filter(|slot| calendar.violations(slot, None, now).is_empty()).collect();
        prop_assert_eq!(offered, bookable);
    }

    #[test]
    fn after_any_changes_memory_equals_a_fresh_load_without_overlap(
        (rules, steps, now) in select(&DAYS[..]).prop_flat_map(|day| {
            let day: NaiveDate = day.parse().unwrap();
            (some_rules(day), vec(step(day), 1..30), (-600i64..100).prop_map(move |n| utc(day, n * 5)))
        }),
    ) {
        let mut stored = Stored { rules: rules.clone(), rows: Vec::new(), next: 1 };
        let mut memory = Calendar::new(rules, []);
        for step in steps {
            apply(step, &mut memory, &mut stored, now);
            let fresh = Calendar::new(stored.rules.clone(), stored.rows.clone());
            prop_assert_eq!(&memory, &fresh);
        }
        for (n, (_, one)) in stored.rows.iter().enumerate() {
            for (_, other) in &stored.rows[n + 1..] {
                prop_assert!(!one.overlaps(other), "{:?} {:?}", one, other);
            }
        }
    }
}
