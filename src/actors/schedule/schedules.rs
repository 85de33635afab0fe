//! The handle of the schedules: admits requests in front of their mailboxes, and asks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ractor::{Actor, ActorRef};
use tokio::sync::{Notify, Semaphore, oneshot};

use super::{
    actor::{Arguments, OFFERS, ScheduleActor},
    directory::{Directory, Entry, Key, Supervisor},
    message::{Answer, Granted, Message, Refused, Reply, Request, ScheduleError, Wish},
};
use crate::{
    actors::repository::{
        Error, Repository,
        peers::{News, Peers},
    },
    domain::{
        ClinicId, DoctorId, Interval,
        appointments::{Amendment, BookingRequest, Refusal},
        calendar::{Calendar, Search, Violation},
        series::{BookedSeries, SeriesRequest},
    },
};

/// How much the schedules take on, and how long they stay.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many requests may wait for one doctor's schedule.
    pub per_doctor: usize,
    /// How many requests may wait for all schedules together.
    pub overall: usize,
    /// How long a caller waits for an answer.
    pub patience: Duration,
    /// After how long without a request a schedule leaves memory, at most twice as long.
    pub idle: Duration,
    /// How many schedules stay in memory; where more are asked for, those leave that were asked longest ago.
    pub resident: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_doctor: 256,
            overall: 4096,
            patience: Duration::from_secs(10),
            idle: Duration::from_secs(600),
            resident: 10_000,
        }
    }
}

/// All schedules of this node: the handle that books and amends. Cheap to clone.
#[derive(Clone)]
pub struct Schedules {
    directory: Directory,
    repository: Repository,
    supervisor: ActorRef<()>,
    overall: Arc<Semaphore>,
}

impl Schedules {
    /// Starts with no schedule in memory, and listens to what other nodes change.
    ///
    /// # Errors
    /// Where the supervisor cannot be spawned.
    pub async fn start(
        repository: Repository,
        peers: Peers,
        mut news: tokio::sync::mpsc::UnboundedReceiver<News>,
        limits: Limits,
    ) -> Result<Self, ractor::SpawnErr> {
        let directory = Directory::new(peers, limits);
        let (supervisor, _) = Actor::spawn(None, Supervisor, directory.clone()).await?;
        let listening = directory.clone();
        tokio::spawn(async move {
            while let Some(news) = news.recv().await {
                match news {
                    News::Changed(clinic, Some(doctor)) => listening.refresh((clinic, doctor)),
                    News::Changed(clinic, None) => listening.refresh_clinic(clinic),
                    News::Alone => listening.refresh_all(),
                }
            }
        });
        Ok(Self { directory, repository, supervisor, overall: Arc::new(Semaphore::new(limits.overall)) })
    }

    /// Books an appointment.
    ///
    /// # Errors
    /// A refusal with what would work instead, or what the database or the queue stands against it.
    pub async fn book(&self, request: BookingRequest) -> Answer {
        let key = (request.caller.clinic, request.doctor);
        appointment(self.ask(key, Wish::Book(request)).await?)
    }

    /// Books a series of appointments.
    ///
    /// # Errors
    /// As [`book`](Self::book), with each time that stands against it.
    pub async fn book_series(&self, request: SeriesRequest) -> Result<BookedSeries, ScheduleError> {
        let key = (request.caller.clinic, request.doctor);
        match self.ask(key, Wish::BookSeries(Box::new(request))).await? {
            Granted::Series(booked) => Ok(booked),
            _ => Err(mismatched()),
        }
    }

    /// Changes an appointment.
    ///
    /// # Errors
    /// As [`book`](Self::book); [`Error::Stale`] where it has another version by now.
    pub async fn amend(&self, amendment: Amendment) -> Answer {
        let key = (amendment.clinic(), amendment.current.doctor);
        let without_schedule = (!amendment.takes_time()).then(|| amendment.clone());
        match (self.ask(key, Wish::Amend(amendment)).await, without_schedule) {
            // A deleted doctor has no schedule, but history that can be put right.
            (Err(ScheduleError::Refused(refused)), Some(amendment))
                if refused.violations == [Violation::NoSuchDoctor] =>
            {
                Ok(self.repository.amend(amendment, None).await?)
            }
            (granted, _) => appointment(granted?),
        }
    }

