//! Closures as the contract shows them.

use chrono::{DateTime, NaiveDate, Utc};
use poem_openapi::Object;
use poem_openapi::types::Example;

use crate::api::http::json::Row;
use crate::api::views::appointments::OutsideView;
use crate::domain::schedules::{Changed, Closure};

/// Days on which the clinic is closed.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Closure")]
pub struct ClosureView {
    /// The closure's id.
    id: i64,
    /// The first day.
    first_day: NaiveDate,
    /// The last day.
    last_day: NaiveDate,
    /// Reason.
    reason: String,
    /// The id of the user who created it.
    created_by: i64,
    /// When it was created.
    created_at: DateTime<Utc>,
}

impl Row for ClosureView {}

impl From<Closure> for ClosureView {
    fn from(closure: Closure) -> Self {
        Self {
            id: closure.id.0,
            first_day: closure.days.first,
            last_day: closure.days.last,
            reason: closure.reason,
            created_by: closure.created_by.0,
            created_at: closure.created_at,
        }
    }
}

/// The new closure, and the upcoming appointments that it affects.
#[derive(Debug, Clone, Object)]
#[oai(rename = "EnteredClosure")]
pub struct EnteredClosureView {
    #[oai(flatten)]
    closure: ClosureView,
    /// Upcoming appointments around these days that break their doctors' rules. They stay.
    appointments_outside: Vec<OutsideView>,
}

impl Row for EnteredClosureView {}

impl From<Changed<Closure>> for EnteredClosureView {
    fn from(changed: Changed<Closure>) -> Self {
        Self {
            closure: changed.row.into(),
            appointments_outside: changed.outside.into_iter().map(OutsideView::from).collect(),
        }
    }
}

/// A closure to create.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct ClosureInput {
    /// The first day.
    pub first_day: NaiveDate,
    /// The last day; the first day by default.
    #[oai(nullable)]
    pub last_day: Option<NaiveDate>,
    /// Reason.
    #[oai(nullable, validator(max_length = 500))]
    pub reason: Option<String>,
}

impl Example for ClosureInput {
    fn example() -> Self {
        let day = |text: &str| text.parse().unwrap_or_default();
        Self { first_day: day("2030-12-24"), last_day: Some(day("2030-12-26")), reason: Some("Holidays".into()) }
    }
}
