//! The waitlist as the contract shows it.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};

use crate::api::http::json::Row;
use crate::api::views::patch::time_of_day;
use crate::api::views::refusal::SlotView;
use crate::domain::fields::{FieldErrors, NON_FIELD, kept_day, tidy, tidy_optional};
use crate::domain::waitlist::{Entry, EntryStatus, NewEntry, Sought, WantedTimes};
use crate::domain::{DoctorId, PatientId};

/// Status of a waitlist entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "WaitlistStatus", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EntryStatusView {
    /// It waits.
    Waiting,
    /// A time is held for it.
    Offered,
    /// It has its appointment.
    Accepted,
    /// It was taken back.
    Withdrawn,
}

impl From<EntryStatus> for EntryStatusView {
    fn from(status: EntryStatus) -> Self {
        match status {
            EntryStatus::Waiting => Self::Waiting,
            EntryStatus::Offered => Self::Offered,
            EntryStatus::Accepted => Self::Accepted,
            EntryStatus::Withdrawn => Self::Withdrawn,
        }
    }
}

/// A slot that is held for a waitlist entry.
#[derive(Debug, Clone, Object)]
#[oai(rename = "WaitlistOffer")]
pub struct OfferView {
    /// The doctor's id.
    doctor: i64,
    /// The slot.
    time: SlotView,
    /// When the offer expires.
    held_until: DateTime<Utc>,
}

/// A patient who waits for a slot.
#[derive(Debug, Clone, Object)]
#[oai(rename = "WaitlistEntry")]
pub struct EntryView {
    /// The entry's id. If two entries match a slot, the lower id gets the offer.
    id: i64,
    /// The patient's id.
    patient: i64,
    /// The doctor's id; null if the entry waits for any doctor of a specialization.
    #[oai(nullable)]
    doctor: Option<i64>,
    /// The specialization; null if the entry waits for one doctor.
    #[oai(nullable)]
    specialization: Option<String>,
    /// The first possible day, in the doctor's time zone.
    first_day: NaiveDate,
    /// The last possible day.
    last_day: NaiveDate,
    /// Earliest start of a day, in the doctor's local time.
    earliest_time: String,
    /// Latest start of a day, in the doctor's local time.
    latest_time: String,
    /// Duration in minutes; null means the doctor's `slot_minutes`.
    #[oai(nullable)]
    duration_minutes: Option<i64>,
    /// Reason for the visit.
    reason: String,
    /// Status.
    status: EntryStatusView,
    /// The slot that is held for it; null if there is none.
    #[oai(nullable)]
    offer: Option<OfferView>,
    /// The id of the user who created it.
    created_by: i64,
    /// When it was created.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

impl Row for EntryView {}

impl From<Entry> for EntryView {
    fn from(entry: Entry) -> Self {
        let (doctor, specialization) = match entry.sought {
            Sought::Doctor(id) => (Some(id.0), None),
            Sought::Specialization(name) => (None, Some(name)),
        };
        Self {
            id: entry.id.0,
            patient: entry.patient.0,
            doctor,
            specialization,
            first_day: entry.wanted.first_day,
            last_day: entry.wanted.last_day,
            earliest_time: entry.wanted.earliest_time.format("%H:%M").to_string(),
            latest_time: entry.wanted.latest_time.format("%H:%M").to_string(),
            duration_minutes: entry.wanted.length.map(|length| length.num_minutes()),
            reason: entry.reason,
            status: entry.status.into(),
            offer: entry.offer.map(|(held, held_until)| OfferView {
                doctor: held.doctor.0,
                time: held.during.into(),
                held_until,
            }),
            created_by: entry.created_by.0,
            created_at: entry.created_at,
            updated_at: entry.updated_at,
        }
    }
}

/// A waitlist entry to create.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct EntryInput {
    /// The patient's id.
    #[oai(validator(minimum(value = "1")))]
    patient: i64,
    /// The doctor's id. Send either this or `specialization`.
    #[oai(nullable, validator(minimum(value = "1")))]
    doctor: Option<i64>,
    /// Any doctor of this specialization. Send either this or `doctor`.
    #[oai(nullable, validator(max_length = 100))]
    specialization: Option<String>,
    /// The first possible day, in the doctor's time zone.
    first_day: NaiveDate,
    /// The last possible day.
    last_day: NaiveDate,
    /// Earliest start of a day: hours and minutes in the doctor's local time; any by default.
    #[oai(nullable, validator(max_length = 5, pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    earliest_time: Option<String>,
    /// Latest start of a day: hours and minutes in the doctor's local time; any by default.
    #[oai(nullable, validator(max_length = 5, pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    latest_time: Option<String>,
    /// Duration in minutes; the doctor's `slot_minutes` by default.
    #[oai(nullable, validator(minimum(value = "5"), maximum(value = "1440")))]
    duration_minutes: Option<i64>,
    /// Reason for the visit.
    #[oai(nullable, validator(max_length = 1000))]
    reason: Option<String>,
}

impl Example for EntryInput {
    fn example() -> Self {
        let day = |text: &str| text.parse().unwrap_or_default();
        Self {
            patient: 1,
            doctor: None,
            specialization: Some("Cardiology".into()),
            first_day: day("2030-01-07"),
            last_day: day("2030-01-18"),
            earliest_time: Some("09:00".into()),
            latest_time: Some("12:00".into()),
            duration_minutes: Some(30),
            reason: Some("Follow-up".into()),
        }
    }
}

impl EntryInput {
    pub fn entry(self) -> Result<NewEntry, FieldErrors> {
        let mut errors = FieldErrors::default();
        let sought = match (self.doctor, tidy_optional(self.specialization)) {
            (Some(id), None) => Some(Sought::Doctor(DoctorId(id))),
            (None, Some(specialization)) => Some(Sought::Specialization(specialization)),
            _ => {
                errors.add(NON_FIELD, "Send either doctor or specialization.");
                None
            }
        };
        kept_day("first_day", self.first_day)?;
        if self.last_day < self.first_day {
            errors.add("last_day", "Must not be before first_day.");
        }
        let earliest_time = time_of_day("earliest_time", self.earliest_time.as_deref().unwrap_or("00:00"))?;
        let latest_time = time_of_day("latest_time", self.latest_time.as_deref().unwrap_or("23:59"))?;
        if latest_time < earliest_time {
            errors.add("latest_time", "Must not be before earliest_time.");
        }
        let Some(sought) = sought.filter(|_| errors.is_empty()) else {
            return Err(errors);
        };
        Ok(NewEntry {
            patient: PatientId(self.patient),
            sought,
            wanted: WantedTimes {
                first_day: self.first_day,
                last_day: self.last_day,
                earliest_time,
                latest_time,
                length: self.duration_minutes.map(TimeDelta::minutes),
            },
            reason: tidy(&self.reason.unwrap_or_default()),
        })
    }
}
