//! What can be done: one file a resource. Each admits its caller, checks, asks the actors, and shows the outcome.

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