    /// A doctor's calendar, from memory.
    ///
    /// # Errors
    /// A refusal where there is no such doctor; otherwise what the database or the queue stands against it.
    pub async fn calendar(&self, clinic: ClinicId, doctor: DoctorId) -> Result<Arc<Calendar>, ScheduleError> {
        self.view((clinic, doctor), false).await
    }

    /// Decides a booking without booking it: what stands against it, and the next times that satisfy
    /// the doctor and the patient.
    ///
    /// # Errors
    /// What the database or the queue stands against it.
    pub async fn check(&self, request: &BookingRequest) -> Result<Refused, ScheduleError> {
        let calendar = match self.view((request.caller.clinic, request.doctor), true).await {
            Ok(calendar) => calendar,
            Err(ScheduleError::Refused(refused)) => return Ok(refused),
            Err(error) => return Err(error),
        };
        let length = request.length.unwrap_or(calendar.rules().slot);
        let during = Interval::starting(request.start, length).ok_or_else(|| {
            Error::invalid("appointment_datetime", "The appointment must lie in the years 1900 to 2200.")
        })?;
        let now = chrono::Utc::now();
        let mut refusal = Refusal {
            violations: calendar.violations(&during, None, now),
            conflicts: calendar.conflicts(&during, None),
            patient_busy: Vec::new(),
        };
        refusal.merge(self.repository.find_patient_busy(request, during).await?);
        refusal.conflicts.sort_unstable();
        refusal.conflicts.dedup();
        let also_busy = &refusal.patient_busy;
        let search = Search { from: during.start(), to: during.start(), length, also_busy, ignored: None, now };
        let next_slots = calendar.next_free(search, OFFERS);
        Ok(Refused { violations: refusal.violations, conflicts: refusal.conflicts, next_slots })
    }

    /// Tells their schedules that something was changed past them, which concerns these doctors' rules or appointments.
    /// Where it is not known whether it was changed, all of the clinic's are told.
    ///
    /// # Errors
    /// Those of the change.
    pub fn after<T, D: IntoIterator<Item = DoctorId>>(
        &self,
        clinic: ClinicId,
        changed: Result<T, Error>,
        doctors: impl FnOnce(&T) -> D,
    ) -> Result<T, Error> {
        match &changed {
            Ok(changed) => {
                for doctor in doctors(changed) {
                    self.refresh(clinic, doctor);
                    self.directory.freed();
                }
            }
            Err(Error::OutcomeUnknown) => self.clinic_changed(clinic),
            Err(_) => {}
        }
        changed
    }

    /// Tells all of a clinic's schedules that something was, or may have been, changed which they depend on.
    ///
    /// # Errors
    /// Those of the change.
    pub fn after_of_clinic<T>(&self, clinic: ClinicId, changed: Result<T, Error>) -> Result<T, Error> {
        if matches!(changed, Ok(_) | Err(Error::OutcomeUnknown)) {
            self.clinic_changed(clinic);
        }
        changed
    }

    fn clinic_changed(&self, clinic: ClinicId) {
        self.directory.refresh_clinic(clinic);
        self.directory.announce(clinic, None);
    }

    /// Has a doctor's calendar read, on every node, before anything else is decided on it here.
    pub(in crate::actors) fn refresh(&self, clinic: ClinicId, doctor: DoctorId) {
        self.directory.refresh((clinic, doctor));
        self.directory.announce(clinic, Some(doctor));
    }

    /// Is told when time becomes free that somebody may wait for.
    pub(in crate::actors) fn freed(&self) -> Arc<Notify> {
        self.directory.told_of_freed()
    }

    /// How many schedules are in memory.
    pub fn resident(&self) -> usize {
        self.directory.len()
    }

    /// Ends every schedule after what it has been asked.
    pub async fn drain(&self) {
        for entry in self.directory.take_all() {
            if let Some(actor) = entry.actor.get() {
                let _ = actor.drain_and_wait(Some(Duration::from_secs(10))).await;
            }
        }
        self.supervisor.stop(None);
        self.directory.leave();
    }

