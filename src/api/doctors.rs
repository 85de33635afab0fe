//! `/api/doctors`

use chrono::{DateTime, Utc};
use poem::{Request, web::Data};
use poem_openapi::{
    Object, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
    types::{Email, Example, MaybeUndefined},
};

use super::{
    body::Body,
    context::{Authenticated, Chapter, Services, to_the_end},
    etag::{Created, Fetched, NoContent, etag, expected_version},
    page::{Listed, Paging},
    patients::{GenderView, PatientView, patched},
    problem::Problem,
    zone::parse_zone,
};
use crate::domain::{
    AccountId, DoctorId,
    access::{Action, Resource},
    doctors::{DEFAULT_SLOT_MINUTES, Doctor, DoctorDetails, DoctorFilter},
    fields::{FieldErrors, login_name, tidy, tidy_optional},
    patients::{Gender, PatientFilter},
};

/// Operations on doctors.
pub struct Doctors;

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
    /// The field of medicine.
    specialization: String,
    /// The licence to practise.
    license_number: String,
    /// E-mail address.
    email: Email,
    /// Phone number.
    #[oai(nullable)]
    phone_number: Option<String>,
    /// Gender.
    gender: GenderView,
    /// Full years in practice.
    #[oai(nullable)]
    years_of_experience: Option<i32>,
    /// Where the doctor sees patients.
    #[oai(nullable)]
    office_address: Option<String>,
    /// The most appointments that start on one of the doctor's days; null for no limit.
    #[oai(nullable)]
    max_appointments_per_day: Option<i32>,
    /// The length of a booking that does not say its own, in minutes.
    slot_minutes: i32,
    /// The doctor's time zone (IANA); null for the clinic's.
    #[oai(nullable)]
    time_zone: Option<String>,
    /// Whether the doctor takes bookings.
    is_active: bool,
    /// The id of the linked user.
    #[oai(nullable)]
    user: Option<i64>,
    /// When the doctor was entered.
    created_at: DateTime<Utc>,
    /// When the record was last changed.
    updated_at: DateTime<Utc>,
}

impl From<Doctor> for DoctorView {
    fn from(doctor: Doctor) -> Self {
        let details = doctor.details;
        Self {
            id: doctor.id.0,
            first_name: details.first_name,
            last_name: details.last_name,
            specialization: details.specialization,
            license_number: details.license_number,
            email: Email(details.email),
            phone_number: details.phone_number,
            gender: details.gender.into(),
            years_of_experience: details.years_of_experience,
            office_address: details.office_address,
            max_appointments_per_day: details.max_appointments_per_day,
            slot_minutes: details.slot_minutes,
            time_zone: details.time_zone.map(|zone| zone.name().to_owned()),
            is_active: details.is_active,
            user: details.user.map(|id| id.0),
            created_at: doctor.created_at,
            updated_at: doctor.updated_at,
        }
    }
}

