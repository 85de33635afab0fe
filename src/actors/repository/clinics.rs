//! Reads and writes of clinics.

use futures_util::FutureExt;

use super::{Repository, Result, RuleChanges};
use crate::domain::access::{Action, Resource};
use crate::domain::clinics::{Clinic, ClinicDetails};
use crate::domain::fields::FieldErrors;
use crate::domain::{Caller, ClinicId, Identified};
use crate::repository::context::Grouped;
use crate::repository::{calendars, clinics};

impl Repository {
    /// Returns the oldest clinic with this name, for the operator's command line.
    pub async fn find_clinic_named(&self, name: String) -> Result<Option<ClinicId>> {
        self.transact(Grouped::OF_ANY_CLINICS, move |db| async move { clinics::find_named(db, &name).await }.boxed())
            .await
    }

    /// Returns the caller's clinic.
    pub async fn find_clinic(&self, caller: &Caller) -> Result<Clinic> {
        self.read(caller.clinic, move |db| clinics::find(db).boxed()).await
    }
}

impl RuleChanges {
    /// Applies `change` to the caller's clinic, if it has the expected version. Returns also whether its time zone
    /// changed.
    pub async fn update_clinic(
        &self,
        caller: &Caller,
        expected: Option<i64>,
        change: impl FnOnce(ClinicDetails) -> Result<ClinicDetails, FieldErrors> + Send + 'static,
    ) -> Result<(Clinic, bool)> {
        let changed = self.0.write(caller, Action::Update, Resource::Clinic, move |db| {
            async move {
                // The clinic is locked first, because its time zone applies to the calendars of doctors without one.
                calendars::hold_clinic(&mut *db).await?;
                let before = clinics::find(&mut *db).await?.details.time_zone;
                let row = clinics::update(&mut *db, expected, change).await?;
                let is_another = row.details.time_zone != before;
                if is_another {
                    calendars::advance_clinic(db).await?;
                }
                Ok(OfClinic(row, is_another))
            }
            .boxed()
        });
        let OfClinic(row, is_another) = changed.await?;
        Ok((row, is_another))
    }
}

/// A changed clinic, and whether its time zone changed.
struct OfClinic(Clinic, bool);

impl Identified for OfClinic {
    fn id(&self) -> i64 {
        self.0.id()
    }
}
