//! The directory of the schedules in memory, and their supervisor.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indexmap::IndexMap;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::{OnceCell, Semaphore};

use super::actor::Message;
use super::limits::Limits;
use crate::domain::{ClinicId, DoctorId};

/// Identifies a schedule.
pub(super) type Key = (ClinicId, DoctorId);

/// The schedules in memory.
#[derive(Clone)]
pub(super) struct Directory(Arc<Inner>);

struct Inner {
    entries: Mutex<Entries>,
    limits: Limits,
}

/// The maximum number of entries that are checked to make room for one more.
const LOOKS: usize = 64;

/// The schedules in memory. The clock algorithm (second chance) finds those that have not been used for a while.
#[derive(Default)]
pub(super) struct Entries {
    of: IndexMap<Key, Arc<Place>>,
    hand: usize,
}

impl Entries {
    /// Asks as many schedules to leave as exceed `most`. A schedule that was used since the hand last passed stays. A
    /// schedule with pending work also stays, so the limit can be exceeded for a while.
    fn make_room(&mut self, most: usize) {
        let mut too_many = (self.of.len() + 1).saturating_sub(most);
        for _ in 0..LOOKS.min(self.of.len()) {
            if too_many == 0 {
                return;
            }
            self.hand = (self.hand + 1) % self.of.len();
            let entry = &self.of[self.hand];
            let is_in_use = entry.is_used.swap(false, Ordering::Relaxed);
            if let (false, Some(actor)) = (is_in_use, entry.actor.get()) {
                let _ = actor.cast(Message::MakeRoom);
                too_many -= 1;
            }
        }
    }

    fn remove(&mut self, key: Key, is_that: impl Fn(&Arc<Place>) -> bool) {
        if self.of.get(&key).is_some_and(is_that) {
            self.of.swap_remove(&key);
        }
    }
}

pub(super) struct Place {
    /// Used since the hand of the clock last passed.
    is_used: AtomicBool,
    /// Set when the actor has been activated. Several callers wait for one activation.
    pub(super) actor: OnceCell<ActorRef<Message>>,
    pub(super) permits: Arc<Semaphore>,
}

impl Directory {
    /// Creates a directory without schedules.
    pub(super) fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner { entries: Mutex::default(), limits }))
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // Every single operation leaves the map consistent, so a panic elsewhere does not corrupt it.
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of schedules.
    pub(super) fn len(&self) -> usize {
        self.entries().of.len()
    }

    /// Removes and returns all schedules.
    pub(super) fn take_all(&self) -> Vec<Arc<Place>> {
        self.entries().of.drain(..).map(|(_, entry)| entry).collect()
    }

    /// Returns the entry, and its actor if it has been activated.
    pub(super) fn entry(&self, key: Key) -> (Arc<Place>, Option<ActorRef<Message>>) {
        let Limits { per_doctor, resident, .. } = self.0.limits;
        let mut entries = self.entries();
        if let Some(entry) = entries.of.get(&key) {
            entry.is_used.store(true, Ordering::Relaxed);
            return (entry.clone(), entry.actor.get().cloned());
        }
        entries.make_room(resident);
        let entry = Place {
            is_used: AtomicBool::new(false),
            actor: OnceCell::new(),
            permits: Arc::new(Semaphore::new(per_doctor)),
        };
        (entries.of.entry(key).or_insert(Arc::new(entry)).clone(), None)
    }

    /// Removes an actor that has stopped or is about to.
    pub(super) fn forget(&self, key: Key, id: ActorId) {
        self.entries().remove(key, |entry| entry.actor.get().is_some_and(|actor| actor.get_id() == id));
    }

    /// Removes an entry whose activation failed. If another caller still uses the entry, that caller removes it.
    pub(super) fn forget_failed_activation(&self, key: Key, failed: Arc<Place>) {
        let mut entries = self.entries();
        entries.remove(key, |entry| {
            let is_last = Arc::strong_count(entry) == 2;
            Arc::ptr_eq(entry, &failed) && entry.actor.get().is_none() && is_last
        });
        // Dropped under the lock, so that of two callers the second one knows that it is the last.
        drop(failed);
    }

    /// Removes a failed actor, by its id alone.
    fn forget_failed(&self, id: ActorId) {
        self.entries().of.retain(|_, entry| entry.actor.get().is_none_or(|actor| actor.get_id() != id));
    }

    /// Sends every schedule a tick.
    fn tick(&self) {
        for actor in self.entries().of.values().filter_map(|entry| entry.actor.get()) {
            let _ = actor.cast(Message::Tick);
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.0.limits
    }
}

/// The supervisor of the schedules. It removes a schedule that failed, so that the next request activates it again from
/// the database. Other schedules are not affected.
pub(super) struct Supervisor;

impl Actor for Supervisor {
    type Msg = ();
    type State = Directory;
    type Arguments = Directory;

    async fn pre_start(&self, myself: ActorRef<()>, directory: Directory) -> Result<Directory, ActorProcessingErr> {
        myself.send_interval(directory.limits().idle, || ());
        Ok(directory)
    }

    /// Lets idle schedules leave. One timer serves all, because a timer of each schedule would outlive it.
    async fn handle(&self, _: ActorRef<()>, (): (), directory: &mut Directory) -> Result<(), ActorProcessingErr> {
        directory.tick();
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        directory: &mut Directory,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(actor, error) = event {
            tracing::error!(%error, "a schedule failed; its next request reloads it from the database");
            directory.forget_failed(actor.get_id());
        }
        Ok(())
    }
}
