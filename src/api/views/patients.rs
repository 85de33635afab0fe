//! Patients as the contract shows them.

use chrono::{DateTime, NaiveDate, Utc};
use poem_openapi::types::{Email, Example, MaybeUndefined};
use poem_openapi::{Enum, Object};
use serde::Serialize;

use crate::api::http::json::{Row, by_serde, instant, text};
use crate::api::views::patch::{Field, set};
use crate::domain::fields::{FieldErrors, filled};
use crate::domain::patients::{BirthDate, Gender, Patient, PatientDetails};

/// Gender: male, female, other, unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename = "Gender")]
pub enum GenderView {
    /// Male
    M,
    /// Female
    F,
    /// Other
    O,
    /// Unknown
    U,
}

impl From<GenderView> for Gender {
    fn from(view: GenderView) -> Self {
        match view {
            GenderView::M => Self::Male,
            GenderView::F => Self::Female,
            GenderView::O => Self::Other,
            GenderView::U => Self::Unknown,
        }
    }
}

impl Field<Gender> for GenderView {
    fn set(self, stored: &mut Gender) {
        *stored = self.into();
    }
}

impl From<Gender> for GenderView {
    fn from(gender: Gender) -> Self {
        match gender {
            Gender::Male => Self::M,
            Gender::Female => Self::F,
            Gender::Other => Self::O,
            Gender::Unknown => Self::U,
        }
    }
}

/// A patient of the clinic.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "Patient")]
pub struct PatientView {
    /// The patient's id.
    id: i64,
    /// Given name.
    first_name: String,
    /// Family name.
    last_name: String,
    /// Date of birth. If only the age was known: 1 January of the estimated year.
    #[oai(nullable)]
    date_of_birth: Option<NaiveDate>,
    /// Whether the date of birth was estimated from an age.
    date_of_birth_estimated: bool,
    /// Age in full years today.
    #[oai(nullable)]
    age: Option<i32>,
    /// Gender.
    gender: GenderView,
    /// Phone number.
    #[oai(nullable)]
    phone_number: Option<String>,
    /// E-mail address.
    #[oai(nullable)]
    #[serde(serialize_with = "text")]
    email: Option<Email>,
    /// Postal address.
    #[oai(nullable)]
    address: Option<String>,
    /// Medical history.
    #[oai(nullable)]
    medical_history: Option<String>,
    /// Emergency contact: name.
    #[oai(nullable)]
    emergency_contact_name: Option<String>,
    /// Emergency contact: phone number.
    #[oai(nullable)]
    emergency_contact_phone: Option<String>,
    /// The patient's owner: the user who created the patient, or to whom the patient was transferred.
    created_by: i64,
    /// When the patient was created.
    #[serde(serialize_with = "instant")]
    created_at: DateTime<Utc>,
    /// When the record was last changed.
    #[serde(serialize_with = "instant")]
    updated_at: DateTime<Utc>,
}

impl Row for PatientView {
    fn write(&self, out: &mut Vec<u8>) {
        by_serde(self, out);
    }
}

impl From<Patient> for PatientView {
    fn from(patient: Patient) -> Self {
        let details = patient.details;
        filled!(Self {
            id: patient.id.0,
            date_of_birth: details.birth.map(|birth| birth.date),
            date_of_birth_estimated: details.birth.is_some_and(|birth| birth.estimated),
            age: details.birth.map(|birth| birth.age_on(crate::clock::now().date_naive())),
            gender: details.gender.into(),
            email: details.email.map(Email),
            created_by: patient.created_by.0,
        } from details {
            first_name, last_name, phone_number, address, medical_history, emergency_contact_name,
            emergency_contact_phone,
        }, from patient { created_at, updated_at })
    }
}

/// Sets the fields that the bodies of POST, PUT and PATCH have in common.
macro_rules! set_details {
    ($body:ident to $details:ident) => {
        set!($body to $details {
            first_name, last_name, gender, phone_number, email, address, medical_history, emergency_contact_name,
            emergency_contact_phone,
        })
    };
}

/// A patient to create or replace.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct PatientInput {
    /// Given name.
    #[oai(validator(min_length = 1, max_length = 100))]
    first_name: String,
    /// Family name.
    #[oai(validator(min_length = 1, max_length = 100))]
    last_name: String,
    /// Date of birth.
    #[oai(nullable)]
    date_of_birth: Option<NaiveDate>,
    /// Age in full years, if the date of birth is unknown.
    #[oai(nullable, validator(minimum(value = "0"), maximum(value = "150")))]
    age: Option<i32>,
    /// Gender; unknown by default.
    #[oai(nullable)]
    gender: Option<GenderView>,
    /// Phone number, in any common notation.
    #[oai(nullable, validator(max_length = 40))]
    phone_number: Option<String>,
    /// E-mail address, unique in the clinic unless `allow_duplicate` is true.
    #[oai(nullable, validator(max_length = 254))]
    email: Option<Email>,
    /// Whether another patient may have the same e-mail address (a family's, for example).
    #[oai(nullable)]
    allow_duplicate: Option<bool>,
    /// Postal address.
    #[oai(nullable, validator(max_length = 500))]
    address: Option<String>,
    /// Medical history.
    #[oai(nullable, validator(max_length = 20000))]
    medical_history: Option<String>,
    /// Emergency contact: name.
    #[oai(nullable, validator(max_length = 200))]
    emergency_contact_name: Option<String>,
    /// Emergency contact: phone number.
    #[oai(nullable, validator(max_length = 40))]
    emergency_contact_phone: Option<String>,
}

