//! The demo clinic of an empty development database: made through the same services as everything else.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;
use uuid::Uuid;

use crate::{
    actors::{repository::Error, schedule::ScheduleError},
    api::Services,
    authn::{AuthnError, PasswordError, Registration},
    domain::{
        AccountId, Caller, DoctorId, PatientId, Visibility,
        appointments::BookingRequest,
        clinics::ClinicDetails,
        doctors::{DoctorDetails, Scheduling},
        fields::FieldErrors,
        mappings::{MappingDetails, NewMapping},
        patients::{BirthDate, Gender, PatientDetails},
        users::NewAccount,
    },
};

/// The logins of the demo clinic: role, e-mail address, password.
pub type Logins = [(&'static str, &'static str, &'static str); 3];

const LOGINS: Logins = [
    ("admin", "admin@demo.example", "demo-clinic-admin"),
    ("staff", "staff@demo.example", "demo-clinic-staff"),
    ("doctor", "doctor@demo.example", "demo-clinic-doctor"),
];

const DOCTORS: [(&str, &str, &str, &str, Gender, i32); 4] = [
    ("Elena", "Marsh", "Cardiology", "MD-20417", Gender::Female, 14),
    ("Jonas", "Feld", "General practice", "MD-19903", Gender::Male, 21),
    ("Priya", "Raman", "Dermatology", "MD-22158", Gender::Female, 8),
    ("Tomas", "Silva", "Paediatrics", "MD-21046", Gender::Male, 11),
];

const PATIENTS: [(&str, &str, i32, u32, Gender); 6] = [
    ("Maya", "Okafor", 1988, 103, Gender::Female),
    ("Liam", "Novak", 1979, 250, Gender::Male),
    ("Sofia", "Lind", 2016, 40, Gender::Female),
    ("Henry", "Abe", 1951, 310, Gender::Male),
    ("Noor", "Haddad", 1995, 172, Gender::Other),
    ("Ines", "Costa", 1967, 61, Gender::Female),
];

/// Why the demo was not made.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Repository(#[from] Error),
    #[error(transparent)]
    Authn(#[from] AuthnError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    #[error("{0:?}")]
    Fields(FieldErrors),
}

/// Makes the demo clinic and answers its logins; `None` where another program made it first.
pub async fn fill(services: &Services) -> Option<Logins> {
    match make(services).await {
        Ok(()) => Some(LOGINS),
        Err(error) => {
            tracing::warn!(%error, "the demo clinic was not made");
            None
        }
    }
}

async fn make(services: &Services) -> Result<(), DemoError> {
    let [(_, email, password), ..] = LOGINS;
    let founder = Registration {
        email: email.into(),
        username: email.into(),
        first_name: "Ada".into(),
        last_name: "Demo".into(),
        password: password.into(),
        clinic: ClinicDetails { name: "Demo Clinic".into(), time_zone: Tz::Europe__Lisbon },
        invitation: None,
    };
    let admin = services.authn.register(founder, Uuid::now_v7()).await?.caller;
    let staff = user(services, &admin, 1, "Sam").await?;
    let doctor_login = user(services, &admin, 2, "Elena").await?;
    let staff = Caller { account: staff, role: LOGINS[1].0.into(), ..admin.clone() };

    let mut doctors = Vec::new();
    for (n, (first, last, specialization, license, gender, years)) in DOCTORS.into_iter().enumerate() {
        let details = DoctorDetails {
            first_name: first.into(),
            last_name: last.into(),
            specialization: specialization.into(),
            license_number: license.into(),
            email: format!("{}.{}@demo.example", first.to_lowercase(), last.to_lowercase()),
            phone_number: Some(format!("+351 210 000 10{n}")),
            gender,
            years_of_experience: Some(years),
            office_address: Some(format!("Room {}", 201 + n)),
            scheduling: Scheduling::default(),
            is_active: true,
            user: (n == 0).then_some(doctor_login),
        };
        doctors.push(services.repository.create_doctor(&admin, details).await?.id);
    }
    let mut patients = Vec::new();
    for (n, (first, last, year, day, gender)) in PATIENTS.into_iter().enumerate() {
        let date = NaiveDate::from_yo_opt(year, day);
        let birth = BirthDate::told(date, None, Utc::now().date_naive()).map_err(DemoError::Fields)?;
        let details = PatientDetails {
            first_name: first.into(),
            last_name: last.into(),
            birth,
            gender,
            phone_number: Some(format!("+351 910 000 20{n}")),
            email: Some(format!("{}.{}@patients.example", first.to_lowercase(), last.to_lowercase())),
            emergency_contact_name: Some(format!("Family {last}")),
            emergency_contact_phone: Some(format!("+351 910 000 30{n}")),
            ..PatientDetails::default()
        };
        patients.push(services.repository.create_patient(&staff, details).await?.id);
    }
    for (n, patient) in patients.iter().enumerate() {
        let doctor = doctors[n % doctors.len()];
        map(services, &admin, *patient, doctor).await?;
        book(services, &staff, *patient, doctor, n).await?;
    }
    Ok(())
}

async fn user(services: &Services, admin: &Caller, n: usize, name: &str) -> Result<AccountId, DemoError> {
    let (role, email, password) = LOGINS[n];
    let new = NewAccount {
        email: email.into(),
        username: email.into(),
        first_name: name.into(),
        last_name: "Demo".into(),
        password_hash: services.authn.passwords().hash(password.into()).await?,
    };
    Ok(services.repository.create_user(admin, new, role.into()).await?.id)
}

async fn map(services: &Services, admin: &Caller, patient: PatientId, doctor: DoctorId) -> Result<(), DemoError> {
    let details = MappingDetails { reason_for_visit: Some("First consultation".into()), notes: None, is_active: true };
    let new = NewMapping { patient, doctor, details };
    services.repository.create_mapping(admin, Visibility::WHOLE_CLINIC, new).await?;
    Ok(())
}

async fn book(
    services: &Services,
    staff: &Caller,
    patient: PatientId,
    doctor: DoctorId,
    n: usize,
) -> Result<(), DemoError> {
    let request = BookingRequest {
        caller: staff.clone(),
        bookable: Visibility { owner: Some(staff.account), ..Visibility::default() },
        doctor,
        patient,
        start: coming_day(n) + TimeDelta::hours(9) + TimeDelta::minutes(30 * n as i64),
        length: None,
        reason: "First consultation".into(),
        hold: None,
    };
    services.schedules.book(request).await?;
    Ok(())
}

/// Midnight (UTC) of the n-th weekday from tomorrow on, over the next five.
fn coming_day(n: usize) -> DateTime<Utc> {
    let tomorrow = Utc::now().date_naive() + Days::new(1);
    let weekdays = tomorrow.iter_days().filter(|day| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun));
    let day = weekdays.take(5).nth(n % 5).unwrap_or(tomorrow);
    day.and_time(NaiveTime::MIN).and_utc()
}
