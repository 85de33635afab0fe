//! Tests of the core against a model: a plain list of appointments, and every order in which outcomes may arrive.
//!
//! The world executes effects as the database does, when the test says so: late, in any order, with lost outcomes, with
//! locks of others, with changes of other nodes at any point, and with restarts. It keeps every state that the calendar
//! ever had.

mod database;
mod state;
mod world;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::domain::{ClinicId, DoctorId, Interval};
use world::World;

const CLINIC: ClinicId = ClinicId(1);
const DOCTOR: DoctorId = DoctorId(1);
/// Of the eight patients one is unknown and one is busy all day.
const UNKNOWN: i64 = 6;
const BUSY: i64 = 7;
/// The maximum number of rounds until every request is answered, for each request.
const ROUNDS: usize = 8;

fn start_of_day() -> DateTime<Utc> {
    "2031-03-05T00:00:00Z".parse().unwrap()
}

/// A time of a day with twelve half hours; some are one hour long.
fn time(n: u8) -> Interval {
    let start = start_of_day() + TimeDelta::minutes(30 * i64::from(n % 12));
    Interval::starting(start, TimeDelta::minutes(if n >= 12 { 60 } else { 30 })).unwrap()
}

/// One step of the test.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// A client books for a patient.
    Book(i64, u8),
    /// A client moves the nth existing appointment.
    Move(usize, u8),
    /// A client cancels the nth existing appointment.
    Cancel(usize),
    /// A client reads the calendar.
    View,
    /// Another node books, if the time can be booked.
    OtherBooks(u8),
    /// Another node cancels.
    OtherCancels(usize),
    /// Another node changes the limits.
    OtherLimits(Option<usize>, bool),
    /// The database executes a write; its outcome is still pending.
    Write,
    /// The outcome of a write arrives.
    Wrote,
    /// The database executes a write and its outcome is lost. A lookup by reference finds it.
    Lose,
    /// A write is lost before the database sees it, and its outcome stays unknown.
    Unknown,
    /// A write finds the calendar locked.
    Held,
    /// The database executes a look.
    Look,
    /// The result of a look arrives.
    Looked,
    /// A look fails.
    LookFails,
    /// Time passes.
    Wake,
    /// The program stops and starts again.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0i64..8, 0u8..24).prop_map(|(patient, n)| Step::Book(patient, n)),
        2 => (0usize..6, 0u8..24).prop_map(|(n, to)| Step::Move(n, to)),
        2 => (0usize..6).prop_map(Step::Cancel),
        1 => Just(Step::View),
        2 => (0u8..24).prop_map(Step::OtherBooks),
        2 => (0usize..6).prop_map(Step::OtherCancels),
        1 => (prop::option::of(1usize..5), any::<bool>()).prop_map(|(most, gap)| Step::OtherLimits(most, gap)),
        6 => Just(Step::Write),
        5 => Just(Step::Wrote),
        1 => Just(Step::Lose),
        1 => Just(Step::Unknown),
        1 => Just(Step::Held),
        5 => Just(Step::Look),
        5 => Just(Step::Looked),
        1 => Just(Step::LookFails),
        2 => Just(Step::Wake),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_right_in_any_order_of_outcomes(steps in vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.check_answers();
        }
        world.come_to_rest();
    }
}

#[test]
fn a_booking_that_fails_for_its_patient_refuses_nobody_else() {
    for failing in [UNKNOWN, BUSY] {
        let mut world = World::new();
        for patient in [failing, 0, failing, 1] {
            world.step(Step::Book(patient, 3));
        }
        world.come_to_rest();
        assert_eq!(world.state().taken.len(), 1, "exactly one of the bookings that are possible succeeds");
    }
}

#[test]
fn a_refusal_waits_for_no_write() {
    let mut world = World::new();
    world.step(Step::OtherBooks(3));
    world.step(Step::Restart);
    world.step(Step::Book(0, 5));
    world.step(Step::Book(1, 3));
    world.step(Step::Look);
    world.step(Step::Looked);
    assert_eq!((world.clients.len(), world.writes.len()), (1, 1), "the write is still pending");
}
