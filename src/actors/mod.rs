//! The actors: one schedule a doctor, one that offers time to those who wait, and the workers that own
//! the connections. Beside them housekeeping, which removes what is over.

pub mod housekeeping;
pub mod repository;
pub mod schedule;
pub mod waitlist;
