//! Doctors as the contract shows them.

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use poem_openapi::types::{Email, Example, MaybeUndefined};

use crate::api::http::json::Row;
use crate::api::views::appointments::OutsideView;
use crate::api::views::patch::{parse_zone, set};
use crate::api::views::patients::GenderView;
use crate::api::views::schedules::SchedulingPatch;
use crate::domain::doctors::{DEFAULT_SLOT_MINUTES, Doctor, DoctorDetails, Scheduling};
use crate::domain::fields::{FieldErrors, filled, tidy_optional};
use crate::domain::schedules::Changed;

/// A doctor of the clinic.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Doctor")]
pub struct DoctorView {
    /// The doctor's id.
    id: i64,
    /// Given name.
    first_name: String,
    /// Family name.
    last_name: String,
    /// The medical specialization.
    specialization: String,
    /// The licence number.
    license_number: String,
    /// E-mail address.
    email: Email,
    /// Phone number.
    #[oai(nullable)]
    phone_number: Option<String>,
    /// Gender.
    gender: GenderView,
    /// Full years of practice.
    #[oai(nullable)]
    years_of_experience: Option<i32>,
    /// The address of the practice.
    #[oai(nullable)]
    office_address: Option<String>,
    /// Maximum number of appointments a day, by the doctor's local date; null for no limit.
    #[oai(nullable)]
    max_appointments_per_day: Option<i32>,
    /// Default duration of an appointment, in minutes.
    slot_minutes: i32,
    /// The doctor's time zone (IANA); null means the clinic's.
    #[oai(nullable)]
    time_zone: Option<String>,
    /// Whether the doctor can be booked.
    is_active: bool,
    /// The id of the linked user.
    #[oai(nullable)]
    user: Option<i64>,
    /// When the doctor was created.
    created_at: DateTime<Utc>,
    /// When the record was last changed.
    updated_at: DateTime<Utc>,
}

impl Row for DoctorView {}

impl From<Doctor> for DoctorView {
    fn from(doctor: Doctor) -> Self {
        let details = doctor.details;
        filled!(Self {
            id: doctor.id.0,
            email: Email(details.email),
            gender: details.gender.into(),
            max_appointments_per_day: details.scheduling.max_appointments_per_day,
            slot_minutes: details.scheduling.slot_minutes,
            time_zone: details.scheduling.time_zone.map(|zone| zone.name().to_owned()),
            user: details.user.map(|id| id.0),
        } from details {
            first_name, last_name, specialization, license_number, phone_number, years_of_experience, office_address,
            is_active,
        }, from doctor { created_at, updated_at })
    }
}

/// The updated doctor, and the upcoming appointments that break the new rules.
#[derive(Debug, Clone, Object)]
#[oai(rename = "ChangedDoctor")]
pub struct ChangedDoctorView {
    #[oai(flatten)]
    doctor: DoctorView,
    /// Upcoming appointments that break the doctor's rules. They stay.
    appointments_outside: Vec<OutsideView>,
}

impl Row for ChangedDoctorView {}

impl From<Changed<Doctor>> for ChangedDoctorView {
    fn from(changed: Changed<Doctor>) -> Self {
        Self {
            doctor: changed.row.into(),
            appointments_outside: changed.outside.into_iter().map(OutsideView::from).collect(),
        }
    }
}

/// Sets the fields that the bodies of POST, PUT and PATCH have in common.
macro_rules! set_details {
    ($body:ident to $details:ident) => {
        set!($body to $details {
            first_name, last_name, specialization, license_number, email, phone_number, gender, years_of_experience,
            office_address, is_active, user,
        })
    };
}

/// A doctor to create or replace.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct DoctorInput {
    /// Given name.
    #[oai(validator(min_length = 1, max_length = 100))]
    first_name: String,
    /// Family name.
    #[oai(validator(min_length = 1, max_length = 100))]
    last_name: String,
    /// The medical specialization.
    #[oai(validator(min_length = 1, max_length = 100))]
    specialization: String,
    /// The licence number, unique in the clinic.
    #[oai(validator(min_length = 1, max_length = 60))]
    license_number: String,
    /// E-mail address, unique in the clinic.
    #[oai(validator(max_length = 254))]
    email: Email,
    /// Phone number, in any common notation.
    #[oai(nullable, validator(max_length = 40))]
    phone_number: Option<String>,
    /// Gender; unknown by default.
    #[oai(nullable)]
    gender: Option<GenderView>,
    /// Full years of practice.
    #[oai(nullable, validator(minimum(value = "0"), maximum(value = "80")))]
    years_of_experience: Option<i32>,
    /// The address of the practice.
    #[oai(nullable, validator(max_length = 500))]
    office_address: Option<String>,
    /// Maximum number of appointments a day, by the doctor's local date; no limit by default.
    #[oai(nullable, validator(minimum(value = "1"), maximum(value = "1000")))]
    max_appointments_per_day: Option<i32>,
    /// Default duration of an appointment, in minutes; 30 by default.
    #[oai(nullable, validator(minimum(value = "5"), maximum(value = "1440")))]
    slot_minutes: Option<i32>,
    /// The doctor's time zone (IANA); the clinic's by default.
    #[oai(nullable, validator(max_length = 60))]
    time_zone: Option<String>,
    /// Whether the doctor can be booked; true by default.
    #[oai(nullable)]
    is_active: Option<bool>,
    /// The id of the doctor's user account.
    #[oai(nullable, validator(minimum(value = "1")))]
    user: Option<i64>,
}