/// A doctor to enter, or what a doctor shall be.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct DoctorInput {
    /// Given name.
    #[oai(validator(min_length = 1, max_length = 100))]
    first_name: String,
    /// Family name.
    #[oai(validator(min_length = 1, max_length = 100))]
    last_name: String,
    /// The field of medicine.
    #[oai(validator(min_length = 1, max_length = 100))]
    specialization: String,
    /// The licence to practise, unique in the clinic.
    #[oai(validator(min_length = 1, max_length = 60))]
    license_number: String,
    /// E-mail address, unique in the clinic.
    #[oai(validator(max_length = 254))]
    email: Email,
    /// Phone number, as people write it.
    #[oai(nullable, validator(max_length = 40))]
    phone_number: Option<String>,
    /// Gender; unknown unless said.
    #[oai(nullable)]
    gender: Option<GenderView>,
    /// Full years in practice.
    #[oai(nullable, validator(minimum(value = "0"), maximum(value = "80")))]
    years_of_experience: Option<i32>,
    /// Where the doctor sees patients.
    #[oai(nullable, validator(max_length = 500))]
    office_address: Option<String>,
    /// The most appointments that start on one of the doctor's days; no limit unless said.
    #[oai(nullable, validator(minimum(value = "1"), maximum(value = "1000")))]
    max_appointments_per_day: Option<i32>,
    /// The length of a booking that does not say its own, in minutes; 30 unless said.
    #[oai(nullable, validator(minimum(value = "5"), maximum(value = "1440")))]
    slot_minutes: Option<i32>,
    /// The doctor's time zone (IANA); the clinic's unless said.
    #[oai(nullable, validator(max_length = 60))]
    time_zone: Option<String>,
    /// Whether the doctor takes bookings; true unless said.
    #[oai(nullable)]
    is_active: Option<bool>,
    /// The id of the user who is this doctor.
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
    fn details(self) -> Result<DoctorDetails, FieldErrors> {
        let zone = tidy_optional(self.time_zone);
        Ok(DoctorDetails {
            first_name: tidy(&self.first_name),
            last_name: tidy(&self.last_name),
            specialization: tidy(&self.specialization),
            license_number: tidy(&self.license_number),
            email: login_name(&self.email),
            phone_number: tidy_optional(self.phone_number),
            gender: self.gender.map(Gender::from).unwrap_or_default(),
            years_of_experience: self.years_of_experience,
            office_address: tidy_optional(self.office_address),
            max_appointments_per_day: self.max_appointments_per_day,
            slot_minutes: self.slot_minutes.unwrap_or(DEFAULT_SLOT_MINUTES),
            time_zone: zone.map(|zone| parse_zone("time_zone", &zone)).transpose()?,
            is_active: self.is_active.unwrap_or(true),
            user: self.user.map(AccountId),
        })
    }
}

/// What to change of a doctor: what is absent stays, what is null is cleared.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub struct DoctorPatch {
    /// Given name.
    #[oai(validator(min_length = 1, max_length = 100))]
    first_name: Option<String>,
    /// Family name.
    #[oai(validator(min_length = 1, max_length = 100))]
    last_name: Option<String>,
    /// The field of medicine.
    #[oai(validator(min_length = 1, max_length = 100))]
    specialization: Option<String>,
    /// The licence to practise, unique in the clinic.
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
    /// Full years in practice.
    #[oai(nullable, validator(minimum(value = "0"), maximum(value = "80")))]
    years_of_experience: MaybeUndefined<i32>,
    /// Where the doctor sees patients.
    #[oai(nullable, validator(max_length = 500))]
    office_address: MaybeUndefined<String>,
    /// The most appointments that start on one of the doctor's days; null for no limit.
    #[oai(nullable, validator(minimum(value = "1"), maximum(value = "1000")))]
    max_appointments_per_day: MaybeUndefined<i32>,
    /// The length of a booking that does not say its own, in minutes.
    #[oai(validator(minimum(value = "5"), maximum(value = "1440")))]
    slot_minutes: Option<i32>,
    /// The doctor's time zone (IANA); null for the clinic's.
    #[oai(nullable, validator(max_length = 60))]
    time_zone: MaybeUndefined<String>,
    /// Whether the doctor takes bookings.
    is_active: Option<bool>,
    /// The id of the user who is this doctor; null for none.
    #[oai(nullable, validator(minimum(value = "1")))]
    user: MaybeUndefined<i64>,
}

