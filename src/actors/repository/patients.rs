//! Work on patients.

use std::sync::Arc;

use futures_util::FutureExt;

use super::{Deleted, Error, Page, Repository, Result, Shared, tried_again};
use crate::domain::access::{Action, Resource};
use crate::domain::fields::FieldErrors;
use crate::domain::patients::{Patient, PatientDetails, PatientFilter};
use crate::domain::{AccountId, Caller, PatientId, Visibility};
use crate::repository::patient_groups::{PatientPage, PatientRead};
use crate::repository::patients;

impl Repository {
    /// Registers a patient, owned by the caller.
    pub async fn create_patient(&self, caller: &Caller, details: PatientDetails) -> Result<Patient> {
        let by = caller.clone();
        self.create(caller, Action::Create, Resource::Patients, move |db| {
            async move { patients::insert(db, &by, &details).await }.boxed()
        })
        .await
    }

    /// The patients that match and that the caller may see, newest first.
    pub async fn list_patients(
        &self,
        caller: &Caller,
        seen: Visibility,
        filter: PatientFilter,
        page: Page,
    ) -> Result<Arc<Shared<Patient>>> {
        let clinic = caller.clinic;
        if let Some(page) = PatientPage::of(clinic, seen, &filter, page) {
            let _permit = self.waiting.try_acquire().map_err(|_| Error::Overloaded)?;
            // The same page is always asked of the same reader, which remembers it.
            let key = clinic.0 + page.owner.map_or(0, |id| id.0) + page.doctor.map_or(0, |id| id.0);
            return self.patient_pages.ask(key, page).await;
        }
        let rows = self.read(clinic, move |db| async move { patients::list(db, seen, &filter, page).await }.boxed());
        Ok(Arc::new(rows.await?.into()))
    }

    /// The patient, if the caller may see them.
    pub async fn find_patient(&self, caller: &Caller, id: PatientId, seen: Visibility) -> Result<Patient> {
        let _permit = self.waiting.try_acquire().map_err(|_| Error::Overloaded)?;
        self.patients.ask(id.0, PatientRead { clinic: caller.clinic, id, seen }).await
    }

    /// Changes a patient by `change`, if it has the expected version.
    pub async fn update_patient(
        &self,
        caller: &Caller,
        id: PatientId,
        seen: Visibility,
        expected: Option<i64>,
        change: impl FnOnce(PatientDetails) -> Result<PatientDetails, FieldErrors> + Send + 'static,
    ) -> Result<Patient> {
        self.write(caller, Action::Update, Resource::Patients, move |db| {
            patients::update(db, id, seen, expected, change).boxed()
        })
        .await
    }

    /// Gives a patient another owner.
    pub async fn transfer_patient(
        &self,
        caller: &Caller,
        id: PatientId,
        seen: Visibility,
        expected: Option<i64>,
        owner: AccountId,
    ) -> Result<Patient> {
        self.write(caller, Action::Transfer, Resource::Patients, move |db| {
            patients::transfer(db, id, seen, expected, owner).boxed()
        })
        .await
    }

    /// Deletes a patient.
    pub async fn delete_patient(
        &self,
        caller: &Caller,
        id: PatientId,
        seen: Visibility,
        expected: Option<i64>,
        cancel_appointments: bool,
    ) -> Result<()> {
        tried_again(|| {
            let by = caller.clone();
            self.write(caller, Action::Delete, Resource::Patients, move |db| {
                async move {
                    patients::delete(db, &by, id, seen, expected, cancel_appointments).await?;
                    Ok(Deleted(id.0))
                }
                .boxed()
            })
        })
        .await?;
        Ok(())
    }
}
