//! A doctor's time off and working hours and a clinic's closures, as they are entered and listed.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::appointments::Outside;
use super::calendar::{ClosedDays, Hours, Window};
use super::{AccountId, ClosureId, DoctorId, Identified, Interval, TimeOffId};

/// A span of a doctor's time off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeOff {
    /// The row's id.
    pub id: TimeOffId,
    /// The doctor who is away.
    pub doctor: DoctorId,
    /// When the doctor is away.
    pub during: Interval,
    /// The reason, as free text.
    pub reason: String,
    /// The account that created it.
    pub created_by: AccountId,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// Days on which the clinic is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closure {
    /// The row's id.
    pub id: ClosureId,
    /// The closed days.
    pub days: ClosedDays,
    /// The reason, as free text.
    pub reason: String,
    /// The account that created it.
    pub created_by: AccountId,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

impl Identified for Closure {
    fn id(&self) -> i64 {
        self.id.0
    }
}

/// A doctor's current and planned working hours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkingHours {
    /// The doctor.
    pub doctor: DoctorId,
    /// The time zone of the hours.
    pub zone: Tz,
    /// The hours, sorted by the first day to which they apply.
    pub hours: Vec<Hours>,
    /// Counts the changes of the doctor's rules: the `ETag`.
    pub revision: i64,
}

/// Working hours to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHours {
    /// The first day to which they apply; `None` means the doctor's current day.
    pub effective_from: Option<NaiveDate>,
    /// The windows of the week; `None` removes the hours.
    pub windows: Option<Vec<Window>>,
}

/// A change of the rules, with the appointments that the new rules would not allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed<T> {
    /// The changed row.
    pub row: T,
    /// The upcoming appointments that the new rules would not allow. They are kept.
    pub outside: Vec<Outside>,
}

impl<T: Identified> Identified for Changed<T> {
    fn id(&self) -> i64 {
        self.row.id()
    }
}
