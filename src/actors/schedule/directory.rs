//! Which schedules are in memory, and their supervisor.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::{Notify, OnceCell, Semaphore};

use super::{message::Message, schedules::Limits};
use crate::{
    actors::repository::peers::Peers,
    domain::{ClinicId, DoctorId},
};

/// Names a schedule.
pub(super) type Key = (ClinicId, DoctorId);

/// Which schedules are in memory.
#[derive(Clone)]
pub(super) struct Directory(Arc<Shared>);

struct Shared {
    entries: Mutex<HashMap<Key, Arc<Entry>>>,
    peers: Peers,
    limits: Limits,
    /// Told when time becomes free that somebody may wait for.
    freed: Arc<Notify>,
}

pub(super) struct Entry {
    /// Set once the actor has been activated; several callers wait for one activation.
    pub(super) actor: OnceCell<ActorRef<Message>>,
    pub(super) permits: Arc<Semaphore>,
}

impl Directory {
    /// With no schedule in memory.
    pub(super) fn new(peers: Peers, limits: Limits) -> Self {
        Self(Arc::new(Shared { entries: Mutex::default(), peers, limits, freed: Arc::default() }))
    }

    pub(super) fn entries(&self) -> MutexGuard<'_, HashMap<Key, Arc<Entry>>> {
        // The map is whole after any single operation on it, so a panic elsewhere does not spoil it.
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn entry(&self, key: Key) -> Arc<Entry> {
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
    pub(super) fn forget_unborn(&self, key: Key, unborn: &Arc<Entry>) {
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

    pub(super) fn refresh(&self, key: Key) {
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

    pub(super) fn refresh_clinic(&self, clinic: ClinicId) {
        let keys: Vec<_> = self.entries().keys().copied().filter(|(of, _)| *of == clinic).collect();
        for key in keys {
            self.refresh(key);
        }
    }

    pub(super) fn refresh_all(&self) {
        for actor in self.entries().values().filter_map(|entry| entry.actor.get()) {
            let _ = actor.cast(Message::Refresh);
        }
    }

    /// Tells other nodes that a schedule, or all of a clinic's, changed.
    pub(super) fn announce(&self, clinic: ClinicId, doctor: Option<DoctorId>) {
        self.0.peers.announce(clinic, doctor);
    }

    /// Who is told when time becomes free.
    pub(super) fn told_of_freed(&self) -> Arc<Notify> {
        self.0.freed.clone()
    }

    /// Leaves the other nodes.
    pub(super) fn leave(&self) {
        self.0.peers.leave();
    }

    /// Says that time has become free.
    pub(super) fn freed(&self) {
        self.0.freed.notify_one();
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
pub(super) struct Supervisor;

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
