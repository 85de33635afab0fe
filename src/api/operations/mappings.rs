//! `/api/mappings`

use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;

use crate::actors::repository::Page;
use crate::api::context::{Call, Chapter};
use crate::api::http::body::Body;
use crate::api::http::etag::{Created, Fetched, IfMatch, NoContent};
use crate::api::http::idempotency::IdempotencyKey;
use crate::api::http::page::{Listed, Paging};
use crate::api::http::problem::{Problem, Refused, Taken};
use crate::api::views::mappings::{MappingInput, MappingPatch, MappingView, PatientDoctors};
use crate::domain::access::{Action, Resource};
use crate::domain::mappings::{Mapping, MappingFilter};
use crate::domain::{DoctorId, MappingId, PatientId};

/// The maximum number of mappings that are listed for a patient.
const MOST: i64 = 200;

/// Operations on mappings.
pub struct Mappings;

#[OpenApi(prefix_path = "/api/mappings", tag = "Chapter::Mappings")]
impl Mappings {
    /// List mappings
    ///
    /// Lists the mappings that the caller may see, newest first, each with its patient and doctor.
    #[oai(path = "/", method = "get", operation_id = "listMappings")]
    async fn list(
        &self,
        call: Call,
        /// Only rows of this patient.
        patient: Query<Option<i64>>,
        /// Only rows of this doctor.
        doctor: Query<Option<i64>>,
        /// Only active mappings (true), or only ended ones (false).
        is_active: Query<Option<bool>>,
        paging: Paging,
    ) -> Result<Listed<MappingView>, Problem> {
        let seen = call.admit(Action::Read, Resource::Mappings).await?;
        let paging = paging.of(&call.caller)?;
        let filter =
            MappingFilter { patient: patient.0.map(PatientId), doctor: doctor.0.map(DoctorId), is_active: is_active.0 };
        let rows = call.repository.list_mappings(&call.caller, seen, filter, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, MappingView::from))
    }

    /// Assign a doctor to a patient
    #[oai(path = "/", method = "post", operation_id = "createMapping")]
    async fn create(
        &self,
        call: Call,
        _key: IdempotencyKey,
        body: Body<MappingInput>,
    ) -> Result<Created<MappingView>, Refused<Taken>> {
        let mappable = call.admit(Action::Create, Resource::Mappings).await?;
        let new = body.0.into_new();
        let repository = call.repository.clone();
        let made = call.once(body.1, move |caller| async move {
            Ok::<Mapping, Problem>(repository.create_mapping(&caller, mappable, new).await?)
        });
        Ok(made.await?.created("/api/mappings", |row| (row.id.0, row.version)))
    }

    /// Get a mapping
    #[oai(path = "/:id", method = "get", operation_id = "getMapping")]
    async fn get(
        &self,
        call: Call,
        /// The mapping's id.
        id: Path<i64>,
    ) -> Result<Fetched<MappingView>, Problem> {
        let seen = call.admit(Action::Read, Resource::Mappings).await?;
        let mapping = call.repository.find_mapping(&call.caller, MappingId(id.0), seen).await?;
        Ok(fetched(mapping))
    }

    /// Update a mapping
    ///
    /// Absent fields stay unchanged; null clears a field.
    #[oai(path = "/:id", method = "patch", operation_id = "updateMapping")]
    async fn update(
        &self,
        call: Call,
        /// The mapping's id.
        id: Path<i64>,
        if_match: IfMatch,
        body: Body<MappingPatch>,
    ) -> Result<Fetched<MappingView>, Problem> {
        let seen = call.admit(Action::Update, Resource::Mappings).await?;
        let expected = if_match.version()?;
        let mapping = call
            .repository
            .update_mapping(&call.caller, MappingId(id.0), seen, expected, move |stored| Ok(body.0.apply(stored)))
            .await?;
        Ok(fetched(mapping))
    }

    /// Delete a mapping
    #[oai(path = "/:id", method = "delete", operation_id = "deleteMapping")]
    async fn delete(
        &self,
        call: Call,
        /// The mapping's id.
        id: Path<i64>,
        if_match: IfMatch,
    ) -> Result<NoContent, Problem> {
        let seen = call.admit(Action::Delete, Resource::Mappings).await?;
        let expected = if_match.version()?;
        call.repository.delete_mapping(&call.caller, MappingId(id.0), seen, expected).await?;
        Ok(NoContent::Done)
    }

    /// List a patient's mappings
    ///
    /// Returns the patient's name and mappings, newest first.
    #[oai(path = "/by-patient/:patient_id", method = "get", operation_id = "getMappingsByPatient")]
    async fn by_patient(
        &self,
        call: Call,
        /// The patient's id.
        patient_id: Path<i64>,
    ) -> Result<Json<PatientDoctors>, Problem> {
        of_patient(call, PatientId(patient_id.0)).await
    }

    /// List a patient's mappings (alias)
    ///
    /// The same as `/api/mappings/by-patient/{patient_id}`.
    #[oai(path = "/patient/:patient_id", method = "get", operation_id = "getMappingsOfPatient")]
    async fn patient(
        &self,
        call: Call,
        /// The patient's id.
        patient_id: Path<i64>,
    ) -> Result<Json<PatientDoctors>, Problem> {
        of_patient(call, PatientId(patient_id.0)).await
    }
}

async fn of_patient(call: Call, id: PatientId) -> Result<Json<PatientDoctors>, Problem> {
    let patients_seen = call.admit(Action::Read, Resource::Patients).await?;
    let seen = call.admit(Action::Read, Resource::Mappings).await?;
    let patient = call.repository.find_patient(&call.caller, id, patients_seen).await?;
    let filter = MappingFilter { patient: Some(id), ..MappingFilter::default() };
    let page = Page { before: None, limit: MOST };
    let mappings = call.repository.list_mappings(&call.caller, seen, filter, page).await?;
    Ok(Json(PatientDoctors {
        patient: id.0,
        patient_name: format!("{} {}", patient.details.first_name, patient.details.last_name),
        doctors: mappings.into_iter().map(MappingView::from).collect(),
    }))
}

fn fetched(mapping: Mapping) -> Fetched<MappingView> {
    Fetched::of(mapping.version, mapping)
}
