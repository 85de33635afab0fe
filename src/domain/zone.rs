//! Conversions between local time in a zone and instants.

use chrono::{DateTime, Duration, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

/// Returns the instant of a local time. A local time that does not exist uses the offset before the gap. For one that
/// exists twice, the first instant is returned (RFC 5545 §3.3.5). `None` only at the ends of the supported range.
pub fn instant(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    if let Some(at) = zone.from_local_datetime(&local).earliest() {
        return Some(at.to_utc());
    }
    // Samoa once skipped a whole day; no gap is longer.
    [1, 2, 6, 12, 25, 49].into_iter().find_map(|hours| {
        let gone_back = Duration::hours(hours);
        let before = zone.from_local_datetime(&local.checked_sub_signed(gone_back)?).latest()?;
        before.to_utc().checked_add_signed(gone_back)
    })
}

/// Returns the instant of a local time. For one that exists twice, the instant with this offset is returned, if there
/// is one. Otherwise it works as [`instant`].
pub fn instant_in(zone: Tz, local: NaiveDateTime, offset: FixedOffset) -> Option<DateTime<Utc>> {
    let last = zone.from_local_datetime(&local).latest().filter(|at| at.offset().fix() == offset);
    last.map(|at| at.to_utc()).or_else(|| instant(zone, local))
}

/// Returns the instant at which a local day begins.
pub fn start_of_day(zone: Tz, day: NaiveDate) -> Option<DateTime<Utc>> {
    instant(zone, day.and_time(NaiveTime::MIN))
}

/// Returns the local day of an instant.
pub fn day_of(zone: Tz, at: DateTime<Utc>) -> NaiveDate {
    at.with_timezone(&zone).date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn local(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    #[test]
    fn a_local_time_in_a_gap_takes_the_offset_before_the_gap() {
        let new_york = Tz::America__New_York;
        assert_eq!(instant(new_york, local("2026-03-08T02:30:00")), Some(utc("2026-03-08T07:30:00Z")));
        // Beirut's clocks went from 00:00 to 01:00 on 2024-03-31. Samoa skipped 2011-12-30.
        let beirut: NaiveDate = "2024-03-31".parse().unwrap();
        assert_eq!(start_of_day(Tz::Asia__Beirut, beirut), Some(utc("2024-03-30T22:00:00Z")));
        let samoa: NaiveDate = "2011-12-30".parse().unwrap();
        assert_eq!(start_of_day(Tz::Pacific__Apia, samoa), start_of_day(Tz::Pacific__Apia, samoa.succ_opt().unwrap()));
    }

    #[test]
    fn a_local_time_that_exists_twice_is_the_first_instant() {
        let new_york = Tz::America__New_York;
        assert_eq!(instant(new_york, local("2026-11-01T01:30:00")), Some(utc("2026-11-01T05:30:00Z")));
    }

    #[test]
    fn the_offset_selects_one_of_two_equal_local_times() {
        let (new_york, twice) = (Tz::America__New_York, local("2026-11-01T01:30:00"));
        for (hours, expected) in [(-4, "05:30"), (-5, "06:30"), (0, "05:30")] {
            let offset = FixedOffset::east_opt(hours * 3600).unwrap();
            let expected = utc(&format!("2026-11-01T{expected}:00Z"));
            assert_eq!(instant_in(new_york, twice, offset), Some(expected), "{hours}");
        }
    }

    #[test]
    fn a_local_time_and_its_offset_stand_for_one_instant() {
        for zone in [Tz::America__New_York, Tz::Europe__Dublin, Tz::Africa__Casablanca, Tz::Australia__Lord_Howe] {
            for quarter in 0..(4 * 24 * 400) {
                let at = utc("2017-01-01T00:00:00Z") + Duration::minutes(15 * quarter);
                let local = at.with_timezone(&zone);
                assert_eq!(instant_in(zone, local.naive_local(), local.offset().fix()), Some(at), "{zone}");
            }
        }
    }

    #[test]
    fn every_instant_is_between_the_ends_of_its_local_day() {
        for zone in [Tz::America__New_York, Tz::Asia__Beirut, Tz::America__Sao_Paulo, Tz::Australia__Lord_Howe] {
            let first = utc("2017-01-01T00:00:00Z");
            for hour in 0..(24 * 800) {
                let at = first + Duration::hours(hour);
                let day = day_of(zone, at);
                let next = day.succ_opt().unwrap();
                let (start, end) = (start_of_day(zone, day).unwrap(), start_of_day(zone, next).unwrap());
                assert!(start <= at && at < end, "{zone} {at}: {start} {end}");
            }
        }
    }
}
