//! The steps of an appointment, each with its own path, and its history.

use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use super::appointments::{Aim, Moving, Stepping, amend, fetched};
use crate::api::context::{Call, Chapter};
use crate::api::http::body::Body;
use crate::api::http::etag::{Fetched, IfMatch};
use crate::api::http::page::{Listed, Paging};
use crate::api::http::problem;
use crate::api::http::problem::{Problem, Refused, against};
use crate::api::views::appointments::{
    AppointmentPatch, AppointmentView, CancelScope, EventView, RescheduleInput, StatusView,
};
use crate::domain::access::{Action, Resource};
use crate::domain::lifecycle::Status;
use crate::domain::{AppointmentId, Visibility};

/// Steps of appointments.
pub struct AppointmentSteps;

against!(
    /// The problems of cancelling appointments.
    CallingOff: INVALID_TRANSITION, NOT_IN_SERIES
);

#[OpenApi(prefix_path = "/api/appointments", tag = "Chapter::Appointments")]
impl AppointmentSteps {
    /// Confirm an appointment
    ///
    /// The patient has confirmed that they will come.
    #[oai(path = "/:id/confirm", method = "post", operation_id = "confirmAppointment")]
    async fn confirm(
        &self,
        call: Call,
        /// The appointment's id.
        id: Path<i64>,
        if_match: IfMatch,
    ) -> Result<Fetched<AppointmentView>, Refused<Stepping>> {
        Ok(step(call, id.0, if_match, StatusView::Confirmed).await?)
    }

    /// Check in the patient
    ///
    /// The patient has arrived.
    #[oai(path = "/:id/check-in", method = "post", operation_id = "checkInAppointment")]
    async fn check_in(
        &self,
        call: Call,
        /// The appointment's id.
        id: Path<i64>,
        if_match: IfMatch,
    ) -> Result<Fetched<AppointmentView>, Refused<Stepping>> {
        Ok(step(call, id.0, if_match, StatusView::CheckedIn).await?)
    }

    /// Complete an appointment
    ///
    /// The visit has taken place.
    #[oai(path = "/:id/complete", method = "post", operation_id = "completeAppointment")]
    async fn complete(
        &self,
        call: Call,
        /// The appointment's id.
        id: Path<i64>,
        if_match: IfMatch,
    ) -> Result<Fetched<AppointmentView>, Refused<Stepping>> {
        Ok(step(call, id.0, if_match, StatusView::Completed).await?)
    }

    /// Mark a no-show
    ///
    /// The patient did not come. The slot is free again.
    #[oai(path = "/:id/no-show", method = "post", operation_id = "markAppointmentNoShow")]
    async fn no_show(
        &self,
        call: Call,
        /// The appointment's id.
        id: Path<i64>,
        if_match: IfMatch,
    ) -> Result<Fetched<AppointmentView>, Refused<Stepping>> {
        Ok(step(call, id.0, if_match, StatusView::NoShow).await?)
    }

    /// Cancel an appointment or its series
    ///
    /// The slot is free again as soon as the response is sent. With `scope=this_and_following`, the later appointments
    /// of its series that can be cancelled are cancelled in the same transaction. The response is this appointment.
    #[oai(path = "/:id/cancel", method = "post", operation_id = "callOffAppointment")]
    async fn call_off(
        &self,
        call: Call,
        /// The appointment's id.
        id: Path<i64>,
        /// Whether to cancel this appointment only (the default), or also the later ones of its series.
        scope: Query<Option<CancelScope>>,
        if_match: IfMatch,
    ) -> Result<Fetched<AppointmentView>, Refused<CallingOff>> {
        if scope.0 != Some(CancelScope::ThisAndFollowing) {
            return Ok(step(call, id.0, if_match, StatusView::Cancelled).await?);
        }
        let reach = call.admit(Action::Transition, Resource::Appointments).await?;
        let expected = if_match.version()?;
        let id = AppointmentId(id.0);
        let current = call.repository.find_appointment(&call.caller, id, reach).await?;
        if current.series.is_none() {
            return Err(Problem::new(problem::NOT_IN_SERIES, "This appointment is not part of a series.").into());
        }
        if !current.status.can_be_rescheduled() {
            return Err(Problem::invalid_transition(current.status, Status::Cancelled).into());
        }
        call.repository.cancel_from(&call.caller, id, reach, expected).await?;
        let cancelled = call.repository.find_appointment(&call.caller, id, Visibility::WHOLE_CLINIC).await?;
        Ok(fetched(cancelled))
    }

    /// Reschedule an appointment
    ///
    /// Moves the appointment to another time. It keeps its id and status. The new time is taken and the old one freed
    /// in one transaction; the new time may overlap the old one.
    #[oai(path = "/:id/reschedule", method = "post", operation_id = "rescheduleAppointment")]
    async fn reschedule(
        &self,
        call: Call,
        /// The appointment's id.
        id: Path<i64>,
        if_match: IfMatch,
        body: Body<RescheduleInput>,
    ) -> Result<Fetched<AppointmentView>, Refused<Moving>> {
        let reach = call.admit(Action::Update, Resource::Appointments).await?;
        let expected = if_match.version()?;
        let patch = AppointmentPatch {
            appointment_datetime: Some(body.0.appointment_datetime),
            duration_minutes: body.0.duration_minutes,
            ..AppointmentPatch::default()
        };
        Ok(fetched(amend(&call, AppointmentId(id.0), reach, expected, &patch, Aim::Step).await?))
    }

    /// List an appointment's history
    ///
    /// Lists who changed what and when, newest first. The last entry is the booking.
    #[oai(path = "/:id/history", method = "get", operation_id = "listAppointmentHistory")]
    async fn history(
        &self,
        call: Call,
        /// The appointment's id.
        id: Path<i64>,
        paging: Paging,
    ) -> Result<Listed<EventView>, Problem> {
        let seen = call.admit(Action::Read, Resource::Appointments).await?;
        let paging = paging.of(&call.caller)?;
        let id = AppointmentId(id.0);
        let events = call.repository.list_appointment_events(&call.caller, id, seen, paging.fetch()).await?;
        Ok(paging.listed(events, |event| event.id, EventView::from))
    }
}

/// Moves an appointment to a status that may follow its current one.
async fn step(call: Call, id: i64, if_match: IfMatch, status: StatusView) -> Result<Fetched<AppointmentView>, Problem> {
    let reach = call.admit(Action::Transition, Resource::Appointments).await?;
    let expected = if_match.version()?;
    let patch = AppointmentPatch { status: Some(status), ..AppointmentPatch::default() };
    Ok(fetched(amend(&call, AppointmentId(id), reach, expected, &patch, Aim::Step).await?))
}
