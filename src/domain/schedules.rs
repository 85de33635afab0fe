//! What a doctor's schedule is bound by, as it is entered and listed.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{
    AccountId, ClosureId, DoctorId, Identified, Interval, TimeOffId,
    appointments::Outside,
    calendar::{ClosedDays, Hours, Window},
};

/// A span in which a doctor is away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeOff {
    /// The row's id.
    pub id: TimeOffId,
    /// Who is away.
    pub doctor: DoctorId,
    /// When.
    pub during: Interval,
    /// Why, in words.
    pub reason: String,
    /// The account that entered it.
    pub created_by: AccountId,
    /// When it was entered.
    pub created_at: DateTime<Utc>,
}

/// Days on which the clinic is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closure {
    /// The row's id.
    pub id: ClosureId,
    /// Which days.
    pub days: ClosedDays,
    /// Why, in words.
    pub reason: String,
    /// The account that entered it.
    pub created_by: AccountId,
    /// When it was entered.
    pub created_at: DateTime<Utc>,
}

impl Identified for Closure {
    fn id(&self) -> i64 {
        self.id.0
    }
}

/// A doctor's working hours, now and as they are planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkingHours {
    /// The doctor.
    pub doctor: DoctorId,
    /// The zone that the hours are read in.
    pub zone: Tz,
    /// By the day from which they hold.
    pub hours: Vec<Hours>,
    /// Counts the changes of the doctor's rules: the `ETag`.
    pub revision: i64,
}

/// Working hours to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHours {
    /// From which day on; the doctor's today where absent.
    pub effective_from: Option<NaiveDate>,
    /// The week's windows; `None` unsets the hours.
    pub windows: Option<Vec<Window>>,
}

/// A change of the rules, and the appointments that it left outside them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed<T> {
    /// What was changed.
    pub row: T,
    /// The appointments to come that the rules would not allow now; they stay.
    pub outside: Vec<Outside>,
}

impl<T: Identified> Identified for Changed<T> {
    fn id(&self) -> i64 {
        self.row.id()
    }
}
