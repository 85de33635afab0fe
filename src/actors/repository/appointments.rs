//! Reads of appointments. `changes.rs` and `booking_writer.rs` contain the writes.

use futures_util::FutureExt;

use super::{Error, Page, Repository, Result};
use crate::domain::appointments::{Appointment, AppointmentEvent, AppointmentFilter};
use crate::domain::{AppointmentId, Caller, Visibility};
use crate::repository::appointment_lists::AppointmentList;
use crate::repository::{appointment_lists, appointments, history};

impl Repository {
    /// Returns the matching appointments that the caller may see, newest first.
    pub async fn list_appointments(
        &self,
        caller: &Caller,
        seen: Visibility,
        filter: AppointmentFilter,
        page: Page,
    ) -> Result<Vec<Appointment>> {
        let list = AppointmentList { clinic: caller.clinic, seen, filter, page };
        if list.is_quick() {
            let _permit = self.waiting.try_acquire().map_err(|_| Error::Overloaded)?;
            return self.appointment_lists.ask_any(list).await;
        }
        let read = self.read(list.clinic, move |db| {
            async move { appointment_lists::read_all(&mut db.grouped(), &[list]).await }.boxed()
        });
        Ok(read.await?.into_iter().flatten().collect())
    }

    /// Returns the appointment, if the caller may see it.
    pub async fn find_appointment(&self, caller: &Caller, id: AppointmentId, seen: Visibility) -> Result<Appointment> {
        self.read(caller.clinic, move |db| appointments::find(db, id, seen).boxed()).await
    }

    /// Returns the history of an appointment that the caller may see, newest first.
    pub async fn list_appointment_events(
        &self,
        caller: &Caller,
        id: AppointmentId,
        seen: Visibility,
        page: Page,
    ) -> Result<Vec<AppointmentEvent>> {
        self.read(caller.clinic, move |db| {
            async move {
                appointments::find(&mut *db, id, seen).await?;
                history::list(db, id, page).await
            }
            .boxed()
        })
        .await
    }
}