impl DoctorPatch {
    fn apply(self, details: DoctorDetails) -> Result<DoctorDetails, FieldErrors> {
        let text = |patch: Option<String>, stored| patch.map_or(stored, |text| tidy(&text));
        let number = |patch, stored| match patch {
            MaybeUndefined::Undefined => stored,
            MaybeUndefined::Null => None,
            MaybeUndefined::Value(number) => Some(number),
        };
        Ok(DoctorDetails {
            first_name: text(self.first_name, details.first_name),
            last_name: text(self.last_name, details.last_name),
            specialization: text(self.specialization, details.specialization),
            license_number: text(self.license_number, details.license_number),
            email: self.email.map_or(details.email, |email| login_name(&email)),
            phone_number: patched(self.phone_number, details.phone_number),
            gender: self.gender.map_or(details.gender, Gender::from),
            years_of_experience: number(self.years_of_experience, details.years_of_experience),
            office_address: patched(self.office_address, details.office_address),
            max_appointments_per_day: number(self.max_appointments_per_day, details.max_appointments_per_day),
            slot_minutes: self.slot_minutes.unwrap_or(details.slot_minutes),
            time_zone: match self.time_zone {
                MaybeUndefined::Undefined => details.time_zone,
                MaybeUndefined::Null => None,
                MaybeUndefined::Value(zone) => Some(parse_zone("time_zone", &zone)?),
            },
            is_active: self.is_active.unwrap_or(details.is_active),
            user: match self.user {
                MaybeUndefined::Undefined => details.user,
                MaybeUndefined::Null => None,
                MaybeUndefined::Value(id) => Some(AccountId(id)),
            },
        })
    }
}

