//! `/api/appointment-series`: appointments that repeat at the same local time of the doctor.

use chrono::TimeDelta;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;

use crate::api::context::{Call, Chapter};
use crate::api::http::body::Body;
use crate::api::http::etag::{Entered, Found};
use crate::api::http::idempotency::IdempotencyKey;
use crate::api::http::problem::{Problem, Refused, against};
use crate::api::views::series::{BookedSeriesView, SeriesInput, SeriesView};
use crate::domain::access::{Action, Resource};
use crate::domain::fields::tidy;
use crate::domain::series::{BookedSeries, Repeat, SeriesRequest};
use crate::domain::{DoctorId, PatientId, SeriesId};

/// Operations on series.
pub struct AppointmentSeries;

against!(
    /// Some occurrences cannot be booked.
    SomeTimes: SERIES_CONFLICT
);

#[OpenApi(prefix_path = "/api/appointment-series", tag = "Chapter::Series")]
impl AppointmentSeries {
    /// Book a series of appointments
    ///
    /// Books all occurrences or none; a refusal lists each one that cannot be booked. With `skip_conflicts`, books
    /// those that can be booked. To cancel the rest of a series, cancel one appointment with
    /// `scope=this_and_following`.
    #[oai(path = "/", method = "post", operation_id = "createAppointmentSeries")]
    async fn create(
        &self,
        call: Call,
        _key: IdempotencyKey,
        body: Body<SeriesInput>,
    ) -> Result<Entered<BookedSeriesView>, Refused<SomeTimes>> {
        let bookable = call.admit(Action::Create, Resource::Appointments).await?;
        let wanted = body.0;
        let request = SeriesRequest {
            caller: call.caller.clone(),
            bookable,
            doctor: DoctorId(wanted.doctor),
            patient: PatientId(wanted.patient),
            first: wanted.appointment_datetime,
            repeat: Repeat::parse(&wanted.rrule)?,
            length: wanted.duration_minutes.map(TimeDelta::minutes),
            reason: tidy(&wanted.reason.unwrap_or_default()),
            skip_conflicts: wanted.skip_conflicts.unwrap_or(false),
        };
        let schedules = call.schedules.clone();
        let booked = call.once(body.1, move |caller| async move {
            Ok::<BookedSeries, Problem>(schedules.book_series(SeriesRequest { caller, ..request }).await?)
        });
        Ok(booked.await?.entered("/api/appointment-series", |booked| booked.series.id.0))
    }

    /// Get a series
    ///
    /// Returns the series with its appointments, by start.
    #[oai(path = "/:id", method = "get", operation_id = "getAppointmentSeries")]
    async fn get(
        &self,
        call: Call,
        /// The series' id.
        id: Path<i64>,
    ) -> Result<Found<SeriesView>, Problem> {
        let seen = call.admit(Action::Read, Resource::Appointments).await?;
        let series = call.repository.find_series(&call.caller, SeriesId(id.0), seen).await?;
        Ok(Found::Ok(Json(series.into())))
    }
}
