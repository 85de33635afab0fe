//! The bodies of requests and responses: one file per resource. Responses are made from the domain's types, and
//! requests are converted into them.

pub mod appointments;
pub mod auth;
pub mod clinic;
pub mod closures;
pub mod doctors;
pub mod invitations;
pub mod mappings;
pub mod patch;
pub mod patients;
pub mod refusal;
pub mod schedules;
pub mod series;
pub mod slots;
pub mod users;
pub mod waitlist;
