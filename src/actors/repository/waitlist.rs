//! Work on those who wait for a time.

use futures_util::FutureExt;

use super::{Context, Deleted, Page, Repository, Result};
use crate::{
    domain::{
        Caller, DoctorId, Visibility, WaitlistEntryId,
        access::{Action, Resource},
        appointments::Appointment,
        waitlist::{Alarm, Entry, NewEntry},
    },
    repository::{alarms, waitlist},
};

impl Repository {
    /// Enters somebody who waits.
    pub async fn create_waitlist_entry(&self, caller: &Caller, seen: Visibility, new: NewEntry) -> Result<Entry> {
        let by = caller.clone();
        self.create(caller, Action::Create, Resource::Waitlist, move |db| {
            async move { waitlist::insert(db, &by, seen, &new).await }.boxed()
        })
        .await
    }

    /// The entries that the caller may see, newest first.
    pub async fn list_waitlist(&self, caller: &Caller, seen: Visibility, page: Page) -> Result<Vec<Entry>> {
        let clinic = caller.clinic;
        self.read(Context::Clinic(clinic), move |db| waitlist::list(db, clinic, seen, page).boxed()).await
    }

    /// The entry, if the caller may see it.
    pub async fn find_waitlist_entry(&self, caller: &Caller, id: WaitlistEntryId, seen: Visibility) -> Result<Entry> {
        let clinic = caller.clinic;
        self.read(Context::Clinic(clinic), move |db| waitlist::find(db, clinic, id, seen).boxed()).await
    }

    /// Makes what is held for an entry its appointment.
    pub async fn accept_offer(
        &self,
        caller: &Caller,
        id: WaitlistEntryId,
        seen: Visibility,
        expected: Option<i64>,
    ) -> Result<Appointment> {
        let by = caller.clone();
        self.create(caller, Action::Create, Resource::Appointments, move |db| {
            async move { waitlist::accept(db, &by, id, seen, expected).await }.boxed()
        })
        .await
    }

    /// Takes an entry back. Answers the doctor whose time that frees, if any.
    pub async fn withdraw_waitlist_entry(
        &self,
        caller: &Caller,
        id: WaitlistEntryId,
        seen: Visibility,
        expected: Option<i64>,
    ) -> Result<Option<DoctorId>> {
        let by = caller.clone();
        let withdrawn = self.write(caller, Action::Delete, Resource::Waitlist, move |db| {
            async move { Ok(Deleted { id: id.0, outcome: waitlist::withdraw(db, &by, id, seen, expected).await? }) }
                .boxed()
        });
        Ok(withdrawn.await?.outcome)
    }

    /// What is due in any clinic.
    pub(crate) async fn due_alarms(&self) -> Result<Vec<Alarm>> {
        self.read(Context::Global, |db| alarms::due(db).boxed()).await
    }

    /// Frees the holds of an alarm's time that have expired. Answers whether there were any.
    pub(crate) async fn lapse_holds(&self, alarm: Alarm) -> Result<bool> {
        self.transact(Context::Clinic(alarm.clinic), move |db| {
            async move { alarms::lapse_of_doctor(db, &alarm).await }.boxed()
        })
        .await
    }

    /// Who may be offered an alarm's time, the longest waiting first.
    pub(crate) async fn waiting_for(&self, alarm: Alarm) -> Result<Vec<Entry>> {
        self.read(Context::Clinic(alarm.clinic), move |db| {
            async move { waitlist::candidates(db, &alarm).await }.boxed()
        })
        .await
    }

    /// Forgets an alarm that has been dealt with.
    pub(crate) async fn silence(&self, alarm: Alarm) -> Result<()> {
        self.transact(Context::Clinic(alarm.clinic), move |db| async move { alarms::silence(db, &alarm).await }.boxed())
            .await
    }
}
