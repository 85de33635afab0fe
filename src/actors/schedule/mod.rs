//! The schedule actors: one a doctor, which decides every booking of that doctor.
//!
//! [`core`] is pure: what happens goes in, what is to be done comes out. [`actor`] carries that out and does nothing
//! else. The truth stays with the database: a copy of a calendar only says what is worth trying, and a refusal is given
//! only by a look that began after the request came.

mod actor;
mod core;
mod directory;
mod limits;
mod looking;
#[cfg(test)]
mod model;
mod outcomes;
mod request;
mod schedules;

pub use limits::Limits;
pub use request::{Answer, ScheduleError};
pub use schedules::Schedules;
