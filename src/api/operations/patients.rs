//! `/api/patients`

use poem::{Request, web::Data};
use poem_openapi::{
    OpenApi,
    param::{Header, Path, Query},
};

use crate::{
    api::{
        context::{Authenticated, Chapter, Services, to_the_end},
        http::{
            body::Body,
            etag::{Created, Fetched, NoContent, expected_version},
            page::{Listed, Paging},
            problem::Problem,
        },
        views::{
            appointments::AppointmentView,
            doctors::DoctorView,
            patients::{PatientInput, PatientPatch, PatientTransfer, PatientView},
        },
    },
    domain::{
        AccountId, PatientId,
        access::{Action, Resource},
        appointments::AppointmentFilter,
        doctors::DoctorFilter,
        fields::filter_text,
        patients::{Patient, PatientFilter},
        search::Words,
    },
};

/// Operations on patients.
pub struct Patients;

#[OpenApi(prefix_path = "/api/patients", tag = "Chapter::Patients")]
impl Patients {
    /// List patients
    ///
    /// Lists the patients that the caller may see, newest first.
    #[oai(path = "/", method = "get", operation_id = "listPatients")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn list(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        request: &Request,
        /// Words from the name, e-mail address or phone number, in any order and case. All words must match. A word of
        /// three or more characters matches anywhere; a shorter one matches the start of a word. A phone number matches by
        /// its digits.
        #[oai(validator(max_length = 200))]
        search: Query<Option<String>>,
        /// Only patients whose owner is this user.
        created_by: Query<Option<i64>>,
        /// Maximum number of rows; 50 by default.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<i64>>,
        /// The cursor from the `Link` header of the previous page.
        #[oai(validator(max_length = 200))]
        cursor: Query<Option<String>>,
    ) -> Result<Listed<PatientView>, Problem> {
        let seen = services.admit(&caller.0, Action::Read, Resource::Patients).await?;
        let paging = Paging::of(request, &caller.0, limit.0, cursor.0.as_ref())?;
        let filter = PatientFilter {
            search: filter_text("search", search.0)?.as_deref().map(Words::of),
            created_by: created_by.0.map(AccountId),
            doctor: None,
        };
        let rows = services.repository.list_patients(&caller.0, seen, filter, paging.fetch()).await?;
        Ok(paging.shared(&rows, |row| row.id.0, PatientView::from))
    }

    /// Create a patient
    ///
    /// The caller becomes the patient's owner.
    #[oai(path = "/", method = "post", operation_id = "createPatient")]
    async fn create(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// A key that the client chooses for this request. A request with the same key within a day is not executed
        /// again; it gets the same response.
        #[oai(name = "Idempotency-Key", validator(min_length = 1, max_length = 200))]
        _key: Header<Option<String>>,
        body: Body<PatientInput>,
    ) -> Result<Created<PatientView>, Problem> {
        services.admit(&caller.0, Action::Create, Resource::Patients).await?;
        let (details, repository) = (body.0.details()?, services.repository.clone());
        let made = services.once(caller.0, body.1, |caller| async move {
            Ok::<Patient, Problem>(repository.create_patient(&caller, details).await?)
        });
        Ok(made.await?.created("/api/patients", |row| (row.id.0, row.version)))
    }

    /// Get a patient
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
    /// Fields that the body leaves out are cleared.
    #[oai(path = "/:id", method = "put", operation_id = "replacePatient")]
    async fn replace(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The patient's id.
        id: Path<i64>,
        /// The ETag that the row must have; otherwise 412.
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

    /// Update a patient
    ///
    /// Absent fields stay unchanged; null clears a field.
    #[oai(path = "/:id", method = "patch", operation_id = "updatePatient")]
    async fn update(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The patient's id.
        id: Path<i64>,
        /// The ETag that the row must have; otherwise 412.
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
    /// The patient's history stays. A patient with future active appointments cannot be deleted, unless
    /// `cancel_appointments` is true: then those are cancelled in the same transaction.
    #[oai(path = "/:id", method = "delete", operation_id = "deletePatient")]
    async fn delete(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The patient's id.
        id: Path<i64>,
        /// Whether to cancel the patient's future active appointments.
        cancel_appointments: Query<Option<bool>>,
        /// The ETag that the row must have; otherwise 412.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<NoContent, Problem> {
        let seen = services.admit(&caller.0, Action::Delete, Resource::Patients).await?;
        let expected = expected_version(if_match.0.as_ref())?;
        let services = services.clone();
        to_the_end(async move {
            let cancel = cancel_appointments.0.unwrap_or(false);
            services.repository.delete_patient(&caller.0, PatientId(id.0), seen, expected, cancel).await?;
            Ok(NoContent::Done)
        })
        .await
    }

    /// Transfer a patient
    ///
    /// Changes the patient's owner.
    #[oai(path = "/:id/transfer", method = "post", operation_id = "transferPatient")]
    async fn transfer(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The patient's id.
        id: Path<i64>,
        /// The ETag that the row must have; otherwise 412.
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
    /// Lists the doctors who are assigned to the patient, newest doctor first.
    #[oai(path = "/:id/doctors", method = "get", operation_id = "listPatientDoctors")]
    async fn doctors(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        request: &Request,
        /// The patient's id.
        id: Path<i64>,
        /// Maximum number of rows; 50 by default.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<i64>>,
        /// The cursor from the `Link` header of the previous page.
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
        /// Maximum number of rows; 50 by default.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<i64>>,
        /// The cursor from the `Link` header of the previous page.
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
    Fetched::of(patient.version, patient)
}
