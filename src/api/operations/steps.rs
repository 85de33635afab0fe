//! The steps of an appointment, each by its own path, and what came of them.

use poem::{Request, web::Data};
use poem_openapi::{
    OpenApi,
    param::{Header, Path, Query},
};

use super::appointments::{Kind, amend, fetched};
use crate::{
    api::{
        context::{Authenticated, Chapter, Services, to_the_end},
        http::{
            body::Body,
            etag::{Fetched, expected_version},
            page::{Listed, Paging},
            problem::{self, Problem},
        },
        views::appointments::{AppointmentPatch, AppointmentView, CancelScope, EventView, RescheduleInput, StatusView},
    },
    domain::{
        AppointmentId, Visibility,
        access::{Action, Resource},
        lifecycle::Status,
    },
};

/// Steps of appointments.
pub struct AppointmentSteps;

#[OpenApi(prefix_path = "/api/appointments", tag = "Chapter::Appointments")]
impl AppointmentSteps {
    /// Confirm an appointment
    ///
    /// The patient has said that they will come.
    #[oai(path = "/:id/confirm", method = "post", operation_id = "confirmAppointment")]
    async fn confirm(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The appointment's id.
        id: Path<i64>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<Fetched<AppointmentView>, Problem> {
        step(&services, caller, id.0, if_match.0, StatusView::Confirmed).await
    }

    /// Check a patient in
    ///
    /// The patient of the appointment is here.
    #[oai(path = "/:id/check-in", method = "post", operation_id = "checkInAppointment")]
    async fn check_in(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The appointment's id.
        id: Path<i64>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<Fetched<AppointmentView>, Problem> {
        step(&services, caller, id.0, if_match.0, StatusView::CheckedIn).await
    }

    /// Complete an appointment
    ///
    /// The visit took place.
    #[oai(path = "/:id/complete", method = "post", operation_id = "completeAppointment")]
    async fn complete(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The appointment's id.
        id: Path<i64>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<Fetched<AppointmentView>, Problem> {
        step(&services, caller, id.0, if_match.0, StatusView::Completed).await
    }

    /// Mark that the patient did not come
    ///
    /// The time is free again.
    #[oai(path = "/:id/no-show", method = "post", operation_id = "markAppointmentNoShow")]
    async fn no_show(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The appointment's id.
        id: Path<i64>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<Fetched<AppointmentView>, Problem> {
        step(&services, caller, id.0, if_match.0, StatusView::NoShow).await
    }

    /// Call an appointment off
    ///
    /// The time is free again from the moment of the answer. With `scope=this_and_following` those of its
    /// series that follow it are cancelled in the same step, as far as they can be; the answer is this one.
    #[oai(path = "/:id/cancel", method = "post", operation_id = "callOffAppointment")]
    async fn call_off(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The appointment's id.
        id: Path<i64>,
        /// How much of the appointment's series; this appointment unless said.
        scope: Query<Option<CancelScope>>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<Fetched<AppointmentView>, Problem> {
        if scope.0 != Some(CancelScope::ThisAndFollowing) {
            return step(&services, caller, id.0, if_match.0, StatusView::Cancelled).await;
        }
        let reach = services.admit(&caller.0, Action::Transition, Resource::Appointments).await?;
        let expected = expected_version(if_match.0.as_ref())?;
        let (services, id) = (services.clone(), AppointmentId(id.0));
        to_the_end(async move {
            let current = services.repository.find_appointment(&caller.0, id, reach).await?;
            if current.series.is_none() {
                return Err(Problem::new(problem::NOT_IN_SERIES, "This appointment belongs to no series."));
            }
            if !current.status.can_be_rescheduled() {
                return Err(Problem::invalid_transition(current.status, Status::Cancelled));
            }
            services.repository.cancel_from(&caller.0, id, reach, expected).await?;
            let cancelled = services.repository.find_appointment(&caller.0, id, Visibility::WHOLE_CLINIC).await?;
            Ok(fetched(cancelled))
        })
        .await
    }

    /// Move an appointment
    ///
    /// It keeps its id and its status. The old time is freed and the new one taken in one step, or neither;
    /// its own time does not stand in its way.
    #[oai(path = "/:id/reschedule", method = "post", operation_id = "rescheduleAppointment")]
    async fn reschedule(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The appointment's id.
        id: Path<i64>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Body<RescheduleInput>,
    ) -> Result<Fetched<AppointmentView>, Problem> {
        let reach = services.admit(&caller.0, Action::Update, Resource::Appointments).await?;
        let expected = expected_version(if_match.0.as_ref())?;
        let patch = AppointmentPatch {
            appointment_datetime: Some(body.0.appointment_datetime),
            duration_minutes: body.0.duration_minutes,
            ..AppointmentPatch::default()
        };
        Ok(fetched(amend(&services, &caller.0, AppointmentId(id.0), reach, expected, &patch, Kind::Step).await?))
    }

    /// Read an appointment's history
    ///
    /// Who did what to it and when, newest first; the last entry is its booking.
    #[oai(path = "/:id/history", method = "get", operation_id = "listAppointmentHistory")]
    async fn history(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        request: &Request,
        /// The appointment's id.
        id: Path<i64>,
        /// How many at most; 50 unless said.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<i64>>,
        /// Where to go on, from the `Link` header of the page before.
        #[oai(validator(max_length = 200))]
        cursor: Query<Option<String>>,
    ) -> Result<Listed<EventView>, Problem> {
        let seen = services.admit(&caller.0, Action::Read, Resource::Appointments).await?;
        let paging = Paging::of(request, &caller.0, limit.0, cursor.0.as_ref())?;
        let id = AppointmentId(id.0);
        let events = services.repository.list_appointment_events(&caller.0, id, seen, paging.fetch()).await?;
        Ok(paging.listed(events, |event| event.id, EventView::from))
    }
}

/// Takes an appointment to a status that may follow its present one.
async fn step(
    services: &Services,
    caller: Authenticated,
    id: i64,
    if_match: Option<String>,
    status: StatusView,
) -> Result<Fetched<AppointmentView>, Problem> {
    let reach = services.admit(&caller.0, Action::Transition, Resource::Appointments).await?;
    let expected = expected_version(if_match.as_ref())?;
    let patch = AppointmentPatch { status: Some(status), ..AppointmentPatch::default() };
    Ok(fetched(amend(services, &caller.0, AppointmentId(id), reach, expected, &patch, Kind::Step).await?))
}
