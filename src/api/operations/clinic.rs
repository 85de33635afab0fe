//! `/api/clinic`

use poem_openapi::OpenApi;

use crate::api::context::{Call, Chapter};
use crate::api::http::body::Body;
use crate::api::http::etag::{Fetched, IfMatch};
use crate::api::http::problem::Problem;
use crate::api::views::appointments::OutsideView;
use crate::api::views::clinic::{ChangedClinicView, ClinicPatch, ClinicView};
use crate::api::views::patch::parse_zone;
use crate::domain::access::{Action, Resource};
use crate::domain::clinics::{Clinic, ClinicDetails};
use crate::domain::fields::tidy;

/// Operations on the clinic.
pub struct ClinicApi;

#[OpenApi(prefix_path = "/api/clinic", tag = "Chapter::Clinic")]
impl ClinicApi {
    /// Get the clinic
    #[oai(path = "/", method = "get", operation_id = "getClinic")]
    async fn get(&self, call: Call) -> Result<Fetched<ClinicView>, Problem> {
        call.admit_whole_clinic(Action::Read, Resource::Clinic).await?;
        Ok(fetched(call.repository.find_clinic(&call.caller).await?))
    }

    /// Update the clinic
    #[oai(path = "/", method = "patch", operation_id = "updateClinic")]
    async fn update(
        &self,
        call: Call,
        if_match: IfMatch,
        body: Body<ClinicPatch>,
    ) -> Result<Fetched<ChangedClinicView>, Problem> {
        call.admit_whole_clinic(Action::Update, Resource::Clinic).await?;
        let expected = if_match.version()?;
        let patch = body.0;
        let (row, is_another_zone) = call
            .schedules
            .rules()
            .update_clinic(&call.caller, expected, move |stored| {
                Ok(ClinicDetails {
                    name: patch.name.map_or(stored.name, |name| tidy(&name)),
                    time_zone: match patch.time_zone {
                        Some(zone) => parse_zone("time_zone", &zone)?,
                        None => stored.time_zone,
                    },
                })
            })
            .await?;
        // The days of its doctors depend on its time zone. This read comes after the change, so that bookings do not
        // wait for it.
        let outside = match is_another_zone {
            true => call.repository.outside_of_clinic(row.id, None).await?,
            false => Vec::new(),
        };
        let version = row.version;
        let appointments_outside = outside.into_iter().map(OutsideView::from).collect();
        let view = ChangedClinicView { clinic: row.into(), appointments_outside };
        Ok(Fetched::of(version, view))
    }
}

fn fetched(clinic: Clinic) -> Fetched<ClinicView> {
    Fetched::of(clinic.version, clinic)
}
