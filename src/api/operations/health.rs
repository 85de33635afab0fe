//! `/healthz` and `/readyz`

use poem::web::Data;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use crate::api::context::{Chapter, Services};
use crate::api::http::problem;
use crate::api::http::problem::{Problem, Refused, Unasked};

/// Operations on the program itself.
pub struct Health;

/// The server is healthy.
#[derive(Debug, Clone, Object)]
struct Well {
    /// Always `ok`.
    status: String,
}

impl Well {
    fn ok() -> Json<Self> {
        Json(Self { status: "ok".into() })
    }
}

#[OpenApi(tag = "Chapter::Health")]
impl Health {
    /// Check liveness
    ///
    /// Does not ask the database.
    #[oai(path = "/healthz", method = "get", operation_id = "getHealth")]
    async fn alive(&self) -> Json<Well> {
        Well::ok()
    }

    /// Check readiness
    ///
    /// Checks that the database answers, accepts writes and has this version's migrations.
    #[oai(path = "/readyz", method = "get", operation_id = "getReadiness")]
    async fn ready(&self, services: Data<&Services>) -> Result<Json<Well>, Refused<Unasked>> {
        if services.repository.schema_version().await? < services.schema_version {
            return Err(Problem::new(
                problem::UNAVAILABLE,
                "The database does not have this program's migrations; run `clinicd migrate`.",
            )
            .into());
        }
        Ok(Well::ok())
    }
}
