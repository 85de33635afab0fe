//! The statuses of an appointment and the steps between them (docs/scheduling.md, "lifecycle").

use serde::{Deserialize, Serialize};

use std::fmt;

/// The status of an appointment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Booked.
    Scheduled,
    /// The patient confirmed the appointment.
    Confirmed,
    /// The patient has arrived.
    CheckedIn,
    /// The visit took place.
    Completed,
    /// Cancelled; the time is free again.
    Cancelled,
    /// The patient did not come; the time is free again.
    NoShow,
}

impl Status {
    /// Every status, in the order of the lifecycle.
    pub const ALL: [Self; 6] =
        [Self::Scheduled, Self::Confirmed, Self::CheckedIn, Self::Completed, Self::Cancelled, Self::NoShow];

    /// Returns the name in the contract and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::Confirmed => "CONFIRMED",
            Self::CheckedIn => "CHECKED_IN",
            Self::Completed => "COMPLETED",
            Self::Cancelled => "CANCELLED",
            Self::NoShow => "NO_SHOW",
        }
    }

    /// Returns the status with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Returns whether an appointment in this status occupies the time of the doctor and the patient.
    pub fn is_active(self) -> bool {
        !matches!(self, Self::Cancelled | Self::NoShow)
    }

    /// Returns whether an appointment in this status can be rescheduled.
    pub fn can_be_rescheduled(self) -> bool {
        matches!(self, Self::Scheduled | Self::Confirmed)
    }

    /// Returns the statuses that may follow this one. `SCHEDULED` after `CANCELLED` is an un-cancel, which is decided
    /// like a booking.
    pub fn next(self) -> &'static [Self] {
        match self {
            Self::Scheduled => &[Self::Confirmed, Self::Cancelled, Self::NoShow],
            Self::Confirmed => &[Self::CheckedIn, Self::Cancelled, Self::NoShow],
            Self::CheckedIn => &[Self::Completed],
            Self::Cancelled => &[Self::Scheduled],
            Self::Completed | Self::NoShow => &[],
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lifecycle_has_exactly_these_steps() {
        let steps: Vec<String> = Status::ALL
            .into_iter()
            .flat_map(|from| from.next().iter().map(move |to| format!("{from} -> {to}")))
            .collect();
        assert_eq!(
            steps,
            [
                "SCHEDULED -> CONFIRMED",
                "SCHEDULED -> CANCELLED",
                "SCHEDULED -> NO_SHOW",
                "CONFIRMED -> CHECKED_IN",
                "CONFIRMED -> CANCELLED",
                "CONFIRMED -> NO_SHOW",
                "CHECKED_IN -> COMPLETED",
                "CANCELLED -> SCHEDULED",
            ]
        );
    }

    #[test]
    fn only_cancelled_and_no_show_free_their_time() {
        let free: Vec<_> = Status::ALL.into_iter().filter(|s| !s.is_active()).collect();
        assert_eq!(free, [Status::Cancelled, Status::NoShow]);
    }

    #[test]
    fn a_status_is_found_by_its_name_and_by_no_other() {
        for status in Status::ALL {
            assert_eq!(Status::named(status.name()), Some(status));
        }
        assert_eq!(Status::named("scheduled"), None);
    }
}
