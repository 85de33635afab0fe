//! Hours, time off and limits as the contract shows them.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc, Weekday};
use poem_openapi::types::{Example, MaybeUndefined};
use poem_openapi::{Enum, Object};

use crate::api::http::json::Row;
use crate::api::views::appointments::OutsideView;
use crate::api::views::patch::{parse_zone, set, time_of_day};
use crate::domain::calendar::{Hours, Window};
use crate::domain::doctors::{Doctor, Scheduling};
use crate::domain::fields::{FieldErrors, filled, kept_day};
use crate::domain::schedules::{Changed, NewHours, TimeOff, WorkingHours};

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "Weekday", rename_all = "lowercase")]
pub enum WeekdayView {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

impl From<WeekdayView> for Weekday {
    fn from(view: WeekdayView) -> Self {
        match view {
            WeekdayView::Monday => Self::Mon,
            WeekdayView::Tuesday => Self::Tue,
            WeekdayView::Wednesday => Self::Wed,
            WeekdayView::Thursday => Self::Thu,
            WeekdayView::Friday => Self::Fri,
            WeekdayView::Saturday => Self::Sat,
            WeekdayView::Sunday => Self::Sun,
        }
    }
}

impl From<Weekday> for WeekdayView {
    fn from(weekday: Weekday) -> Self {
        match weekday {
            Weekday::Mon => Self::Monday,
            Weekday::Tue => Self::Tuesday,
            Weekday::Wed => Self::Wednesday,
            Weekday::Thu => Self::Thursday,
            Weekday::Fri => Self::Friday,
            Weekday::Sat => Self::Saturday,
            Weekday::Sun => Self::Sunday,
        }
    }
}

/// A weekly working window, in the doctor's time zone.
#[derive(Debug, Clone, Object)]
#[oai(rename = "WorkingWindow", deny_unknown_fields)]
pub struct WindowView {
    /// The weekday on which it starts.
    weekday: WeekdayView,
    /// Start: hours and minutes.
    #[oai(validator(max_length = 5, pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    start: String,
    /// End: hours and minutes. An end at or before `start` is on the next day.
    #[oai(validator(max_length = 5, pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    end: String,
}

impl From<Window> for WindowView {
    fn from(window: Window) -> Self {
        let text = |time: NaiveTime| time.format("%H:%M").to_string();
        Self { weekday: window.weekday.into(), start: text(window.start), end: text(window.end) }
    }
}

/// Planned working hours.
#[derive(Debug, Clone, Object)]
pub struct PlannedHours {
    /// The first day on which the hours apply.
    effective_from: NaiveDate,
    /// The weekly windows; null if no hours are set from that day on.
    #[oai(nullable)]
    windows: Option<Vec<WindowView>>,
}

impl From<Hours> for PlannedHours {
    fn from(hours: Hours) -> Self {
        let windows = hours.windows.map(|windows| windows.into_iter().map(WindowView::from).collect());
        Self { effective_from: hours.effective_from, windows }
    }
}

/// A doctor's working hours.
#[derive(Debug, Clone, Object)]
#[oai(rename = "WorkingHours")]
pub struct HoursView {
    /// The doctor's id.
    doctor: i64,
    /// The time zone (IANA) of the hours.
    time_zone: String,
    /// The first day of the current hours; null if none were ever set.
    #[oai(nullable)]
    effective_from: Option<NaiveDate>,
    /// The current weekly windows; null if no hours are set and any time can be booked.
    #[oai(nullable)]
    windows: Option<Vec<WindowView>>,
    /// Planned hours, by their first day.
    planned: Vec<PlannedHours>,
}

impl Row for HoursView {}

impl From<WorkingHours> for HoursView {
    fn from(working: WorkingHours) -> Self {
        let today = crate::clock::now().with_timezone(&working.zone).date_naive();
        let (past, planned): (Vec<_>, Vec<_>) =
            working.hours.into_iter().partition(|hours| hours.effective_from <= today);
        let in_force = past.into_iter().next_back().map(PlannedHours::from);
        Self {
            doctor: working.doctor.0,
            time_zone: working.zone.name().to_owned(),
            effective_from: in_force.as_ref().map(|hours| hours.effective_from),
            windows: in_force.and_then(|hours| hours.windows),
            planned: planned.into_iter().map(PlannedHours::from).collect(),
        }
    }
}

/// The updated working hours, and the upcoming appointments outside them.
#[derive(Debug, Clone, Object)]
#[oai(rename = "ChangedWorkingHours")]
pub struct ChangedHoursView {
    #[oai(flatten)]
    hours: HoursView,
    /// Upcoming appointments that break the doctor's rules. They stay.
    appointments_outside: Vec<OutsideView>,
}

impl Row for ChangedHoursView {}

impl From<Changed<WorkingHours>> for ChangedHoursView {
    fn from(changed: Changed<WorkingHours>) -> Self {
        Self {
            hours: changed.row.into(),
            appointments_outside: changed.outside.into_iter().map(OutsideView::from).collect(),
        }
    }
}

/// Working hours to set.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct HoursInput {
    /// The first day on which the hours apply; today in the doctor's time zone by default.
    #[oai(nullable)]
    effective_from: Option<NaiveDate>,
    /// The weekly windows. Null removes the hours, so that any time can be booked.
    #[oai(nullable, validator(max_items = 100))]
    windows: MaybeUndefined<Vec<WindowView>>,
}

