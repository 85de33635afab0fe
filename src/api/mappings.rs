//! `/api/mappings`

use chrono::{DateTime, Utc};
use poem::{Request, web::Data};
use poem_openapi::{
    Object, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
    types::{Example, MaybeUndefined},
};
use serde::Serialize;

use super::{
    body::Body,
    context::{Authenticated, Chapter, Services},
    etag::{Created, Fetched, NoContent, expected_version},
    page::{Listed, Paging},
    patients::patched,
    problem::Problem,
    rows::instant,
};
use crate::{
    actors::repository::Page,
    domain::{
        DoctorId, MappingId, PatientId,
        access::{Action, Resource},
        fields::tidy_optional,
        mappings::{Mapping, MappingDetails, MappingFilter, NewMapping},
    },
};

/// The most doctors that a patient's mappings are listed with at once.
const MOST: i64 = 200;

/// Operations on mappings.
pub struct Mappings;

/// A patient, in brief.
#[derive(Debug, Clone, Object, Serialize)]
pub struct PatientBrief {
    /// The patient's id.
    id: i64,
    /// Given name.
    first_name: String,
    /// Family name.
    last_name: String,
}

/// A doctor, in brief.
#[derive(Debug, Clone, Object, Serialize)]
pub struct DoctorBrief {
    /// The doctor's id.
    id: i64,
    /// Given name.
    first_name: String,
    /// Family name.
    last_name: String,
    /// The field of medicine.
    specialization: String,
}

/// The assignment of a doctor to a patient.
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "Mapping")]
pub struct MappingView {
    /// The mapping's id.
    id: i64,
    /// The patient.
    patient: PatientBrief,
    /// The doctor.
    doctor: DoctorBrief,
    /// Why the patient sees the doctor.
    #[oai(nullable)]
    reason_for_visit: Option<String>,
    /// Anything else.
    #[oai(nullable)]
    notes: Option<String>,
    /// Whether the doctor looks after the patient now.
    is_active: bool,
    /// The id of the user who made the assignment.
    assigned_by: i64,
    /// When it was made.
    #[serde(serialize_with = "instant")]
    assigned_at: DateTime<Utc>,
    /// When it was made.
    #[serde(serialize_with = "instant")]
    created_at: DateTime<Utc>,
    /// When it was last changed.
    #[serde(serialize_with = "instant")]
    updated_at: DateTime<Utc>,
}

impl From<Mapping> for MappingView {
    fn from(mapping: Mapping) -> Self {
        Self {
            id: mapping.id.0,
            patient: PatientBrief {
                id: mapping.patient.id.0,
                first_name: mapping.patient.first_name,
                last_name: mapping.patient.last_name,
            },
            doctor: DoctorBrief {
                id: mapping.doctor.id.0,
                first_name: mapping.doctor.first_name,
                last_name: mapping.doctor.last_name,
                specialization: mapping.doctor.specialization,
            },
            reason_for_visit: mapping.details.reason_for_visit,
            notes: mapping.details.notes,
            is_active: mapping.details.is_active,
            assigned_by: mapping.assigned_by.0,
            assigned_at: mapping.assigned_at,
            created_at: mapping.assigned_at,
            updated_at: mapping.updated_at,
        }
    }
}

/// A doctor to assign to a patient.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct MappingInput {
    /// The patient's id.
    #[oai(validator(minimum(value = "1")))]
    patient: i64,
    /// The doctor's id.
    #[oai(validator(minimum(value = "1")))]
    doctor: i64,
    /// Why the patient sees the doctor.
    #[oai(nullable, validator(max_length = 1000))]
    reason_for_visit: Option<String>,
    /// Anything else.
    #[oai(nullable, validator(max_length = 5000))]
    notes: Option<String>,
    /// Whether the doctor looks after the patient now; true unless said.
    #[oai(nullable)]
    is_active: Option<bool>,
}

impl Example for MappingInput {
    fn example() -> Self {
        Self {
            patient: 1,
            doctor: 1,
            reason_for_visit: Some("Annual check-up".into()),
            notes: None,
            is_active: Some(true),
        }
    }
}

