//! `/api/clinic/closures`: days on which the whole clinic is closed.

use poem_openapi::OpenApi;
use poem_openapi::param::Path;

use crate::api::context::{Call, Chapter};
use crate::api::http::body::Body;
use crate::api::http::etag::{Entered, NoContent};
use crate::api::http::idempotency::IdempotencyKey;
use crate::api::http::page::{Listed, Paging};
use crate::api::http::problem::Problem;
use crate::api::views::closures::{ClosureInput, ClosureView, EnteredClosureView};
use crate::domain::ClosureId;
use crate::domain::access::{Action, Resource};
use crate::domain::calendar::ClosedDays;
use crate::domain::fields::{FieldErrors, kept_day, tidy};
use crate::domain::schedules::Changed;

/// The maximum length of a closure, in days.
const LONGEST: i64 = 366;

/// Operations on closures.
pub struct Closures;

#[OpenApi(prefix_path = "/api/clinic/closures", tag = "Chapter::Schedules")]
impl Closures {
    /// List closures
    ///
    /// Newest first.
    #[oai(path = "/", method = "get", operation_id = "listClosures")]
    async fn list(&self, call: Call, paging: Paging) -> Result<Listed<ClosureView>, Problem> {
        call.admit(Action::Read, Resource::Schedules).await?;
        let paging = paging.of(&call.caller)?;
        let rows = call.repository.list_closures(&call.caller, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, ClosureView::from))
    }

    /// Create a closure
    ///
    /// No doctor can be booked on these days, each in the doctor's own time zone. Existing appointments stay; the
    /// response lists them.
    #[oai(path = "/", method = "post", operation_id = "createClosure")]
    async fn create(
        &self,
        call: Call,
        _key: IdempotencyKey,
        body: Body<ClosureInput>,
    ) -> Result<Entered<EnteredClosureView>, Problem> {
        call.admit_whole_clinic(Action::Update, Resource::Schedules).await?;
        let (first, last) = (body.0.first_day, body.0.last_day.unwrap_or(body.0.first_day));
        kept_day("first_day", first)?;
        if last < first || (last - first).num_days() >= LONGEST {
            let message = format!("Must not be before first_day, nor more than {LONGEST} days in all.");
            return Err(FieldErrors::one("last_day", message).into());
        }
        let reason = tidy(&body.0.reason.unwrap_or_default());
        let (changing, clinic, days) = (call.services.clone(), call.caller.clinic, ClosedDays { first, last });
        let made = call.once(body.1, move |caller| async move {
            Ok(changing.schedules.rules().create_closure(&caller, days, reason).await?)
        });
        let made = made.await?;
        // This read comes after the change, so that bookings do not wait for it.
        let outside = call.repository.outside_of_clinic(clinic, Some(days)).await?;
        Ok(made.map(|row| Changed { row, outside }).entered("/api/clinic/closures", |made| made.row.id.0))
    }

    /// Delete a closure
    #[oai(path = "/:id", method = "delete", operation_id = "deleteClosure")]
    async fn delete(
        &self,
        call: Call,
        /// The closure's id.
        id: Path<i64>,
    ) -> Result<NoContent, Problem> {
        call.admit_whole_clinic(Action::Update, Resource::Schedules).await?;
        call.schedules.rules().delete_closure(&call.caller, ClosureId(id.0)).await?;
        Ok(NoContent::Done)
    }
}
