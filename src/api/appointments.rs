//! `/api/appointments`: parse and validate; the schedule of the doctor decides.

use chrono::{DateTime, TimeDelta, Utc};
use poem::{Request, web::Data};
use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
    types::Example,
};

use super::{
    body::Body,
    context::{Authenticated, Chapter, Services},
    etag::{Created, Fetched, NoContent, etag, expected_version},
    page::{Listed, Paging},
    problem::{self, Problem},
};
use crate::{
    actors::{repository::Error, schedule::ScheduleError},
    domain::{
        AppointmentId, Caller, DoctorId, Interval, PatientId, Visibility,
        access::{Action, Resource},
        appointments::{Amendment, Appointment, AppointmentFilter, BookingRequest},
        fields::{FieldErrors, tidy},
        lifecycle::Status,
    },
};

/// How often a change that asks for no version is made again from the version that overtook it.
const ATTEMPTS: usize = 5;

/// Operations on appointments.
pub struct Appointments;

/// Where an appointment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "AppointmentStatus")]
pub enum StatusView {
    /// Booked.
    #[oai(rename = "SCHEDULED")]
    Scheduled,
    /// The patient has said that they will come.
    #[oai(rename = "CONFIRMED")]
    Confirmed,
    /// The patient is here.
    #[oai(rename = "CHECKED_IN")]
    CheckedIn,
    /// The visit took place.
    #[oai(rename = "COMPLETED")]
    Completed,
    /// Called off.
    #[oai(rename = "CANCELLED")]
    Cancelled,
    /// The patient did not come.
    #[oai(rename = "NO_SHOW")]
    NoShow,
}

impl From<StatusView> for Status {
    fn from(view: StatusView) -> Self {
        match view {
            StatusView::Scheduled => Self::Scheduled,
            StatusView::Confirmed => Self::Confirmed,
            StatusView::CheckedIn => Self::CheckedIn,
            StatusView::Completed => Self::Completed,
            StatusView::Cancelled => Self::Cancelled,
            StatusView::NoShow => Self::NoShow,
        }
    }
}

impl From<Status> for StatusView {
    fn from(status: Status) -> Self {
        match status {
            Status::Scheduled => Self::Scheduled,
            Status::Confirmed => Self::Confirmed,
            Status::CheckedIn => Self::CheckedIn,
            Status::Completed => Self::Completed,
            Status::Cancelled => Self::Cancelled,
            Status::NoShow => Self::NoShow,
        }
    }
}

/// A booked time of a doctor with a patient.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Appointment")]
pub struct AppointmentView {
    /// The appointment's id.
    id: i64,
    /// The doctor's id.
    doctor: i64,
    /// The patient's id.
    patient: i64,
    /// When it starts.
    appointment_datetime: DateTime<Utc>,
    /// How long it is, in minutes.
    duration_minutes: i64,
    /// When it ends: the first instant after it.
    ends_at: DateTime<Utc>,
    /// Why the patient comes.
    reason: String,
    /// Where it stands.
    status: StatusView,
    /// The id of the user who booked it.
    created_by: i64,
    /// When it was booked.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

impl From<Appointment> for AppointmentView {
    fn from(appointment: Appointment) -> Self {
        Self {
            id: appointment.id.0,
            doctor: appointment.doctor.0,
            patient: appointment.patient.0,
            appointment_datetime: appointment.during.start(),
            duration_minutes: appointment.during.length().num_minutes(),
            ends_at: appointment.during.end(),
            reason: appointment.reason,
            status: appointment.status.into(),
            created_by: appointment.created_by.0,
            created_at: appointment.created_at,
            updated_at: appointment.updated_at,
        }
    }
}

/// An appointment to book.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct AppointmentInput {
    /// The doctor's id.
    #[oai(validator(minimum(value = "1")))]
    doctor: i64,
    /// The patient's id.
    #[oai(validator(minimum(value = "1")))]
    patient: i64,
    /// When it starts: an instant with its offset (RFC 3339).
    appointment_datetime: DateTime<Utc>,
    /// How long it is, in minutes; the doctor's slot length unless said.
    #[oai(nullable, validator(minimum(value = "5"), maximum(value = "1440")))]
    duration_minutes: Option<i64>,
    /// Why the patient comes.
    #[oai(nullable, validator(max_length = 1000))]
    reason: Option<String>,
}

