//! `/api/patients`

use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use crate::api::context::{Call, Chapter};
use crate::api::http::body::Body;
use crate::api::http::etag::{Created, Fetched, IfMatch, NoContent};
use crate::api::http::idempotency::IdempotencyKey;
use crate::api::http::page::{Listed, Paging};
use crate::api::http::problem::{HasAppointments, Problem, Refused, Taken};
use crate::api::views::appointments::AppointmentView;
use crate::api::views::doctors::DoctorView;
use crate::api::views::patients::{PatientInput, PatientPatch, PatientTransfer, PatientView};
use crate::domain::access::{Action, Resource};
use crate::domain::appointments::AppointmentFilter;
use crate::domain::doctors::DoctorFilter;
use crate::domain::fields::filter_text;
use crate::domain::patients::{Patient, PatientFilter};
use crate::domain::search::Words;
use crate::domain::{AccountId, PatientId};

/// Operations on patients.
pub struct Patients;

#[OpenApi(prefix_path = "/api/patients", tag = "Chapter::Patients")]
impl Patients {
    /// List patients
    ///
    /// Lists the patients that the caller may see, newest first.
    #[oai(path = "/", method = "get", operation_id = "listPatients")]
    async fn list(
        &self,
        call: Call,
        /// Words from the name, e-mail address or phone number, in any order and case. All words must match. A word of
        /// three or more characters matches anywhere; a shorter one matches the start of a word. A phone number matches by
        /// its digits.
        #[oai(validator(max_length = 200))]
        search: Query<Option<String>>,
        /// Only patients whose owner is this user.
        created_by: Query<Option<i64>>,
        paging: Paging,
    ) -> Result<Listed<PatientView>, Problem> {
        let seen = call.admit(Action::Read, Resource::Patients).await?;
        let paging = paging.of(&call.caller)?;
        let filter = PatientFilter {
            search: filter_text("search", search.0)?.as_deref().map(Words::of),
            created_by: created_by.0.map(AccountId),
            doctor: None,
        };
        let rows = call.repository.list_patients(&call.caller, seen, filter, paging.fetch()).await?;
        Ok(paging.shared(&rows, |row| row.id.0, PatientView::from))
    }

    /// Create a patient
    ///
    /// The caller becomes the patient's owner.
    #[oai(path = "/", method = "post", operation_id = "createPatient")]
    async fn create(
        &self,
        call: Call,
        _key: IdempotencyKey,
        body: Body<PatientInput>,
    ) -> Result<Created<PatientView>, Refused<Taken>> {
        call.admit(Action::Create, Resource::Patients).await?;
        let (details, repository) = (body.0.details()?, call.repository.clone());
        let made = call.once(body.1, |caller| async move {
            Ok::<Patient, Problem>(repository.create_patient(&caller, details).await?)
        });
        Ok(made.await?.created("/api/patients", |row| (row.id.0, row.version)))
    }

    /// Get a patient
    #[oai(path = "/:id", method = "get", operation_id = "getPatient")]
    async fn get(
        &self,
        call: Call,
        /// The patient's id.
        id: Path<i64>,
    ) -> Result<Fetched<PatientView>, Problem> {
        let seen = call.admit(Action::Read, Resource::Patients).await?;
        let patient = call.repository.find_patient(&call.caller, PatientId(id.0), seen).await?;
        Ok(fetched(patient))
    }

    /// Replace a patient
    ///
    /// Fields that the body leaves out are cleared.
    #[oai(path = "/:id", method = "put", operation_id = "replacePatient")]
    async fn replace(
        &self,
        call: Call,
        /// The patient's id.
        id: Path<i64>,
        if_match: IfMatch,
        body: Body<PatientInput>,
    ) -> Result<Fetched<PatientView>, Refused<Taken>> {
        let seen = call.admit(Action::Update, Resource::Patients).await?;
        let expected = if_match.version()?;
        let details = body.0.details()?;
        let patient =
            call.repository.update_patient(&call.caller, PatientId(id.0), seen, expected, move |_| Ok(details)).await?;
        Ok(fetched(patient))
    }

