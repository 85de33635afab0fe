//! The actors: one schedule a doctor, and the workers that own the connections.

pub mod repository;
pub mod schedule;
