//! `/api/patients`

use chrono::{DateTime, NaiveDate, Utc};
use poem::{Request, web::Data};
use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
    types::{Email, Example, MaybeUndefined},
};

use super::{
    appointments::AppointmentView,
    body::Body,
    context::{Authenticated, Chapter, Services, to_the_end},
    doctors::DoctorView,
    etag::{Created, Fetched, NoContent, etag, expected_version},
    page::{Listed, Paging},
    problem::Problem,
};
use crate::domain::{
    AccountId, PatientId,
    access::{Action, Resource},
    appointments::AppointmentFilter,
    doctors::DoctorFilter,
    fields::{FieldErrors, login_name, tidy, tidy_optional},
    patients::{BirthDate, Gender, Patient, PatientDetails, PatientFilter},
};

/// Operations on patients.
pub struct Patients;

/// Gender: male, female, other, unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
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
#[derive(Debug, Clone, Object)]
#[oai(rename = "Patient")]
pub struct PatientView {
    /// The patient's id.
    id: i64,
    /// Given name.
    first_name: String,
    /// Family name.
    last_name: String,
    /// Date of birth; 1 January of the estimated year where only the age was known.
    #[oai(nullable)]
    date_of_birth: Option<NaiveDate>,
    /// Whether the date of birth is an estimate from an age.
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
    email: Option<Email>,
    /// Postal address.
    #[oai(nullable)]
    address: Option<String>,
    /// What is known of earlier illness.
    #[oai(nullable)]
    medical_history: Option<String>,
    /// Whom to call.
    #[oai(nullable)]
    emergency_contact_name: Option<String>,
    /// Where to call them.
    #[oai(nullable)]
    emergency_contact_phone: Option<String>,
    /// The owner: the user who registered the patient, or to whom they were transferred.
    created_by: i64,
    /// When the patient was registered.
    created_at: DateTime<Utc>,
    /// When the record was last changed.
    updated_at: DateTime<Utc>,
}

impl From<Patient> for PatientView {
    fn from(patient: Patient) -> Self {
        let details = patient.details;
        Self {
            id: patient.id.0,
            first_name: details.first_name,
            last_name: details.last_name,
            date_of_birth: details.birth.map(|birth| birth.date),
            date_of_birth_estimated: details.birth.is_some_and(|birth| birth.estimated),
            age: details.birth.map(|birth| birth.age_on(Utc::now().date_naive())),
            gender: details.gender.into(),
            phone_number: details.phone_number,
            email: details.email.map(Email),
            address: details.address,
            medical_history: details.medical_history,
            emergency_contact_name: details.emergency_contact_name,
            emergency_contact_phone: details.emergency_contact_phone,
            created_by: patient.created_by.0,
            created_at: patient.created_at,
            updated_at: patient.updated_at,
        }
    }
}

/// A patient to register, or what a patient shall be.
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
    /// Age in full years, where the date of birth is not known.
    #[oai(nullable, validator(minimum(value = "0"), maximum(value = "150")))]
    age: Option<i32>,
    /// Gender; unknown unless said.
    #[oai(nullable)]
    gender: Option<GenderView>,
    /// Phone number, as people write it.
    #[oai(nullable, validator(max_length = 40))]
    phone_number: Option<String>,
    /// E-mail address, unique in the clinic unless `allow_duplicate` is true.
    #[oai(nullable, validator(max_length = 254))]
    email: Option<Email>,
    /// Whether the e-mail address may be another patient's too (a family's).
    #[oai(nullable)]
    allow_duplicate: Option<bool>,
    /// Postal address.
    #[oai(nullable, validator(max_length = 500))]
    address: Option<String>,
    /// What is known of earlier illness.
    #[oai(nullable, validator(max_length = 20000))]
    medical_history: Option<String>,
    /// Whom to call.
    #[oai(nullable, validator(max_length = 200))]
    emergency_contact_name: Option<String>,
    /// Where to call them.
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
    fn details(self) -> Result<PatientDetails, FieldErrors> {
        Ok(PatientDetails {
            first_name: tidy(&self.first_name),
            last_name: tidy(&self.last_name),
            birth: BirthDate::told(self.date_of_birth, self.age, Utc::now().date_naive())?,
            gender: self.gender.map(Gender::from).unwrap_or_default(),
            phone_number: tidy_optional(self.phone_number),
            email: self.email.map(|email| login_name(&email)),
            email_shared: self.allow_duplicate.unwrap_or(false),
            address: tidy_optional(self.address),
            medical_history: tidy_optional(self.medical_history),
            emergency_contact_name: tidy_optional(self.emergency_contact_name),
            emergency_contact_phone: tidy_optional(self.emergency_contact_phone),
        })
    }
}

