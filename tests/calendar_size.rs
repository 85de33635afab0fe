//! The memory of a calendar, measured by a counting allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use chrono::{Duration, TimeZone, Utc};
use clinicd::domain::calendar::{Calendar, Holder, Rules};
use clinicd::domain::{AppointmentId, Interval};

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// Counts the bytes that the thread has allocated.
struct Counting;

fn count(bytes: isize) {
    // A thread that is ending does not count.
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: the system's allocator does all the work, and counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller guarantees the requirements of `System.alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller guarantees the requirements of `System.dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Returns how many more bytes the thread holds after `make` than before.
fn held_by<T>(make: impl FnOnce() -> T) -> (T, isize) {
    let before = HELD.get();
    let made = make();
    (made, HELD.get() - before)
}

#[test]
fn a_calendar_of_a_thousand_appointments_is_at_most_64_kib() {
    let start = Utc.with_ymd_and_hms(2030, 1, 7, 9, 0, 0).unwrap();
    let spans: Vec<_> = (0..1000)
        .filter_map(|n| {
            Some((AppointmentId(n), Interval::starting(start + Duration::hours(n), Duration::minutes(30))?))
        })
        .collect();
    let rules = || Rules::unset(chrono_tz::Tz::Europe__Lisbon, Duration::minutes(30));
    let (loaded, after_a_load) = held_by(|| Calendar::new(rules(), spans.iter().copied()));
    assert_eq!(loaded.len(), 1000);
    let (booked, after_bookings) = held_by(|| {
        let mut calendar = Calendar::new(rules(), []);
        // In an order without a pattern.
        for n in 0..1000 {
            let (id, during) = spans[n * 617 % 1000];
            calendar.take(Holder::Appointment(id), during);
        }
        calendar
    });
    assert_eq!(booked.len(), 1000);
    println!("after a load {after_a_load} bytes, after a thousand bookings {after_bookings} bytes");
    for held in [after_a_load, after_bookings] {
        assert!((16_000..=64 * 1024).contains(&held), "{held} bytes");
    }
}
