//! Finds, activates and forgets schedule actors, and admits requests in front of their mailboxes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::{OnceCell, Semaphore, oneshot};

use super::{
    actor::{Arguments, ScheduleActor},
    message::{Answer, Message, Refused, Reply, Request, ScheduleError, Wish},
};
use crate::{
    actors::repository::{
        Error, Repository,
        peers::{News, Peers},
    },
    domain::{
        ClinicId, DoctorId,
        appointments::{Amendment, BookingRequest},
        calendar::Violation,
    },
};

/// Names a schedule.
type Key = (ClinicId, DoctorId);

/// How much the schedules take on, and how long they stay.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many requests may wait for one doctor's schedule.
    pub per_doctor: usize,
    /// How many requests may wait for all schedules together.
    pub overall: usize,
    /// How long a caller waits for an answer.
    pub patience: Duration,
    /// After how long without a request a schedule leaves memory.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_doctor: 256, overall: 4096, patience: Duration::from_secs(10), idle: Duration::from_secs(600) }
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

/// Which schedules are in memory.
#[derive(Clone)]
pub(super) struct Directory(Arc<Shared>);

struct Shared {
    entries: Mutex<HashMap<Key, Arc<Entry>>>,
    peers: Peers,
    limits: Limits,
}

struct Entry {
    /// Set once the actor has been activated; several callers wait for one activation.
    actor: OnceCell<ActorRef<Message>>,
    permits: Arc<Semaphore>,
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
        let directory = Directory(Arc::new(Shared { entries: Mutex::default(), peers, limits }));
        let (supervisor, _) = Actor::spawn(None, Supervisor, directory.clone()).await?;
        let listening = directory.clone();
        tokio::spawn(async move {
            while let Some(news) = news.recv().await {
                match news {
                    News::Changed(clinic, doctor) => listening.refresh((clinic, doctor)),
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
        self.ask(key, Wish::Book(request)).await
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
                Ok(self.repository.amend(amendment).await?)
            }
            (answer, _) => answer,
        }
    }

    /// Says that a doctor's rules or appointments were changed past their schedule.
    pub fn changed(&self, clinic: ClinicId, doctor: DoctorId) {
        self.directory.refresh((clinic, doctor));
        self.directory.announce(clinic, doctor);
    }

    /// Says that something was changed which all of a clinic's schedules depend on.
    pub fn clinic_changed(&self, clinic: ClinicId) {
        let keys: Vec<_> = self.directory.entries().keys().copied().filter(|(of, _)| *of == clinic).collect();
        for (clinic, doctor) in keys {
            self.changed(clinic, doctor);
        }
    }

    /// How many schedules are in memory.
    pub fn resident(&self) -> usize {
        self.directory.entries().len()
    }

    /// Ends every schedule after what it has been asked.
    pub async fn drain(&self) {
        let entries: Vec<_> = self.directory.entries().drain().map(|(_, entry)| entry).collect();
        for entry in entries {
            if let Some(actor) = entry.actor.get() {
                let _ = actor.drain_and_wait(Some(Duration::from_secs(10))).await;
            }
        }
        self.supervisor.stop(None);
        self.directory.0.peers.leave();
    }

    /// Asks the doctor's schedule. What meets an activation on its way out goes to the next.
    async fn ask(&self, key: Key, mut wish: Wish) -> Answer {
        let limits = self.directory.limits();
        let deadline = Instant::now() + limits.patience;
        loop {
            let overall = self.overall.clone().try_acquire_owned().map_err(|_| Error::Overloaded)?;
            let entry = self.directory.entry(key);
            let of_doctor = entry.permits.clone().try_acquire_owned().map_err(|_| Error::Overloaded)?;
            let (reply, replied) = oneshot::channel();
            let request = Request { wish, reply, deadline, _admission: [overall, of_doctor] };
            let actor = self.activate(key).await?;
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

    /// The doctor's actor, from memory or from the database.
    async fn activate(&self, key: Key) -> Result<ActorRef<Message>, ScheduleError> {
        let entry = self.directory.entry(key);
        let activated = entry.actor.get_or_try_init(|| self.spawn(key)).await;
        if activated.is_err() {
            self.directory.forget_unborn(key, &entry);
        }
        activated.cloned()
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
            calendar,
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

impl Directory {
    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Arc<Entry>>> {
        // The map is whole after any single operation on it, so a panic elsewhere does not spoil it.
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, key: Key) -> Arc<Entry> {
        let per_doctor = self.0.limits.per_doctor;
        let mut entries = self.entries();
        let entry = entries.entry(key).or_insert_with(|| {
            Arc::new(Entry { actor: OnceCell::new(), permits: Arc::new(Semaphore::new(per_doctor)) })
        });
        entry.clone()
    }

    /// Lets go of an actor that has ended or is about to.
    pub(super) fn forget(&self, key: Key, id: ActorId) {
        let mut entries = self.entries();
        let is_that = |entry: &Arc<Entry>| entry.actor.get().is_some_and(|actor| actor.get_id() == id);
        if entries.get(&key).is_some_and(is_that) {
            entries.remove(&key);
        }
    }

    /// Lets go of an entry whose activation failed.
    fn forget_unborn(&self, key: Key, unborn: &Arc<Entry>) {
        let mut entries = self.entries();
        let is_that = |entry: &Arc<Entry>| Arc::ptr_eq(entry, unborn) && entry.actor.get().is_none();
        if entries.get(&key).is_some_and(is_that) {
            entries.remove(&key);
        }
    }

    /// Lets go of a failed actor, whichever schedule it was.
    fn forget_failed(&self, id: ActorId) {
        self.entries().retain(|_, entry| entry.actor.get().is_none_or(|actor| actor.get_id() != id));
    }

    fn refresh(&self, key: Key) {
        let mut entries = self.entries();
        match entries.get(&key).map(|entry| entry.actor.get()) {
            Some(Some(actor)) => {
                let _ = actor.cast(Message::Refresh);
            }
            // What is being read for an activation may be from before the change: whoever asks from
            // now on gets another.
            Some(None) => {
                entries.remove(&key);
            }
            None => {}
        }
    }

    fn refresh_all(&self) {
        for actor in self.entries().values().filter_map(|entry| entry.actor.get()) {
            let _ = actor.cast(Message::Refresh);
        }
    }

    pub(super) fn announce(&self, clinic: ClinicId, doctor: DoctorId) {
        self.0.peers.announce(clinic, doctor);
    }

    pub(super) fn is_alone(&self) -> bool {
        self.0.peers.is_alone()
    }

    pub(super) fn limits(&self) -> Limits {
        self.0.limits
    }
}

/// Outlives the schedules. One that failed is let go of, so that the next request to it activates it
/// anew from the database; no other is touched.
struct Supervisor;

impl Actor for Supervisor {
    type Msg = ();
    type State = Directory;
    type Arguments = Directory;

    async fn pre_start(&self, _: ActorRef<()>, directory: Directory) -> Result<Directory, ActorProcessingErr> {
        Ok(directory)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        directory: &mut Directory,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(actor, error) = event {
            tracing::error!(%error, "a schedule failed; its next request reads it from the database");
            directory.forget_failed(actor.get_id());
        }
        Ok(())
    }
}