/// What to change of a mapping: what is absent stays, what is null is cleared.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub struct MappingPatch {
    /// Why the patient sees the doctor.
    #[oai(nullable, validator(max_length = 1000))]
    reason_for_visit: MaybeUndefined<String>,
    /// Anything else.
    #[oai(nullable, validator(max_length = 5000))]
    notes: MaybeUndefined<String>,
    /// Whether the doctor looks after the patient now.
    is_active: Option<bool>,
}

/// A patient's name and their doctors.
#[derive(Debug, Clone, Object)]
pub struct PatientDoctors {
    /// The patient's id.
    patient: i64,
    /// The patient's full name.
    patient_name: String,
    /// The patient's mappings, newest first, each with its doctor.
    doctors: Vec<MappingView>,
}

#[OpenApi(prefix_path = "/api/mappings", tag = "Chapter::Mappings")]
impl Mappings {
    /// List mappings
    ///
    /// The mappings that the caller may see, newest first, each with its patient and doctor.
    #[oai(path = "/", method = "get", operation_id = "listMappings")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn list(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        request: &Request,
        /// Only this patient's.
        patient: Query<Option<i64>>,
        /// Only this doctor's.
        doctor: Query<Option<i64>>,
        /// Only the active, or only the ended.
        is_active: Query<Option<bool>>,
        /// How many at most; 50 unless said.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<i64>>,
        /// Where to go on, from the `Link` header of the page before.
        #[oai(validator(max_length = 200))]
        cursor: Query<Option<String>>,
    ) -> Result<Listed<MappingView>, Problem> {
        let seen = services.admit(&caller.0, Action::Read, Resource::Mappings).await?;
        let paging = Paging::of(request, &caller.0, limit.0, cursor.0.as_ref())?;
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
        /// The client's name for this request: sent again with the same name within a day, it is not done
        /// again but answered as before.
        #[oai(name = "Idempotency-Key", validator(min_length = 1, max_length = 200))]
        _key: Header<Option<String>>,
        body: Body<MappingInput>,
    ) -> Result<Created<MappingView>, Problem> {
        let mappable = services.admit(&caller.0, Action::Create, Resource::Mappings).await?;
        let new = NewMapping {
            patient: PatientId(body.0.patient),
            doctor: DoctorId(body.0.doctor),
            details: MappingDetails {
                reason_for_visit: tidy_optional(body.0.reason_for_visit),
                notes: tidy_optional(body.0.notes),
                is_active: body.0.is_active.unwrap_or(true),
            },
        };
        let repository = services.repository.clone();
        let made = services.once(caller.0, body.1, move |caller| async move {
            Ok::<Mapping, Problem>(repository.create_mapping(&caller, mappable, new).await?)
        });
        Ok(made.await?.created("/api/mappings", |row| (row.id.0, row.version)))
    }

    /// Read a mapping
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

    /// Change a mapping
    ///
    /// What is absent stays; what is null is cleared.
    #[oai(path = "/:id", method = "patch", operation_id = "updateMapping")]
    async fn update(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The mapping's id.
        id: Path<i64>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Body<MappingPatch>,
    ) -> Result<Fetched<MappingView>, Problem> {
        let seen = services.admit(&caller.0, Action::Update, Resource::Mappings).await?;
        let expected = expected_version(if_match.0.as_ref())?;
        let patch = body.0;
        let mapping = services
            .repository
            .update_mapping(&caller.0, MappingId(id.0), seen, expected, move |stored| {
                Ok(MappingDetails {
                    reason_for_visit: patched(patch.reason_for_visit, stored.reason_for_visit),
                    notes: patched(patch.notes, stored.notes),
                    is_active: patch.is_active.unwrap_or(stored.is_active),
                })
            })
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
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<NoContent, Problem> {
        let seen = services.admit(&caller.0, Action::Delete, Resource::Mappings).await?;
        let expected = expected_version(if_match.0.as_ref())?;
        services.repository.delete_mapping(&caller.0, MappingId(id.0), seen, expected).await?;
        Ok(NoContent::Done)
    }

    /// A patient's doctors
    ///
    /// The patient's name and their mappings, newest first.
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

    /// A patient's doctors, by another path
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
