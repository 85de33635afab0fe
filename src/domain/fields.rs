//! What is wrong with which field: the `errors` of a problem.

use std::collections::BTreeMap;

/// The key for what concerns no single field.
pub const NON_FIELD: &str = "non_field_errors";

/// Messages by field name, for the person who sent the fields. They never repeat a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldErrors(pub BTreeMap<String, Vec<String>>);

impl FieldErrors {
    /// One message for one field.
    pub fn one(field: &str, message: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.add(field, message);
        errors
    }

    /// Adds a message for a field.
    pub fn add(&mut self, field: &str, message: impl Into<String>) {
        self.0.entry(field.to_owned()).or_default().push(message.into());
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `Ok` where nothing is wrong.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

/// The text without surrounding white space.
pub fn tidy(text: &str) -> String {
    text.trim().to_owned()
}

/// The text without surrounding white space; `None` where nothing is left.
pub fn tidy_optional(text: Option<String>) -> Option<String> {
    text.map(|text| tidy(&text)).filter(|text| !text.is_empty())
}

/// A text that a list is filtered by, tidied; `None` where nothing is left.
///
/// # Errors
/// An error of the field for a null character, which no stored text has (PostgreSQL cannot hold one).
pub fn filter_text(field: &str, text: Option<String>) -> Result<Option<String>, FieldErrors> {
    match tidy_optional(text) {
        Some(text) if text.contains('\0') => Err(FieldErrors::one(field, "Must not contain a null character.")),
        text => Ok(text),
    }
}

/// An e-mail address or user name as it is compared: trimmed and in lower case.
pub fn login_name(text: &str) -> String {
    text.trim().to_lowercase()
}

/// Checks that a day of a schedule lies in the years that clinicd keeps; a date of birth may be earlier.
///
/// # Errors
/// The field, where it does not.
pub fn kept_day(field: &'static str, day: chrono::NaiveDate) -> Result<(), FieldErrors> {
    if super::interval::YEARS.contains(&chrono::Datelike::year(&day)) {
        Ok(())
    } else {
        Err(FieldErrors::one(field, "Must lie in the years 1900 to 2200."))
    }
}
