//! End to end: the real program on a port of its own, a real database of its own, and a client.

mod support;

mod appointments;
mod audit;
mod auth;
mod bad_input;
mod booking_races;
mod clinic;
mod contract;
mod conventions;
mod crashes;
mod database_outages;
mod demo;
mod doctors;
mod groups;
mod invitations;
mod isolation;
mod lifecycle;
mod mappings;
mod memory;
mod patients;
mod plans;
mod readme;
mod retries;
mod row_security;
mod schedules;
mod scheduling;
mod series;
mod slots;
mod steps;
mod two_nodes;
mod users;
mod waitlist;
