//! The rows of the scheduling table that need no database. Each test has the name of its row.

use chrono::{NaiveDate, NaiveTime, TimeZone, Weekday};
use chrono_tz::Tz;

use super::*;

const NOBODY: Option<AppointmentId> = None;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A time on Monday 2030-01-07.
fn at(hour: u32, minute: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2030, 1, 7, hour, minute, 0).unwrap()
}

fn span(from: (u32, u32), to: (u32, u32)) -> Interval {
    Interval::between(at(from.0, from.1), at(to.0, to.1)).unwrap()
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn window(weekday: Weekday, start: &str, end: &str) -> Window {
    let time = |text: &str| NaiveTime::parse_from_str(text, "%H:%M").unwrap();
    Window { weekday, start: time(start), end: time(end) }
}

fn rules() -> Rules {
    Rules::unset(Tz::UTC, Duration::minutes(30))
}

fn working(windows: &[Window]) -> Rules {
    Rules { hours: vec![Hours { effective_from: day("2020-01-01"), windows: Some(windows.to_vec()) }], ..rules() }
}

fn calendar(rules: Rules, taken: &[Interval]) -> Calendar {
    let numbered = taken.iter().enumerate();
    Calendar::new(rules, numbered.map(|(n, during)| (AppointmentId(n as i64 + 1), *during)))
}

fn search(from: DateTime<Utc>, to: DateTime<Utc>, minutes: i64) -> Search<'static> {
    Search {
        from,
        to,
        length: Duration::minutes(minutes),
        also_busy: &[],
        ignored: NOBODY,
        now: utc("2020-01-01T00:00:00Z"),
    }
}

/// Returns the free starts as local times in the rules' zone.
fn free(calendar: &Calendar, from: DateTime<Utc>, to: DateTime<Utc>, minutes: i64) -> Vec<String> {
    let found = calendar.free(search(from, to, minutes));
    found.map(|slot| slot.start().with_timezone(&calendar.rules.zone).format("%d %H:%M").to_string()).collect()
}

#[test]
fn intervals_are_half_open_so_neighbours_stay_free() {
    let calendar = calendar(rules(), &[span((10, 0), (10, 30))]);
    for free in [span((9, 30), (10, 0)), span((10, 30), (11, 0))] {
        assert_eq!(calendar.violations(&free, NOBODY, at(8, 0)), []);
    }
}

#[test]
fn any_overlap_is_slot_taken() {
    let calendar = calendar(rules(), &[span((10, 0), (10, 30))]);
    for taken in [
        span((10, 0), (10, 30)),
        span((9, 45), (10, 15)),
        span((10, 29), (10, 59)),
        span((10, 10), (10, 20)),
        span((9, 0), (11, 0)),
    ] {
        assert_eq!(calendar.violations(&taken, NOBODY, at(8, 0)), [Violation::SlotTaken]);
        assert_eq!(
            calendar.conflicts(&taken, NOBODY, "2020-01-01T00:00:00Z".parse().unwrap()),
            [span((10, 0), (10, 30))]
        );
    }
}

#[test]
fn a_day_long_appointment_conflicts_in_its_last_minute() {
    let long = Interval::starting(at(0, 0), Duration::hours(24)).unwrap();
    let late = Interval::starting(at(23, 55), Duration::minutes(5)).unwrap();
    assert_eq!(calendar(rules(), &[long]).conflicts(&late, NOBODY, "2020-01-01T00:00:00Z".parse().unwrap()), [long]);
}

#[test]
fn a_pending_write_occupies_its_time_until_it_is_released() {
    let mut calendar = calendar(rules(), &[]);
    let claim = Holder::Claim(1);
    let slot = span((10, 0), (10, 30));
    calendar.take(claim, slot);
    assert_eq!(calendar.violations(&slot, NOBODY, at(8, 0)), [Violation::SlotTaken]);
    calendar.release_span(claim, slot);
    assert_eq!(calendar.violations(&slot, NOBODY, at(8, 0)), []);
}

#[test]
fn a_reschedule_ignores_its_own_time_but_no_other() {
    let calendar = calendar(rules(), &[span((10, 0), (10, 30)), span((11, 0), (11, 30))]);
    let shifted = span((10, 15), (10, 45));
    let own = Some(AppointmentId(1));
    assert_eq!(calendar.violations(&shifted, own, at(8, 0)), []);
    let onto_the_other = span((10, 45), (11, 15));
    assert_eq!(calendar.violations(&onto_the_other, own, at(8, 0)), [Violation::SlotTaken]);
}

