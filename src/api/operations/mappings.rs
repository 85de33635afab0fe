//! `/api/mappings`

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
    payload::Json,
};

use crate::{
    actors::repository::Page,
    api::{
        context::{Authenticated, Chapter, Services},
        http::{
            body::Body,
            etag::{Created, Fetched, IfMatch, NoContent},
            idempotency::IdempotencyKey,
            page::{Listed, Paging},
            problem::{Problem, Refused, Taken},
        },
        views::mappings::{MappingInput, MappingPatch, MappingView, PatientDoctors},
    },
    domain::{
        DoctorId, MappingId, PatientId,
        access::{Action, Resource},
        mappings::{Mapping, MappingFilter},
    },
};

/// The most doctors that a patient's mappings are listed with at once.
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
        caller: Authenticated,
        services: Data<&Services>,
        /// Only rows of this patient.
        patient: Query<Option<i64>>,
        /// Only rows of this doctor.
        doctor: Query<Option<i64>>,
        /// Only active mappings (true), or only ended ones (false).
        is_active: Query<Option<bool>>,
        paging: Paging,
    ) -> Result<Listed<MappingView>, Problem> {
        let seen = services.admit(&caller.0, Action::Read, Resource::Mappings).await?;
        let paging = paging.of(&caller.0)?;
        let filter =
            MappingFilter { patient: patient.0.map(PatientId), doctor: doctor.0.map(DoctorId), is_active: is_active.0 };
        let rows = services.repository.list_mappings(&caller.0, seen, filter, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, MappingView::from))
    }

    /// Assign a doctor to a patient
    #[oai(path = "/", method = "post", operation_id = "createMapping")]
    async fn create(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        _key: IdempotencyKey,
        body: Body<MappingInput>,
    ) -> Result<Created<MappingView>, Refused<Taken>> {
        let mappable = services.admit(&caller.0, Action::Create, Resource::Mappings).await?;
        let new = body.0.into_new();
        let repository = services.repository.clone();
        let made = services.once(caller.0, body.1, move |caller| async move {
            Ok::<Mapping, Problem>(repository.create_mapping(&caller, mappable, new).await?)
        });
        Ok(made.await?.created("/api/mappings", |row| (row.id.0, row.version)))
    }

    /// Get a mapping
    #[oai(path = "/:id", method = "get", operation_id = "getMapping")]
    async fn get(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The mapping's id.
        id: Path<i64>,
    ) -> Result<Fetched<MappingView>, Problem> {
        let seen = services.admit(&caller.0, Action::Read, Resource::Mappings).await?;
        let mapping = services.repository.find_mapping(&caller.0, MappingId(id.0), seen).await?;
        Ok(fetched(mapping))
    }

    /// Update a mapping
    ///
    /// Absent fields stay unchanged; null clears a field.
    #[oai(path = "/:id", method = "patch", operation_id = "updateMapping")]
    async fn update(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The mapping's id.
        id: Path<i64>,
        if_match: IfMatch,
        body: Body<MappingPatch>,
    ) -> Result<Fetched<MappingView>, Problem> {
        let seen = services.admit(&caller.0, Action::Update, Resource::Mappings).await?;
        let expected = if_match.version()?;
        let mapping = services
            .repository
            .update_mapping(&caller.0, MappingId(id.0), seen, expected, move |stored| Ok(body.0.apply(stored)))
            .await?;
        Ok(fetched(mapping))
    }

    /// Delete a mapping
    #[oai(path = "/:id", method = "delete", operation_id = "deleteMapping")]
    async fn delete(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The mapping's id.
        id: Path<i64>,
        if_match: IfMatch,
    ) -> Result<NoContent, Problem> {
        let seen = services.admit(&caller.0, Action::Delete, Resource::Mappings).await?;
        let expected = if_match.version()?;
        services.repository.delete_mapping(&caller.0, MappingId(id.0), seen, expected).await?;
        Ok(NoContent::Done)
    }

    /// List a patient's mappings
    ///
    /// Returns the patient's name and mappings, newest first.
    #[oai(path = "/by-patient/:patient_id", method = "get", operation_id = "getMappingsByPatient")]
    async fn by_patient(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The patient's id.
        patient_id: Path<i64>,
    ) -> Result<Json<PatientDoctors>, Problem> {
        of_patient(caller, &services, PatientId(patient_id.0)).await
    }

    /// List a patient's mappings (alias)
    ///
    /// The same as `/api/mappings/by-patient/{patient_id}`.
    #[oai(path = "/patient/:patient_id", method = "get", operation_id = "getMappingsOfPatient")]
    async fn patient(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The patient's id.
        patient_id: Path<i64>,
    ) -> Result<Json<PatientDoctors>, Problem> {
        of_patient(caller, &services, PatientId(patient_id.0)).await
    }
}

async fn of_patient(
    caller: Authenticated,
    services: &Services,
    id: PatientId,
) -> Result<Json<PatientDoctors>, Problem> {
    let patients_seen = services.admit(&caller.0, Action::Read, Resource::Patients).await?;
    let seen = services.admit(&caller.0, Action::Read, Resource::Mappings).await?;
    let patient = services.repository.find_patient(&caller.0, id, patients_seen).await?;
    let filter = MappingFilter { patient: Some(id), ..MappingFilter::default() };
    let page = Page { before: None, limit: MOST };
    let mappings = services.repository.list_mappings(&caller.0, seen, filter, page).await?;
    Ok(Json(PatientDoctors {
        patient: id.0,
        patient_name: format!("{} {}", patient.details.first_name, patient.details.last_name),
        doctors: mappings.into_iter().map(MappingView::from).collect(),
    }))
}

fn fetched(mapping: Mapping) -> Fetched<MappingView> {
    Fetched::of(mapping.version, mapping)
}
