//! Work in groups: an actor takes all items that are queued when its connection becomes free as one piece of work.
//! There is no timer: at low load a group has one item, and nothing waits. A group that takes long is set aside with
//! its connection, and the next group uses another one.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::sleep;

use super::connection::{Connection, Target};
use super::{Error, Result};
use crate::clock;

/// The time after which a group is set aside, so that other items do not wait for a connection that does not respond.
const LONG: Duration = Duration::from_secs(2);
/// How many groups of one actor may be set aside at a time. It limits the connections to a slow server.
const MOST_ASIDE: usize = 2;

/// A queued item and the channel to its caller.
pub(super) type Pending<K> = (<K as GroupedWork>::Item, Answering<K>);
/// The channel to a caller that waits for an answer.
pub(super) type Answering<K> = oneshot::Sender<Result<<K as GroupedWork>::Answer>>;

/// A kind of work that is done in groups.
pub(super) trait GroupedWork: Send + Sync + Sized + 'static {
    /// Its name in the metrics.
    const NAME: &'static str;
    /// The maximum size of a group.
    const LARGEST: usize;
    /// The type of a question.
    type Item: Send + 'static;
    /// The type of an answer.
    type Answer: Send + 'static;

    /// The state that an actor keeps between groups.
    type Memory: Default + Send + 'static;

    /// Returns the time after which an item is not started any more.
    fn deadline(_: &Self::Item) -> Option<Instant> {
        None
    }

    /// Works on a group and answers each of its items.
    fn work(
        connection: &mut Connection,
        memory: &mut Self::Memory,
        group: Vec<Pending<Self>>,
    ) -> impl Future<Output = ()> + Send;
}

/// Actors that each own a connection and work in groups. Cheap to clone.
pub(super) struct Grouping<K: GroupedWork>(Arc<[ActorRef<Message<K>>]>, Arc<AtomicUsize>);

impl<K: GroupedWork> Clone for Grouping<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), self.1.clone())
    }
}

impl<K: GroupedWork> Grouping<K> {
    pub(super) async fn start(target: Arc<Target>, count: usize) -> Result<Self, ractor::SpawnErr> {
        let mut actors = Vec::with_capacity(count);
        for _ in 0..count.max(1) {
            let connection = Connection::new(target.clone());
            actors.push(Actor::spawn(None, GroupActor(PhantomData::<K>), connection).await?.0);
        }
        Ok(Self(actors.into(), Arc::default()))
    }

    /// Asks an actor. Items with the same `key` go to the same actor.
    pub(super) async fn ask(&self, key: i64, item: K::Item) -> Result<K::Answer> {
        self.ask_nth(key.unsigned_abs() as usize, item).await
    }

    /// Asks the next actor in turn.
    pub(super) async fn ask_any(&self, item: K::Item) -> Result<K::Answer> {
        self.ask_nth(self.1.fetch_add(1, Ordering::Relaxed), item).await
    }

    async fn ask_nth(&self, nth: usize, item: K::Item) -> Result<K::Answer> {
        let (answer, outcome) = oneshot::channel();
        let actor = &self.0[nth % self.0.len()];
        let message = Message::Ask(Box::new((item, answer)), clock::instant());
        actor.cast(message).map_err(|_| Error::Unavailable)?;
        outcome.await.unwrap_or(Err(Error::OutcomeUnknown))
    }

    /// Stops when all items are answered. Returns whether that was before the deadline.
    pub(super) async fn drain(&self, deadline: Instant) -> bool {
        for actor in self.0.iter() {
            // `Drain` is handled after the items that were sent before it.
            let _ = actor.cast(Message::Drain);
        }
        let ends = self.0.iter().map(|actor| actor.wait(Some(clock::until(deadline))));
        join_all(ends).await.iter().all(Result::is_ok)
    }
}

