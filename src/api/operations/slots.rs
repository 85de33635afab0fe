//! Free slots of one doctor or of all doctors, and why a time is not free. The schedule actors answer.

use chrono::{DateTime, TimeDelta, Utc};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;

use crate::actors::repository::{Error, Page};
use crate::actors::schedule::ScheduleError;
use crate::api::context::{Call, Chapter};
use crate::api::http::etag::Found;
use crate::api::http::problem::{Problem, told};
use crate::api::views::refusal::SlotView;
use crate::api::views::slots::{AvailableSlot, RuleVerdict, SlotExplanation};
use crate::domain::access::{Action, Resource};
use crate::domain::calendar::{Search, Violation};
use crate::domain::doctors::DoctorFilter;
use crate::domain::fields::{FieldErrors, filter_text};
use crate::domain::interval::YEARS;
use crate::domain::{DoctorId, Interval};

/// The maximum span of a search.
const LONGEST: TimeDelta = TimeDelta::days(31);
/// The default span of a search.
const USUAL: TimeDelta = TimeDelta::days(7);
/// The maximum number of doctors in a search of all doctors.
const MOST_DOCTORS: i64 = 200;
/// The default number of slots in a search of all doctors.
const USUAL_SLOTS: usize = 50;

/// Operations on free times.
pub struct Slots;

#[OpenApi(prefix_path = "/api", tag = "Chapter::Slots")]
impl Slots {
    /// List a doctor's free slots
    ///
    /// Lists the bookable slots of the doctor's slot grid that start at or after `from` and before `to`, earliest
    /// first.
    #[oai(path = "/doctors/:id/slots", method = "get", operation_id = "listDoctorSlots")]
    async fn of_doctor(
        &self,
        call: Call,
        /// The doctor's id.
        id: Path<i64>,
        /// Earliest start (RFC 3339); now by default.
        from: Query<Option<DateTime<Utc>>>,
        /// Slots start before this (RFC 3339); seven days after `from` by default, at most 31.
        to: Query<Option<DateTime<Utc>>>,
        /// Duration in minutes; the doctor's `slot_minutes` by default.
        #[oai(validator(minimum(value = "5"), maximum(value = "1440")))]
        duration_minutes: Query<Option<i64>>,
    ) -> Result<Found<Vec<AvailableSlot>>, Problem> {
        let seen = call.admit(Action::Read, Resource::Schedules).await?;
        let doctor = DoctorId(id.0);
        let now = crate::clock::now();
        let (from, to) = span(from.0, to.0, now)?;
        if !seen.whole_clinic {
            call.repository.find_doctor(&call.caller, doctor, seen).await?;
        }
        let calendar = call.schedules.calendar(call.caller.clinic, doctor).await.map_err(not_found)?;
        let length = duration_minutes.0.map_or(calendar.rules().slot, TimeDelta::minutes);
        let search = Search { from, to, length, also_busy: &[], ignored: None, now };
        Ok(Found::Ok(Json(calendar.free(search).map(|slot| AvailableSlot::of(doctor, &calendar, slot)).collect())))
    }

    /// Explain a slot
    ///
    /// Lists each scheduling rule, and whether it allows an appointment that starts at `at`.
    #[oai(path = "/doctors/:id/slots/explain", method = "get", operation_id = "explainDoctorSlot")]
    async fn explain(
        &self,
        call: Call,
        /// The doctor's id.
        id: Path<i64>,
        /// The start to explain (RFC 3339).
        at: Query<DateTime<Utc>>,
        /// Duration in minutes; the doctor's `slot_minutes` by default.
        #[oai(validator(minimum(value = "5"), maximum(value = "1440")))]
        duration_minutes: Query<Option<i64>>,
    ) -> Result<Found<SlotExplanation>, Problem> {
        let seen = call.admit(Action::Read, Resource::Schedules).await?;
        let doctor = DoctorId(id.0);
        if !seen.whole_clinic {
            call.repository.find_doctor(&call.caller, doctor, seen).await?;
        }
        let calendar = call.schedules.calendar(call.caller.clinic, doctor).await.map_err(not_found)?;
        let length = duration_minutes.0.map_or(calendar.rules().slot, TimeDelta::minutes);
        let during = Interval::starting(at.0, length).ok_or_else(|| out_of_years("at"))?;
        let now = crate::clock::now();
        let broken = calendar.violations(&during, None, now);
        let on_slot_grid = calendar.is_on_grid(at.0);
        let rules = Violation::OF_CALENDAR.into_iter().map(|rule| {
            let allowed = !broken.contains(&rule);
            RuleVerdict { rule: rule.into(), allowed, detail: (!allowed).then(|| told(rule).detail.to_owned()) }
        });
        Ok(Found::Ok(Json(SlotExplanation {
            slot: AvailableSlot::of(doctor, &calendar, during),
            bookable: broken.is_empty(),
            offered: broken.is_empty() && on_slot_grid,
            on_slot_grid,
            rules: rules.collect(),
            conflicts: calendar.conflicts(&during, None, now).into_iter().map(SlotView::from).collect(),
        })))
    }

