//! `/api/appointments`. The operations parse and validate; the doctor's schedule decides.

use chrono::{DateTime, TimeDelta, Utc};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;

use crate::actors::repository::Error;
use crate::actors::schedule::ScheduleError;
use crate::api::context::{Call, Chapter};
use crate::api::http::body::Body;
use crate::api::http::etag::{Created, Fetched, Found, IfMatch, NoContent};
use crate::api::http::idempotency::IdempotencyKey;
use crate::api::http::page::{Listed, Paging};
use crate::api::http::problem::{Problem, Refused, against};
use crate::api::views::appointments::{AppointmentInput, AppointmentPatch, AppointmentView, CheckView, StatusView};
use crate::domain::access::{Action, Resource};
use crate::domain::appointments::{Appointment, AppointmentFilter, BookingRequest};
use crate::domain::fields::tidy;
use crate::domain::lifecycle::Status;
use crate::domain::{AppointmentId, Caller, DoctorId, PatientId, Visibility};

/// The maximum number of attempts of a change without `If-Match`. After a concurrent change, it is tried again on the
/// new version.
const ATTEMPTS: usize = 5;

/// Operations on appointments.
pub struct Appointments;

against!(
    /// The problems of a booking.
    Booking: SLOT_TAKEN, PATIENT_BUSY, DOCTOR_INACTIVE, CLINIC_CLOSED, TIME_OFF, OUTSIDE_HOURS, TOO_CLOSE, DAY_FULL,
        IN_THE_PAST, TOO_SOON, TOO_FAR
);
against!(
    /// The problems of rescheduling.
    Moving: SLOT_TAKEN, PATIENT_BUSY, DOCTOR_INACTIVE, CLINIC_CLOSED, TIME_OFF, OUTSIDE_HOURS, TOO_CLOSE, DAY_FULL,
        INVALID_TRANSITION, IN_THE_PAST, TOO_SOON, TOO_FAR
);
against!(
    /// The problems of a step.
    Stepping: INVALID_TRANSITION
);

#[OpenApi(prefix_path = "/api/appointments", tag = "Chapter::Appointments")]
impl Appointments {
    /// List appointments
    ///
    /// Lists the appointments that the caller may see, newest booking first.
    #[oai(path = "/", method = "get", operation_id = "listAppointments")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn list(
        &self,
        call: Call,
        /// Only rows of this doctor.
        doctor: Query<Option<i64>>,
        /// Only rows of this patient.
        patient: Query<Option<i64>>,
        /// Only appointments with this status.
        status: Query<Option<StatusView>>,
        /// Only appointments that end after this instant (RFC 3339).
        from: Query<Option<DateTime<Utc>>>,
        /// Only appointments that start before this instant (RFC 3339).
        to: Query<Option<DateTime<Utc>>>,
        paging: Paging,
    ) -> Result<Listed<AppointmentView>, Problem> {
        let seen = call.admit(Action::Read, Resource::Appointments).await?;
        let paging = paging.of(&call.caller)?;
        let filter = AppointmentFilter {
            doctor: doctor.0.map(DoctorId),
            patient: patient.0.map(PatientId),
            status: status.0.map(Status::from),
            from: from.0,
            to: to.0,
        };
        let rows = call.repository.list_appointments(&call.caller, seen, filter, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, AppointmentView::from))
    }

    /// Book an appointment
    ///
    /// If several clients book the same free slot, exactly one succeeds. The others get 409 with `next_slots`, the next
    /// bookable slots.
    #[oai(path = "/", method = "post", operation_id = "createAppointment")]
    async fn create(
        &self,
        call: Call,
        _key: IdempotencyKey,
        body: Body<AppointmentInput>,
    ) -> Result<Created<AppointmentView>, Refused<Booking>> {
        let bookable = call.admit(Action::Create, Resource::Appointments).await?;
        let schedules = call.schedules.clone();
        let booked = call.once(body.1, move |caller| async move {
            Ok::<Appointment, Problem>(schedules.book(request(caller, bookable, body.0)).await?)
        });
        Ok(booked.await?.created("/api/appointments", |row| (row.id.0, row.version)))
    }

    /// Check a booking
    ///
    /// Checks a booking without making it. Lists every rule that it breaks, and the next slots at which both the doctor
    /// and the patient are free.
    #[oai(path = "/check", method = "post", operation_id = "checkBooking")]
    async fn check(&self, call: Call, body: Body<AppointmentInput>) -> Result<Found<CheckView>, Problem> {
        let bookable = call.admit(Action::Create, Resource::Appointments).await?;
        let found = call.schedules.check(&request(call.caller.clone(), bookable, body.0)).await?;
        Ok(Found::Ok(Json(found.into())))
    }

    /// Get an appointment
    #[oai(path = "/:id", method = "get", operation_id = "getAppointment")]
    async fn get(
        &self,
        call: Call,
        /// The appointment's id.
        id: Path<i64>,
    ) -> Result<Fetched<AppointmentView>, Problem> {
        let seen = call.admit(Action::Read, Resource::Appointments).await?;
        let appointment = call.repository.find_appointment(&call.caller, AppointmentId(id.0), seen).await?;
        Ok(fetched(appointment))
    }

    /// Update an appointment
    ///
    /// Changes the status, the reason or the time. A new time is taken and the old one freed in one transaction.
    #[oai(path = "/:id", method = "patch", operation_id = "updateAppointment")]
    async fn update(
        &self,
        call: Call,
        /// The appointment's id.
        id: Path<i64>,
        if_match: IfMatch,
        body: Body<AppointmentPatch>,
    ) -> Result<Fetched<AppointmentView>, Refused<Moving>> {
        let patch = body.0;
        let mut reach = None;
        if patch.status.is_some() {
            reach = Some(call.admit(Action::Transition, Resource::Appointments).await?);
        }
        // Even a body that changes nothing needs the right to update.
        if patch.moves() || patch.reason.is_some() || patch.status.is_none() {
            let updatable = call.admit(Action::Update, Resource::Appointments).await?;
            reach = Some(reach.map_or(updatable, |transitionable| narrower(transitionable, updatable)));
        }
        let expected = if_match.version()?;
        let reach = reach.unwrap_or_default();
        let amended = amend(&call, AppointmentId(id.0), reach, expected, &patch, Aim::Change).await?;
        Ok(fetched(amended))
    }

    /// Cancel an appointment
    ///
    /// Sets the status to CANCELLED and frees the slot. The appointment can still be read.
    #[oai(path = "/:id", method = "delete", operation_id = "cancelAppointment")]
    async fn cancel(
        &self,
        call: Call,
        /// The appointment's id.
        id: Path<i64>,
        if_match: IfMatch,
    ) -> Result<NoContent, Refused<Stepping>> {
        let reach = call.admit(Action::Transition, Resource::Appointments).await?;
        let expected = if_match.version()?;
        let patch = AppointmentPatch { status: Some(StatusView::Cancelled), ..AppointmentPatch::default() };
        amend(&call, AppointmentId(id.0), reach, expected, &patch, Aim::Change).await?;
        Ok(NoContent::Done)
    }
}