#[test]
fn working_hours_limit_bookings_once_they_are_set() {
    let night = span((3, 0), (3, 30));
    assert_eq!(calendar(rules(), &[]).violations(&night, NOBODY, at(0, 0)), []);
    let working = calendar(working(&[window(Weekday::Mon, "09:00", "12:00")]), &[]);
    assert_eq!(working.violations(&night, NOBODY, at(0, 0)), [Violation::OutsideHours]);
    assert_eq!(working.violations(&span((9, 0), (12, 0)), NOBODY, at(0, 0)), []);
    for over_an_edge in [span((8, 45), (9, 15)), span((11, 45), (12, 15))] {
        assert_eq!(working.violations(&over_an_edge, NOBODY, at(0, 0)), [Violation::OutsideHours]);
    }
}

#[test]
fn empty_working_hours_allow_no_booking() {
    let calendar = calendar(working(&[]), &[]);
    assert_eq!(calendar.violations(&span((9, 0), (9, 30)), NOBODY, at(0, 0)), [Violation::OutsideHours]);
    assert_eq!(free(&calendar, at(0, 0), at(23, 0), 30), [""; 0]);
}

#[test]
fn hours_apply_from_their_first_day_on() {
    let mut rules = working(&[window(Weekday::Mon, "09:00", "10:00")]);
    let later =
        Hours { effective_from: day("2030-01-14"), windows: Some(vec![window(Weekday::Mon, "14:00", "15:00")]) };
    rules.hours.push(later);
    rules.hours.push(Hours { effective_from: day("2030-01-21"), windows: None });
    let calendar = calendar(rules, &[]);
    let (from, to) = (at(0, 0), at(0, 0) + Duration::days(8));
    assert_eq!(free(&calendar, from, to, 30), ["07 09:00", "07 09:30", "14 14:00", "14 14:30"]);
    let unset = Interval::starting(utc("2030-01-22T03:00:00Z"), Duration::minutes(30)).unwrap();
    assert_eq!(calendar.violations(&unset, NOBODY, at(0, 0)), []);
}

#[test]
fn overlapping_hours_merge_and_offer_each_start_once() {
    let hours = [window(Weekday::Mon, "09:00", "10:30"), window(Weekday::Mon, "10:00", "12:00")];
    let calendar = calendar(working(&hours), &[]);
    let starts = free(&calendar, at(0, 0), at(23, 0), 60);
    assert_eq!(starts, ["07 09:00", "07 09:30", "07 10:00", "07 10:30", "07 11:00"]);
    assert_eq!(calendar.violations(&span((10, 15), (11, 45)), NOBODY, at(0, 0)), []);
}

#[test]
fn hours_across_midnight_belong_to_the_day_they_start_on() {
    let mut rules = working(&[window(Weekday::Mon, "22:00", "02:00")]);
    let night = [at(0, 0), at(0, 0) + Duration::days(2)];
    let open = calendar(rules.clone(), &[]);
    assert_eq!(
        free(&open, night[0], night[1], 60),
        ["07 22:00", "07 22:30", "07 23:00", "07 23:30", "08 00:00", "08 00:30", "08 01:00"]
    );

    rules.closed = vec![ClosedDays { first: day("2030-01-08"), last: day("2030-01-08") }];
    let cut = calendar(rules.clone(), &[]);
    assert_eq!(free(&cut, night[0], night[1], 60), ["07 22:00", "07 22:30", "07 23:00"]);
    let spill = Interval::starting(utc("2030-01-08T01:00:00Z"), Duration::minutes(30)).unwrap();
    assert_eq!(cut.violations(&spill, NOBODY, at(0, 0)), [Violation::ClinicClosed]);

    // The window belongs to Monday. If Monday is closed, so is the part of the window on Tuesday.
    rules.closed = vec![ClosedDays { first: day("2030-01-07"), last: day("2030-01-07") }];
    let gone = calendar(rules, &[]);
    assert_eq!(free(&gone, night[0], night[1], 60), [""; 0]);
    assert_eq!(gone.violations(&spill, NOBODY, at(0, 0)), [Violation::ClinicClosed]);
}

