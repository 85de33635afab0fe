//! `/api/doctors`

use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use crate::api::context::{Call, Chapter};
use crate::api::http::body::Body;
use crate::api::http::etag::{Created, Fetched, IfMatch, NoContent};
use crate::api::http::idempotency::IdempotencyKey;
use crate::api::http::page::{Listed, Paging};
use crate::api::http::problem::{HasAppointments, Problem, Refused, Taken};
use crate::api::views::doctors::{ChangedDoctorView, DoctorInput, DoctorPatch, DoctorView};
use crate::api::views::patients::PatientView;
use crate::domain::DoctorId;
use crate::domain::access::{Action, Resource};
use crate::domain::doctors::{Doctor, DoctorDetails, DoctorFilter, Scheduling};
use crate::domain::fields::{FieldErrors, filter_text};
use crate::domain::patients::{Patient, PatientFilter};
use crate::domain::search::Words;

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
        call: Call,
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
        let seen = call.admit(Action::Read, Resource::Doctors).await?;
        let paging = paging.of(&call.caller)?;
        let filter = DoctorFilter {
            search: filter_text("search", search.0)?.as_deref().map(Words::of),
            specialization: filter_text("specialization", specialization.0)?,
            is_active: is_active.0,
            patient: None,
        };
        let rows = call.repository.list_doctors(&call.caller, seen, filter, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, DoctorView::from))
    }

    /// Create a doctor
    #[oai(path = "/", method = "post", operation_id = "createDoctor")]
    async fn create(
        &self,
        call: Call,
        _key: IdempotencyKey,
        body: Body<DoctorInput>,
    ) -> Result<Created<DoctorView>, Refused<Taken>> {
        call.admit(Action::Create, Resource::Doctors).await?;
        let details = body.0.details(Scheduling::default())?;
        let changing = call.services.clone();
        let made = call.once(body.1, |caller| async move {
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
        call: Call,
        /// The doctor's id.
        id: Path<i64>,
    ) -> Result<Fetched<DoctorView>, Problem> {
        let seen = call.admit(Action::Read, Resource::Doctors).await?;
        let doctor = call.repository.find_doctor(&call.caller, DoctorId(id.0), seen).await?;
        Ok(fetched(doctor))
    }

    /// Replace a doctor
    ///
    /// Fields that the body leaves out are cleared. Upcoming appointments that break the new rules stay; the response
    /// lists them.
    #[oai(path = "/:id", method = "put", operation_id = "replaceDoctor")]
    async fn replace(
        &self,
        call: Call,
        /// The doctor's id.
        id: Path<i64>,
        if_match: IfMatch,
        body: Body<DoctorInput>,
    ) -> Result<Fetched<ChangedDoctorView>, Refused<Taken>> {
        Ok(change(call, DoctorId(id.0), if_match, move |stored| body.0.details(stored.scheduling)).await?)
    }

    /// Update a doctor
    ///
    /// Absent fields stay unchanged; null clears a field.
    #[oai(path = "/:id", method = "patch", operation_id = "updateDoctor")]
    async fn update(
        &self,
        call: Call,
        /// The doctor's id.
        id: Path<i64>,
        if_match: IfMatch,
        body: Body<DoctorPatch>,
    ) -> Result<Fetched<ChangedDoctorView>, Refused<Taken>> {
        Ok(change(call, DoctorId(id.0), if_match, move |stored| body.0.apply(stored)).await?)
    }

    /// Delete a doctor
    ///
    /// The doctor's history stays. A doctor with future active appointments cannot be deleted, unless
    /// `cancel_appointments` is true: then those are cancelled in the same transaction.
    #[oai(path = "/:id", method = "delete", operation_id = "deleteDoctor")]
    async fn delete(
        &self,
        call: Call,
        /// The doctor's id.
        id: Path<i64>,
        /// Whether to cancel the doctor's future active appointments.
        cancel_appointments: Query<Option<bool>>,
        if_match: IfMatch,
    ) -> Result<NoContent, Refused<HasAppointments>> {
        let seen = call.admit(Action::Delete, Resource::Doctors).await?;
        let expected = if_match.version()?;
        let doctor = DoctorId(id.0);
        let cancel = cancel_appointments.0.unwrap_or(false);
        call.schedules.rules().delete_doctor(&call.caller, doctor, seen, expected, cancel).await?;
        call.authn.memberships_changed(call.caller.clinic);
        Ok(NoContent::Done)
    }

    /// List a doctor's patients
    ///
    /// Lists the patients who are assigned to the doctor, newest first.
    #[oai(path = "/:id/patients", method = "get", operation_id = "listDoctorPatients")]
    async fn patients(
        &self,
        call: Call,
        /// The doctor's id.
        id: Path<i64>,
        paging: Paging,
    ) -> Result<Listed<PatientView>, Problem> {
        let doctors_seen = call.admit(Action::Read, Resource::Doctors).await?;
        let mappings_seen = call.admit(Action::Read, Resource::Mappings).await?;
        let patients_seen = call.admit(Action::Read, Resource::Patients).await?;
        let doctor = DoctorId(id.0);
        call.repository.find_doctor(&call.caller, doctor, doctors_seen).await?;
        let paging = paging.of(&call.caller)?;
        // Doctors see the patients who are assigned to them, but not those of a colleague.
        let is_hidden =
            !mappings_seen.whole_clinic && mappings_seen.owner.is_none() && mappings_seen.doctor != Some(doctor);
        if is_hidden {
            return Ok(paging.listed(Vec::new(), |row: &Patient| row.id.0, PatientView::from));
        }
        let filter = PatientFilter { doctor: Some(doctor), ..PatientFilter::default() };
        let rows = call.repository.list_patients(&call.caller, patients_seen, filter, paging.fetch()).await?;
        Ok(paging.shared(&rows, |row| row.id.0, PatientView::from))
    }
}

/// Changes a doctor, and drops the cached memberships of the clinic, which name the doctors of accounts.
async fn change(
    call: Call,
    id: DoctorId,
    if_match: IfMatch,
    change: impl FnOnce(DoctorDetails) -> Result<DoctorDetails, FieldErrors> + Send + 'static,
) -> Result<Fetched<ChangedDoctorView>, Problem> {
    let seen = call.admit(Action::Update, Resource::Doctors).await?;
    let expected = if_match.version()?;
    let changed = call.schedules.rules().update_doctor(&call.caller, id, seen, expected, change).await?;
    call.authn.memberships_changed(call.caller.clinic);
    Ok(Fetched::of(changed.row.version, changed))
}

fn fetched(doctor: Doctor) -> Fetched<DoctorView> {
    Fetched::of(doctor.version, doctor)
}
