//! Work on series of appointments.

use futures_util::FutureExt;

use super::{Repository, Result};
use crate::{
    domain::{
        AppointmentId, Caller, Identified, SeriesId, Visibility,
        access::{Action, Resource},
        appointments::Appointment,
        series::Series,
    },
    repository::{appointments, calendars, series},
};

/// The appointments that a cancellation took, which the audit trail keeps under the first.
struct Cancelled(AppointmentId, Vec<Appointment>);

impl Identified for Cancelled {
    fn id(&self) -> i64 {
        self.0.0
    }
}

impl Repository {
    /// The series with its appointments, if the caller may see it.
    pub async fn find_series(&self, caller: &Caller, id: SeriesId, seen: Visibility) -> Result<Series> {
        self.read(caller.clinic, move |db| series::find(db, id, seen).boxed()).await
    }

    /// Cancels an appointment that the caller may see and those of its series that follow it. Answers
    /// what was cancelled; none where it is of no series.
    pub async fn cancel_from(
        &self,
        caller: &Caller,
        id: AppointmentId,
        seen: Visibility,
        expected: Option<i64>,
    ) -> Result<Vec<Appointment>> {
        let by = caller.clone();
        let cancelled = self.write(caller, Action::Transition, Resource::Appointments, move |db| {
            async move {
                let doctor = appointments::find(&mut *db, id, seen).await?.doctor;
                calendars::hold(&mut *db, doctor, true).await?;
                let first = appointments::find(&mut *db, id, seen).await?;
                crate::repository::expect_version(expected, first.version)?;
                let Some(of_series) = first.series else { return Ok(Cancelled(id, Vec::new())) };
                Ok(Cancelled(id, series::cancel_from(db, &by, of_series, first.during.start()).await?))
            }
            .boxed()
        });
        Ok(cancelled.await?.1)
    }
}
