//! Free times as the contract shows them.

use chrono::{DateTime, FixedOffset, Offset, Utc};
use poem_openapi::Object;

use crate::api::views::refusal::{RuleView, SlotView};
use crate::domain::calendar::Calendar;
use crate::domain::{DoctorId, Interval};

/// A bookable slot.
#[derive(Debug, Clone, Object)]
pub struct AvailableSlot {
    /// The doctor's id.
    pub doctor: i64,
    /// Start (inclusive).
    pub start: DateTime<Utc>,
    /// End (exclusive).
    pub end: DateTime<Utc>,
    /// Start in the doctor's local time.
    pub local_start: DateTime<FixedOffset>,
    /// End in the doctor's local time.
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

/// The verdict of a scheduling rule.
#[derive(Debug, Clone, Object)]
pub struct RuleVerdict {
    /// The rule.
    pub rule: RuleView,
    /// Whether the rule allows the time.
    pub allowed: bool,
    /// What is wrong, if the rule does not allow it.
    #[oai(nullable)]
    pub detail: Option<String>,
}

/// Why a slot is or is not bookable.
#[derive(Debug, Clone, Object)]
pub struct SlotExplanation {
    /// The slot.
    pub slot: AvailableSlot,
    /// Whether every rule allows it.
    pub bookable: bool,
    /// Whether the lists of free slots contain it: it is bookable, and starts on the slot grid.
    pub offered: bool,
    /// Whether it starts on the slot grid: a multiple of `slot_minutes` after the start of a working window.
    pub on_slot_grid: bool,
    /// The verdict of each scheduling rule.
    pub rules: Vec<RuleVerdict>,
    /// The appointments that overlap it.
    pub conflicts: Vec<SlotView>,
}