#[test]
fn breaks_and_time_off_are_not_bookable() {
    let hours = [window(Weekday::Mon, "09:00", "12:00"), window(Weekday::Mon, "13:00", "15:00")];
    let mut rules = working(&hours);
    rules.time_off = vec![span((14, 0), (14, 20))];
    let calendar = calendar(rules, &[]);
    let starts = free(&calendar, at(0, 0), at(23, 0), 30);
    assert_eq!(
        starts,
        ["07 09:00", "07 09:30", "07 10:00", "07 10:30", "07 11:00", "07 11:30", "07 13:00", "07 13:30", "07 14:30"]
    );
    assert_eq!(calendar.violations(&span((11, 45), (12, 15)), NOBODY, at(0, 0)), [Violation::OutsideHours]);
    assert_eq!(calendar.violations(&span((14, 15), (14, 45)), NOBODY, at(0, 0)), [Violation::TimeOff]);
    assert_eq!(calendar.violations(&span((14, 20), (14, 50)), NOBODY, at(0, 0)), []);
}

#[test]
fn the_longer_buffer_counts_and_may_reach_outside_the_hours() {
    let mut rules = working(&[window(Weekday::Mon, "09:00", "12:00")]);
    rules.buffer_before = Duration::minutes(5);
    rules.buffer_after = Duration::minutes(15);
    let calendar = calendar(rules, &[span((10, 0), (10, 30))]);
    let verdict = |from, to| calendar.violations(&span(from, to), NOBODY, at(0, 0));
    assert_eq!(verdict((10, 44), (11, 14)), [Violation::TooClose]);
    assert_eq!(verdict((10, 45), (11, 15)), []);
    assert_eq!(verdict((9, 20), (9, 46)), [Violation::TooClose]);
    assert_eq!(verdict((9, 15), (9, 45)), []);
    // The buffers before the first and after the last appointment are outside the hours.
    assert_eq!(verdict((9, 0), (9, 30)), []);
    assert_eq!(verdict((11, 30), (12, 0)), []);
}

#[test]
fn capacity_counts_active_appointments_by_local_start_day() {
    let zone = Tz::America__New_York;
    // Three appointments around local midnight. The clocks go back on 2026-11-01, so that day has 25 hours.
    let slot = |text| Interval::starting(utc(text), Duration::minutes(30)).unwrap();
    let taken = [slot("2026-11-01T03:30:00Z"), slot("2026-11-01T04:00:00Z"), slot("2026-11-02T04:30:00Z")];
    let rules = Rules { most_a_day: Some(2), ..Rules::unset(zone, Duration::minutes(30)) };
    let mut calendar = calendar(rules, &taken);
    let now = utc("2026-10-01T00:00:00Z");
    // 04:00Z and 04:30Z of the next day are both on 1 November in New York, so the day is full.
    assert_eq!(calendar.violations(&slot("2026-11-01T15:00:00Z"), NOBODY, now), [Violation::DayFull]);
    assert_eq!(calendar.violations(&slot("2026-11-02T05:00:00Z"), NOBODY, now), []);
    assert_eq!(calendar.violations(&slot("2026-10-31T15:00:00Z"), NOBODY, now), []);
    // One of the two may move within its day, and a cancelled appointment does not count.
    assert_eq!(calendar.violations(&slot("2026-11-01T15:00:00Z"), Some(AppointmentId(2)), now), []);
    calendar.release_span(Holder::Appointment(AppointmentId(2)), taken[1]);
    assert_eq!(calendar.violations(&slot("2026-11-01T15:00:00Z"), NOBODY, now), []);
}

#[test]
fn minimum_notice_is_elapsed_time_and_the_horizon_is_local_days() {
    let zone = Tz::Pacific__Auckland;
    let rules =
        Rules { notice: Duration::hours(2), horizon_days: Some(1), ..Rules::unset(zone, Duration::minutes(30)) };
    let calendar = calendar(rules, &[]);
    // 10:00Z is 23:00 in Auckland. There the next day ends in 25 hours.
    let now = at(10, 0);
    let verdict = |elapsed: Duration| {
        calendar.violations(&Interval::starting(now + elapsed, Duration::minutes(30)).unwrap(), NOBODY, now)
    };
    assert_eq!(verdict(Duration::minutes(119)), [Violation::TooSoon]);
    assert_eq!(verdict(Duration::minutes(120)), []);
    assert_eq!(verdict(Duration::minutes(25 * 60 - 1)), []);
    assert_eq!(verdict(Duration::minutes(25 * 60)), [Violation::TooFar]);
    assert_eq!(verdict(Duration::minutes(-1)), [Violation::InThePast, Violation::TooSoon]);
}

