use super::*;

fn times(rule: &str, zone: Tz, first: &str) -> Result<Vec<Interval>, FieldErrors> {
    Repeat::parse(rule)?.times(zone, first.parse().unwrap(), Duration::minutes(30))
}

fn starts(rule: &str, zone: Tz, first: &str) -> Result<Vec<String>, FieldErrors> {
    Ok(times(rule, zone, first)?.iter().map(|during| during.start().format("%Y-%m-%dT%H:%MZ").to_string()).collect())
}

fn refusal(rule: &str, first: &str) -> String {
    let refused = times(rule, Tz::UTC, first).unwrap_err().0;
    assert_eq!((refused.len(), refused["rrule"].len()), (1, 1), "{rule}");
    refused["rrule"][0].clone()
}

#[test]
fn a_series_keeps_its_wall_clock_time_over_a_clock_change() {
    let starts = starts("FREQ=WEEKLY;COUNT=3", Tz::America__New_York, "2026-10-26T13:00:00Z").unwrap();
    assert_eq!(starts, ["2026-10-26T13:00Z", "2026-11-02T14:00Z", "2026-11-09T14:00Z"]);
}

#[test]
fn a_time_in_a_gap_takes_the_offset_before_the_gap() {
    let starts = starts("RRULE:FREQ=DAILY;COUNT=3", Tz::America__New_York, "2026-03-07T07:30:00Z").unwrap();
    assert_eq!(starts, ["2026-03-07T07:30Z", "2026-03-08T07:30Z", "2026-03-09T06:30Z"]);
}

#[test]
fn a_series_from_the_second_of_a_doubled_hour_starts_there() {
    let new_york = Tz::America__New_York;
    let second = starts("FREQ=WEEKLY;COUNT=2", new_york, "2026-11-01T06:30:00Z").unwrap();
    assert_eq!(second, ["2026-11-01T06:30Z", "2026-11-08T06:30Z"]);
    let first = starts("FREQ=WEEKLY;COUNT=2", new_york, "2026-11-01T05:30:00Z").unwrap();
    assert_eq!(first, ["2026-11-01T05:30Z", "2026-11-08T06:30Z"]);
}

#[test]
fn a_doubled_hour_is_taken_in_the_first_starts_offset() {
    let new_york = Tz::America__New_York;
    // The first series starts in summer, the second in winter. 2026-11-01 has 01:30 at 05:30Z and at 06:30Z.
    let summer = starts("FREQ=DAILY;COUNT=3", new_york, "2026-10-31T05:30:00Z").unwrap();
    assert_eq!(summer, ["2026-10-31T05:30Z", "2026-11-01T05:30Z", "2026-11-02T06:30Z"]);
    let winter = starts("FREQ=MONTHLY;INTERVAL=9;COUNT=2", new_york, "2026-02-01T06:30:00Z").unwrap();
    assert_eq!(winter, ["2026-02-01T06:30Z", "2026-11-01T06:30Z"]);
    // `UNTIL` compares with the same instant.
    let until = starts("FREQ=MONTHLY;INTERVAL=9;UNTIL=20261101T060000Z", new_york, "2026-02-01T06:30:00Z").unwrap();
    assert_eq!(until, ["2026-02-01T06:30Z"]);
}

#[test]
fn every_appointment_has_the_first_starts_microseconds() {
    for (first, expected) in [
        ("2030-01-07T09:00:00.123456789Z", ["2030-01-07T09:00:00.123456Z", "2030-01-08T09:00:00.123456Z"]),
        ("2030-01-07T09:00:00.999999999Z", ["2030-01-07T09:00:00.999999Z", "2030-01-08T09:00:00.999999Z"]),
        ("2030-01-07T23:59:59.5Z", ["2030-01-07T23:59:59.5Z", "2030-01-08T23:59:59.5Z"]),
        ("1931-01-07T09:00:00.000001999Z", ["1931-01-07T09:00:00.000001Z", "1931-01-08T09:00:00.000001Z"]),
    ] {
        let times = times("FREQ=DAILY;COUNT=2", Tz::Europe__Berlin, first).unwrap();
        let expected: Vec<DateTime<Utc>> = expected.iter().map(|at| at.parse().unwrap()).collect();
        assert_eq!(times.iter().map(Interval::start).collect::<Vec<_>>(), expected);
        assert_eq!(times[1].length(), Duration::minutes(30));
    }
}

