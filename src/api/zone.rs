//! IANA time zones in bodies.

use std::str::FromStr;

use chrono_tz::Tz;

use crate::domain::fields::FieldErrors;

/// The zone of that name.
///
/// # Errors
/// An error of the field where the IANA database has no such zone.
pub fn parse_zone(field: &str, name: &str) -> Result<Tz, FieldErrors> {
    Tz::from_str(name.trim())
        .map_err(|_| FieldErrors::one(field, "Must be a zone of the IANA database, such as Europe/Berlin."))
}
