//! Reads and writes of doctors.

use futures_util::FutureExt;

use super::{Deleted, Page, Repository, Result, RuleChanges};
use crate::clock;
use crate::domain::access::{Action, Resource};
use crate::domain::doctors::{Doctor, DoctorDetails, DoctorFilter};
use crate::domain::fields::FieldErrors;
use crate::domain::schedules::Changed;
use crate::domain::{Caller, DoctorId, Visibility};
use crate::repository::{doctors, schedules};

impl Repository {
    /// Creates a doctor.
    pub async fn create_doctor(&self, caller: &Caller, details: DoctorDetails) -> Result<Doctor> {
        self.create(caller, Action::Create, Resource::Doctors, move |db| {
            async move { doctors::insert(db, &details).await }.boxed()
        })
        .await
    }

    /// Returns the matching doctors that the caller may see, newest first.
    pub async fn list_doctors(
        &self,
        caller: &Caller,
        seen: Visibility,
        filter: DoctorFilter,
        page: Page,
    ) -> Result<Vec<Doctor>> {
        self.read(caller.clinic, move |db| async move { doctors::list(db, seen, &filter, page).await }.boxed()).await
    }

    /// Returns the doctor, if the caller may see them.
    pub async fn find_doctor(&self, caller: &Caller, id: DoctorId, seen: Visibility) -> Result<Doctor> {
        self.read(caller.clinic, move |db| doctors::find(db, id, seen).boxed()).await
    }
}

impl RuleChanges {
    /// Applies `change` to a doctor, if it has the expected version.
    pub async fn update_doctor(
        &self,
        caller: &Caller,
        id: DoctorId,
        seen: Visibility,
        expected: Option<i64>,
        change: impl FnOnce(DoctorDetails) -> Result<DoctorDetails, FieldErrors> + Send + 'static,
    ) -> Result<Changed<Doctor>> {
        self.0
            .write(caller, Action::Update, Resource::Doctors, move |db| {
                async move {
                    let row = doctors::update(&mut *db, id, seen, expected, change).await?;
                    Ok(Changed { row, outside: schedules::outside(db, &[id.0], clock::now()).await? })
                }
                .boxed()
            })
            .await
    }

    /// Deletes a doctor.
    pub async fn delete_doctor(
        &self,
        caller: &Caller,
        id: DoctorId,
        seen: Visibility,
        expected: Option<i64>,
        cancel_appointments: bool,
    ) -> Result<()> {
        let by = caller.clone();
        let deleted = self.0.write(caller, Action::Delete, Resource::Doctors, move |db| {
            async move {
                doctors::delete(db, &by, id, seen, expected, cancel_appointments).await?;
                Ok(Deleted(id.0))
            }
            .boxed()
        });
        deleted.await?;
        Ok(())
    }
}
