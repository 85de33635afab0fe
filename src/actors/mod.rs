//! The actors: one schedule per doctor, one that offers freed time to the waitlist, and the workers that own the
//! database connections. Housekeeping is a plain task.

pub mod housekeeping;
pub mod repository;
pub mod schedule;
pub mod waitlist;
