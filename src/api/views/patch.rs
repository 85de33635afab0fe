//! Shared handling of body fields: how a PATCH changes stored values, and how time zones and times of day are parsed.

use std::convert::identity;
use std::str::FromStr;

use chrono::NaiveTime;
use chrono_tz::Tz;
use poem_openapi::types::{Email, MaybeUndefined};

use crate::domain::AccountId;
use crate::domain::fields::{FieldErrors, login_name, tidy, tidy_optional};

/// Parses the name of a time zone.
///
/// # Errors
/// An error for the field if the IANA database has no such zone.
pub fn parse_zone(field: &str, name: &str) -> Result<Tz, FieldErrors> {
    Tz::from_str(name.trim())
        .map_err(|_| FieldErrors::one(field, "Must be a zone of the IANA database, such as Europe/Berlin."))
}

/// Parses a time of day from hours and minutes.
///
/// # Errors
/// An error for the field if the text is not such a time.
pub fn time_of_day(field: &str, text: &str) -> Result<NaiveTime, FieldErrors> {
    NaiveTime::parse_from_str(text, "%H:%M")
        .map_err(|_| FieldErrors::one(field, "Must be hours and minutes, such as 09:30."))
}

/// A field of a body that changes a value of a row. Texts are trimmed. A blank text clears an optional value. An absent
/// field changes nothing, and null clears the value.
pub trait Field<T> {
    fn set(self, stored: &mut T);
}

impl<T, F: Field<T>> Field<T> for Option<F> {
    fn set(self, stored: &mut T) {
        if let Some(field) = self {
            field.set(stored);
        }
    }
}

impl<T, F: Field<Option<T>>> Field<Option<T>> for MaybeUndefined<F> {
    fn set(self, stored: &mut Option<T>) {
        match self {
            Self::Undefined => {}
            Self::Null => *stored = None,
            Self::Value(field) => field.set(stored),
        }
    }
}

/// Defines how fields of each type are stored.
macro_rules! fields {
    ($($field:ty => $stored:ty: $set:expr;)+) => {$(
        impl Field<$stored> for $field {
            fn set(self, stored: &mut $stored) {
                *stored = $set(self);
            }
        }
    )+};
}

fields! {
    bool => bool: identity;
    i32 => i32: identity;
    i32 => Option<i32>: Some;
    i64 => Option<AccountId>: |id| Some(AccountId(id));
    String => String: |text: String| tidy(&text);
    String => Option<String>: |text| tidy_optional(Some(text));
    Email => String: |email: Email| login_name(&email);
    Email => Option<String>: |email: Email| Some(login_name(&email));
}

/// Sets the values of these names from the fields of a body.
macro_rules! set {
    ($body:ident to $stored:ident { $($name:ident),+ $(,)? }) => {
        {
            $($crate::api::views::patch::Field::set($body.$name, &mut $stored.$name);)+
        }
    };
}
pub(crate) use set;