#[OpenApi(prefix_path = "/api/doctors", tag = "Chapter::Doctors")]
impl Doctors {
    /// List doctors
    ///
    /// The doctors that the caller may see, newest first.
    #[oai(path = "/", method = "get", operation_id = "listDoctors")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn list(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        request: &Request,
        /// A part of the name, e-mail address or specialization.
        #[oai(validator(max_length = 200))]
        search: Query<Option<String>>,
        /// Only of this field of medicine.
        #[oai(validator(max_length = 100))]
        specialization: Query<Option<String>>,
        /// Only those who take bookings, or only those who do not.
        is_active: Query<Option<bool>>,
        /// How many at most; 50 unless said.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<i64>>,
        /// Where to go on, from the `Link` header of the page before.
        #[oai(validator(max_length = 200))]
        cursor: Query<Option<String>>,
    ) -> Result<Listed<DoctorView>, Problem> {
        let seen = services.admit(&caller.0, Action::Read, Resource::Doctors).await?;
        let paging = Paging::of(request, &caller.0, limit.0, cursor.0.as_ref())?;
        let filter = DoctorFilter {
            search: tidy_optional(search.0),
            specialization: tidy_optional(specialization.0),
            is_active: is_active.0,
            patient: None,
        };
        let rows = services.repository.list_doctors(&caller.0, seen, filter, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, DoctorView::from))
    }

    /// Enter a doctor
    #[oai(path = "/", method = "post", operation_id = "createDoctor")]
    async fn create(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        body: Body<DoctorInput>,
    ) -> Result<Created<DoctorView>, Problem> {
        services.admit(&caller.0, Action::Create, Resource::Doctors).await?;
        let details = body.0.details()?;
        let services = services.clone();
        to_the_end(async move {
            let doctor = services.repository.create_doctor(&caller.0, details).await?;
            services.authn.memberships_changed(caller.0.clinic);
            let (location, tag) = (format!("/api/doctors/{}", doctor.id), etag(doctor.version));
            Ok(Created::Created(Json(doctor.into()), location, tag))
        })
        .await
    }

    /// Read a doctor
    #[oai(path = "/:id", method = "get", operation_id = "getDoctor")]
    async fn get(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The doctor's id.
        id: Path<i64>,
    ) -> Result<Fetched<DoctorView>, Problem> {
        let seen = services.admit(&caller.0, Action::Read, Resource::Doctors).await?;
        let doctor = services.repository.find_doctor(&caller.0, DoctorId(id.0), seen).await?;
        Ok(fetched(doctor))
    }

    /// Replace a doctor
    ///
    /// What the body leaves out is cleared.
    #[oai(path = "/:id", method = "put", operation_id = "replaceDoctor")]
    async fn replace(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The doctor's id.
        id: Path<i64>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Body<DoctorInput>,
    ) -> Result<Fetched<DoctorView>, Problem> {
        let details = body.0.details();
        change(caller, &services, DoctorId(id.0), if_match.0, move |_| details).await
    }

    /// Change a doctor
    ///
    /// What is absent stays; what is null is cleared.
    #[oai(path = "/:id", method = "patch", operation_id = "updateDoctor")]
    async fn update(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The doctor's id.
        id: Path<i64>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Body<DoctorPatch>,
    ) -> Result<Fetched<DoctorView>, Problem> {
        change(caller, &services, DoctorId(id.0), if_match.0, move |stored| body.0.apply(stored)).await
    }

    /// Delete a doctor
    ///
    /// The doctor's history stays. Active appointments in the future stand against it, unless
    /// `cancel_appointments` is true: then they are cancelled in the same step.
    #[oai(path = "/:id", method = "delete", operation_id = "deleteDoctor")]
    async fn delete(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The doctor's id.
        id: Path<i64>,
        /// Whether to cancel the doctor's active appointments in the future.
        cancel_appointments: Query<Option<bool>>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<NoContent, Problem> {
        let seen = services.admit(&caller.0, Action::Delete, Resource::Doctors).await?;
        let expected = expected_version(if_match.0.as_ref())?;
        let services = services.clone();
        to_the_end(async move {
            let doctor = DoctorId(id.0);
            let cancel = cancel_appointments.0.unwrap_or(false);
            services.repository.delete_doctor(&caller.0, doctor, seen, expected, cancel).await?;
            services.schedules.changed(caller.0.clinic, doctor);
            services.authn.memberships_changed(caller.0.clinic);
            Ok(NoContent::Done)
        })
        .await
    }

    /// List a doctor's patients
    ///
    /// The patients to whom the doctor is assigned now, newest first.
    #[oai(path = "/:id/patients", method = "get", operation_id = "listDoctorPatients")]
    async fn patients(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        request: &Request,
        /// The doctor's id.
        id: Path<i64>,
        /// How many at most; 50 unless said.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<i64>>,
        /// Where to go on, from the `Link` header of the page before.
        #[oai(validator(max_length = 200))]
        cursor: Query<Option<String>>,
    ) -> Result<Listed<PatientView>, Problem> {
        let doctors_seen = services.admit(&caller.0, Action::Read, Resource::Doctors).await?;
        let mappings_seen = services.admit(&caller.0, Action::Read, Resource::Mappings).await?;
        let patients_seen = services.admit(&caller.0, Action::Read, Resource::Patients).await?;
        let doctor = DoctorId(id.0);
        services.repository.find_doctor(&caller.0, doctor, doctors_seen).await?;
        let paging = Paging::of(request, &caller.0, limit.0, cursor.0.as_ref())?;
        // A doctor sees who is assigned to themselves, not who is assigned to a colleague.
        let is_hidden =
            !mappings_seen.whole_clinic && mappings_seen.owner.is_none() && mappings_seen.doctor != Some(doctor);
        if is_hidden {
            return Ok(paging.listed(Vec::new(), |row: &crate::domain::patients::Patient| row.id.0, PatientView::from));
        }
        let filter = PatientFilter { doctor: Some(doctor), ..PatientFilter::default() };
        let rows = services.repository.list_patients(&caller.0, patients_seen, filter, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, PatientView::from))
    }
}

/// Changes a doctor, and lets its schedule and its login know.
async fn change(
    caller: Authenticated,
    services: &Services,
    id: DoctorId,
    if_match: Option<String>,
    change: impl FnOnce(DoctorDetails) -> Result<DoctorDetails, FieldErrors> + Send + 'static,
) -> Result<Fetched<DoctorView>, Problem> {
    let seen = services.admit(&caller.0, Action::Update, Resource::Doctors).await?;
    let expected = expected_version(if_match.as_ref())?;
    let services = services.clone();
    to_the_end(async move {
        let doctor = services.repository.update_doctor(&caller.0, id, seen, expected, change).await?;
        services.schedules.changed(caller.0.clinic, id);
        services.authn.memberships_changed(caller.0.clinic);
        Ok(fetched(doctor))
    })
    .await
}

fn fetched(doctor: Doctor) -> Fetched<DoctorView> {
    let tag = etag(doctor.version);
    Fetched::Ok(Json(doctor.into()), tag)
}
