//! Work on clinics.

use futures_util::FutureExt;

use super::{Context, Repository, Result, schedules::outside_of_clinic};
use crate::{
    domain::{
        Caller, ClinicId,
        access::{Action, Resource},
        clinics::{Clinic, ClinicDetails},
        fields::FieldErrors,
        schedules::Changed,
    },
    repository::{clinics, schedules},
};

impl Repository {
    /// The oldest clinic of that name, for the operator's command line.
    pub async fn find_clinic_named(&self, name: String) -> Result<Option<ClinicId>> {
        self.transact(Context::Global, move |db| async move { clinics::find_named(db, &name).await }.boxed()).await
    }

    /// The caller's clinic.
    pub async fn find_clinic(&self, caller: &Caller) -> Result<Clinic> {
        let clinic = caller.clinic;
        self.read(Context::Clinic(clinic), move |db| clinics::find(db, clinic).boxed()).await
    }

    /// Changes the caller's clinic by `change`, if it has the expected version.
    pub async fn update_clinic(
        &self,
        caller: &Caller,
        expected: Option<i64>,
        change: impl FnOnce(ClinicDetails) -> Result<ClinicDetails, FieldErrors> + Send + 'static,
    ) -> Result<Changed<Clinic>> {
        let clinic = caller.clinic;
        self.write(caller, Action::Update, Resource::Clinic, move |db| {
            async move {
                let before = clinics::find(&mut *db, clinic).await?.details.time_zone;
                let row = clinics::update(&mut *db, clinic, expected, change).await?;
                if row.details.time_zone == before {
                    return Ok(Changed { row, outside: Vec::new() });
                }
                // The doctors who have no zone of their own are read in the clinic's.
                schedules::count_change_of_all(&mut *db, clinic).await?;
                Ok(Changed { row, outside: outside_of_clinic(db, clinic, None).await? })
            }
            .boxed()
        })
        .await
    }
}