impl Example for PatientInput {
    fn example() -> Self {
        Self {
            first_name: "Maya".into(),
            last_name: "Okafor".into(),
            date_of_birth: NaiveDate::from_ymd_opt(1988, 4, 12),
            age: None,
            gender: Some(GenderView::F),
            phone_number: Some("+1 555 0134".into()),
            email: Some(Email("maya.okafor@example.com".into())),
            allow_duplicate: Some(false),
            address: Some("12 Harbour Street".into()),
            medical_history: Some("Penicillin allergy.".into()),
            emergency_contact_name: Some("Tobi Okafor".into()),
            emergency_contact_phone: Some("+1 555 0135".into()),
        }
    }
}

impl PatientInput {
    pub fn details(self) -> Result<PatientDetails, FieldErrors> {
        let mut details = PatientDetails {
            birth: BirthDate::told(self.date_of_birth, self.age, crate::clock::now().date_naive())?,
            email_shared: self.allow_duplicate.unwrap_or(false),
            ..PatientDetails::default()
        };
        set_details!(self to details);
        Ok(details)
    }
}

/// Fields of a patient to change. Absent fields stay unchanged; null clears a field.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub struct PatientPatch {
    /// Given name.
    #[oai(validator(min_length = 1, max_length = 100))]
    first_name: Option<String>,
    /// Family name.
    #[oai(validator(min_length = 1, max_length = 100))]
    last_name: Option<String>,
    /// Date of birth.
    #[oai(nullable)]
    date_of_birth: MaybeUndefined<NaiveDate>,
    /// Age in full years, if the date of birth is unknown.
    #[oai(nullable, validator(minimum(value = "0"), maximum(value = "150")))]
    age: MaybeUndefined<i32>,
    /// Gender.
    gender: Option<GenderView>,
    /// Phone number.
    #[oai(nullable, validator(max_length = 40))]
    phone_number: MaybeUndefined<String>,
    /// E-mail address, unique in the clinic unless `allow_duplicate` is true.
    #[oai(nullable, validator(max_length = 254))]
    email: MaybeUndefined<Email>,
    /// Whether another patient may have the same e-mail address.
    allow_duplicate: Option<bool>,
    /// Postal address.
    #[oai(nullable, validator(max_length = 500))]
    address: MaybeUndefined<String>,
    /// Medical history.
    #[oai(nullable, validator(max_length = 20000))]
    medical_history: MaybeUndefined<String>,
    /// Emergency contact: name.
    #[oai(nullable, validator(max_length = 200))]
    emergency_contact_name: MaybeUndefined<String>,
    /// Emergency contact: phone number.
    #[oai(nullable, validator(max_length = 40))]
    emergency_contact_phone: MaybeUndefined<String>,
}

impl PatientPatch {
    pub fn apply(self, mut details: PatientDetails) -> Result<PatientDetails, FieldErrors> {
        if !self.date_of_birth.is_undefined() || !self.age.is_undefined() {
            let (date, age) = (self.date_of_birth.take(), self.age.take());
            details.birth = BirthDate::told(date, age, crate::clock::now().date_naive())?;
        }
        self.allow_duplicate.set(&mut details.email_shared);
        set_details!(self to details);
        Ok(details)
    }
}

/// The new owner of a patient.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct PatientTransfer {
    /// The id of the new owner.
    #[oai(validator(minimum(value = "1")))]
    pub user: i64,
}

impl Example for PatientTransfer {
    fn example() -> Self {
        Self { user: 2 }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;
    use crate::api::http::json::assert_written_alike;
    use crate::domain::{AccountId, PatientId};

    #[test]
    fn serde_writes_patients_as_the_contract_shows_them() {
        let at = Utc.with_ymd_and_hms(2030, 1, 31, 9, 30, 0).unwrap();
        let mut patient = Patient {
            id: PatientId(7),
            details: PatientDetails::default(),
            created_by: AccountId(3),
            created_at: at,
            updated_at: at + chrono::TimeDelta::microseconds(12_345),
            version: 2,
        };
        assert_written_alike(&PatientView::from(patient.clone()));
        patient.details = PatientDetails {
            first_name: "Maya \"Q\"\n".into(),
            last_name: "Økafor".into(),
            birth: Some(BirthDate { date: "1988-04-12".parse().unwrap(), estimated: true }),
            gender: Gender::Other,
            phone_number: Some("+351".into()),
            email: Some("maya@example.com".into()),
            ..PatientDetails::default()
        };
        assert_written_alike(&PatientView::from(patient));
    }
}