fn request(caller: Caller, bookable: Visibility, wanted: AppointmentInput) -> BookingRequest {
    BookingRequest {
        caller,
        bookable,
        doctor: DoctorId(wanted.doctor),
        patient: PatientId(wanted.patient),
        start: wanted.appointment_datetime,
        length: wanted.duration_minutes.map(TimeDelta::minutes),
        reason: tidy(&wanted.reason.unwrap_or_default()),
        hold: None,
    }
}

/// Returns the rows that both visibilities include. In practice the grants of one role are the same. If they differ,
/// rows that only one of them includes are left out.
fn narrower(one: Visibility, other: Visibility) -> Visibility {
    if one.whole_clinic {
        return other;
    }
    if other.whole_clinic {
        return one;
    }
    Visibility {
        whole_clinic: false,
        owner: one.owner.filter(|_| other.owner.is_some()),
        doctor: one.doctor.filter(|_| other.doctor.is_some()),
    }
}

/// Whether the status must change, or may already be the requested one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    Change,
    Step,
}

/// Reads the appointment, builds the change, and asks the doctor's schedule. If somebody else changes the appointment
/// in between, it tries again, unless the caller requested a version.
pub(super) async fn amend(
    call: &Call,
    id: AppointmentId,
    reach: Visibility,
    expected: Option<i64>,
    patch: &AppointmentPatch,
    aim: Aim,
) -> Result<Appointment, Problem> {
    for _ in 0..ATTEMPTS {
        let current = call.repository.find_appointment(&call.caller, id, reach).await?;
        if expected.is_some_and(|expected| expected != current.version) {
            return Err(Error::Stale.into());
        }
        if let (Aim::Step, Some(status)) = (aim, patch.status.map(Status::from))
            && status == current.status
        {
            return Err(Problem::invalid_transition(status, status));
        }
        let amendment = patch.amend(&call.caller, current)?;
        match call.schedules.amend(amendment).await {
            Err(ScheduleError::Repository(Error::Stale)) if expected.is_none() => {}
            amended => return Ok(amended?),
        }
    }
    Err(Error::TryAgain.into())
}

pub(super) fn fetched(appointment: Appointment) -> Fetched<AppointmentView> {
    Fetched::of(appointment.version, appointment)
}
