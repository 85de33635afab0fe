//! The demo clinic of an empty development database. It is created through the same services as all other data.

use chrono::{Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Weekday};
use chrono_tz::Tz;
use uuid::Uuid;

use crate::actors::repository::Error;
use crate::actors::schedule::ScheduleError;
use crate::api::Services;
use crate::authn::{AuthnError, PasswordError, Registration};
use crate::domain::appointments::BookingRequest;
use crate::domain::calendar::{ClosedDays, Search, Window};
use crate::domain::clinics::ClinicDetails;
use crate::domain::doctors::{DoctorDetails, Scheduling};
use crate::domain::fields::FieldErrors;
use crate::domain::mappings::{MappingDetails, NewMapping};
use crate::domain::patients::{BirthDate, Gender, PatientDetails};
use crate::domain::schedules::NewHours;
use crate::domain::users::NewAccount;
use crate::domain::{AccountId, Caller, DoctorId, Interval, PatientId, Visibility, zone};

/// The logins of the demo clinic: role, e-mail address, password.
pub type Logins = [(&'static str, &'static str, &'static str); 3];

const LOGINS: Logins = [
    ("admin", "admin@demo.example", "demo-clinic-admin"),
    ("staff", "staff@demo.example", "demo-clinic-staff"),
    ("doctor", "doctor@demo.example", "demo-clinic-doctor"),
];

const ZONE: Tz = Tz::Europe__Lisbon;

struct DemoDoctor {
    name: (&'static str, &'static str),
    specialization: &'static str,
    license: &'static str,
    gender: Gender,
    years: i32,
    scheduling: Scheduling,
    hours: &'static [DemoHours],
}

/// Weekdays and their working hours. The time between two windows is a break.
type DemoHours = (&'static [Weekday], &'static [(&'static str, &'static str)]);

/// Returns settings with only a slot length and a booking horizon.
const fn slots_of(slot_minutes: i32) -> Scheduling {
    Scheduling {
        time_zone: None,
        slot_minutes,
        buffer_before_minutes: 0,
        buffer_after_minutes: 0,
        max_appointments_per_day: None,
        min_notice_minutes: 0,
        max_horizon_days: Some(180),
    }
}

const WEEKDAYS: &[Weekday] = &[Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri];

const DOCTORS: [DemoDoctor; 4] = [
    DemoDoctor {
        name: ("Elena", "Marsh"),
        specialization: "Cardiology",
        license: "MD-20417",
        gender: Gender::Female,
        years: 14,
        scheduling: Scheduling { min_notice_minutes: 120, max_appointments_per_day: Some(12), ..slots_of(30) },
        hours: &[(WEEKDAYS, &[("09:00", "13:00"), ("14:00", "17:30")])],
    },
    DemoDoctor {
        name: ("Jonas", "Feld"),
        specialization: "General practice",
        license: "MD-19903",
        gender: Gender::Male,
        years: 21,
        scheduling: slots_of(20),
        hours: &[(WEEKDAYS, &[("08:00", "12:00"), ("13:00", "16:00")]), (&[Weekday::Wed], &[("17:00", "20:00")])],
    },
    DemoDoctor {
        name: ("Priya", "Raman"),
        specialization: "Dermatology",
        license: "MD-22158",
        gender: Gender::Female,
        years: 8,
        scheduling: Scheduling { buffer_after_minutes: 10, max_horizon_days: Some(60), ..slots_of(30) },
        hours: &[
            (&[Weekday::Tue, Weekday::Thu], &[("10:00", "14:00"), ("15:00", "19:00")]),
            (&[Weekday::Sat], &[("09:00", "12:00")]),
        ],
    },
    DemoDoctor {
        name: ("Tomas", "Silva"),
        specialization: "Paediatrics",
        license: "MD-21046",
        gender: Gender::Male,
        years: 11,
        scheduling: slots_of(30),
        hours: &[
            (&[Weekday::Mon, Weekday::Wed, Weekday::Fri], &[("08:30", "12:30")]),
            (&[Weekday::Mon, Weekday::Thu], &[("14:00", "18:00")]),
        ],
    },
];

const PATIENTS: [(&str, &str, i32, u32, Gender); 6] = [
    ("Maya", "Okafor", 1988, 103, Gender::Female),
    ("Liam", "Novak", 1979, 250, Gender::Male),
    ("Sofia", "Lind", 2016, 40, Gender::Female),
    ("Henry", "Abe", 1951, 310, Gender::Male),
    ("Noor", "Haddad", 1995, 172, Gender::Other),
    ("Ines", "Costa", 1967, 61, Gender::Female),
];

/// Why the demo clinic was not created.
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

/// Creates the demo clinic and returns its logins. Returns `None` if another program created it first.
pub async fn fill(services: &Services) -> Option<Logins> {
    match make(services).await {
        Ok(()) => Some(LOGINS),
        Err(error) => {
            tracing::warn!(%error, "cannot create the demo clinic");
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
        clinic: ClinicDetails { name: "Demo Clinic".into(), time_zone: ZONE },
        invitation: None,
    };
    let admin = services.authn.register(founder, Uuid::now_v7()).await?.caller;
    let staff = user(services, &admin, 1, "Sam").await?;
    let doctor_login = user(services, &admin, 2, "Elena").await?;
    let staff = Caller { account: staff, role: LOGINS[1].0.into(), ..admin.clone() };

    let mut doctors = Vec::new();
    for (n, doctor) in DOCTORS.into_iter().enumerate() {
        doctors.push(employ(services, &admin, n, doctor, (n == 0).then_some(doctor_login)).await?);
    }
    let today = zone::day_of(ZONE, crate::clock::now());
    // A congress next Thursday, a holiday in the following week, and Christmas.
    away(services, &admin, doctors[0], (next(today, Weekday::Thu), 1), "Congress").await?;
    away(services, &admin, doctors[3], (next(today, Weekday::Mon) + Days::new(7), 7), "Holiday").await?;
    let december = |day| NaiveDate::from_ymd_opt(today.year(), 12, day).unwrap_or(today);
    let christmas = ClosedDays { first: december(24), last: december(26) };
    services.schedules.rules().create_closure(&admin, christmas, "Christmas".into()).await?;
    let mut patients = Vec::new();
    for (n, (first, last, year, day, gender)) in PATIENTS.into_iter().enumerate() {
        let date = NaiveDate::from_yo_opt(year, day);
        let birth = BirthDate::told(date, None, crate::clock::now().date_naive()).map_err(DemoError::Fields)?;
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

async fn employ(
    services: &Services,
    admin: &Caller,
    n: usize,
    doctor: DemoDoctor,
    user: Option<AccountId>,
) -> Result<DoctorId, DemoError> {
    let (first, last) = doctor.name;
    let details = DoctorDetails {
        first_name: first.into(),
        last_name: last.into(),
        specialization: doctor.specialization.into(),
        license_number: doctor.license.into(),
        email: format!("{}.{}@demo.example", first.to_lowercase(), last.to_lowercase()),
        phone_number: Some(format!("+351 210 000 10{n}")),
        gender: doctor.gender,
        years_of_experience: Some(doctor.years),
        office_address: Some(format!("Room {}", 201 + n)),
        scheduling: doctor.scheduling,
        is_active: true,
        user,
    };
    let id = services.repository.create_doctor(admin, details).await?.id;
    let time = |text: &str| text.parse::<NaiveTime>().unwrap_or_default();
    let windows = doctor.hours.iter().flat_map(|(weekdays, spans)| {
        weekdays.iter().flat_map(|weekday| {
            spans.iter().map(|(start, end)| Window { weekday: *weekday, start: time(start), end: time(end) })
        })
    });
    let hours = NewHours { effective_from: None, windows: Some(windows.collect()) };
    services.schedules.rules().set_hours(admin, id, Visibility::WHOLE_CLINIC, None, hours).await?;
    Ok(id)
}

/// Enters time off of whole days.
async fn away(
    services: &Services,
    admin: &Caller,
    doctor: DoctorId,
    (first, days): (NaiveDate, u64),
    reason: &str,
) -> Result<(), DemoError> {
    let (start, end) = (zone::start_of_day(ZONE, first), zone::start_of_day(ZONE, first + Days::new(days)));
    if let Some(during) = start.zip(end).and_then(|(start, end)| Interval::between(start, end)) {
        let seen = Visibility::WHOLE_CLINIC;
        services.schedules.rules().create_time_off(admin, doctor, seen, during, reason.into()).await?;
    }
    Ok(())
}

/// Returns the first such weekday after a day.
fn next(after: NaiveDate, weekday: Weekday) -> NaiveDate {
    let days = after.iter_days().skip(1);
    days.take(7).find(|day| day.weekday() == weekday).unwrap_or(after)
}

async fn map(services: &Services, admin: &Caller, patient: PatientId, doctor: DoctorId) -> Result<(), DemoError> {
    let details = MappingDetails { reason_for_visit: Some("First consultation".into()), notes: None, is_active: true };
    let new = NewMapping { patient, doctor, details };
    services.repository.create_mapping(admin, Visibility::WHOLE_CLINIC, new).await?;
    Ok(())
}

/// Books one of the doctor's free times from tomorrow on, not always the first.
async fn book(
    services: &Services,
    staff: &Caller,
    patient: PatientId,
    doctor: DoctorId,
    n: usize,
) -> Result<(), DemoError> {
    let now = crate::clock::now();
    let calendar = services.schedules.calendar(staff.clinic, doctor).await?;
    let from = now + TimeDelta::days(1);
    let length = calendar.rules().slot;
    let search = Search { from, to: from, length, also_busy: &[], ignored: None, now };
    let Some(slot) = calendar.next_free(search, 1 + 2 * n).pop() else { return Ok(()) };
    let request = BookingRequest {
        caller: staff.clone(),
        bookable: Visibility { owner: Some(staff.account), ..Visibility::default() },
        doctor,
        patient,
        start: slot.start(),
        length: None,
        reason: "First consultation".into(),
        hold: None,
    };
    services.schedules.book(request).await?;
    Ok(())
}
