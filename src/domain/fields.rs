//! Validation errors by field: the `errors` of a problem.

use std::collections::BTreeMap;

/// The key of errors that concern no single field.
pub const NON_FIELD: &str = "non_field_errors";

/// Messages by field name, for the person who sent the fields. A message never repeats a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldErrors(pub BTreeMap<String, Vec<String>>);

impl FieldErrors {
    /// Creates an error with one message for one field.
    pub fn one(field: &str, message: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.add(field, message);
        errors
    }

    /// Adds a message for a field.
    pub fn add(&mut self, field: &str, message: impl Into<String>) {
        self.0.entry(field.to_owned()).or_default().push(message.into());
    }

    /// Returns whether there are no messages.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns `Ok` if there are no messages, otherwise the errors.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

/// Builds a struct. The fields in braces after `from` are taken from there by the same names.
macro_rules! filled {
    ($to:ident { $($fields:tt)* } $(from $from:ident { $($same:ident),* $(,)? }),+ $(,)?) => {
        $to { $($($same: $from.$same,)*)+ $($fields)* }
    };
}
pub(crate) use filled;

/// Returns the text without surrounding white space.
pub fn tidy(text: &str) -> String {
    text.trim().to_owned()
}

/// Returns the text without surrounding white space, or `None` if nothing remains.
pub fn tidy_optional(text: Option<String>) -> Option<String> {
    text.map(|text| tidy(&text)).filter(|text| !text.is_empty())
}

/// Returns a filter's text without surrounding white space, or `None` if nothing remains.
///
/// # Errors
/// Fails for a null character: PostgreSQL cannot store one, so no stored text contains it.
pub fn filter_text(field: &str, text: Option<String>) -> Result<Option<String>, FieldErrors> {
    match tidy_optional(text) {
        Some(text) if text.contains('\0') => Err(FieldErrors::one(field, "Must not contain a null character.")),
        text => Ok(text),
    }
}

/// Normalizes an e-mail address or user name for comparison: trimmed and in lower case.
pub fn login_name(text: &str) -> String {
    text.trim().to_lowercase()
}

/// Checks that a day of a schedule is within the supported years. A date of birth may be earlier.
///
/// # Errors
/// Returns an error for `field` if the day is outside these years.
pub fn kept_day(field: &'static str, day: chrono::NaiveDate) -> Result<(), FieldErrors> {
    if super::interval::YEARS.contains(&chrono::Datelike::year(&day)) {
        Ok(())
    } else {
        Err(FieldErrors::one(field, "Must lie in the years 1900 to 2200."))
    }
}