/// What to change of a patient: what is absent stays, what is null is cleared.
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
    /// Age in full years, where the date of birth is not known.
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
    /// Whether the e-mail address may be another patient's too.
    allow_duplicate: Option<bool>,
    /// Postal address.
    #[oai(nullable, validator(max_length = 500))]
    address: MaybeUndefined<String>,
    /// What is known of earlier illness.
    #[oai(nullable, validator(max_length = 20000))]
    medical_history: MaybeUndefined<String>,
    /// Whom to call.
    #[oai(nullable, validator(max_length = 200))]
    emergency_contact_name: MaybeUndefined<String>,
    /// Where to call them.
    #[oai(nullable, validator(max_length = 40))]
    emergency_contact_phone: MaybeUndefined<String>,
}

impl PatientPatch {
    fn apply(self, details: PatientDetails) -> Result<PatientDetails, FieldErrors> {
        let date = self.date_of_birth.take();
        let age = self.age.take();
        let birth = match (self.date_of_birth.is_undefined(), self.age.is_undefined()) {
            (true, true) => details.birth,
            _ => BirthDate::told(date, age, Utc::now().date_naive())?,
        };
        Ok(PatientDetails {
            first_name: self.first_name.map_or(details.first_name, |name| tidy(&name)),
            last_name: self.last_name.map_or(details.last_name, |name| tidy(&name)),
            birth,
            gender: self.gender.map_or(details.gender, Gender::from),
            phone_number: patched(self.phone_number, details.phone_number),
            email: match self.email {
                MaybeUndefined::Undefined => details.email,
                MaybeUndefined::Null => None,
                MaybeUndefined::Value(email) => Some(login_name(&email)),
            },
            email_shared: self.allow_duplicate.unwrap_or(details.email_shared),
            address: patched(self.address, details.address),
            medical_history: patched(self.medical_history, details.medical_history),
            emergency_contact_name: patched(self.emergency_contact_name, details.emergency_contact_name),
            emergency_contact_phone: patched(self.emergency_contact_phone, details.emergency_contact_phone),
        })
    }
}

/// A text after a PATCH: absent keeps it, null and blank clear it.
pub(super) fn patched(patch: MaybeUndefined<String>, stored: Option<String>) -> Option<String> {
    match patch {
        MaybeUndefined::Undefined => stored,
        MaybeUndefined::Null => None,
        MaybeUndefined::Value(text) => tidy_optional(Some(text)),
    }
}

/// Who shall own a patient.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct PatientTransfer {
    /// The id of the user who shall own the patient.
    #[oai(validator(minimum(value = "1")))]
    user: i64,
}

impl Example for PatientTransfer {
    fn example() -> Self {
        Self { user: 2 }
    }
}