#[test]
fn without_a_notice_the_past_is_not_also_too_soon() {
    assert_eq!(calendar(rules(), &[]).violations(&span((9, 0), (9, 30)), NOBODY, at(9, 1)), [Violation::InThePast]);
}

#[test]
fn several_broken_rules_are_all_listed() {
    let mut rules = working(&[window(Weekday::Mon, "14:00", "15:00")]);
    rules.is_active = false;
    rules.notice = Duration::hours(1);
    rules.horizon_days = Some(0);
    rules.closed = vec![ClosedDays { first: day("2030-01-07"), last: day("2030-01-07") }];
    rules.time_off = vec![span((10, 0), (11, 0))];
    rules.buffer_after = Duration::minutes(10);
    rules.most_a_day = Some(2);
    let calendar = calendar(rules, &[span((10, 0), (10, 30)), span((9, 0), (9, 25))]);
    let all_but_two = calendar.violations(&span((9, 30), (10, 15)), NOBODY, at(12, 0));
    let expected: Vec<_> = Violation::OF_CALENDAR.into_iter().filter(|v| *v != Violation::TooFar).collect();
    assert_eq!(all_but_two, expected);
    let too_far = calendar.violations(&span((9, 30), (10, 15)), NOBODY, at(12, 0) - Duration::days(2));
    let expected: Vec<_> = Violation::OF_CALENDAR.into_iter().filter(|v| !v.is_about_now()).collect();
    assert_eq!(too_far, expected);
}

#[test]
fn an_edge_in_a_dst_gap_takes_the_offset_before_the_gap() {
    let mut rules = working(&[window(Weekday::Sun, "01:00", "04:00")]);
    rules.zone = Tz::America__New_York;
    let windows = rules.windows(day("2026-03-08"));
    assert_eq!(windows.iter().map(Interval::length).collect::<Vec<_>>(), [Duration::hours(2)]);
    // 02:30 does not exist. With the offset before the gap it is 03:30.
    rules.hours[0].windows = Some(vec![window(Weekday::Sun, "02:30", "05:00")]);
    assert_eq!(rules.windows(day("2026-03-08"))[0].start(), utc("2026-03-08T07:30:00Z"));
}

#[test]
fn a_dst_overlap_uses_the_first_occurrence_and_offers_all_hours() {
    let mut rules = working(&[window(Weekday::Sun, "00:00", "04:00")]);
    rules.zone = Tz::America__New_York;
    rules.slot = Duration::hours(1);
    let windows = rules.windows(day("2026-11-01"));
    assert_eq!(windows.iter().map(Interval::length).collect::<Vec<_>>(), [Duration::hours(5)]);
    let calendar = calendar(rules, &[]);
    let found = calendar.free(search(utc("2026-11-01T00:00:00Z"), utc("2026-11-02T00:00:00Z"), 60));
    let starts: Vec<_> = found.map(|slot| slot.start()).collect();
    let expected: Vec<_> = (4..9).map(|hour| Utc.with_ymd_and_hms(2026, 11, 1, hour, 0, 0).unwrap()).collect();
    assert_eq!(starts, expected);
}

#[test]
fn a_new_zone_keeps_instants_and_lists_appointments_outside() {
    let morning = Interval::starting(utc("2030-01-07T14:00:00Z"), Duration::minutes(30)).unwrap();
    let mut rules = working(&[window(Weekday::Mon, "09:00", "12:00")]);
    rules.zone = Tz::America__New_York;
    let mut calendar = calendar(rules.clone(), &[morning]);
    assert_eq!(calendar.outside(at(0, 0)), []);
    rules.zone = Tz::Europe__Berlin;
    calendar.set_rules(rules);
    assert_eq!(calendar.outside(at(0, 0)), [(AppointmentId(1), vec![Violation::OutsideHours])]);
    assert_eq!(calendar.conflicts(&morning, NOBODY, "2020-01-01T00:00:00Z".parse().unwrap()), [morning]);
}