/// The messages of an actor.
enum Message<K: GroupedWork> {
    /// Work on this item, which has waited since the given time.
    Ask(Box<Pending<K>>, Instant),
    /// A group is done or set aside; this connection is free.
    Free(Box<(Connection, K::Memory)>),
    /// A group that was set aside is done.
    AsideDone,
    /// Stop when no item is left.
    Drain,
}

/// The state of an actor.
struct State<K: GroupedWork> {
    connection: Connection,
    memory: K::Memory,
    queue: Vec<(Pending<K>, Instant)>,
    is_busy: bool,
    is_draining: bool,
    /// Permits for groups that are set aside.
    places: Arc<Semaphore>,
}

struct GroupActor<K>(PhantomData<K>);

impl<K: GroupedWork> Actor for GroupActor<K> {
    type Msg = Message<K>;
    type State = State<K>;
    type Arguments = Connection;

    async fn pre_start(&self, _: ActorRef<Message<K>>, connection: Connection) -> Result<State<K>, ActorProcessingErr> {
        let memory = K::Memory::default();
        let places = Arc::new(Semaphore::new(MOST_ASIDE));
        Ok(State { connection, memory, queue: Vec::new(), is_busy: false, is_draining: false, places })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message<K>>,
        message: Message<K>,
        state: &mut State<K>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Ask(pending, since) => state.queue.push((*pending, since)),
            Message::Free(free) => {
                (state.connection, state.memory) = *free;
                state.is_busy = false;
            }
            Message::AsideDone => {}
            Message::Drain => state.is_draining = true,
        }
        if !state.is_busy && !state.queue.is_empty() {
            begin(&myself, state);
        } else if !state.is_busy && state.is_draining && state.places.available_permits() == MOST_ASIDE {
            myself.stop(None);
        }
        Ok(())
    }
}

/// Starts work on the queued items in a task of its own, so that the actor can queue more.
fn begin<K: GroupedWork>(myself: &ActorRef<Message<K>>, state: &mut State<K>) {
    let size = state.queue.len().min(K::LARGEST);
    let mut group = Vec::with_capacity(size);
    let longest = state.queue.first().map(|(_, since)| since.elapsed()).unwrap_or_default();
    for ((item, answer), _) in state.queue.drain(..size) {
        // The caller does not wait any more, so the item is dropped.
        if K::deadline(&item).is_some_and(|deadline| clock::instant() > deadline) {
            let _ = answer.send(Err(Error::Overloaded));
        } else if !answer.is_closed() {
            group.push((item, answer));
        }
    }
    metrics::histogram!("clinicd_group_size", "kind" => K::NAME).record(group.len() as f64);
    metrics::histogram!("clinicd_group_wait_seconds", "kind" => K::NAME).record(longest.as_secs_f64());
    let fresh = state.connection.another();
    let mut connection = std::mem::replace(&mut state.connection, fresh);
    let mut memory = std::mem::take(&mut state.memory);
    state.is_busy = true;
    let (myself, places) = (myself.clone(), state.places.clone());
    tokio::spawn(async move {
        let replacement = (connection.another(), K::Memory::default());
        let mut worked = tokio::spawn(async move {
            if !group.is_empty() {
                K::work(&mut connection, &mut memory, group).await;
            }
            (connection, memory)
        });
        let place = async {
            sleep(LONG).await;
            places.acquire_owned().await
        };
        tokio::select! {
            worked = &mut worked => {
                // If the work panicked, its callers see an unknown outcome, and the next group gets a new connection.
                let _ = myself.cast(Message::Free(Box::new(worked.unwrap_or(replacement))));
            }
            place = place => {
                tracing::warn!(kind = K::NAME, "a group takes long; the next one uses another connection");
                let _ = myself.cast(Message::Free(Box::new(replacement)));
                // The group answers its callers itself. Its connection is closed afterwards.
                let _ = worked.await;
                drop(place);
                let _ = myself.cast(Message::AsideDone);
            }
        }
    });
}
