//! Work on what doctors' schedules are bound by. Each change counts in the doctor's revision, and is
//! answered with the appointments that it left outside.

use chrono::Utc;
use futures_util::{FutureExt, future::BoxFuture};
use serde::Serialize;
use sqlx::PgConnection;

use super::{Context, Deleted, Page, Repository, Result};
use crate::{
    domain::{
        Caller, ClinicId, ClosureId, DoctorId, Identified, Interval, TimeOffId, Visibility,
        access::{Action, Resource},
        appointments::Outside,
        calendar::{Calendar, ClosedDays},
        schedules::{Changed, Closure, NewHours, TimeOff, WorkingHours},
    },
    repository::{calendars, doctors, expect_version, retries, schedules},
};

/// A change of one doctor's rules, which the audit trail keeps under the doctor.
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
    /// A doctor's calendar as the database has it.
    pub async fn load_calendar(&self, clinic: ClinicId, doctor: DoctorId) -> Result<Calendar> {
        self.read(Context::Clinic(clinic), move |db| calendars::load(db, clinic, doctor).boxed()).await
    }

    /// A doctor's working hours, if the caller may see the doctor.
    pub async fn find_hours(&self, caller: &Caller, doctor: DoctorId, seen: Visibility) -> Result<WorkingHours> {
        let clinic = caller.clinic;
        self.read(Context::Clinic(clinic), move |db| {
            async move {
                doctors::find(&mut *db, clinic, doctor, seen).await?;
                hours(db, clinic, doctor).await
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
        let clinic = caller.clinic;
        self.change_rules(caller, doctor, seen, move |db| {
            async move {
                let before = calendars::load(&mut *db, clinic, doctor).await?;
                expect_version(expected, before.rules().revision)?;
                let today = before.rules().day_of(Utc::now());
                schedules::set_hours(&mut *db, clinic, doctor, new.effective_from.unwrap_or(today), new.windows)
                    .await?;
                let changed = hours(db, clinic, doctor).await?;
                // The change itself is counted after this.
                Ok(WorkingHours { revision: changed.revision + 1, ..changed })
            }
            .boxed()
        })
        .await
    }

    /// Enters time off of a doctor.
    pub async fn create_time_off(
        &self,
        caller: &Caller,
        doctor: DoctorId,
        seen: Visibility,
        during: Interval,
        reason: String,
    ) -> Result<Changed<TimeOff>> {
        let (clinic, by) = (caller.clinic, caller.account);
        self.change_rules(caller, doctor, seen, move |db| {
            async move { schedules::insert_time_off(db, clinic, doctor, &during, &reason, by).await }.boxed()
        })
        .await
    }

    /// A doctor's time off, newest first, if the caller may see the doctor.
    pub async fn list_time_off(
        &self,
        caller: &Caller,
        doctor: DoctorId,
        seen: Visibility,
        page: Page,
    ) -> Result<Vec<TimeOff>> {
        let clinic = caller.clinic;
        self.read(Context::Clinic(clinic), move |db| {
            async move {
                doctors::find(&mut *db, clinic, doctor, seen).await?;
                schedules::list_time_off(db, clinic, doctor, page).await
            }
            .boxed()
        })
        .await
    }

    /// Takes time off back.
    pub async fn delete_time_off(
        &self,
        caller: &Caller,
        doctor: DoctorId,
        seen: Visibility,
        id: TimeOffId,
    ) -> Result<()> {
        let clinic = caller.clinic;
        self.change_rules(caller, doctor, seen, move |db| schedules::delete_time_off(db, clinic, doctor, id).boxed())
            .await?;
        Ok(())
    }

    /// Closes the clinic for some days.
    pub async fn create_closure(&self, caller: &Caller, days: ClosedDays, reason: String) -> Result<Changed<Closure>> {
        let (clinic, by) = (caller.clinic, caller.account);
        self.create(caller, Action::Update, Resource::Schedules, move |db| {
            async move {
                schedules::count_change_of_all(&mut *db, clinic).await?;
                let row = schedules::insert_closure(&mut *db, clinic, days, &reason, by).await?;
                Ok(Changed { row, outside: outside_of_clinic(db, clinic, Some(days)).await? })
            }
            .boxed()
        })
        .await
    }

    /// The clinic's closures, newest first.
    pub async fn list_closures(&self, caller: &Caller, page: Page) -> Result<Vec<Closure>> {
        let clinic = caller.clinic;
        self.read(Context::Clinic(clinic), move |db| schedules::list_closures(db, clinic, page).boxed()).await
    }

    /// Takes a closure back.
    pub async fn delete_closure(&self, caller: &Caller, id: ClosureId) -> Result<()> {
        let clinic = caller.clinic;
        self.write(caller, Action::Update, Resource::Schedules, move |db| {
            async move {
                schedules::count_change_of_all(&mut *db, clinic).await?;
                schedules::delete_closure(db, clinic, id).await?;
                Ok(Deleted { id: id.0, outcome: () })
            }
            .boxed()
        })
        .await?;
        Ok(())
    }

    /// Changes what one doctor's schedule is bound by, while nobody else does and nobody books by it.
    async fn change_rules<T, F>(
        &self,
        caller: &Caller,
        doctor: DoctorId,
        seen: Visibility,
        change: F,
    ) -> Result<Changed<T>>
    where
        T: Serialize + Send + Sync + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T>> + Send + 'static,
    {
        let clinic = caller.clinic;
        let by = caller.clone();
        let done = self.write(caller, Action::Update, Resource::Schedules, move |db| {
            async move {
                doctors::lock(&mut *db, clinic, doctor).await?;
                doctors::find(&mut *db, clinic, doctor, seen).await?;
                let row = change(&mut *db).await?;
                schedules::count_change(&mut *db, clinic, doctor).await?;
                let outside = calendars::outside(&mut *db, clinic, doctor).await?;
                let changed = Changed { row, outside };
                retries::keep(db, &by, &changed).await?;
                Ok(OfDoctor { doctor, changed })
            }
            .boxed()
        });
        Ok(done.await?.changed)
    }
}

async fn hours(db: &mut PgConnection, clinic: ClinicId, doctor: DoctorId) -> Result<WorkingHours> {
    let calendar = calendars::load(db, clinic, doctor).await?;
    let rules = calendar.rules();
    Ok(WorkingHours { doctor, zone: rules.zone, hours: rules.hours.clone(), revision: rules.revision })
}

/// The clinic's appointments to come that their doctors' rules would not allow now: all, or those
/// around some days.
pub(super) async fn outside_of_clinic(
    db: &mut PgConnection,
    clinic: ClinicId,
    on: Option<ClosedDays>,
) -> Result<Vec<Outside>> {
    let mut outside = Vec::new();
    for doctor in schedules::doctors_with_appointments(&mut *db, clinic, on).await? {
        outside.extend(calendars::outside(&mut *db, clinic, doctor).await?);
    }
    Ok(outside)
}
