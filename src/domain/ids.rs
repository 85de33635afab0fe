//! Typed ids: one type per table, so that ids cannot be confused.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

id! {
    /// A tenant: one organization.
    ClinicId,
    /// A person's login, global to the deployment. A clinic's users carry the ids of their accounts.
    AccountId,
    /// A patient of one clinic.
    PatientId,
    /// A doctor of one clinic.
    DoctorId,
    /// The assignment of a doctor to a patient.
    MappingId,
    /// A booked time.
    AppointmentId,
    /// An invitation to join a clinic.
    InvitationId,
    /// A span of a doctor's time off.
    TimeOffId,
    /// Closed days of a clinic.
    ClosureId,
    /// A series of appointments.
    SeriesId,
    /// An entry of the waitlist.
    WaitlistEntryId,
}
