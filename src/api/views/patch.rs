//! What fields of bodies have in common: what a PATCH makes of what is stored, and texts that name a zone or a time.

use std::str::FromStr;

use chrono::NaiveTime;
use chrono_tz::Tz;
use poem_openapi::types::MaybeUndefined;

use crate::domain::fields::{FieldErrors, tidy_optional};

/// The zone of that name.
///
/// # Errors
/// An error of the field where the IANA database has no such zone.
pub fn parse_zone(field: &str, name: &str) -> Result<Tz, FieldErrors> {
    Tz::from_str(name.trim())
        .map_err(|_| FieldErrors::one(field, "Must be a zone of the IANA database, such as Europe/Berlin."))
}

/// A time of day as hours and minutes.
///
/// # Errors
/// An error of the field.
pub fn time_of_day(field: &str, text: &str) -> Result<NaiveTime, FieldErrors> {
    NaiveTime::parse_from_str(text, "%H:%M")
        .map_err(|_| FieldErrors::one(field, "Must be hours and minutes, such as 09:30."))
}

/// A text after a PATCH: absent keeps it, null and blank clear it.
pub fn patched(patch: MaybeUndefined<String>, stored: Option<String>) -> Option<String> {
    match patch {
        MaybeUndefined::Undefined => stored,
        MaybeUndefined::Null => None,
        MaybeUndefined::Value(text) => tidy_optional(Some(text)),
    }
}

/// A stored number with a patch of it applied.
pub fn patched_number(patch: MaybeUndefined<i32>, stored: Option<i32>) -> Option<i32> {
    match patch {
        MaybeUndefined::Undefined => stored,
        MaybeUndefined::Null => None,
        MaybeUndefined::Value(number) => Some(number),
    }
}
