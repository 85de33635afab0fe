//! `/api/clinic`

use chrono::{DateTime, Utc};
use poem::web::Data;
use poem_openapi::{Object, OpenApi, param::Header};

use super::{
    appointments::OutsideView,
    body::Body,
    context::{Authenticated, Chapter, Services, to_the_end},
    etag::{Fetched, expected_version},
    problem::Problem,
    zone::parse_zone,
};
use crate::domain::{
    access::{Action, Resource},
    clinics::{Clinic, ClinicDetails},
    fields::tidy,
};

/// Operations on the clinic.
pub struct ClinicApi;

/// The clinic of the token.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Clinic")]
pub struct ClinicView {
    /// The clinic's id.
    id: i64,
    /// The clinic's name.
    name: String,
    /// The time zone (IANA) of a doctor who has set none.
    time_zone: String,
    /// When the clinic signed up.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

/// The clinic as it was changed, and the appointments to come that the change left outside the rules.
#[derive(Debug, Clone, Object)]
#[oai(rename = "ChangedClinic")]
pub struct ChangedClinicView {
    #[oai(flatten)]
    clinic: ClinicView,
    /// The appointments to come that their doctors' rules would not allow now; they stay.
    appointments_outside: Vec<OutsideView>,
}

/// What to change of the clinic; what is absent stays.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub struct ClinicPatch {
    /// The clinic's name.
    #[oai(validator(min_length = 1, max_length = 200))]
    name: Option<String>,
    /// The time zone (IANA) of a doctor who has set none.
    #[oai(validator(min_length = 1, max_length = 60))]
    time_zone: Option<String>,
}

#[OpenApi(prefix_path = "/api/clinic", tag = "Chapter::Clinic")]
impl ClinicApi {
    /// Read the clinic
    #[oai(path = "/", method = "get", operation_id = "getClinic")]
    async fn get(&self, caller: Authenticated, services: Data<&Services>) -> Result<Fetched<ClinicView>, Problem> {
        services.admit_whole_clinic(&caller.0, Action::Read, Resource::Clinic).await?;
        Ok(fetched(services.repository.find_clinic(&caller.0).await?))
    }

    /// Change the clinic
    #[oai(path = "/", method = "patch", operation_id = "updateClinic")]
    async fn update(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Body<ClinicPatch>,
    ) -> Result<Fetched<ChangedClinicView>, Problem> {
        services.admit_whole_clinic(&caller.0, Action::Update, Resource::Clinic).await?;
        let expected = expected_version(if_match.0.as_ref())?;
        let patch = body.0;
        let services = services.clone();
        to_the_end(async move {
            let (row, is_another_zone) = services
                .repository
                .update_clinic(&caller.0, expected, move |stored| {
                    Ok(ClinicDetails {
                        name: patch.name.map_or(stored.name, |name| tidy(&name)),
                        time_zone: match patch.time_zone {
                            Some(zone) => parse_zone("time_zone", &zone)?,
                            None => stored.time_zone,
                        },
                    })
                })
                .await?;
            // Its doctors' days are read in its zone. After the change, so that nobody who books waits for it.
            let outside = match is_another_zone {
                true => services.repository.outside_of_clinic(row.id, None).await?,
                false => Vec::new(),
            };
            let version = row.version;
            let appointments_outside = outside.into_iter().map(OutsideView::from).collect();
            let view = ChangedClinicView { clinic: row.into(), appointments_outside };
            Ok(Fetched::of(version, view))
        })
        .await
    }
}

fn fetched(clinic: Clinic) -> Fetched<ClinicView> {
    Fetched::of(clinic.version, clinic)
}

impl From<Clinic> for ClinicView {
    fn from(clinic: Clinic) -> Self {
        Self {
            id: clinic.id.0,
            name: clinic.details.name,
            time_zone: clinic.details.time_zone.name().to_owned(),
            created_at: clinic.created_at,
            updated_at: clinic.updated_at,
        }
    }
}