impl Example for DoctorInput {
    fn example() -> Self {
        Self {
            first_name: "Elena".into(),
            last_name: "Marsh".into(),
            specialization: "Cardiology".into(),
            license_number: "MD-20417".into(),
            email: Email("elena.marsh@example.com".into()),
            phone_number: Some("+1 555 0160".into()),
            gender: Some(GenderView::F),
            years_of_experience: Some(14),
            office_address: Some("Room 210".into()),
            max_appointments_per_day: Some(16),
            slot_minutes: Some(30),
            time_zone: Some("America/New_York".into()),
            is_active: Some(true),
            user: None,
        }
    }
}

impl DoctorInput {
    /// Returns the doctor's details. Scheduling settings that this body does not have are taken from `stored`.
    pub fn details(self, stored: Scheduling) -> Result<DoctorDetails, FieldErrors> {
        let zone = tidy_optional(self.time_zone);
        let mut details = DoctorDetails { is_active: true, ..DoctorDetails::default() };
        set_details!(self to details);
        details.scheduling = Scheduling {
            max_appointments_per_day: self.max_appointments_per_day,
            slot_minutes: self.slot_minutes.unwrap_or(DEFAULT_SLOT_MINUTES),
            time_zone: zone.map(|zone| parse_zone("time_zone", &zone)).transpose()?,
            ..stored
        };
        Ok(details)
    }
}

/// Fields of a doctor to change. Absent fields stay unchanged; null clears a field.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub struct DoctorPatch {
    /// Given name.
    #[oai(validator(min_length = 1, max_length = 100))]
    first_name: Option<String>,
    /// Family name.
    #[oai(validator(min_length = 1, max_length = 100))]
    last_name: Option<String>,
    /// The medical specialization.
    #[oai(validator(min_length = 1, max_length = 100))]
    specialization: Option<String>,
    /// The licence number, unique in the clinic.
    #[oai(validator(min_length = 1, max_length = 60))]
    license_number: Option<String>,
    /// E-mail address, unique in the clinic.
    #[oai(validator(max_length = 254))]
    email: Option<Email>,
    /// Phone number.
    #[oai(nullable, validator(max_length = 40))]
    phone_number: MaybeUndefined<String>,
    /// Gender.
    gender: Option<GenderView>,
    /// Full years of practice.
    #[oai(nullable, validator(minimum(value = "0"), maximum(value = "80")))]
    years_of_experience: MaybeUndefined<i32>,
    /// The address of the practice.
    #[oai(nullable, validator(max_length = 500))]
    office_address: MaybeUndefined<String>,
    /// Maximum number of appointments a day, by the doctor's local date; null for no limit.
    #[oai(nullable, validator(minimum(value = "1"), maximum(value = "1000")))]
    max_appointments_per_day: MaybeUndefined<i32>,
    /// Default duration of an appointment, in minutes.
    #[oai(validator(minimum(value = "5"), maximum(value = "1440")))]
    slot_minutes: Option<i32>,
    /// The doctor's time zone (IANA); null means the clinic's.
    #[oai(nullable, validator(max_length = 60))]
    time_zone: MaybeUndefined<String>,
    /// Whether the doctor can be booked.
    is_active: Option<bool>,
    /// The id of the doctor's user account; null unlinks it.
    #[oai(nullable, validator(minimum(value = "1")))]
    user: MaybeUndefined<i64>,
}

impl DoctorPatch {
    pub fn apply(self, mut details: DoctorDetails) -> Result<DoctorDetails, FieldErrors> {
        set_details!(self to details);
        let scheduling = filled!(SchedulingPatch {
            ..SchedulingPatch::default()
        } from self { max_appointments_per_day, slot_minutes, time_zone });
        details.scheduling = scheduling.apply(details.scheduling)?;
        Ok(details)
    }
}