#[test]
fn until_includes_a_start_within_its_second() {
    for until in ["20300108T090000Z", "20300108T090000", "20300108"] {
        let starts = starts(&format!("FREQ=DAILY;UNTIL={until}"), Tz::UTC, "2030-01-07T09:00:00.5Z").unwrap();
        assert_eq!(starts, ["2030-01-07T09:00Z", "2030-01-08T09:00Z"], "{until}");
    }
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
        "FREQ=WEEKLY;COUNT=0",
        "FREQ=WEEKLY;INTERVAL=0;COUNT=2",
        "FREQ=WEEKLY;COUNT=101",
        "FREQ=DAILY;UNTIL=20310101",
        "FREQ=DAILY;UNTIL=99991231",
        "FREQ=DAILY;UNTIL=tomorrow",
        "FREQ=DAILY;UNTIL=20200101",
        "FREQ=WEEKLY;BYDAY=XX;COUNT=2",
        "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=31;COUNT=2",
    ] {
        refusal(rule, "2030-01-07T09:00:00Z");
    }
    assert_eq!(starts("FREQ=DAILY;COUNT=100", Tz::UTC, "2030-01-07T09:00:00Z").unwrap().len(), 100);
}

#[test]
fn a_rule_ends_by_count_or_by_until_and_not_by_both() {
    for rule in ["FREQ=DAILY;COUNT=2;UNTIL=20300131", "UNTIL=20300131T090000Z;FREQ=WEEKLY;count=2"] {
        let sentence = refusal(rule, "2030-01-07T09:00:00Z");
        assert_eq!(sentence, "A rule ends by COUNT or by UNTIL, not by both: leave one out.", "{rule}");
    }
}

#[test]
fn a_series_that_leaves_the_kept_years_is_refused() {
    for (rule, first, fit) in [
        ("FREQ=DAILY;COUNT=5", "2200-12-29T09:00:00Z", 3),
        ("FREQ=DAILY;COUNT=101", "2200-12-29T09:00:00Z", 3),
        ("FREQ=DAILY;UNTIL=22010105", "2200-12-29T09:00:00Z", 3),
        ("FREQ=DAILY;UNTIL=22010105T000000Z", "2200-12-29T09:00:00Z", 3),
        // The last appointment starts in time and ends too late.
        ("FREQ=DAILY;COUNT=2", "2200-12-30T23:45:00Z", 1),
        ("FREQ=DAILY;COUNT=1", "2200-12-31T23:45:00Z", 0),
        ("FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=29;COUNT=100", "2030-01-07T09:00:00Z", 41),
        ("FREQ=MONTHLY;INTERVAL=60000;COUNT=3", "2030-01-07T09:00:00Z", 1),
        // Here the library itself stops: at the year 10,000, and at an interval that it cannot add.
        ("FREQ=DAILY;INTERVAL=65535;BYMONTH=1;BYMONTHDAY=7;COUNT=3", "2030-01-07T09:00:00Z", 1),
        ("FREQ=MONTHLY;INTERVAL=65535;COUNT=2", "2030-01-07T09:00:00Z", 1),
        ("FREQ=MONTHLY;INTERVAL=65535;UNTIL=99991231", "2030-01-07T09:00:00Z", 1),
        ("FREQ=WEEKLY;INTERVAL=65535;UNTIL=99991231", "2030-01-07T09:00:00Z", 1),
        ("FREQ=DAILY;INTERVAL=65535;COUNT=60", "2030-01-07T09:00:00Z", 1),
    ] {
        let sentence = refusal(rule, first);
        assert!(sentence.contains("the years 1900 to 2200"), "{rule}: {sentence}");
        // The rule that the message proposes is valid.
        if fit == 0 {
            assert!(sentence.ends_with("start earlier."), "{rule}: {sentence}");
            continue;
        }
        assert!(sentence.ends_with(&format!("COUNT={fit}.")), "{rule}: {sentence}");
        let ended = rule.split(';').filter(|part| !part.starts_with("COUNT") && !part.starts_with("UNTIL"));
        let ended = format!("{};COUNT={fit}", ended.collect::<Vec<_>>().join(";"));
        assert_eq!(times(&ended, Tz::UTC, first).unwrap().len(), fit, "{ended}");
    }
}

#[test]
fn a_series_up_to_the_last_kept_year_is_whole() {
    for (rule, first, count) in [
        ("FREQ=DAILY;COUNT=3", "2200-12-29T09:00:00Z", 3),
        ("FREQ=DAILY;UNTIL=22001231", "2200-12-29T09:00:00Z", 3),
        ("FREQ=MONTHLY;UNTIL=22010105", "2200-12-15T09:00:00Z", 1),
        ("FREQ=MONTHLY;INTERVAL=65535;UNTIL=22001231", "2030-01-07T09:00:00Z", 1),
        ("FREQ=MONTHLY;INTERVAL=36;COUNT=100", "1900-01-07T09:00:00Z", 100),
    ] {
        assert_eq!(times(rule, Tz::UTC, first).unwrap().len(), count, "{rule}");
    }
}