    /// List free slots of all doctors
    ///
    /// Lists the free slots of active doctors, earliest first. Searches at most 200 doctors, newest first.
    #[oai(path = "/slots", method = "get", operation_id = "listSlots")]
    async fn of_many(
        &self,
        call: Call,
        /// Only doctors of this specialization.
        #[oai(validator(max_length = 100))]
        specialization: Query<Option<String>>,
        /// Earliest start (RFC 3339); now by default.
        from: Query<Option<DateTime<Utc>>>,
        /// Slots start before this (RFC 3339); seven days after `from` by default, at most 31.
        to: Query<Option<DateTime<Utc>>>,
        /// Duration in minutes; each doctor's `slot_minutes` by default.
        #[oai(validator(minimum(value = "5"), maximum(value = "1440")))]
        duration_minutes: Query<Option<i64>>,
        /// Maximum number of slots; 50 by default.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<i64>>,
    ) -> Result<Found<Vec<AvailableSlot>>, Problem> {
        let seen = call.admit(Action::Read, Resource::Schedules).await?;
        let now = crate::clock::now();
        let (from, to) = span(from.0, to.0, now)?;
        let limit = limit.0.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(USUAL_SLOTS);
        let specialization = filter_text("specialization", specialization.0)?;
        let filter = DoctorFilter { specialization, is_active: Some(true), ..DoctorFilter::default() };
        let page = Page { before: None, limit: MOST_DOCTORS };
        let mut found = Vec::new();
        for doctor in call.repository.list_doctors(&call.caller, seen, filter, page).await? {
            let calendar = match call.schedules.calendar(call.caller.clinic, doctor.id).await {
                Ok(calendar) => calendar,
                // The doctor was deleted meanwhile.
                Err(ScheduleError::Refused(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            let length = duration_minutes.0.map_or(calendar.rules().slot, TimeDelta::minutes);
            let search = Search { from, to, length, also_busy: &[], ignored: None, now };
            found.extend(calendar.free(search).take(limit).map(|slot| AvailableSlot::of(doctor.id, &calendar, slot)));
        }
        found.sort_by_key(|slot| (slot.start, slot.doctor));
        found.truncate(limit);
        Ok(Found::Ok(Json(found)))
    }
}

/// Returns the span to search.
fn span(
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(DateTime<Utc>, DateTime<Utc>), FieldErrors> {
    let from = from.unwrap_or(now);
    let is_kept = |at: DateTime<Utc>| YEARS.contains(&chrono::Datelike::year(&at));
    if !is_kept(from) {
        return Err(out_of_years("from"));
    }
    let to = to.unwrap_or(from + USUAL);
    if to < from || to - from > LONGEST {
        return Err(FieldErrors::one("to", "Must not be before from, nor more than 31 days after it."));
    }
    Ok((from, to))
}

fn out_of_years(field: &str) -> FieldErrors {
    FieldErrors::one(field, "Must lie in the years 1900 to 2200.")
}

/// Converts a doctor that the schedules do not know into 404.
fn not_found(error: ScheduleError) -> Problem {
    match error {
        ScheduleError::Refused(_) => Error::NotFound.into(),
        error => error.into(),
    }
}
