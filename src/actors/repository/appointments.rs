//! Work on appointments. Only the schedule actors book and amend.

use futures_util::FutureExt;

use super::{Context, Error, Page, Repository, Result, Written, settled};
use crate::{
    domain::{
        AppointmentId, Caller, ClinicId, Interval, Visibility,
        access::{Action, Resource},
        appointments::{Amendment, Appointment, AppointmentFilter, Booking, BookingRequest, Event, Refusal},
        calendar::Terms,
    },
    repository::{appointments, bookings, history},
};

impl Repository {
    /// The appointments that match and that the caller may see, newest first.
    pub async fn list_appointments(
        &self,
        caller: &Caller,
        seen: Visibility,
        filter: AppointmentFilter,
        page: Page,
    ) -> Result<Vec<Appointment>> {
        let clinic = caller.clinic;
        self.read(Context::Clinic(clinic), move |db| {
            async move { appointments::list(db, clinic, seen, &filter, page).await }.boxed()
        })
        .await
    }

    /// The appointment, if the caller may see it.
    pub async fn find_appointment(&self, caller: &Caller, id: AppointmentId, seen: Visibility) -> Result<Appointment> {
        let clinic = caller.clinic;
        self.read(Context::Clinic(clinic), move |db| appointments::find(db, clinic, id, seen).boxed()).await
    }

    /// What was done to an appointment that the caller may see, newest first.
    pub async fn list_appointment_events(
        &self,
        caller: &Caller,
        id: AppointmentId,
        seen: Visibility,
        page: Page,
    ) -> Result<Vec<Event>> {
        let clinic = caller.clinic;
        self.read(Context::Clinic(clinic), move |db| {
            async move {
                appointments::find(&mut *db, clinic, id, seen).await?;
                history::list(db, clinic, id, page).await
            }
            .boxed()
        })
        .await
    }

    /// Writes a booking that its doctor's schedule has accepted.
    pub(crate) async fn book(&self, booking: Booking) -> Result<Written> {
        self.bookings.ask(booking.doctor.0, booking).await
    }

    /// Writes an amendment that its doctor's schedule has accepted, and settles a lost outcome.
    pub(crate) async fn amend(&self, amendment: Amendment, terms: Option<Terms>) -> Result<Appointment> {
        let action = if amendment.status == amendment.current.status { Action::Update } else { Action::Transition };
        settled(|is_lost| {
            let (amendment, attempt) = (&amendment, amendment.clone());
            let amended = self.write(&amendment.caller, action, Resource::Appointments, move |db| {
                async move { appointments::amend(db, &attempt, terms.as_ref()).await }.boxed()
            });
            async move {
                match amended.await {
                    // This attempt waited for the one before it to end. If that was committed, the row is what the
                    // amendment wanted, one version on.
                    Err(Error::Stale) if is_lost => self.read_back(amendment).await,
                    amended => amended,
                }
            }
        })
        .await
    }

    async fn read_back(&self, amendment: &Amendment) -> Result<Appointment> {
        let id = amendment.current.id;
        let stored = self.find_appointment(&amendment.caller, id, Visibility::WHOLE_CLINIC).await?;
        let as_wanted = stored.version == amendment.current.version + 1
            && stored.during == amendment.during
            && stored.status == amendment.status
            && stored.reason == amendment.reason;
        if as_wanted { Ok(stored) } else { Err(Error::Stale) }
    }

    /// What stands in the way of an appointment at another time.
    pub(crate) async fn find_busy(&self, clinic: ClinicId, current: &Appointment, during: Interval) -> Result<Refusal> {
        let (id, doctor, patient) = (current.id, current.doctor, current.patient);
        self.read(Context::Clinic(clinic), move |db| {
            async move { bookings::busy(db, clinic, doctor, patient, &during, Some(id)).await }.boxed()
        })
        .await
    }

    /// What the patient of a booking stands against it, for a dry run: whether the caller may book them,
    /// and when they are busy. `length` is that of the doctor's slots where the request has none.
    pub(crate) async fn find_patient_busy(&self, request: &BookingRequest, during: Interval) -> Result<Refusal> {
        let request = request.clone();
        self.read(Context::Clinic(request.caller.clinic), move |db| {
            async move { bookings::patient_busy(db, &request, &during).await }.boxed()
        })
        .await
    }
}
