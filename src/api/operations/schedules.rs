//! `/api/doctors/{id}/working-hours`, `/time-off` and `/scheduling`: the rules of a doctor's schedule.

use chrono::TimeDelta;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;

use crate::api::context::{Call, Chapter};
use crate::api::http::body::Body;
use crate::api::http::etag::{Entered, Fetched, IfMatch, NoContent};
use crate::api::http::idempotency::IdempotencyKey;
use crate::api::http::page::{Listed, Paging};
use crate::api::http::problem::Problem;
use crate::api::views::schedules::{
    ChangedHoursView, ChangedSchedulingView, EnteredTimeOffView, HoursInput, HoursView, SchedulingPatch,
    SchedulingView, TimeOffInput, TimeOffView,
};
use crate::domain::access::{Action, Resource};
use crate::domain::doctors::DoctorDetails;
use crate::domain::fields::{FieldErrors, tidy};
use crate::domain::{DoctorId, Interval, TimeOffId};

/// The maximum length of time off, in days.
const LONGEST_TIME_OFF: i64 = 366;

/// Operations on the rules of a doctor's schedule.
pub struct DoctorSchedules;

#[OpenApi(prefix_path = "/api/doctors", tag = "Chapter::Schedules")]
impl DoctorSchedules {
    /// Get working hours
    ///
    /// Returns the current and the planned weekly windows, in the doctor's time zone. A doctor without working hours
    /// can be booked at any time.
    #[oai(path = "/:id/working-hours", method = "get", operation_id = "getWorkingHours")]
    async fn hours(
        &self,
        call: Call,
        /// The doctor's id.
        id: Path<i64>,
    ) -> Result<Fetched<HoursView>, Problem> {
        let seen = call.admit(Action::Read, Resource::Schedules).await?;
        let hours = call.repository.find_hours(&call.caller, DoctorId(id.0), seen).await?;
        Ok(Fetched::of(hours.revision, hours))
    }

    /// Set working hours
    ///
    /// Sets the whole week, from today or from `effective_from` on. Hours that are planned for a later day stay
    /// planned. If `windows` is null, the doctor has no working hours and can be booked at any time; if it is empty,
    /// the doctor does not work. Upcoming appointments outside the new hours stay; the response lists them.
    #[oai(path = "/:id/working-hours", method = "put", operation_id = "setWorkingHours")]
    async fn set_hours(
        &self,
        call: Call,
        /// The doctor's id.
        id: Path<i64>,
        /// The ETag that the hours must have; otherwise 412.
        if_match: IfMatch,
        body: Body<HoursInput>,
    ) -> Result<Fetched<ChangedHoursView>, Problem> {
        let seen = call.admit(Action::Update, Resource::Schedules).await?;
        let expected = if_match.version()?;
        let (doctor, new) = (DoctorId(id.0), body.0.hours()?);
        let changed = call.schedules.rules().set_hours(&call.caller, doctor, seen, expected, new).await?;
        Ok(Fetched::of(changed.row.revision, changed))
    }

    /// List time off
    ///
    /// Newest first.
    #[oai(path = "/:id/time-off", method = "get", operation_id = "listTimeOff")]
    async fn time_off(
        &self,
        call: Call,
        /// The doctor's id.
        id: Path<i64>,
        paging: Paging,
    ) -> Result<Listed<TimeOffView>, Problem> {
        let seen = call.admit(Action::Read, Resource::Schedules).await?;
        let paging = paging.of(&call.caller)?;
        let rows = call.repository.list_time_off(&call.caller, DoctorId(id.0), seen, paging.fetch()).await?;
        Ok(paging.listed(rows, |row| row.id.0, TimeOffView::from))
    }

    /// Create time off
    ///
    /// The doctor cannot be booked during time off. Existing appointments stay; the response lists them.
    #[oai(path = "/:id/time-off", method = "post", operation_id = "createTimeOff")]
    async fn enter_time_off(
        &self,
        call: Call,
        /// The doctor's id.
        id: Path<i64>,
        _key: IdempotencyKey,
        body: Body<TimeOffInput>,
    ) -> Result<Entered<EnteredTimeOffView>, Problem> {
        let seen = call.admit(Action::Update, Resource::Schedules).await?;
        let during = Interval::between(body.0.starts_at, body.0.ends_at)
            .filter(|during| during.length() <= TimeDelta::days(LONGEST_TIME_OFF));
        let during = during.ok_or_else(|| {
            let message = format!("Must be after starts_at, by at most {LONGEST_TIME_OFF} days.");
            FieldErrors::one("ends_at", message)
        })?;
        let reason = tidy(&body.0.reason.unwrap_or_default());
        let (changing, doctor) = (call.services.clone(), DoctorId(id.0));
        let made = call.once(body.1, move |caller| async move {
            Ok(changing.schedules.rules().create_time_off(&caller, doctor, seen, during, reason).await?)
        });
        Ok(made.await?.entered(&format!("/api/doctors/{doctor}/time-off"), |made| made.row.id.0))
    }

    /// Delete time off
    #[oai(path = "/:id/time-off/:time_off_id", method = "delete", operation_id = "deleteTimeOff")]
    async fn delete_time_off(
        &self,
        call: Call,
        /// The doctor's id.
        id: Path<i64>,
        /// The time off's id.
        time_off_id: Path<i64>,
    ) -> Result<NoContent, Problem> {
        let seen = call.admit(Action::Update, Resource::Schedules).await?;
        let doctor = DoctorId(id.0);
        let id = TimeOffId(time_off_id.0);
        call.schedules.rules().delete_time_off(&call.caller, doctor, seen, id).await?;
        Ok(NoContent::Done)
    }

    /// Get scheduling settings
    #[oai(path = "/:id/scheduling", method = "get", operation_id = "getScheduling")]
    async fn scheduling(
        &self,
        call: Call,
        /// The doctor's id.
        id: Path<i64>,
    ) -> Result<Fetched<SchedulingView>, Problem> {
        let seen = call.admit(Action::Read, Resource::Schedules).await?;
        let doctor = call.repository.find_doctor(&call.caller, DoctorId(id.0), seen).await?;
        Ok(Fetched::of(doctor.version, doctor))
    }

    /// Update scheduling settings
    ///
    /// Absent fields stay unchanged. Appointments keep their instants, even if the time zone changes. Upcoming
    /// appointments that break the new rules stay; the response lists them.
    #[oai(path = "/:id/scheduling", method = "patch", operation_id = "updateScheduling")]
    async fn set_scheduling(
        &self,
        call: Call,
        /// The doctor's id.
        id: Path<i64>,
        /// The ETag that the doctor's settings must have; otherwise 412.
        if_match: IfMatch,
        body: Body<SchedulingPatch>,
    ) -> Result<Fetched<ChangedSchedulingView>, Problem> {
        let seen = call.admit(Action::Update, Resource::Schedules).await?;
        let expected = if_match.version()?;
        let doctor = DoctorId(id.0);
        let change = move |mut stored: DoctorDetails| {
            stored.scheduling = body.0.apply(stored.scheduling)?;
            Ok(stored)
        };
        let changed = call.schedules.rules().update_doctor(&call.caller, doctor, seen, expected, change).await?;
        Ok(Fetched::of(changed.row.version, changed))
    }
}
