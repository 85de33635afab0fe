//! Reads and writes of the waitlist.

use futures_util::FutureExt;

use super::{Deleted, Page, Repository, Result, tried_again};
use crate::domain::access::{Action, Resource};
use crate::domain::appointments::Appointment;
use crate::domain::waitlist::{Alarm, Entry, NewEntry};
use crate::domain::{Caller, ClinicId, Interval, PatientId, Visibility, WaitlistEntryId};
use crate::repository::context::Global;
use crate::repository::{alarms, bookings, context, waitlist};

impl Repository {
    /// Creates an entry.
    pub async fn create_waitlist_entry(&self, caller: &Caller, seen: Visibility, new: NewEntry) -> Result<Entry> {
        let by = caller.clone();
        self.create(caller, Action::Create, Resource::Waitlist, move |db| {
            async move { waitlist::insert(db, &by, seen, &new).await }.boxed()
        })
        .await
    }

    /// Returns the entries that the caller may see, newest first.
    pub async fn list_waitlist(&self, caller: &Caller, seen: Visibility, page: Page) -> Result<Vec<Entry>> {
        self.read(caller.clinic, move |db| waitlist::list(db, seen, page).boxed()).await
    }

    /// Returns the entry, if the caller may see it.
    pub async fn find_waitlist_entry(&self, caller: &Caller, id: WaitlistEntryId, seen: Visibility) -> Result<Entry> {
        self.read(caller.clinic, move |db| waitlist::find(db, id, seen).boxed()).await
    }

    /// Returns the hold of an entry.
    pub async fn find_offer(&self, caller: &Caller, id: WaitlistEntryId, seen: Visibility) -> Result<Appointment> {
        let entry = self.find_waitlist_entry(caller, id, seen).await?;
        waitlist::offered(&entry).cloned()
    }

    /// Withdraws an entry and frees its hold.
    pub async fn withdraw_waitlist_entry(
        &self,
        caller: &Caller,
        id: WaitlistEntryId,
        seen: Visibility,
        expected: Option<i64>,
    ) -> Result<()> {
        tried_again(|| {
            self.write(caller, Action::Delete, Resource::Waitlist, move |db| {
                async move {
                    waitlist::withdraw(db, id, seen, expected).await?;
                    Ok(Deleted(id.0))
                }
                .boxed()
            })
        })
        .await?;
        Ok(())
    }

    /// Returns the due alarms of all clinics.
    pub(crate) async fn due_alarms(&self) -> Result<Vec<Alarm>> {
        self.read(Global, |db| alarms::due(db).boxed()).await
    }

    /// Claims an alarm and frees the clinic's expired holds. Returns whether this node has the claim.
    pub(crate) async fn take_on(&self, alarm: Alarm) -> Result<bool> {
        let is_ours = self.transact(alarm.clinic, move |db| {
            async move {
                context::give_up_soon(&mut *db).await?;
                alarms::take_on(db, &alarm).await
            }
            .boxed()
        });
        if !is_ours.await? {
            return Ok(false);
        }
        // A transaction of its own, so that the alarm stays claimed if this one fails.
        let clinic = alarm.clinic;
        self.transact(clinic, move |db| async move { alarms::lapse_all(db).await }.boxed()).await?;
        Ok(true)
    }

    /// Returns the entries that may be offered an alarm's time, the longest waiting first.
    pub(crate) async fn waiting_for(&self, alarm: Alarm) -> Result<Vec<Entry>> {
        self.read(alarm.clinic, move |db| async move { waitlist::candidates(db, &alarm).await }.boxed()).await
    }

    /// Returns a patient's appointments within a span.
    pub(crate) async fn patient_busy(
        &self,
        clinic: ClinicId,
        patient: PatientId,
        within: Interval,
    ) -> Result<Vec<Interval>> {
        self.read(clinic, move |db| async move { bookings::patient_busy(db, patient, &within).await }.boxed()).await
    }

    /// Deletes a handled alarm.
    pub(crate) async fn forget_alarm(&self, alarm: Alarm) -> Result<()> {
        self.transact(alarm.clinic, move |db| async move { alarms::delete(db, &alarm).await }.boxed()).await
    }
}