impl Example for AppointmentInput {
    fn example() -> Self {
        Self {
            doctor: 1,
            patient: 1,
            appointment_datetime: DateTime::from_timestamp(1_893_661_200, 0).unwrap_or_default(),
            duration_minutes: Some(30),
            reason: Some("Follow-up".into()),
        }
    }
}

/// What to change of an appointment; what is absent stays.
#[derive(Debug, Clone, Object)]
#[oai(deny_unknown_fields)]
pub struct AppointmentPatch {
    /// The status that it shall have; it must be one that may follow the present one.
    status: Option<StatusView>,
    /// Why the patient comes.
    #[oai(validator(max_length = 1000))]
    reason: Option<String>,
    /// When it shall start: an instant with its offset (RFC 3339).
    appointment_datetime: Option<DateTime<Utc>>,
    /// How long it shall be, in minutes.
    #[oai(validator(minimum(value = "5"), maximum(value = "1440")))]
    duration_minutes: Option<i64>,
}

impl AppointmentPatch {
    fn moves(&self) -> bool {
        self.appointment_datetime.is_some() || self.duration_minutes.is_some()
    }

    /// What the appointment shall be afterwards.
    fn amend(&self, caller: &Caller, current: Appointment) -> Result<Amendment, Problem> {
        let status = self.status.map_or(current.status, Status::from);
        if status != current.status && !current.status.next().contains(&status) {
            return Err(Problem::invalid_transition(current.status, status));
        }
        if self.moves() && !current.status.can_be_rescheduled() && !status.can_be_rescheduled() {
            let detail = format!("An appointment that is {} cannot be given another time.", current.status);
            return Err(
                Problem::new(problem::INVALID_TRANSITION, detail.clone()).with_error("appointment_datetime", detail)
            );
        }
        let start = self.appointment_datetime.unwrap_or(current.during.start());
        let length = self.duration_minutes.map_or(current.during.length(), TimeDelta::minutes);
        let during = Interval::starting(start, length).ok_or_else(out_of_years)?;
        let reason = self.reason.as_deref().map_or_else(|| current.reason.clone(), tidy);
        Ok(Amendment { caller: caller.clone(), current, during, status, reason })
    }
}

fn out_of_years() -> Problem {
    Problem::invalid(FieldErrors::one("appointment_datetime", "The appointment must lie in the years 1900 to 2200."))
}

