//! Reads and writes of the rules of doctors' schedules. Each change advances the versions of the affected calendars,
//! and returns the appointments that the new rules would not allow.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;

use super::calendar_reader::{CalendarQuestion, Read};
use super::{Deleted, Error, Page, Repository, Result};
use crate::clock;
use crate::domain::access::{Action, Resource};
use crate::domain::appointments::Outside;
use crate::domain::calendar::{Calendar, CalendarCopy, ClosedDays};
use crate::domain::doctors::Doctor;
use crate::domain::schedules::{Changed, Closure, NewHours, TimeOff, WorkingHours};
use crate::domain::{Caller, ClinicId, ClosureId, DoctorId, Identified, Interval, TimeOffId, Visibility, zone};
use crate::repository::context::ClinicDb;
use crate::repository::{calendars, clinics, doctors, expect_version, retries, schedules};

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
    /// Returns the changes of a calendar and the patients' sides of proposals, all from one snapshot that is later than
    /// the call.
    pub(crate) async fn read_calendar(&self, asked: CalendarQuestion) -> Result<Read> {
        self.calendars.ask(asked.known.doctor.0, asked).await
    }

    /// Returns a doctor's calendar as it is in the database.
    pub async fn load_calendar(&self, clinic: ClinicId, doctor: DoctorId) -> Result<CalendarCopy> {
        self.read(clinic, move |db| calendars::load(db, doctor).boxed()).await
    }

    /// Returns a doctor's working hours, if the caller may see the doctor.
    pub async fn find_hours(&self, caller: &Caller, doctor: DoctorId, seen: Visibility) -> Result<WorkingHours> {
        self.read(caller.clinic, move |db| {
            async move {
                doctors::find(&mut *db, doctor, seen).await?;
                let revision = calendars::rules_version(&mut *db, doctor).await?;
                Ok(hours(doctor, &calendars::load(db, doctor).await?.calendar, revision))
            }
            .boxed()
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
                self.read(clinic, move |db| async move { schedules::outside(db, &piece, clock::now()).await }.boxed())
                    .await?,
            );
        }
        Ok(outside)
    }

    /// Returns the clinic's closures, newest first.
    pub async fn list_closures(&self, caller: &Caller, page: Page) -> Result<Vec<Closure>> {
        self.read(caller.clinic, move |db| schedules::list_closures(db, page).boxed()).await
    }
}

/// Every change of what schedules are bound by. The schedules have it, and only they: what is to follow such a change has
/// its place there.
#[derive(Clone)]
pub struct RuleChanges(pub(super) Repository);

impl RuleChanges {
    /// Those of that repository.
    pub(in crate::actors) fn of(repository: Repository) -> Self {
        Self(repository)
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
        let show = move |(), calendar: &Calendar, revision| hours(doctor, calendar, revision);
        self.change_rules(caller, doctor, seen, expected, show, move |db, stored| {
            async move {
                let from = match (new.effective_from, stored.details.scheduling.time_zone) {
                    (Some(day), _) => day,
                    (None, Some(zone)) => zone::day_of(zone, clock::now()),
                    (None, None) => zone::day_of(clinics::find(&mut *db).await?.details.time_zone, clock::now()),
                };
                schedules::set_hours(db, doctor, from, new.windows).await
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
        self.change_rules(
            caller,
            doctor,
            seen,
            None,
            |time_off, _, _| time_off,
            move |db, _| async move { schedules::insert_time_off(db, doctor, &during, &reason, by).await }.boxed(),
        )
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
        let change = self.change_rules(
            caller,
            doctor,
            seen,
            None,
            |(), _, _| (),
            move |db, _| schedules::delete_time_off(db, doctor, id).boxed(),
        );
        change.await?;
        Ok(())
    }

    /// Closes the clinic for some days.
    pub async fn create_closure(&self, caller: &Caller, days: ClosedDays, reason: String) -> Result<Closure> {
        let by = caller.account;
        self.0
            .create(caller, Action::Update, Resource::Schedules, move |db| {
                async move {
                    calendars::advance_clinic(&mut *db).await?;
                    schedules::insert_closure(db, days, &reason, by).await
                }
                .boxed()
            })
            .await
    }

    /// Deletes a closure.
    pub async fn delete_closure(&self, caller: &Caller, id: ClosureId) -> Result<()> {
        self.0
            .write(caller, Action::Update, Resource::Schedules, move |db| {
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

    /// Changes one doctor's rules, if they have the expected version, while the calendar is locked. `show` makes the answer of what was changed, the calendar as it is then, and the rules' new version.
    async fn change_rules<C, T, F>(
        &self,
        caller: &Caller,
        doctor: DoctorId,
        seen: Visibility,
        expected: Option<i64>,
        show: impl FnOnce(C, &Calendar, i64) -> T + Send + 'static,
        change: F,
    ) -> Result<Changed<T>>
    where
        C: Send + 'static,
        T: Serialize + Send + Sync + 'static,
        F: for<'c> FnOnce(&'c mut ClinicDb<'_>, Doctor) -> BoxFuture<'c, Result<C>> + Send + 'static,
    {
        let by = caller.clone();
        let done = self.0.write(caller, Action::Update, Resource::Schedules, move |db| {
            async move {
                calendars::hold(&mut *db, doctor, true).await?;
                let stored = doctors::find(&mut *db, doctor, seen).await?;
                expect_version(expected, calendars::rules_version(&mut *db, doctor).await?)?;
                let revision = calendars::advance_rules(&mut *db, doctor).await?;
                let changed = change(&mut *db, stored).await?;
                let copies = calendars::load_all(&mut *db, &[doctor.0]).await?;
                let outside = schedules::outside_of(&mut *db, &copies, clock::now()).await?;
                let (_, copy) = copies.first().ok_or(Error::NotFound)?;
                let changed = Changed { row: show(changed, &copy.calendar, revision), outside };
                retries::keep(db, &by, &changed).await?;
                Ok(OfDoctor { doctor, changed })
            }
            .boxed()
        });
        Ok(done.await?.changed)
    }
}

fn hours(doctor: DoctorId, calendar: &Calendar, revision: i64) -> WorkingHours {
    let rules = calendar.rules();
    WorkingHours { doctor, zone: rules.zone, hours: rules.hours.clone(), revision }
}
