//! Reads and writes of the rules of doctors' schedules. Each change advances the versions of the affected calendars,
//! and returns the appointments that the new rules would not allow.

use futures_util::{FutureExt, future::BoxFuture};
use serde::Serialize;

use super::{Deleted, Error, Page, Repository, Result};
use crate::{
    clock,
    domain::{
        Caller, ClinicId, ClosureId, DoctorId, Identified, Interval, TimeOffId, Visibility,
        access::{Action, Resource},
        appointments::Outside,
        calendar::{CalendarCopy, ClosedDays},
        schedules::{Changed, Closure, NewHours, TimeOff, WorkingHours},
    },
    repository::{calendars, context::ClinicDb, doctors, expect_version, retries, schedules},
};

/// How many doctors' calendars are read at a time when all of a clinic are checked.
const PIECE: usize = 64;

/// A change of one doctor's rules. The audit trail records it with the doctor's id.
struct OfDoctor<T> {
    doctor: DoctorId,
    changed: Changed<T>,
}

impl<T> Identified for OfDoctor<T> {
    fn id(&self) -> i64 {
        self.doctor.0
    }
}

impl Repository {
    /// Returns a doctor's calendar as it is in the database.
    pub async fn load_calendar(&self, clinic: ClinicId, doctor: DoctorId) -> Result<CalendarCopy> {
        self.read(clinic, move |db| calendars::load(db, doctor).boxed()).await
    }

    /// Returns a doctor's working hours, if the caller may see the doctor.
    pub async fn find_hours(&self, caller: &Caller, doctor: DoctorId, seen: Visibility) -> Result<WorkingHours> {
        self.read(caller.clinic, move |db| {
            async move {
                doctors::find(&mut *db, doctor, seen).await?;
                hours(db, doctor).await
            }
            .boxed()
        })
        .await
    }

    /// Sets a doctor's working hours, if the rules have the expected revision.
    pub async fn set_hours(
        &self,
        caller: &Caller,
        doctor: DoctorId,
        seen: Visibility,
        expected: Option<i64>,
        new: NewHours,
    ) -> Result<Changed<WorkingHours>> {
        self.change_rules(caller, doctor, seen, expected, move |db| {
            async move {
                let today = calendars::load(&mut *db, doctor).await?.calendar.rules().day_of(clock::now());
                let from = new.effective_from.unwrap_or(today);
                schedules::set_hours(&mut *db, doctor, from, new.windows).await?;
                hours(db, doctor).await
            }
            .boxed()
        })
        .await
    }

    /// Creates time off of a doctor.
    pub async fn create_time_off(
        &self,
        caller: &Caller,
        doctor: DoctorId,
        seen: Visibility,
        during: Interval,
        reason: String,
    ) -> Result<Changed<TimeOff>> {
        let by = caller.account;
        self.change_rules(caller, doctor, seen, None, move |db| {
            async move { schedules::insert_time_off(db, doctor, &during, &reason, by).await }.boxed()
        })
        .await
    }

    /// Returns a doctor's time off, newest first, if the caller may see the doctor.
    pub async fn list_time_off(
        &self,
        caller: &Caller,
        doctor: DoctorId,
        seen: Visibility,
        page: Page,
    ) -> Result<Vec<TimeOff>> {
        self.read(caller.clinic, move |db| {
            async move {
                doctors::find(&mut *db, doctor, seen).await?;
                schedules::list_time_off(db, doctor, page).await
            }
            .boxed()
        })
        .await
    }

    /// Deletes time off.
    pub async fn delete_time_off(
        &self,
        caller: &Caller,
        doctor: DoctorId,
        seen: Visibility,
        id: TimeOffId,
    ) -> Result<()> {
        self.change_rules(caller, doctor, seen, None, move |db| schedules::delete_time_off(db, doctor, id).boxed())
            .await?;
        Ok(())
    }

