//! Patients.

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::fields::FieldErrors;
use super::search::Words;
use super::{AccountId, DoctorId, Identified, PatientId};

/// The highest age, in years, that a patient can have.
pub const OLDEST: i32 = 150;

/// The gender in a patient's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Gender {
    /// `M`
    Male,
    /// `F`
    Female,
    /// `O`
    Other,
    /// `U`
    #[default]
    Unknown,
}

impl Gender {
    /// Returns the letter in the contract and in the database.
    pub fn letter(self) -> &'static str {
        match self {
            Self::Male => "M",
            Self::Female => "F",
            Self::Other => "O",
            Self::Unknown => "U",
        }
    }

    /// Returns the gender with this letter.
    pub fn lettered(letter: &str) -> Option<Self> {
        [Self::Male, Self::Female, Self::Other, Self::Unknown].into_iter().find(|gender| gender.letter() == letter)
    }
}

/// A date of birth, which may be an estimate from an age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BirthDate {
    /// The date. An estimate is 1 January of the estimated year.
    pub date: NaiveDate,
    /// Whether only the age was known.
    pub estimated: bool,
}

impl BirthDate {
    /// Combines a date of birth and an age in years. Either or both may be absent.
    ///
    /// # Errors
    /// Fails for a date in the future, for a date more than [`OLDEST`] years ago, and for an age that does not match
    /// the date.
    pub fn told(date: Option<NaiveDate>, age: Option<i32>, today: NaiveDate) -> Result<Option<Self>, FieldErrors> {
        match (date, age) {
            (None, None) => Ok(None),
            (None, Some(age)) => Ok(Some(Self::from_age(age, today)?)),
            (Some(date), age) => {
                let known = Self { date, estimated: false };
                let years = known.age_on(today);
                if date > today {
                    return Err(FieldErrors::one("date_of_birth", "A date of birth cannot be in the future."));
                }
                if years > OLDEST {
                    return Err(FieldErrors::one(
                        "date_of_birth",
                        format!("A date of birth cannot be more than {OLDEST} years ago."),
                    ));
                }
                match age {
                    Some(age) if age != years => {
                        Err(FieldErrors::one("age", "The age does not match date_of_birth; send only one of the two."))
                    }
                    _ => Ok(Some(known)),
                }
            }
        }
    }

    /// The estimate from an age: 1 January of the year that makes the age true today.
    fn from_age(age: i32, today: NaiveDate) -> Result<Self, FieldErrors> {
        if !(0..=OLDEST).contains(&age) {
            return Err(FieldErrors::one("age", format!("The age must be between 0 and {OLDEST}.")));
        }
        let date = NaiveDate::from_yo_opt(today.year() - age, 1);
        let date = date.ok_or_else(|| FieldErrors::one("age", "No year of birth gives this age."))?;
        Ok(Self { date, estimated: true })
    }

    /// Returns the age in full years on that day. A child born on 29 February has its birthday on 1 March in other
    /// years.
    pub fn age_on(&self, day: NaiveDate) -> i32 {
        let had_birthday = (day.month(), day.day()) >= (self.date.month(), self.date.day());
        day.year() - self.date.year() - i32::from(!had_birthday)
    }
}

/// The values of a patient that a caller may set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PatientDetails {
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// The patient's date of birth, if known.
    pub birth: Option<BirthDate>,
    /// Gender.
    pub gender: Gender,
    /// Phone number, as entered.
    pub phone_number: Option<String>,
    /// E-mail address, in lower case.
    pub email: Option<String>,
    /// Whether another patient, such as a family member, may have the same e-mail address.
    pub email_shared: bool,
    /// Postal address.
    pub address: Option<String>,
    /// Earlier illnesses.
    pub medical_history: Option<String>,
    /// The name of the emergency contact.
    pub emergency_contact_name: Option<String>,
    /// The phone number of the emergency contact.
    pub emergency_contact_phone: Option<String>,
}

/// A patient of a clinic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patient {
    /// The row's id.
    pub id: PatientId,
    /// The values that a caller may set.
    pub details: PatientDetails,
    /// The owner: the account that registered the patient, or the account to which the patient was transferred.
    pub created_by: AccountId,
    /// When the patient was registered.
    pub created_at: DateTime<Utc>,
    /// When the record was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts the changes, from 1: the `ETag`.
    pub version: i64,
}

impl Identified for Patient {
    fn id(&self) -> i64 {
        self.id.0
    }
}

/// The filters of a list of patients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatientFilter {
    /// Words of the name, the e-mail address or the phone number.
    pub search: Option<Words>,
    /// Only patients of this owner.
    pub created_by: Option<AccountId>,
    /// Only patients assigned to this doctor.
    pub doctor: Option<DoctorId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    #[test]
    fn an_age_becomes_an_estimated_birth_year_with_the_same_age() {
        for today in [day(2026, 1, 1), day(2026, 12, 31), day(2028, 2, 29)] {
            let birth = BirthDate::told(None, Some(42), today).unwrap().unwrap();
            assert!(birth.estimated);
            assert_eq!(birth.age_on(today), 42);
        }
    }

    #[test]
    fn an_age_counts_full_years() {
        let birth = BirthDate::told(Some(day(1990, 6, 15)), None, day(2026, 1, 1)).unwrap().unwrap();
        assert!(!birth.estimated);
        assert_eq!(birth.age_on(day(2026, 6, 14)), 35);
        assert_eq!(birth.age_on(day(2026, 6, 15)), 36);
        let leap = BirthDate { date: day(2004, 2, 29), estimated: false };
        assert_eq!(leap.age_on(day(2026, 2, 28)), 21);
        assert_eq!(leap.age_on(day(2026, 3, 1)), 22);
    }

    #[test]
    fn an_impossible_birth_is_refused_by_field() {
        let today = day(2026, 1, 1);
        let field = |date, age| {
            let errors = BirthDate::told(date, age, today).unwrap_err();
            errors.0.keys().next().unwrap().clone()
        };
        assert_eq!(field(Some(day(2026, 1, 2)), None), "date_of_birth");
        assert_eq!(field(Some(day(1875, 1, 1)), None), "date_of_birth");
        assert_eq!(field(Some(day(1990, 1, 1)), Some(12)), "age");
        assert_eq!(field(None, Some(151)), "age");
        assert_eq!(field(None, Some(-1)), "age");
        assert_eq!(BirthDate::told(None, None, today), Ok(None));
    }
}