#[test]
fn new_hours_or_limits_keep_and_list_appointments_outside() {
    let mut calendar = calendar(rules(), &[span((9, 0), (9, 30)), span((9, 40), (10, 0)), span((15, 0), (15, 30))]);
    let mut tighter = working(&[window(Weekday::Mon, "09:00", "12:00")]);
    tighter.buffer_before = Duration::minutes(15);
    tighter.most_a_day = Some(2);
    calendar.set_rules(tighter);
    let too_close = vec![Violation::TooClose, Violation::DayFull];
    assert_eq!(
        calendar.outside(at(8, 0)),
        [
            (AppointmentId(1), too_close.clone()),
            (AppointmentId(2), too_close),
            (AppointmentId(3), vec![Violation::OutsideHours, Violation::DayFull]),
        ]
    );
    assert_eq!(calendar.len(), 3);
    // An appointment that is over is not listed.
    assert_eq!(calendar.outside(at(14, 0)).len(), 1);
}

#[test]
fn the_slot_grid_is_anchored_to_the_window_and_not_to_the_query() {
    let hours = [window(Weekday::Mon, "09:10", "11:00"), window(Weekday::Mon, "13:05", "14:30")];
    let calendar = calendar(working(&hours), &[]);
    let all = free(&calendar, at(0, 0), at(23, 0), 30);
    assert_eq!(all, ["07 09:10", "07 09:40", "07 10:10", "07 13:05", "07 13:35"]);
    for minute in 0..=59 {
        let later = free(&calendar, at(9, minute), at(23, 0), 30);
        assert!(all.ends_with(&later), "from 09:{minute}: {later:?}");
    }
}

#[test]
fn without_hours_the_grid_starts_at_the_doctors_midnight() {
    let calendar = calendar(Rules::unset(Tz::Asia__Kolkata, Duration::hours(1)), &[]);
    assert_eq!(free(&calendar, at(10, 0), at(11, 0), 60), ["07 16:00"]);
}

#[test]
fn a_deactivated_doctor_has_no_slots_but_keeps_appointments() {
    let mut rules = rules();
    rules.is_active = false;
    let calendar = calendar(rules, &[span((10, 0), (10, 30))]);
    assert_eq!(free(&calendar, at(0, 0), at(23, 0), 30), [""; 0]);
    assert_eq!(calendar.next_free(search(at(8, 0), at(8, 0), 30), 3), []);
    assert_eq!(calendar.violations(&span((12, 0), (12, 30)), NOBODY, at(8, 0)), [Violation::DoctorInactive]);
    assert_eq!(calendar.outside(at(8, 0)), [(AppointmentId(1), vec![Violation::DoctorInactive])]);
}

#[test]
fn next_free_offers_the_next_starts_that_can_be_booked() {
    let calendar = calendar(rules(), &[span((10, 0), (10, 30)), span((11, 10), (11, 20))]);
    let offered = calendar.next_free(search(at(10, 0), at(10, 0), 30), 3);
    assert_eq!(offered, [span((10, 30), (11, 0)), span((11, 30), (12, 0)), span((12, 0), (12, 30))]);
}

#[test]
fn next_free_leaves_out_the_patients_own_times_and_the_past() {
    let busy = [span((12, 0), (13, 0))];
    let asked = Search { also_busy: &busy, now: at(11, 40), ..search(at(10, 0), at(10, 0), 60) };
    let offered = calendar(rules(), &[]).next_free(asked, 2);
    assert_eq!(offered, [span((13, 0), (14, 0)), span((13, 30), (14, 30))]);
}

#[test]
fn a_start_off_the_grid_is_recognized() {
    let calendar = calendar(working(&[window(Weekday::Mon, "22:15", "02:00")]), &[]);
    assert!(calendar.is_on_grid(at(22, 45)));
    assert!(calendar.is_on_grid(utc("2030-01-08T00:15:00Z")));
    assert!(!calendar.is_on_grid(at(22, 30)));
}

#[test]
fn appointments_of_an_unfinished_day_are_kept() {
    let mut calendar = calendar(rules(), &[span((10, 0), (10, 30)), span((11, 0), (11, 30))]);
    calendar.forget_before(at(10, 30) + Duration::days(1));
    assert_eq!(calendar.len(), 2);
    calendar.forget_before(at(10, 30) + Duration::days(2));
    assert_eq!(calendar.len(), 1, "the one that ended then is forgotten");
}
