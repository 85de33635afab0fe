//! The operations: one file per resource. Each operation authorizes the caller, validates, asks the actors, and returns
//! the outcome.

pub mod appointments;
pub mod auth;
pub mod clinic;
pub mod closures;
pub mod doctors;
pub mod health;
pub mod invitations;
pub mod mappings;
pub mod patients;
pub mod schedules;
pub mod series;
pub mod slots;
pub mod steps;
pub mod users;
pub mod waitlist;
