//! Changes of one calendar that their transaction decides: moves, cancellations, series, accepted offers. Only the
//! schedule actors call them.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::booking_writer::LOOKS;
use super::{Error, Repository, Result};
use crate::clock;
use crate::domain::access::{Action, Resource};
use crate::domain::appointments::{Amendment, Appointment};
use crate::domain::series::{BookedSeries, SeriesRefusal, SeriesRequest};
use crate::domain::waitlist::Acceptance;
use crate::domain::{Caller, ClinicId, Identified};
use crate::repository::audit::{Event, Outcome as Audited};
use crate::repository::batches::{Batch, BatchWritten, Work, Written};
use crate::repository::changes::{Basis, Outcome};
use crate::repository::context::ClinicDb;
use crate::repository::{appointments, audit, batches, calendars, context, series, waitlist};

impl Repository {
    /// Writes a batch of bookings, with those of other doctors.
    pub(crate) async fn book(&self, batch: Batch) -> Result<BatchWritten> {
        self.bookings.ask(batch.doctor.0, batch).await
    }

    /// Writes a batch alone. If its calendar is locked, it waits for a moment with `waits`, and otherwise not at all.
    pub(crate) async fn book_apart(&self, batch: Batch, waits: bool) -> Result<BatchWritten> {
        let permit = self.may_wait(waits);
        let waits = permit.is_some();
        let attempt = batch.clone();
        let written = self.transact(batch.clinic, move |db| {
            async move {
                context::give_up_soon(&mut *db).await?;
                if waits {
                    calendars::hold(&mut *db, attempt.doctor, true).await?;
                }
                let works = batches::write(&mut db.grouped(), vec![Work::new(attempt)], clock::now()).await?;
                works.into_iter().next().map(|work| work.finish(Written::Again)).ok_or(Error::TryAgain)
            }
            .boxed()
        });
        match written.await {
            Err(Error::TryAgain) => Ok(BatchWritten::held(&batch)),
            Err(Error::OutcomeUnknown) => {
                self.settled(batch.clinic, move |db| {
                    let batch = batch.clone();
                    async move { batches::settle(db, &batch).await }.boxed()
                })
                .await
            }
            written => written,
        }
    }

    /// Changes an appointment.
    pub(crate) async fn amend(&self, amendment: Amendment, basis: Basis) -> Result<Outcome<Appointment>> {
        let action = if amendment.status == amendment.current.status { Action::Update } else { Action::Transition };
        let attempt = amendment.clone();
        let changed = self.change(&amendment.caller, action, Resource::Appointments.name(), basis, move |db, basis| {
            async move { appointments::amend(db, &attempt, &basis).await }.boxed()
        });
        match changed.await {
            Err(Error::OutcomeUnknown) => {
                let settled = self.settled(amendment.clinic(), move |db| {
                    let amendment = amendment.clone();
                    async move { appointments::settle(db, &amendment).await }.boxed()
                });
                Ok(settled.await?.map_or(Outcome::Held, found))
            }
            changed => changed,
        }
    }

    /// Turns the hold of an entry into its appointment.
    pub(crate) async fn accept(&self, accepting: Acceptance, basis: Basis) -> Result<Outcome<Appointment>> {
        let attempt = accepting.clone();
        let accepted =
            self.change(&accepting.caller, Action::Create, Resource::Appointments.name(), basis, move |db, basis| {
                async move { waitlist::accept(db, &attempt, &basis).await }.boxed()
            });
        match accepted.await {
            Err(Error::OutcomeUnknown) => {
                let settled = self.settled(accepting.caller.clinic, move |db| {
                    let accepting = accepting.clone();
                    async move { waitlist::settle(db, &accepting).await }.boxed()
                });
                Ok(settled.await?.map_or(Outcome::Held, found))
            }
            accepted => accepted,
        }
    }

    /// Books a series. `reference` identifies it before it has an id.
    pub(crate) async fn book_series(
        &self,
        reference: Uuid,
        request: SeriesRequest,
        basis: Basis,
    ) -> Result<Outcome<BookedSeries, SeriesRefusal>> {
        let attempt = request.clone();
        let booked = self.change(&request.caller, Action::Create, "appointment-series", basis, move |db, basis| {
            async move { series::write(db, reference, &attempt, &basis).await }.boxed()
        });
        match booked.await {
            Err(Error::OutcomeUnknown) => {
                let settled = self.settled(request.caller.clinic, move |db| {
                    let request = request.clone();
                    async move { series::settle(db, reference, &request).await }.boxed()
                });
                let booked = |series| found(BookedSeries { series, skipped: Vec::new() });
                Ok(settled.await?.map_or(Outcome::Held, booked))
            }
            booked => booked,
        }
    }

    /// Changes a calendar for a caller. The change and its audit event are one transaction. If a needed row is locked,
    /// it waits a moment if its basis allows that, otherwise not at all.
    async fn change<T, R, F>(
        &self,
        caller: &Caller,
        action: Action,
        resource: &'static str,
        mut basis: Basis,
        work: F,
    ) -> Result<Outcome<T, R>>
    where
        T: Identified + Send + 'static,
        R: Send + 'static,
        F: for<'c> FnOnce(&'c mut ClinicDb<'_>, Basis) -> BoxFuture<'c, Result<Outcome<T, R>>> + Send + 'static,
    {
        let permit = self.may_wait(basis.waits);
        basis.waits = permit.is_some();
        let caller = caller.clone();
        let changed = self.transact(caller.clinic, move |db| {
            async move {
                context::give_up_soon(&mut *db).await?;
                let outcome = work(&mut *db, basis).await?;
                if let Outcome::Done { row, .. } = &outcome {
                    let event = Event {
                        caller,
                        action: action.name(),
                        resource,
                        resource_id: Some(row.id()),
                        outcome: Audited::Done,
                    };
                    audit::record(db, &event).await?;
                }
                Ok(outcome)
            }
            .boxed()
        });
        match changed.await {
            Err(Error::TryAgain) => Ok(Outcome::Held),
            changed => changed,
        }
    }

    /// Returns a permit to wait for a calendar's lock. Returns `None` if the change is not to wait or all permits are
    /// taken: waiting for a permit would delay the changes of other clinics.
    pub(super) fn may_wait(&self, waits: bool) -> Option<OwnedSemaphorePermit> {
        waits.then(|| self.waiting_changes.clone().try_acquire_owned().ok()).flatten()
    }

    /// Looks up what a transaction with a lost outcome committed.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] if the lookup fails.
    pub(super) async fn settled<T, F>(&self, clinic: ClinicId, look: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> Fn(&'c mut ClinicDb<'_>) -> BoxFuture<'c, Result<T>> + Clone + Send + Sync + 'static,
    {
        for pause in LOOKS {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let look = look.clone();
            let settled = self.transact(clinic, move |db| {
                async move {
                    context::give_up_soon(&mut *db).await?;
                    look(db).await
                }
                .boxed()
            });
            match settled.await {
                Ok(settled) => return Ok(settled),
                Err(Error::TryAgain | Error::Unavailable | Error::Unable | Error::Overloaded) => {}
                Err(_) => break,
            }
        }
        Err(Error::OutcomeUnknown)
    }
}

/// Creates the outcome of a change that a lookup found. Other changes of the calendar are read when they are needed.
fn found<T, R>(row: T) -> Outcome<T, R> {
    Outcome::Done { row, copy: None, stamp: Default::default() }
}
