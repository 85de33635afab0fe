//! A doctor's calendar: the one evaluator that decides whether a time can be booked.
//!
//! Pure: `(calendar, proposal, now) -> decision`. Booking, reschedule, un-cancel and the search for
//! free times all ask [`Calendar::violations`], so that what is offered can be booked.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

use super::{AppointmentId, Interval, appointments::LONGEST_MINUTES};

/// How far ahead free times are looked for.
const SEARCH_DAYS: i64 = 60;

/// What a doctor's schedule is bound by, beside the times already taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether the doctor takes bookings at all.
    pub is_active: bool,
    /// The length of a booking that does not say its own, and the step of the slot grid.
    pub slot: Duration,
    /// The doctor's zone: the grid of slots starts at its midnight.
    pub zone: Tz,
}

/// What holds a span of a calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// An active appointment that is in the database.
    Appointment(AppointmentId),
    /// A write in flight: it occupies its time until its outcome is known.
    Claim(Uuid),
}

/// A rule that a proposed time breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Violation {
    /// It starts before now.
    InThePast,
    /// The doctor takes no bookings.
    DoctorInactive,
    /// The doctor has an active appointment that overlaps.
    SlotTaken,
    /// The patient has an active appointment that overlaps, with any doctor.
    PatientBusy,
    /// There is no such doctor for this caller.
    NoSuchDoctor,
    /// There is no such patient for this caller.
    NoSuchPatient,
}

/// A doctor's calendar: rules and the spans that are taken from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    rules: Rules,
    /// Ordered by start. Spans may overlap only where one appointment holds its old and its new time.
    taken: BTreeMap<(DateTime<Utc>, Holder), DateTime<Utc>>,
}