#[OpenApi(prefix_path = "/api/patients", tag = "Chapter::Patients")]
impl Patients {
    /// List patients
    ///
    /// The patients that the caller may see, newest first.
    #[oai(path = "/", method = "get", operation_id = "listPatients")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn list(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        request: &Request,
        /// A part of the name, e-mail address or phone number.
        #[oai(validator(max_length = 200))]
        search: Query<Option<String>>,
        /// Only patients of this owner.
        created_by: Query<Option<i64>>,
        /// How many at most; 50 unless said.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<i64>>,
        /// Where to go on, from the `Link` header of the page before.
        #[oai(validator(max_length = 200))]
        cursor: Query<Option<String>>,
    ) -> Result<Listed<PatientView>, Problem> {
        let seen = services.admit(&caller.0, Action::Read, Resource::Patients).await?;
        let paging = Paging::of(request, &caller.0, limit.0, cursor.0.as_ref())?;
        let filter =
            PatientFilter { search: tidy_optional(search.0), created_by: created_by.0.map(AccountId), doctor: None };
        let rows = services.repository.list_patients(&caller.0, seen, filter, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, PatientView::from))
    }

    /// Register a patient
    ///
    /// The caller becomes the patient's owner.
    #[oai(path = "/", method = "post", operation_id = "createPatient")]
    async fn create(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        body: Body<PatientInput>,
    ) -> Result<Created<PatientView>, Problem> {
        services.admit(&caller.0, Action::Create, Resource::Patients).await?;
        let patient = services.repository.create_patient(&caller.0, body.0.details()?).await?;
        let (location, tag) = (format!("/api/patients/{}", patient.id), etag(patient.version));
        Ok(Created::Created(Json(patient.into()), location, tag))
    }

    /// Read a patient
    #[oai(path = "/:id", method = "get", operation_id = "getPatient")]
    async fn get(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The patient's id.
        id: Path<i64>,
    ) -> Result<Fetched<PatientView>, Problem> {
        let seen = services.admit(&caller.0, Action::Read, Resource::Patients).await?;
        let patient = services.repository.find_patient(&caller.0, PatientId(id.0), seen).await?;
        Ok(fetched(patient))
    }

    /// Replace a patient
    ///
    /// What the body leaves out is cleared.
    #[oai(path = "/:id", method = "put", operation_id = "replacePatient")]
    async fn replace(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The patient's id.
        id: Path<i64>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Body<PatientInput>,
    ) -> Result<Fetched<PatientView>, Problem> {
        let seen = services.admit(&caller.0, Action::Update, Resource::Patients).await?;
        let expected = expected_version(if_match.0.as_ref())?;
        let details = body.0.details()?;
        let patient = services
            .repository
            .update_patient(&caller.0, PatientId(id.0), seen, expected, move |_| Ok(details))
            .await?;
        Ok(fetched(patient))
    }

    /// Change a patient
    ///
    /// What is absent stays; what is null is cleared.
    #[oai(path = "/:id", method = "patch", operation_id = "updatePatient")]
    async fn update(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The patient's id.
        id: Path<i64>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Body<PatientPatch>,
    ) -> Result<Fetched<PatientView>, Problem> {
        let seen = services.admit(&caller.0, Action::Update, Resource::Patients).await?;
        let expected = expected_version(if_match.0.as_ref())?;
        let patient = services
            .repository
            .update_patient(&caller.0, PatientId(id.0), seen, expected, move |stored| body.0.apply(stored))
            .await?;
        Ok(fetched(patient))
    }

    /// Delete a patient
    ///
    /// The patient's history stays. Active appointments in the future stand against it, unless
    /// `cancel_appointments` is true: then they are cancelled in the same step.
    #[oai(path = "/:id", method = "delete", operation_id = "deletePatient")]
    async fn delete(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The patient's id.
        id: Path<i64>,
        /// Whether to cancel the patient's active appointments in the future.
        cancel_appointments: Query<Option<bool>>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<NoContent, Problem> {
        let seen = services.admit(&caller.0, Action::Delete, Resource::Patients).await?;
        let expected = expected_version(if_match.0.as_ref())?;
        let services = services.clone();
        to_the_end(async move {
            let cancel = cancel_appointments.0.unwrap_or(false);
            let freed = services.repository.delete_patient(&caller.0, PatientId(id.0), seen, expected, cancel).await?;
            for doctor in freed {
                services.schedules.changed(caller.0.clinic, doctor);
            }
            Ok(NoContent::Done)
        })
        .await
    }

    /// Transfer a patient
    ///
    /// Gives the patient another owner.
    #[oai(path = "/:id/transfer", method = "post", operation_id = "transferPatient")]
    async fn transfer(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The patient's id.
        id: Path<i64>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Body<PatientTransfer>,
    ) -> Result<Fetched<PatientView>, Problem> {
        let seen = services.admit(&caller.0, Action::Transfer, Resource::Patients).await?;
        let expected = expected_version(if_match.0.as_ref())?;
        let patient = services
            .repository
            .transfer_patient(&caller.0, PatientId(id.0), seen, expected, AccountId(body.0.user))
            .await?;
        Ok(fetched(patient))
    }

    /// List a patient's doctors
    ///
    /// The doctors that are assigned to the patient now, newest doctor first.
    #[oai(path = "/:id/doctors", method = "get", operation_id = "listPatientDoctors")]
    async fn doctors(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        request: &Request,
        /// The patient's id.
        id: Path<i64>,
        /// How many at most; 50 unless said.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<i64>>,
        /// Where to go on, from the `Link` header of the page before.
        #[oai(validator(max_length = 200))]
        cursor: Query<Option<String>>,
    ) -> Result<Listed<DoctorView>, Problem> {
        let patients_seen = services.admit(&caller.0, Action::Read, Resource::Patients).await?;
        let mappings_seen = services.admit(&caller.0, Action::Read, Resource::Mappings).await?;
        services.admit(&caller.0, Action::Read, Resource::Doctors).await?;
        let patient = PatientId(id.0);
        services.repository.find_patient(&caller.0, patient, patients_seen).await?;
        let paging = Paging::of(request, &caller.0, limit.0, cursor.0.as_ref())?;
        // A doctor whose mapping the caller may see is one that the caller may see here.
        let filter = DoctorFilter { patient: Some(patient), ..DoctorFilter::default() };
        let rows = services.repository.list_doctors(&caller.0, mappings_seen, filter, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, DoctorView::from))
    }

    /// List a patient's appointments
    ///
    /// Newest booking first.
    #[oai(path = "/:id/appointments", method = "get", operation_id = "listPatientAppointments")]
    async fn appointments(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        request: &Request,
        /// The patient's id.
        id: Path<i64>,
        /// How many at most; 50 unless said.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<i64>>,
        /// Where to go on, from the `Link` header of the page before.
        #[oai(validator(max_length = 200))]
        cursor: Query<Option<String>>,
    ) -> Result<Listed<AppointmentView>, Problem> {
        let patients_seen = services.admit(&caller.0, Action::Read, Resource::Patients).await?;
        let seen = services.admit(&caller.0, Action::Read, Resource::Appointments).await?;
        let patient = PatientId(id.0);
        services.repository.find_patient(&caller.0, patient, patients_seen).await?;
        let paging = Paging::of(request, &caller.0, limit.0, cursor.0.as_ref())?;
        let filter = AppointmentFilter { patient: Some(patient), ..AppointmentFilter::default() };
        let rows = services.repository.list_appointments(&caller.0, seen, filter, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, AppointmentView::from))
    }
}

fn fetched(patient: Patient) -> Fetched<PatientView> {
    let tag = etag(patient.version);
    Fetched::Ok(Json(patient.into()), tag)
}
