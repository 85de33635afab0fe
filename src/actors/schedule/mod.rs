//! The schedule actors: one per doctor, which decides every booking of that doctor.
//!
//! [`core`] is pure: events go in, effects come out. [`actor`] executes the effects and does nothing else. The database
//! stays authoritative: a copy of a calendar only shows which writes are worth trying, and every refusal needs a look
//! that began after the request arrived.

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
