//! The types and rules of a clinic. They are pure: no HTTP, no SQL, no actors and no clock.

pub mod access;
pub mod appointments;
pub mod calendar;
pub mod clinics;
pub mod doctors;
pub mod fields;
pub mod ids;
pub mod interval;
pub mod lifecycle;
pub mod mappings;
pub mod patients;
pub mod proposal;
pub mod schedules;
pub mod search;
pub mod series;
pub mod users;
pub mod waitlist;
pub mod zone;

pub use access::{Caller, Visibility};
pub use ids::{
    AccountId, AppointmentId, ClinicId, ClosureId, DoctorId, InvitationId, MappingId, PatientId, SeriesId, TimeOffId,
    WaitlistEntryId,
};
pub use interval::Interval;

/// A row that an audit event can refer to.
pub trait Identified {
    /// Returns the row's id in its table.
    fn id(&self) -> i64;
}