    async fn view(&self, key: Key, is_checked: bool) -> Result<Arc<Calendar>, ScheduleError> {
        match self.ask(key, Wish::View { is_checked }).await {
            Ok(Granted::Calendar(calendar)) => Ok(calendar),
            Ok(_) => Err(mismatched()),
            // Looking changes nothing.
            Err(ScheduleError::Repository(Error::OutcomeUnknown)) => Err(Error::Unavailable.into()),
            Err(error) => Err(error),
        }
    }

    /// Asks the doctor's schedule. What meets an activation on its way out goes to the next.
    async fn ask(&self, key: Key, mut wish: Wish) -> Result<Granted, ScheduleError> {
        let limits = self.directory.limits();
        let deadline = Instant::now() + limits.patience;
        loop {
            let overall = self.overall.clone().try_acquire_owned().map_err(|_| Error::Overloaded)?;
            let (entry, active) = self.directory.entry(key);
            let of_doctor = entry.permits.clone().try_acquire_owned().map_err(|_| Error::Overloaded)?;
            let (reply, replied) = oneshot::channel();
            let request = Request { wish, reply, deadline, _admission: [overall, of_doctor] };
            let actor = match active {
                Some(actor) => actor,
                None => self.activate(key, entry).await?,
            };
            match actor.cast(Message::Decide(Box::new(request))) {
                Ok(()) => {}
                Err(ractor::MessagingErr::SendErr(Message::Decide(returned))) if Instant::now() < deadline => {
                    self.directory.forget(key, actor.get_id());
                    wish = returned.wish;
                    continue;
                }
                Err(_) => return Err(Error::Unavailable.into()),
            }
            match tokio::time::timeout_at(deadline.into(), replied).await {
                Ok(Ok(Reply::Answer(answer))) => return answer,
                Ok(Ok(Reply::AskNext(returned))) => wish = *returned,
                // The actor failed, or the time ran out, with the write perhaps under way.
                Ok(Err(_)) | Err(_) => return Err(Error::OutcomeUnknown.into()),
            }
        }
    }

    /// Activates a doctor's actor; of several who ask, one does.
    async fn activate(&self, key: Key, entry: Arc<Entry>) -> Result<ActorRef<Message>, ScheduleError> {
        let schedules = self.clone();
        // To its end also where the caller goes away, so that nothing half made stays.
        let activating = tokio::spawn(async move {
            let activated = entry.actor.get_or_try_init(|| schedules.spawn(key)).await.cloned();
            match &activated {
                Ok(actor) => schedules.directory.hand_on(&entry, actor),
                Err(_) => schedules.directory.forget_unborn(key, entry),
            }
            activated
        });
        activating.await.unwrap_or_else(|_| Err(Error::Unavailable.into()))
    }

    async fn spawn(&self, (clinic, doctor): Key) -> Result<ActorRef<Message>, ScheduleError> {
        let calendar = match self.repository.load_calendar(clinic, doctor).await {
            Ok(calendar) => calendar,
            Err(Error::NotFound) => {
                return Err(ScheduleError::Refused(Refused {
                    violations: vec![Violation::NoSuchDoctor],
                    conflicts: Vec::new(),
                    next_slots: Vec::new(),
                }));
            }
            Err(error) => return Err(error.into()),
        };
        let arguments = Arguments {
            clinic,
            doctor,
            calendar: Arc::new(calendar),
            repository: self.repository.clone(),
            directory: self.directory.clone(),
        };
        let supervisor = self.supervisor.get_cell();
        match Actor::spawn_linked(None, ScheduleActor, arguments, supervisor).await {
            Ok((actor, _)) => Ok(actor),
            Err(error) => {
                tracing::error!(%error, "a schedule could not be activated");
                Err(Error::Unavailable.into())
            }
        }
    }
}

fn appointment(granted: Granted) -> Answer {
    match granted {
        Granted::Appointment(appointment) => Ok(appointment),
        Granted::Series(_) | Granted::Calendar(_) => Err(mismatched()),
    }
}

/// A schedule answered something else than it was asked: an error of ours.
fn mismatched() -> ScheduleError {
    Error::Corrupt("a schedule answered another question".into()).into()
}
