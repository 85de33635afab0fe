//! Free times as the contract shows them.

use chrono::{DateTime, FixedOffset, Offset, Utc};
use poem_openapi::Object;

use crate::{
    api::views::refusal::{RuleView, SlotView},
    domain::{DoctorId, Interval, calendar::Calendar},
};

/// A time that can be booked.
#[derive(Debug, Clone, Object)]
pub struct AvailableSlot {
    /// The doctor's id.
    pub doctor: i64,
    /// When it starts.
    pub start: DateTime<Utc>,
    /// When it ends: the first instant after it.
    pub end: DateTime<Utc>,
    /// When it starts, on the doctor's clock.
    pub local_start: DateTime<FixedOffset>,
    /// When it ends, on the doctor's clock.
    pub local_end: DateTime<FixedOffset>,
    /// The doctor's time zone (IANA).
    pub time_zone: String,
}

impl AvailableSlot {
    pub fn of(doctor: DoctorId, calendar: &Calendar, slot: Interval) -> Self {
        let zone = calendar.rules().zone;
        let local = |at: DateTime<Utc>| {
            let local = at.with_timezone(&zone);
            local.with_timezone(&local.offset().fix())
        };
        Self {
            doctor: doctor.0,
            start: slot.start(),
            end: slot.end(),
            local_start: local(slot.start()),
            local_end: local(slot.end()),
            time_zone: zone.name().to_owned(),
        }
    }
}

/// Whether a time keeps a rule.
#[derive(Debug, Clone, Object)]
pub struct RuleVerdict {
    /// Which rule.
    pub rule: RuleView,
    /// Whether the time keeps it.
    pub allowed: bool,
    /// What is wrong, where it does not.
    #[oai(nullable)]
    pub detail: Option<String>,
}

/// Why a time can be booked or not.
#[derive(Debug, Clone, Object)]
pub struct SlotExplanation {
    /// The time, with its local one.
    pub slot: AvailableSlot,
    /// Whether it can be booked: every rule allows it.
    pub bookable: bool,
    /// Whether a search of free times offers it: it can be booked, and starts on the slot grid.
    pub offered: bool,
    /// Whether it starts on the slot grid, which steps by the slot length from the start of each window.
    pub on_slot_grid: bool,
    /// Each rule of the doctor's schedule.
    pub rules: Vec<RuleVerdict>,
    /// The appointments in the way.
    pub conflicts: Vec<SlotView>,
}
