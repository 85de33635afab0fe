//! SQL, one file a resource. Every function is a plain `async fn` over one connection that is bound to
//! its clinic ([`context`]); every statement names its `clinic_id` all the same.
//!
//! Row structs stay in here: what comes out is a domain type, or an [`Error`].

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

/// Which page of a list: newest first, by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Page {
    /// Only rows with an id below this.
    pub before: Option<i64>,
    /// At most so many rows.
    pub limit: i64,
}

/// The zone of that name, as it was stored.
fn stored_zone(name: &str) -> Result<Tz> {
    Tz::from_str(name).map_err(|_| Error::Corrupt(format!("unknown time zone {name:?}")))
}

/// Checks the version that the caller expects against the one that is stored.
pub(crate) fn expect_version(expected: Option<i64>, stored: i64) -> Result<()> {
    match expected {
        Some(expected) if expected != stored => Err(Error::Stale),
        _ => Ok(()),
    }
}
