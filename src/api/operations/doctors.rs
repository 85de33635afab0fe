//! `/api/doctors`

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use crate::{
    api::{
        context::{Authenticated, Chapter, Services},
        http::{
            body::Body,
            etag::{Created, Fetched, IfMatch, NoContent},
            idempotency::IdempotencyKey,
            page::{Listed, Paging},
            problem::{HasAppointments, Problem, Refused, Taken},
        },
        views::{
            doctors::{ChangedDoctorView, DoctorInput, DoctorPatch, DoctorView},
            patients::PatientView,
        },
    },
    domain::{
        DoctorId,
        access::{Action, Resource},
        doctors::{Doctor, DoctorDetails, DoctorFilter, Scheduling},
        fields::{FieldErrors, filter_text},
        patients::{Patient, PatientFilter},
        search::Words,
    },
};

/// Operations on doctors.
pub struct Doctors;

#[OpenApi(prefix_path = "/api/doctors", tag = "Chapter::Doctors")]
impl Doctors {
    /// List doctors
    ///
    /// Lists the doctors that the caller may see, newest first.
    #[oai(path = "/", method = "get", operation_id = "listDoctors")]
    async fn list(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// Words from the name, e-mail address, phone number or specialization, in any order and case. All words must
        /// match. A word of three or more characters matches anywhere; a shorter one matches the start of a word. A phone
        /// number matches by its digits.
        #[oai(validator(max_length = 200))]
        search: Query<Option<String>>,
        /// Only doctors of this specialization.
        #[oai(validator(max_length = 100))]
        specialization: Query<Option<String>>,
        /// Only active doctors (true), or only inactive ones (false).
        is_active: Query<Option<bool>>,
        paging: Paging,
    ) -> Result<Listed<DoctorView>, Problem> {
        let seen = services.admit(&caller.0, Action::Read, Resource::Doctors).await?;
        let paging = paging.of(&caller.0)?;
        let filter = DoctorFilter {
            search: filter_text("search", search.0)?.as_deref().map(Words::of),
            specialization: filter_text("specialization", specialization.0)?,
            is_active: is_active.0,
            patient: None,
        };
        let rows = services.repository.list_doctors(&caller.0, seen, filter, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, DoctorView::from))
    }

    /// Create a doctor
    #[oai(path = "/", method = "post", operation_id = "createDoctor")]
    async fn create(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        _key: IdempotencyKey,
        body: Body<DoctorInput>,
    ) -> Result<Created<DoctorView>, Refused<Taken>> {
        services.admit(&caller.0, Action::Create, Resource::Doctors).await?;
        let details = body.0.details(Scheduling::default())?;
        let changing = services.clone();
        let made = services.once(caller.0, body.1, |caller| async move {
            let doctor = changing.repository.create_doctor(&caller, details).await?;
            changing.authn.memberships_changed(caller.clinic);
            Ok(doctor)
        });
        Ok(made.await?.created("/api/doctors", |row| (row.id.0, row.version)))
    }

    /// Get a doctor
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
    /// Fields that the body leaves out are cleared. Upcoming appointments that break the new rules stay; the response
    /// lists them.
    #[oai(path = "/:id", method = "put", operation_id = "replaceDoctor")]
    async fn replace(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The doctor's id.
        id: Path<i64>,
        if_match: IfMatch,
        body: Body<DoctorInput>,
    ) -> Result<Fetched<ChangedDoctorView>, Refused<Taken>> {
        Ok(change(caller, &services, DoctorId(id.0), if_match, move |stored| body.0.details(stored.scheduling)).await?)
    }

    /// Update a doctor
    ///
    /// Absent fields stay unchanged; null clears a field.
    #[oai(path = "/:id", method = "patch", operation_id = "updateDoctor")]
    async fn update(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The doctor's id.
        id: Path<i64>,
        if_match: IfMatch,
        body: Body<DoctorPatch>,
    ) -> Result<Fetched<ChangedDoctorView>, Refused<Taken>> {
        Ok(change(caller, &services, DoctorId(id.0), if_match, move |stored| body.0.apply(stored)).await?)
    }

    /// Delete a doctor
    ///
    /// The doctor's history stays. A doctor with future active appointments cannot be deleted, unless
    /// `cancel_appointments` is true: then those are cancelled in the same transaction.
    #[oai(path = "/:id", method = "delete", operation_id = "deleteDoctor")]
    async fn delete(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The doctor's id.
        id: Path<i64>,
        /// Whether to cancel the doctor's future active appointments.
        cancel_appointments: Query<Option<bool>>,
        if_match: IfMatch,
    ) -> Result<NoContent, Refused<HasAppointments>> {
        let seen = services.admit(&caller.0, Action::Delete, Resource::Doctors).await?;
        let expected = if_match.version()?;
        let doctor = DoctorId(id.0);
        let cancel = cancel_appointments.0.unwrap_or(false);
        services.schedules.rules().delete_doctor(&caller.0, doctor, seen, expected, cancel).await?;
        services.authn.memberships_changed(caller.0.clinic);
        Ok(NoContent::Done)
    }

    /// List a doctor's patients
    ///
    /// Lists the patients who are assigned to the doctor, newest first.
    #[oai(path = "/:id/patients", method = "get", operation_id = "listDoctorPatients")]
    async fn patients(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The doctor's id.
        id: Path<i64>,
        paging: Paging,
    ) -> Result<Listed<PatientView>, Problem> {
        let doctors_seen = services.admit(&caller.0, Action::Read, Resource::Doctors).await?;
        let mappings_seen = services.admit(&caller.0, Action::Read, Resource::Mappings).await?;
        let patients_seen = services.admit(&caller.0, Action::Read, Resource::Patients).await?;
        let doctor = DoctorId(id.0);
        services.repository.find_doctor(&caller.0, doctor, doctors_seen).await?;
        let paging = paging.of(&caller.0)?;
        // A doctor sees who is assigned to themselves, not who is assigned to a colleague.
        let is_hidden =
            !mappings_seen.whole_clinic && mappings_seen.owner.is_none() && mappings_seen.doctor != Some(doctor);
        if is_hidden {
            return Ok(paging.listed(Vec::new(), |row: &Patient| row.id.0, PatientView::from));
        }
        let filter = PatientFilter { doctor: Some(doctor), ..PatientFilter::default() };
        let rows = services.repository.list_patients(&caller.0, patients_seen, filter, paging.fetch()).await?;
        Ok(paging.shared(&rows, |row| row.id.0, PatientView::from))
    }
}

/// Changes a doctor, and lets its login know.
async fn change(
    caller: Authenticated,
    services: &Services,
    id: DoctorId,
    if_match: IfMatch,
    change: impl FnOnce(DoctorDetails) -> Result<DoctorDetails, FieldErrors> + Send + 'static,
) -> Result<Fetched<ChangedDoctorView>, Problem> {
    let seen = services.admit(&caller.0, Action::Update, Resource::Doctors).await?;
    let expected = if_match.version()?;
    let changed = services.schedules.rules().update_doctor(&caller.0, id, seen, expected, change).await?;
    services.authn.memberships_changed(caller.0.clinic);
    Ok(Fetched::of(changed.row.version, changed))
}

fn fetched(doctor: Doctor) -> Fetched<DoctorView> {
    Fetched::of(doctor.version, doctor)
}