    /// Closes the clinic for some days.
    pub async fn create_closure(&self, caller: &Caller, days: ClosedDays, reason: String) -> Result<Closure> {
        let by = caller.account;
        self.create(caller, Action::Update, Resource::Schedules, move |db| {
            async move {
                calendars::advance_clinic(&mut *db).await?;
                schedules::insert_closure(db, days, &reason, by).await
            }
            .boxed()
        })
        .await
    }

    /// Returns the clinic's upcoming appointments that their doctors' rules would not allow now: all, or those around
    /// some days. They are read in pieces, so that other work does not wait.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] if they cannot be read: the call follows a change that was already made.
    pub async fn outside_of_clinic(&self, clinic: ClinicId, on: Option<ClosedDays>) -> Result<Vec<Outside>> {
        self.read_outside_of_clinic(clinic, on).await.map_err(|error| {
            tracing::warn!(%error, "cannot list the appointments that the clinic's new rules would not allow");
            Error::OutcomeUnknown
        })
    }

    async fn read_outside_of_clinic(&self, clinic: ClinicId, on: Option<ClosedDays>) -> Result<Vec<Outside>> {
        let doctors = self.read(clinic, move |db| schedules::doctors_with_appointments(db, on).boxed());
        let mut outside = Vec::new();
        for piece in doctors.await?.chunks(PIECE) {
            let piece: Vec<_> = piece.iter().map(|doctor| doctor.0).collect();
            outside.extend(
                self.read(clinic, move |db| async move { calendars::outside(db, &piece, clock::now()).await }.boxed())
                    .await?,
            );
        }
        Ok(outside)
    }

    /// Returns the clinic's closures, newest first.
    pub async fn list_closures(&self, caller: &Caller, page: Page) -> Result<Vec<Closure>> {
        self.read(caller.clinic, move |db| schedules::list_closures(db, page).boxed()).await
    }

    /// Deletes a closure.
    pub async fn delete_closure(&self, caller: &Caller, id: ClosureId) -> Result<()> {
        self.write(caller, Action::Update, Resource::Schedules, move |db| {
            async move {
                calendars::advance_clinic(&mut *db).await?;
                schedules::delete_closure(db, id).await?;
                Ok(Deleted(id.0))
            }
            .boxed()
        })
        .await?;
        Ok(())
    }

    /// Changes one doctor's rules, if they have the expected version, while the calendar is locked.
    async fn change_rules<T, F>(
        &self,
        caller: &Caller,
        doctor: DoctorId,
        seen: Visibility,
        expected: Option<i64>,
        change: F,
    ) -> Result<Changed<T>>
    where
        T: Serialize + Send + Sync + 'static,
        F: for<'c> FnOnce(&'c mut ClinicDb<'_>) -> BoxFuture<'c, Result<T>> + Send + 'static,
    {
        let by = caller.clone();
        let done = self.write(caller, Action::Update, Resource::Schedules, move |db| {
            async move {
                calendars::hold(&mut *db, doctor, true).await?;
                doctors::find(&mut *db, doctor, seen).await?;
                expect_version(expected, calendars::rules_version(&mut *db, doctor).await?)?;
                calendars::advance_rules(&mut *db, doctor).await?;
                let row = change(&mut *db).await?;
                let outside = calendars::outside(&mut *db, &[doctor.0], clock::now()).await?;
                let changed = Changed { row, outside };
                retries::keep(db, &by, &changed).await?;
                Ok(OfDoctor { doctor, changed })
            }
            .boxed()
        });
        Ok(done.await?.changed)
    }
}

async fn hours(db: &mut ClinicDb<'_>, doctor: DoctorId) -> Result<WorkingHours> {
    let revision = calendars::rules_version(&mut *db, doctor).await?;
    let calendar = calendars::load(db, doctor).await?.calendar;
    let rules = calendar.rules();
    Ok(WorkingHours { doctor, zone: rules.zone, hours: rules.hours.clone(), revision })
}
