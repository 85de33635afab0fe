//! `/api/appointment-series`: repeats of appointments at the doctor's wall-clock time.

use chrono::{DateTime, TimeDelta, Utc};
use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    param::{Header, Path},
    payload::Json,
    types::Example,
};

use super::{
    appointments::AppointmentView,
    body::Body,
    context::{Authenticated, Chapter, Services},
    etag::{Entered, Found},
    problem::Problem,
    refusal::SkippedView,
};
use crate::domain::{
    DoctorId, PatientId, SeriesId,
    access::{Action, Resource},
    fields::tidy,
    series::{BookedSeries, Repeat, Series, SeriesRequest},
};

/// Operations on series.
pub struct AppointmentSeries;

/// A repeat of appointments.
#[derive(Debug, Clone, Object)]
#[oai(rename = "AppointmentSeries")]
pub struct SeriesView {
    /// The series' id.
    id: i64,
    /// The doctor's id.
    doctor: i64,
    /// The patient's id.
    patient: i64,
    /// The rule (RFC 5545 RRULE).
    rrule: String,
    /// When the first appointment was to start.
    appointment_datetime: DateTime<Utc>,
    /// How long each is, in minutes.
    duration_minutes: i32,
    /// Why the patient comes.
    reason: String,
    /// The id of the user who booked it.
    created_by: i64,
    /// When it was booked.
    created_at: DateTime<Utc>,
    /// Its appointments, by start.
    appointments: Vec<AppointmentView>,
}

impl From<Series> for SeriesView {
    fn from(series: Series) -> Self {
        Self {
            id: series.id.0,
            doctor: series.doctor.0,
            patient: series.patient.0,
            rrule: series.rrule,
            appointment_datetime: series.first,
            duration_minutes: series.duration_minutes,
            reason: series.reason,
            created_by: series.created_by.0,
            created_at: series.created_at,
            appointments: series.appointments.into_iter().map(AppointmentView::from).collect(),
        }
    }
}

/// A series that was booked, and the times that were skipped.
#[derive(Debug, Clone, Object)]
#[oai(rename = "BookedSeries")]
pub struct BookedSeriesView {
    #[oai(flatten)]
    series: SeriesView,
    /// The times that could not be booked, with the rules that they break.
    skipped: Vec<SkippedView>,
}

impl From<BookedSeries> for BookedSeriesView {
    fn from(booked: BookedSeries) -> Self {
        let skipped = booked.skipped.into_iter().map(SkippedView::from).collect();
        Self { series: booked.series.into(), skipped }
    }
}

/// A series to book.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct SeriesInput {
    /// The doctor's id.
    #[oai(validator(minimum(value = "1")))]
    doctor: i64,
    /// The patient's id.
    #[oai(validator(minimum(value = "1")))]
    patient: i64,
    /// When the first appointment starts (RFC 3339); the others start at its time on the doctor's clock.
    appointment_datetime: DateTime<Utc>,
    /// Which days follow: an RFC 5545 rule, daily, weekly or monthly, with COUNT or UNTIL; at most 100 times.
    #[oai(validator(min_length = 1, max_length = 300))]
    rrule: String,
    /// How long each is, in minutes; the doctor's slot length unless said.
    #[oai(nullable, validator(minimum(value = "5"), maximum(value = "1440")))]
    duration_minutes: Option<i64>,
    /// Why the patient comes.
    #[oai(nullable, validator(max_length = 1000))]
    reason: Option<String>,
    /// Whether to book what can be booked where some times cannot; otherwise all or nothing.
    #[oai(nullable)]
    skip_conflicts: Option<bool>,
}

impl Example for SeriesInput {
    fn example() -> Self {
        Self {
            doctor: 1,
            patient: 1,
            appointment_datetime: DateTime::from_timestamp(1_893_661_200, 0).unwrap_or_default(),
            rrule: "FREQ=WEEKLY;BYDAY=MO,WE;COUNT=10".into(),
            duration_minutes: Some(30),
            reason: Some("Physiotherapy".into()),
            skip_conflicts: Some(false),
        }
    }
}

#[OpenApi(prefix_path = "/api/appointment-series", tag = "Chapter::Series")]
impl AppointmentSeries {
    /// Book a series of appointments
    ///
    /// All of them or none, with each time that cannot be booked listed; with `skip_conflicts` those that
    /// can be. To cancel some, cancel one with `scope=this_and_following`.
    #[oai(path = "/", method = "post", operation_id = "createAppointmentSeries")]
    async fn create(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The client's name for this request: sent again with the same name within a day, it is not done
        /// again but answered as before.
        #[oai(name = "Idempotency-Key", validator(min_length = 1, max_length = 200))]
        _key: Header<Option<String>>,
        body: Body<SeriesInput>,
    ) -> Result<Entered<BookedSeriesView>, Problem> {
        let bookable = services.admit(&caller.0, Action::Create, Resource::Appointments).await?;
        let wanted = body.0;
        let request = SeriesRequest {
            caller: caller.0.clone(),
            bookable,
            doctor: DoctorId(wanted.doctor),
            patient: PatientId(wanted.patient),
            first: wanted.appointment_datetime,
            repeat: Repeat::parse(&wanted.rrule)?,
            length: wanted.duration_minutes.map(TimeDelta::minutes),
            reason: tidy(&wanted.reason.unwrap_or_default()),
            skip_conflicts: wanted.skip_conflicts.unwrap_or(false),
        };
        let schedules = services.schedules.clone();
        let booked = services.once(caller.0, body.1, move |caller| async move {
            Ok::<BookedSeries, Problem>(schedules.book_series(SeriesRequest { caller, ..request }).await?)
        });
        Ok(booked.await?.entered("/api/appointment-series", |booked| booked.series.id.0))
    }

    /// Read a series
    ///
    /// With all its appointments, by start.
    #[oai(path = "/:id", method = "get", operation_id = "getAppointmentSeries")]
    async fn get(
        &self,
        caller: Authenticated,
        services: Data<&Services>,
        /// The series' id.
        id: Path<i64>,
    ) -> Result<Found<SeriesView>, Problem> {
        let seen = services.admit(&caller.0, Action::Read, Resource::Appointments).await?;
        let series = services.repository.find_series(&caller.0, SeriesId(id.0), seen).await?;
        Ok(Found::Ok(Json(series.into())))
    }
}
