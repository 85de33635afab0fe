//! SQL, one file per resource. Every function is a plain `async fn` on one connection that is bound to its clinic
//! ([`context`]). Every statement names its `clinic_id` nevertheless.
//!
//! Rows stay inside this layer: a macro named after the domain type makes one of a row of any statement that has its
//! columns. The functions return domain types or an [`Error`].

pub mod accounts;
pub mod alarms;
pub mod appointment_lists;
pub mod appointments;
pub mod audit;
pub mod batches;
pub mod bookings;
pub mod calendars;
pub mod cancellations;
pub mod changes;
pub mod clinics;
pub mod context;
pub mod doctors;
mod error;
pub mod history;
pub mod housekeeping;
pub mod invitations;
pub mod mappings;
pub mod patient_groups;
pub mod patients;
mod ranges;
pub mod retries;
pub mod schedules;
pub mod series;
pub mod sessions;
pub mod signing_keys;
pub mod users;
pub mod waitlist;

pub use error::{Conflict, Error, Result};

use std::str::FromStr;

use chrono_tz::Tz;

use crate::domain::patients::Gender;

/// A page of a list, sorted by id from newest to oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Page {
    /// Only rows with a lower id.
    pub before: Option<i64>,
    /// The maximum number of rows.
    pub limit: i64,
}

/// Returns the time zone with this stored name.
fn stored_zone(name: &str) -> Result<Tz> {
    Tz::from_str(name).map_err(|_| Error::Corrupt(format!("unknown time zone {name:?}")))
}

/// Returns the gender with this stored letter.
fn stored_gender(letter: &str) -> Result<Gender> {
    Gender::lettered(letter).ok_or_else(|| Error::Corrupt(format!("unknown gender {letter:?}")))
}

/// Compares the version that the caller expects with the stored one.
pub(crate) fn expect_version(expected: Option<i64>, stored: i64) -> Result<()> {
    match expected {
        Some(expected) if expected != stored => Err(Error::Stale),
        _ => Ok(()),
    }
}
