//! Series as the contract shows them.

use chrono::{DateTime, Utc};
use poem_openapi::Object;
use poem_openapi::types::Example;

use crate::api::http::json::Row;
use crate::api::views::appointments::AppointmentView;
use crate::api::views::refusal::SkippedView;
use crate::domain::fields::filled;
use crate::domain::series::{BookedSeries, Series};

/// A series of recurring appointments.
#[derive(Debug, Clone, Object)]
#[oai(rename = "AppointmentSeries")]
pub struct SeriesView {
    /// The series' id.
    id: i64,
    /// The doctor's id.
    doctor: i64,
    /// The patient's id.
    patient: i64,
    /// The recurrence rule (RFC 5545 RRULE).
    rrule: String,
    /// Start of the first appointment.
    appointment_datetime: DateTime<Utc>,
    /// Duration of each appointment, in minutes.
    duration_minutes: i32,
    /// Reason for the visit.
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
        filled!(Self {
            id: series.id.0,
            doctor: series.doctor.0,
            patient: series.patient.0,
            appointment_datetime: series.first,
            created_by: series.created_by.0,
            appointments: series.appointments.into_iter().map(AppointmentView::from).collect(),
        } from series { rrule, duration_minutes, reason, created_at })
    }
}

/// A new series, and the occurrences that were skipped.
#[derive(Debug, Clone, Object)]
#[oai(rename = "BookedSeries")]
pub struct BookedSeriesView {
    #[oai(flatten)]
    series: SeriesView,
    /// The occurrences that could not be booked, with the rules that they break.
    skipped: Vec<SkippedView>,
}

impl Row for BookedSeriesView {}

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
    pub doctor: i64,
    /// The patient's id.
    #[oai(validator(minimum(value = "1")))]
    pub patient: i64,
    /// Start of the first appointment (RFC 3339). The others start at the same local time of the doctor.
    pub appointment_datetime: DateTime<Utc>,
    /// The recurrence rule (RFC 5545): daily, weekly or monthly, with COUNT or UNTIL; at most 100 occurrences.
    #[oai(validator(min_length = 1, max_length = 300))]
    pub rrule: String,
    /// Duration of each appointment, in minutes; the doctor's `slot_minutes` by default.
    #[oai(nullable, validator(minimum(value = "5"), maximum(value = "1440")))]
    pub duration_minutes: Option<i64>,
    /// Reason for the visit.
    #[oai(nullable, validator(max_length = 1000))]
    pub reason: Option<String>,
    /// Whether to skip occurrences that cannot be booked. Otherwise all are booked or none.
    #[oai(nullable)]
    pub skip_conflicts: Option<bool>,
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
