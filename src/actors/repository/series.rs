//! Reads and writes of series of appointments.

use futures_util::FutureExt;

use super::{Repository, Result};
use crate::domain::access::{Action, Resource};
use crate::domain::appointments::Appointment;
use crate::domain::series::Series;
use crate::domain::{AppointmentId, Caller, Identified, SeriesId, Visibility};
use crate::repository::{appointments, calendars, series};

/// The cancelled appointments. The audit trail records them with the id of the first one.
struct Cancelled(AppointmentId, Vec<Appointment>);

impl Identified for Cancelled {
    fn id(&self) -> i64 {
        self.0.0
    }
}

impl Repository {
    /// Returns the series with its appointments, if the caller may see it.
    pub async fn find_series(&self, caller: &Caller, id: SeriesId, seen: Visibility) -> Result<Series> {
        self.read(caller.clinic, move |db| series::find(db, id, seen).boxed()).await
    }

    /// Cancels an appointment that the caller may see and the later ones of its series. Returns the cancelled
    /// appointments; none if the appointment belongs to no series.
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