impl Example for HoursInput {
    fn example() -> Self {
        let window = |weekday, start: &str, end: &str| WindowView { weekday, start: start.into(), end: end.into() };
        let windows = vec![
            window(WeekdayView::Monday, "09:00", "12:30"),
            window(WeekdayView::Monday, "13:30", "17:00"),
            window(WeekdayView::Wednesday, "09:00", "13:00"),
        ];
        Self { effective_from: None, windows: MaybeUndefined::Value(windows) }
    }
}

impl HoursInput {
    pub fn hours(self) -> Result<NewHours, FieldErrors> {
        let windows = match self.windows {
            MaybeUndefined::Undefined => return Err(FieldErrors::one("windows", "This field is required.")),
            MaybeUndefined::Null => None,
            MaybeUndefined::Value(windows) => {
                let parsed = windows.into_iter().map(|window| {
                    Ok(Window {
                        weekday: window.weekday.into(),
                        start: time_of_day("windows", &window.start)?,
                        end: time_of_day("windows", &window.end)?,
                    })
                });
                Some(parsed.collect::<Result<_, FieldErrors>>()?)
            }
        };
        self.effective_from.map_or(Ok(()), |day| kept_day("effective_from", day))?;
        Ok(NewHours { effective_from: self.effective_from, windows })
    }
}

/// A doctor's time off.
#[derive(Debug, Clone, Object)]
#[oai(rename = "TimeOff")]
pub struct TimeOffView {
    /// The time off's id.
    id: i64,
    /// The doctor's id.
    doctor: i64,
    /// Start (inclusive).
    starts_at: DateTime<Utc>,
    /// End (exclusive).
    ends_at: DateTime<Utc>,
    /// Reason.
    reason: String,
    /// The id of the user who created it.
    created_by: i64,
    /// When it was created.
    created_at: DateTime<Utc>,
}

impl Row for TimeOffView {}

impl From<TimeOff> for TimeOffView {
    fn from(time_off: TimeOff) -> Self {
        Self {
            id: time_off.id.0,
            doctor: time_off.doctor.0,
            starts_at: time_off.during.start(),
            ends_at: time_off.during.end(),
            reason: time_off.reason,
            created_by: time_off.created_by.0,
            created_at: time_off.created_at,
        }
    }
}

/// The new time off, and the upcoming appointments that it affects.
#[derive(Debug, Clone, Object)]
#[oai(rename = "EnteredTimeOff")]
pub struct EnteredTimeOffView {
    #[oai(flatten)]
    time_off: TimeOffView,
    /// Upcoming appointments that break the doctor's rules. They stay.
    appointments_outside: Vec<OutsideView>,
}

impl Row for EnteredTimeOffView {}

impl From<Changed<TimeOff>> for EnteredTimeOffView {
    fn from(changed: Changed<TimeOff>) -> Self {
        Self {
            time_off: changed.row.into(),
            appointments_outside: changed.outside.into_iter().map(OutsideView::from).collect(),
        }
    }
}

/// Time off to create.
#[derive(Debug, Clone, Object)]
#[oai(example, deny_unknown_fields)]
pub struct TimeOffInput {
    /// Start (inclusive), with an offset (RFC 3339).
    pub starts_at: DateTime<Utc>,
    /// End (exclusive), with an offset (RFC 3339); at most 366 days after the start.
    pub ends_at: DateTime<Utc>,
    /// Reason.
    #[oai(nullable, validator(max_length = 500))]
    pub reason: Option<String>,
}