    /// Update a patient
    ///
    /// Absent fields stay unchanged; null clears a field.
    #[oai(path = "/:id", method = "patch", operation_id = "updatePatient")]
    async fn update(
        &self,
        call: Call,
        /// The patient's id.
        id: Path<i64>,
        if_match: IfMatch,
        body: Body<PatientPatch>,
    ) -> Result<Fetched<PatientView>, Refused<Taken>> {
        let seen = call.admit(Action::Update, Resource::Patients).await?;
        let expected = if_match.version()?;
        let patient = call
            .repository
            .update_patient(&call.caller, PatientId(id.0), seen, expected, move |stored| body.0.apply(stored))
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
        call: Call,
        /// The patient's id.
        id: Path<i64>,
        /// Whether to cancel the patient's future active appointments.
        cancel_appointments: Query<Option<bool>>,
        if_match: IfMatch,
    ) -> Result<NoContent, Refused<HasAppointments>> {
        let seen = call.admit(Action::Delete, Resource::Patients).await?;
        let expected = if_match.version()?;
        let cancel = cancel_appointments.0.unwrap_or(false);
        call.repository.delete_patient(&call.caller, PatientId(id.0), seen, expected, cancel).await?;
        Ok(NoContent::Done)
    }

    /// Transfer a patient
    ///
    /// Changes the patient's owner.
    #[oai(path = "/:id/transfer", method = "post", operation_id = "transferPatient")]
    async fn transfer(
        &self,
        call: Call,
        /// The patient's id.
        id: Path<i64>,
        if_match: IfMatch,
        body: Body<PatientTransfer>,
    ) -> Result<Fetched<PatientView>, Problem> {
        let seen = call.admit(Action::Transfer, Resource::Patients).await?;
        let expected = if_match.version()?;
        let patient = call
            .repository
            .transfer_patient(&call.caller, PatientId(id.0), seen, expected, AccountId(body.0.user))
            .await?;
        Ok(fetched(patient))
    }

    /// List a patient's doctors
    ///
    /// Lists the doctors who are assigned to the patient, newest doctor first.
    #[oai(path = "/:id/doctors", method = "get", operation_id = "listPatientDoctors")]
    async fn doctors(
        &self,
        call: Call,
        /// The patient's id.
        id: Path<i64>,
        paging: Paging,
    ) -> Result<Listed<DoctorView>, Problem> {
        let patients_seen = call.admit(Action::Read, Resource::Patients).await?;
        let mappings_seen = call.admit(Action::Read, Resource::Mappings).await?;
        call.admit(Action::Read, Resource::Doctors).await?;
        let patient = PatientId(id.0);
        call.repository.find_patient(&call.caller, patient, patients_seen).await?;
        let paging = paging.of(&call.caller)?;
        // The caller may see a doctor here if the caller may see the doctor's mapping.
        let filter = DoctorFilter { patient: Some(patient), ..DoctorFilter::default() };
        let rows = call.repository.list_doctors(&call.caller, mappings_seen, filter, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, DoctorView::from))
    }

    /// List a patient's appointments
    ///
    /// Newest booking first.
    #[oai(path = "/:id/appointments", method = "get", operation_id = "listPatientAppointments")]
    async fn appointments(
        &self,
        call: Call,
        /// The patient's id.
        id: Path<i64>,
        paging: Paging,
    ) -> Result<Listed<AppointmentView>, Problem> {
        let patients_seen = call.admit(Action::Read, Resource::Patients).await?;
        let seen = call.admit(Action::Read, Resource::Appointments).await?;
        let patient = PatientId(id.0);
        call.repository.find_patient(&call.caller, patient, patients_seen).await?;
        let paging = paging.of(&call.caller)?;
        let filter = AppointmentFilter { patient: Some(patient), ..AppointmentFilter::default() };
        let rows = call.repository.list_appointments(&call.caller, seen, filter, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, AppointmentView::from))
    }
}

fn fetched(patient: Patient) -> Fetched<PatientView> {
    Fetched::of(patient.version, patient)
}
