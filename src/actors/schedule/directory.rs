//! Which schedules are in memory, and their supervisor.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use indexmap::IndexMap;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::{OnceCell, Semaphore};

use super::{actor::Message, limits::Limits};
use crate::domain::{ClinicId, DoctorId};

/// Names a schedule.
pub(super) type Key = (ClinicId, DoctorId);

/// Which schedules are in memory.
#[derive(Clone)]
pub(super) struct Directory(Arc<Inner>);

struct Inner {
    entries: Mutex<Entries>,
    limits: Limits,
}

/// How many are looked at, at most, to make room for one more.
const LOOKS: usize = 64;

/// The schedules in memory, around a clock whose hand finds those that nobody has asked for a while.
#[derive(Default)]
pub(super) struct Entries {
    of: IndexMap<Key, Arc<Place>>,
    hand: usize,
}

impl Entries {
    /// Asks as many as are too many to leave; whoever was asked since the hand last passed stays. One that
    /// is at work stays too, so that there may be a few too many for a while.
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
    /// Since the hand of the clock last passed.
    is_used: AtomicBool,
    /// Set once the actor has been activated; several callers wait for one activation.
    pub(super) actor: OnceCell<ActorRef<Message>>,
    pub(super) permits: Arc<Semaphore>,
}

impl Directory {
    /// With no schedule in memory.
    pub(super) fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner { entries: Mutex::default(), limits }))
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // The map is whole after any single operation on it, so a panic elsewhere does not spoil it.
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.entries().of.len()
    }

    /// Lets go of all.
    pub(super) fn take_all(&self) -> Vec<Arc<Place>> {
        self.entries().of.drain(..).map(|(_, entry)| entry).collect()
    }

    /// The entry, and its actor if it has been activated.
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

    /// Lets go of an actor that has ended or is about to.
    pub(super) fn forget(&self, key: Key, id: ActorId) {
        self.entries().remove(key, |entry| entry.actor.get().is_some_and(|actor| actor.get_id() == id));
    }

    /// Lets go of an entry whose activation failed, unless somebody else is at it, who then does.
    pub(super) fn forget_failed_activation(&self, key: Key, failed: Arc<Place>) {
        let mut entries = self.entries();
        entries.remove(key, |entry| {
            let is_last = Arc::strong_count(entry) == 2;
            Arc::ptr_eq(entry, &failed) && entry.actor.get().is_none() && is_last
        });
        // While the lock is held, so that of two who let go the second knows that it is the last.
        drop(failed);
    }

    /// Lets go of a failed actor, whichever schedule it was.
    fn forget_failed(&self, id: ActorId) {
        self.entries().of.retain(|_, entry| entry.actor.get().is_none_or(|actor| actor.get_id() != id));
    }

    /// Tells all to look at the time.
    fn tick(&self) {
        for actor in self.entries().of.values().filter_map(|entry| entry.actor.get()) {
            let _ = actor.cast(Message::Tick);
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.0.limits
    }
}

/// Outlives the schedules. One that failed is let go of, so that the next request to it activates it
/// anew from the database; no other is touched.
pub(super) struct Supervisor;

impl Actor for Supervisor {
    type Msg = ();
    type State = Directory;
    type Arguments = Directory;

    async fn pre_start(&self, myself: ActorRef<()>, directory: Directory) -> Result<Directory, ActorProcessingErr> {
        myself.send_interval(directory.limits().idle, || ());
        Ok(directory)
    }

    /// It is time for those who are idle to leave. One clock for all: a timer each would outlive its schedule.
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
            tracing::error!(%error, "a schedule failed; its next request reads it from the database");
            directory.forget_failed(actor.get_id());
        }
        Ok(())
    }
}