impl Example for TimeOffInput {
    fn example() -> Self {
        Self {
            starts_at: DateTime::from_timestamp(1_893_715_200, 0).unwrap_or_default(),
            ends_at: DateTime::from_timestamp(1_893_801_600, 0).unwrap_or_default(),
            reason: Some("Conference".into()),
        }
    }
}

/// A doctor's scheduling settings.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Scheduling")]
pub struct SchedulingView {
    /// The doctor's id.
    doctor: i64,
    /// The doctor's time zone (IANA); null means the clinic's.
    #[oai(nullable)]
    time_zone: Option<String>,
    /// Default duration of an appointment and step of the slot grid, in minutes.
    slot_minutes: i32,
    /// Buffer before an appointment, in minutes.
    buffer_before_minutes: i32,
    /// Buffer after an appointment, in minutes.
    buffer_after_minutes: i32,
    /// Maximum number of appointments a day, by the doctor's local date; null for no limit.
    #[oai(nullable)]
    max_appointments_per_day: Option<i32>,
    /// Minimum notice of a booking, in minutes.
    min_notice_minutes: i32,
    /// Booking horizon: how many days ahead an appointment can be booked; null for no limit.
    #[oai(nullable)]
    max_horizon_days: Option<i32>,
}

impl Row for SchedulingView {}

impl From<Doctor> for SchedulingView {
    fn from(doctor: Doctor) -> Self {
        let scheduling = doctor.details.scheduling;
        filled!(Self {
            doctor: doctor.id.0,
            time_zone: scheduling.time_zone.map(|zone| zone.name().to_owned()),
        } from scheduling {
            slot_minutes, buffer_before_minutes, buffer_after_minutes, max_appointments_per_day, min_notice_minutes,
            max_horizon_days,
        })
    }
}

/// The updated scheduling settings, and the upcoming appointments that break them.
#[derive(Debug, Clone, Object)]
#[oai(rename = "ChangedScheduling")]
pub struct ChangedSchedulingView {
    #[oai(flatten)]
    scheduling: SchedulingView,
    /// Upcoming appointments that break the doctor's rules. They stay.
    appointments_outside: Vec<OutsideView>,
}

impl Row for ChangedSchedulingView {}

impl From<Changed<Doctor>> for ChangedSchedulingView {
    fn from(changed: Changed<Doctor>) -> Self {
        Self {
            scheduling: changed.row.into(),
            appointments_outside: changed.outside.into_iter().map(OutsideView::from).collect(),
        }
    }
}

/// Scheduling settings to change. Absent fields stay unchanged; null clears a field.
#[derive(Debug, Clone, Default, Object)]
#[oai(deny_unknown_fields)]
pub struct SchedulingPatch {
    /// The doctor's time zone (IANA); null means the clinic's.
    #[oai(nullable, validator(max_length = 60))]
    pub time_zone: MaybeUndefined<String>,
    /// Default duration of an appointment and step of the slot grid, in minutes.
    #[oai(validator(minimum(value = "5"), maximum(value = "1440")))]
    pub slot_minutes: Option<i32>,
    /// Buffer before an appointment, in minutes.
    #[oai(validator(minimum(value = "0"), maximum(value = "240")))]
    pub buffer_before_minutes: Option<i32>,
    /// Buffer after an appointment, in minutes.
    #[oai(validator(minimum(value = "0"), maximum(value = "240")))]
    pub buffer_after_minutes: Option<i32>,
    /// Maximum number of appointments a day, by the doctor's local date; null for no limit.
    #[oai(nullable, validator(minimum(value = "1"), maximum(value = "1000")))]
    pub max_appointments_per_day: MaybeUndefined<i32>,
    /// Minimum notice of a booking, in minutes.
    #[oai(validator(minimum(value = "0"), maximum(value = "525600")))]
    pub min_notice_minutes: Option<i32>,
    /// Booking horizon: how many days ahead an appointment can be booked; null for no limit.
    #[oai(nullable, validator(minimum(value = "1"), maximum(value = "3650")))]
    pub max_horizon_days: MaybeUndefined<i32>,
}

impl SchedulingPatch {
    pub fn apply(self, mut stored: Scheduling) -> Result<Scheduling, FieldErrors> {
        match self.time_zone {
            MaybeUndefined::Undefined => {}
            MaybeUndefined::Null => stored.time_zone = None,
            MaybeUndefined::Value(zone) => stored.time_zone = Some(parse_zone("time_zone", &zone)?),
        }
        set!(self to stored {
            slot_minutes, buffer_before_minutes, buffer_after_minutes, max_appointments_per_day, min_notice_minutes,
            max_horizon_days,
        });
        Ok(stored)
    }
}
