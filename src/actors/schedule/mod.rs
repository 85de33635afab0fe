//! The schedule actors: one a doctor, which decides every booking of that doctor.
//!
//! The rules are in [`domain::calendar`](crate::domain::calendar); the actor is a thin shell that keeps
//! a doctor's calendar in memory, claims the time of each write in flight, and lets one request after
//! another have its answer. The truth stays with PostgreSQL's exclusion constraints.

mod actor;
mod directory;
mod message;
mod reading;
mod schedules;
mod writing;

pub use message::{Answer, Refused, ScheduleError};
pub use schedules::{Limits, Schedules};