#[OpenApi(prefix_path = "/api/appointments", tag = "Chapter::Appointments")]
impl Appointments {
    /// List appointments
    ///
    /// The appointments that the caller may see, newest booking first.
    #[oai(path = "/", method = "get", operation_id = "listAppointments")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn list(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        request: &Request,
        /// Only this doctor's.
        doctor: Query<Option<i64>>,
        /// Only this patient's.
        patient: Query<Option<i64>>,
        /// Only in this status.
        status: Query<Option<StatusView>>,
        /// Only those that end after this instant (RFC 3339).
        from: Query<Option<DateTime<Utc>>>,
        /// Only those that start before this instant (RFC 3339).
        to: Query<Option<DateTime<Utc>>>,
        /// How many at most; 50 unless said.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<i64>>,
        /// Where to go on, from the `Link` header of the page before.
        #[oai(validator(max_length = 200))]
        cursor: Query<Option<String>>,
    ) -> Result<Listed<AppointmentView>, Problem> {
        let seen = services.admit(&caller.0, Action::Read, Resource::Appointments).await?;
        let paging = Paging::of(request, &caller.0, limit.0, cursor.0.as_ref())?;
        let filter = AppointmentFilter {
            doctor: doctor.0.map(DoctorId),
            patient: patient.0.map(PatientId),
            status: status.0.map(Status::from),
            from: from.0,
            to: to.0,
        };
        let rows = services.repository.list_appointments(&caller.0, seen, filter, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, AppointmentView::from))
    }

    /// Book an appointment
    ///
    /// Of several clients that want one free time, exactly one gets it; the others get 409 with
    /// `next_slots`, the next times that can be booked.
    #[oai(path = "/", method = "post", operation_id = "createAppointment")]
    async fn create(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        body: Body<AppointmentInput>,
    ) -> Result<Created<AppointmentView>, Problem> {
        let bookable = services.admit(&caller.0, Action::Create, Resource::Appointments).await?;
        let wanted = body.0;
        let request = BookingRequest {
            caller: caller.0,
            bookable,
            doctor: DoctorId(wanted.doctor),
            patient: PatientId(wanted.patient),
            start: wanted.appointment_datetime,
            length: wanted.duration_minutes.map(TimeDelta::minutes),
            reason: tidy(&wanted.reason.unwrap_or_default()),
        };
        let appointment = services.schedules.book(request).await?;
        let (location, tag) = (format!("/api/appointments/{}", appointment.id), etag(appointment.version));
        Ok(Created::Created(Json(appointment.into()), location, tag))
    }

    /// Read an appointment
    #[oai(path = "/:id", method = "get", operation_id = "getAppointment")]
    async fn get(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The appointment's id.
        id: Path<i64>,
    ) -> Result<Fetched<AppointmentView>, Problem> {
        let seen = services.admit(&caller.0, Action::Read, Resource::Appointments).await?;
        let appointment = services.repository.find_appointment(&caller.0, AppointmentId(id.0), seen).await?;
        Ok(fetched(appointment))
    }

    /// Change an appointment
    ///
    /// Its status along the lifecycle, its reason, or its time. The old time is freed and the new one
    /// taken in one step, or neither.
    #[oai(path = "/:id", method = "patch", operation_id = "updateAppointment")]
    async fn update(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The appointment's id.
        id: Path<i64>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
        body: Body<AppointmentPatch>,
    ) -> Result<Fetched<AppointmentView>, Problem> {
        let patch = body.0;
        let mut reach = None;
        if patch.status.is_some() {
            reach = Some(services.admit(&caller.0, Action::Transition, Resource::Appointments).await?);
        }
        // A body that changes nothing needs the right to change all the same.
        if patch.moves() || patch.reason.is_some() || patch.status.is_none() {
            let updatable = services.admit(&caller.0, Action::Update, Resource::Appointments).await?;
            reach = Some(reach.map_or(updatable, |transitionable| narrower(transitionable, updatable)));
        }
        let expected = expected_version(if_match.0.as_ref())?;
        let reach = reach.unwrap_or_default();
        let amended = amend(&services, &caller.0, AppointmentId(id.0), reach, expected, &patch).await?;
        Ok(fetched(amended))
    }

    /// Cancel an appointment
    ///
    /// The row stays, with status CANCELLED, and its time is free.
    #[oai(path = "/:id", method = "delete", operation_id = "cancelAppointment")]
    async fn cancel(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The appointment's id.
        id: Path<i64>,
        /// The ETag that the row must still have.
        #[oai(name = "If-Match")]
        if_match: Header<Option<String>>,
    ) -> Result<NoContent, Problem> {
        let reach = services.admit(&caller.0, Action::Transition, Resource::Appointments).await?;
        let expected = expected_version(if_match.0.as_ref())?;
        let patch = AppointmentPatch {
            status: Some(StatusView::Cancelled),
            reason: None,
            appointment_datetime: None,
            duration_minutes: None,
        };
        amend(&services, &caller.0, AppointmentId(id.0), reach, expected, &patch).await?;
        Ok(NoContent::Done)
    }
}

/// The rows within which both may be done. Grants of one role are alike in practice; where they differ,
/// what only one of them reaches is out of reach.
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

/// Reads the appointment, works out what it shall be, and has its doctor's schedule decide. Somebody
/// else's change in between is met by doing it again, unless the caller asked for a version.
async fn amend(
    services: &Services,
    caller: &Caller,
    id: AppointmentId,
    reach: Visibility,
    expected: Option<i64>,
    patch: &AppointmentPatch,
) -> Result<Appointment, Problem> {
    for _ in 0..ATTEMPTS {
        let current = services.repository.find_appointment(caller, id, reach).await?;
        if expected.is_some_and(|expected| expected != current.version) {
            return Err(Error::Stale.into());
        }
        let amendment = patch.amend(caller, current)?;
        match services.schedules.amend(amendment).await {
            Err(ScheduleError::Repository(Error::Stale)) if expected.is_none() => {}
            amended => return Ok(amended?),
        }
    }
    Err(Error::TryAgain.into())
}

fn fetched(appointment: Appointment) -> Fetched<AppointmentView> {
    let tag = etag(appointment.version);
    Fetched::Ok(Json(appointment.into()), tag)
}