impl Calendar {
    /// A calendar with these rules and active appointments.
    pub fn new(rules: Rules, appointments: impl IntoIterator<Item = (AppointmentId, Interval)>) -> Self {
        let mut calendar = Self { rules, taken: BTreeMap::new() };
        for (id, during) in appointments {
            calendar.take(Holder::Appointment(id), during);
        }
        calendar
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Marks a span as held.
    pub fn take(&mut self, holder: Holder, during: Interval) {
        self.taken.insert((during.start(), holder), during.end());
    }

    /// Frees every span of that holder.
    pub fn release(&mut self, holder: Holder) {
        self.taken.retain(|(_, held_by), _| *held_by != holder);
    }

    /// Frees one span of that holder.
    pub fn release_span(&mut self, holder: Holder, during: Interval) {
        self.taken.remove(&(during.start(), holder));
    }

    /// Drops appointments that ended before `now`: no booking can meet them any more.
    pub fn forget_before(&mut self, now: DateTime<Utc>) {
        self.taken.retain(|(_, holder), end| *end > now || matches!(holder, Holder::Claim(_)));
    }

    /// How many spans are held.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// The spans that overlap `during`, leaving out those of `ignored`.
    pub fn conflicts(&self, during: &Interval, ignored: Option<AppointmentId>) -> Vec<Interval> {
        // No span is longer than the longest appointment, so none that started earlier can reach here.
        let earliest = during.start() - Duration::minutes(LONGEST_MINUTES);
        let from = (earliest, Holder::Appointment(AppointmentId(i64::MIN)));
        let to = (during.end(), Holder::Appointment(AppointmentId(i64::MIN)));
        self.taken
            .range(from..to)
            .filter(|((_, holder), _)| ignored.map(Holder::Appointment) != Some(*holder))
            .filter_map(|((start, _), end)| Interval::between(*start, *end))
            .filter(|taken| taken.overlaps(during))
            .collect()
    }

    /// Every rule that `during` breaks; empty where it can be booked.
    pub fn violations(&self, during: &Interval, ignored: Option<AppointmentId>, now: DateTime<Utc>) -> Vec<Violation> {
        let mut broken = Vec::new();
        if during.start() < now {
            broken.push(Violation::InThePast);
        }
        if !self.rules.is_active {
            broken.push(Violation::DoctorInactive);
        }
        if !self.conflicts(during, ignored).is_empty() {
            broken.push(Violation::SlotTaken);
        }
        broken
    }

    /// The first `count` starts on the slot grid, at or after `from`, where a booking of `length` breaks
    /// no rule and meets none of `also_busy` (the patient's own appointments).
    ///
    /// The grid starts at midnight in the doctor's zone and steps by the slot length.
    pub fn next_free(
        &self,
        from: DateTime<Utc>,
        length: Duration,
        count: usize,
        also_busy: &[Interval],
        ignored: Option<AppointmentId>,
        now: DateTime<Utc>,
    ) -> Vec<Interval> {
        let from = from.max(now);
        let first_day = from.with_timezone(&self.rules.zone).date_naive();
        first_day
            .iter_days()
            .take(SEARCH_DAYS as usize)
            .flat_map(|day| self.grid(day))
            .filter(|start| *start >= from)
            .filter_map(|start| Interval::starting(start, length))
            .filter(|slot| !also_busy.iter().any(|busy| busy.overlaps(slot)))
            .filter(|slot| self.violations(slot, ignored, now).is_empty())
            .take(if self.rules.is_active { count } else { 0 })
            .collect()
    }

    /// The starts of a local day's slots.
    fn grid(&self, day: chrono::NaiveDate) -> impl Iterator<Item = DateTime<Utc>> + use<> {
        let midnight = |day: chrono::NaiveDate| local_start(self.rules.zone, day);
        let (start, end, step) = (midnight(day), day.succ_opt().and_then(midnight), self.rules.slot);
        start.into_iter().flat_map(move |start| {
            (0i32..).map(move |n| start + step * n).take_while(move |at| end.is_some_and(|end| *at < end))
        })
    }
}

/// The instant at which a local day starts; where midnight does not exist, by the offset before the
/// gap (RFC 5545 §3.3.5), and where it exists twice, the first.
fn local_start(zone: Tz, day: chrono::NaiveDate) -> Option<DateTime<Utc>> {
    let midnight = day.and_time(NaiveTime::MIN);
    let resolved = zone.from_local_datetime(&midnight).earliest();
    let resolved = resolved.or_else(|| {
        let before = zone.from_local_datetime(&(midnight - Duration::hours(3))).earliest()?;
        Some(before + Duration::hours(3))
    });
    resolved.map(|at| at.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: u32, minute: u32) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2030, 1, 7, hour, minute, 0).unwrap()
    }

    fn span(from: (u32, u32), to: (u32, u32)) -> Interval {
        Interval::between(at(from.0, from.1), at(to.0, to.1)).unwrap()
    }

    fn calendar(taken: &[Interval]) -> Calendar {
        let rules = Rules { is_active: true, slot: Duration::minutes(30), zone: Tz::UTC };
        let numbered = taken.iter().enumerate();
        Calendar::new(rules, numbered.map(|(n, during)| (AppointmentId(n as i64 + 1), *during)))
    }

    #[test]
    fn half_open_intervals_leave_the_neighbouring_slots_free() {
        let calendar = calendar(&[span((10, 0), (10, 30))]);
        for free in [span((9, 30), (10, 0)), span((10, 30), (11, 0))] {
            assert_eq!(calendar.violations(&free, None, at(8, 0)), []);
        }
    }

    #[test]
    fn any_overlap_is_slot_taken() {
        let calendar = calendar(&[span((10, 0), (10, 30))]);
        for taken in [
            span((10, 0), (10, 30)),
            span((9, 45), (10, 15)),
            span((10, 29), (10, 59)),
            span((10, 10), (10, 20)),
            span((9, 0), (11, 0)),
        ] {
            assert_eq!(calendar.violations(&taken, None, at(8, 0)), [Violation::SlotTaken]);
            assert_eq!(calendar.conflicts(&taken, None), [span((10, 0), (10, 30))]);
        }
    }

    #[test]
    fn a_day_long_appointment_is_met_at_its_last_minute() {
        let long = Interval::starting(at(0, 0), Duration::hours(24)).unwrap();
        let late = Interval::starting(at(23, 55), Duration::minutes(5)).unwrap();
        assert_eq!(calendar(&[long]).conflicts(&late, None), [long]);
    }

    #[test]
    fn a_pending_write_occupies_its_time_until_it_is_released() {
        let mut calendar = calendar(&[]);
        let claim = Holder::Claim(Uuid::from_u128(1));
        let slot = span((10, 0), (10, 30));
        calendar.take(claim, slot);
        assert_eq!(calendar.violations(&slot, None, at(8, 0)), [Violation::SlotTaken]);
        calendar.release(claim);
        assert_eq!(calendar.violations(&slot, None, at(8, 0)), []);
    }

    #[test]
    fn a_reschedule_ignores_its_own_time_but_no_other() {
        let calendar = calendar(&[span((10, 0), (10, 30)), span((11, 0), (11, 30))]);
        let shifted = span((10, 15), (10, 45));
        let own = Some(AppointmentId(1));
        assert_eq!(calendar.violations(&shifted, own, at(8, 0)), []);
        let onto_the_other = span((10, 45), (11, 15));
        assert_eq!(calendar.violations(&onto_the_other, own, at(8, 0)), [Violation::SlotTaken]);
    }

    #[test]
    fn every_broken_rule_is_listed() {
        let mut calendar = calendar(&[span((10, 0), (10, 30))]);
        calendar.rules.is_active = false;
        assert_eq!(
            calendar.violations(&span((10, 0), (10, 30)), None, at(12, 0)),
            [Violation::InThePast, Violation::DoctorInactive, Violation::SlotTaken]
        );
    }

    #[test]
    fn next_free_offers_the_next_starts_of_the_grid_that_can_be_booked() {
        let calendar = calendar(&[span((10, 0), (10, 30)), span((11, 10), (11, 20))]);
        let offered = calendar.next_free(at(10, 0), Duration::minutes(30), 3, &[], None, at(8, 0));
        assert_eq!(offered, [span((10, 30), (11, 0)), span((11, 30), (12, 0)), span((12, 0), (12, 30))]);
    }

    #[test]
    fn next_free_leaves_out_the_patients_own_times_and_the_past() {
        let calendar = calendar(&[]);
        let busy = [span((12, 0), (13, 0))];
        let offered = calendar.next_free(at(10, 0), Duration::minutes(60), 2, &busy, None, at(11, 40));
        assert_eq!(offered, [span((13, 0), (14, 0)), span((13, 30), (14, 30))]);
    }

    #[test]
    fn an_inactive_doctor_has_no_free_times() {
        let mut calendar = calendar(&[]);
        calendar.rules.is_active = false;
        let offered = calendar.next_free(at(10, 0), Duration::minutes(30), 3, &[], None, at(8, 0));
        assert_eq!(offered, []);
    }

    #[test]
    fn the_grid_is_anchored_to_midnight_in_the_doctors_zone() {
        let mut calendar = calendar(&[]);
        calendar.rules.zone = Tz::Asia__Kolkata;
        calendar.rules.slot = Duration::minutes(60);
        let offered = calendar.next_free(at(10, 0), Duration::minutes(60), 1, &[], None, at(8, 0));
        assert_eq!(offered[0].start(), at(10, 30), "16:00 in a zone of +05:30");
    }

    #[test]
    fn a_midnight_that_does_not_exist_takes_the_offset_before_the_gap() {
        // Clocks in Beirut went from 00:00 to 01:00 on 2024-03-31.
        let day = chrono::NaiveDate::from_ymd_opt(2024, 3, 31).unwrap();
        let start = local_start(Tz::Asia__Beirut, day).unwrap();
        assert_eq!(start, Utc.with_ymd_and_hms(2024, 3, 30, 22, 0, 0).unwrap());
    }

    #[test]
    fn appointments_that_are_over_are_forgotten_but_claims_are_not() {
        let mut calendar = calendar(&[span((10, 0), (10, 30)), span((11, 0), (11, 30))]);
        calendar.take(Holder::Claim(Uuid::from_u128(1)), span((9, 0), (9, 30)));
        calendar.forget_before(at(10, 30));
        assert_eq!(calendar.len(), 2);
    }
}
