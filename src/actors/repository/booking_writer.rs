//! The booking writer: takes all bookings that are queued when its connection is free and writes them
//! as one transaction. There is no timer: at low load a batch is one booking, and nothing waits.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use sqlx::{PgConnection, postgres::PgConnectOptions};
use tokio::sync::oneshot;

use super::{Context, Error, Result, Written, connection::Connection};
use crate::{
    domain::appointments::Booking,
    repository::{bookings, context},
};

/// The most bookings that one transaction writes.
const LARGEST_BATCH: usize = 64;
/// How often a booking is tried again after a deadlock or a lost outcome.
const ATTEMPTS: u32 = 5;

type Answer = oneshot::Sender<Result<Written>>;
type Pending = (Booking, Answer);

/// The writers; a doctor's bookings always go to the same one.
#[derive(Clone)]
pub(super) struct BookingWriters(Arc<[ActorRef<Message>]>);

impl BookingWriters {
    pub(super) async fn start(options: Arc<PgConnectOptions>, count: usize) -> Result<Self, ractor::SpawnErr> {
        let mut writers = Vec::with_capacity(count);
        for _ in 0..count.max(1) {
            let connection = Connection::new(options.clone());
            writers.push(Actor::spawn(None, BookingWriter, connection).await?.0);
        }
        Ok(Self(writers.into()))
    }

    /// Writes a booking and answers what became of it.
    pub(super) async fn write(&self, booking: Booking) -> Result<Written> {
        let (answer, outcome) = oneshot::channel();
        let writer = &self.0[booking.doctor.0.unsigned_abs() as usize % self.0.len()];
        writer.cast(Message::Write(Box::new((booking, answer)))).map_err(|_| Error::Unavailable)?;
        outcome.await.unwrap_or(Err(Error::OutcomeUnknown))
    }

    pub(super) async fn drain(&self) {
        for writer in self.0.iter() {
            // `Drain` comes after the bookings that were sent before it, and stops once they are written.
            let _ = writer.cast(Message::Drain);
            if writer.wait(Some(Duration::from_secs(10))).await.is_err() {
                tracing::warn!("a booking writer did not finish in time");
            }
        }
    }
}

/// What a writer is told.
pub(super) enum Message {
    /// Write this booking.
    Write(Box<Pending>),
    /// A batch is done; the connection is free again.
    Done(Box<Connection>),
    /// Stop once nothing is left to write.
    Drain,
}

/// What a writer holds.
pub(super) struct State {
    connection: Connection,
    queue: Vec<Pending>,
    busy: bool,
    draining: bool,
}

struct BookingWriter;

impl Actor for BookingWriter {
    type Msg = Message;
    type State = State;
    type Arguments = Connection;

    async fn pre_start(&self, _: ActorRef<Message>, connection: Connection) -> Result<State, ActorProcessingErr> {
        Ok(State { connection, queue: Vec::new(), busy: false, draining: false })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Write(pending) => state.queue.push(*pending),
            Message::Done(connection) => {
                state.connection = *connection;
                state.busy = false;
            }
            Message::Drain => state.draining = true,
        }
        if !state.busy && !state.queue.is_empty() {
            begin(&myself, state);
        } else if !state.busy && state.draining {
            myself.stop(None);
        }
        Ok(())
    }
}

/// Writes what is queued beside the actor, which goes on queueing.
fn begin(myself: &ActorRef<Message>, state: &mut State) {
    let size = state.queue.len().min(LARGEST_BATCH);
    let batch: Vec<Pending> = state.queue.drain(..size).collect();
    let fresh = state.connection.another();
    let mut connection = std::mem::replace(&mut state.connection, fresh);
    state.busy = true;
    let myself = myself.clone();
    tokio::spawn(async move {
        let replacement = connection.another();
        let written = tokio::spawn(async move {
            write(&mut connection, batch).await;
            connection
        });
        // If writing panicked, its callers see a lost outcome, and the next batch gets a new connection.
        let connection = written.await.unwrap_or(replacement);
        let _ = myself.cast(Message::Done(Box::new(connection)));
    });
}

async fn write(connection: &mut Connection, mut batch: Vec<Pending>) {
    batch.retain(|(_, answer)| !answer.is_closed());
    // Both sides of a deadlock would otherwise take the same rows in different orders.
    batch.sort_by_key(|(booking, _)| (booking.caller.clinic, booking.doctor, booking.during));
    let (bookings, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let outcomes = settle(connection, &bookings, false).await;
    for (answer, outcome) in answers.into_iter().zip(outcomes) {
        let _ = answer.send(outcome);
    }
}

/// Writes a batch until the outcome of each booking is known. Writing one again finds what an earlier
/// attempt wrote, by its reference, and waits for an attempt that the server is still at.
async fn settle(connection: &mut Connection, batch: &[Booking], mut may_have_happened: bool) -> Vec<Result<Written>> {
    let mut pause = Duration::from_millis(20);
    for _ in 0..ATTEMPTS {
        match commit(connection, batch.to_vec()).await {
            Ok(outcomes) => return outcomes.into_iter().map(Ok).collect(),
            Err(Error::Unavailable) if !may_have_happened => break,
            Err(Error::OutcomeUnknown) => may_have_happened = true,
            Err(Error::TryAgain | Error::Unavailable) => {}
            // What one booking did wrong must not fail the others: each goes alone.
            Err(_) if batch.len() > 1 => {
                let mut outcomes = Vec::with_capacity(batch.len());
                for booking in batch.chunks(1) {
                    outcomes.extend(Box::pin(settle(connection, booking, may_have_happened)).await);
                }
                return outcomes;
            }
            Err(error) => return vec![Err(error)],
        }
        tokio::time::sleep(pause).await;
        pause *= 4;
    }
    let unsettled = || if may_have_happened { Error::OutcomeUnknown } else { Error::Unavailable };
    batch.iter().map(|_| Err(unsettled())).collect()
}

/// Writes bookings as one transaction, clinic by clinic under its own context, and answers them in order.
async fn commit(connection: &mut Connection, batch: Vec<Booking>) -> Result<Vec<Written>> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let order: Vec<_> = batch.iter().map(|booking| booking.reference).collect();
    let first = Context::Clinic(batch[0].caller.clinic);
    let mut outcomes = connection.transact(first, move |db| write_clinics(db, batch).boxed()).await?;
    order.iter().map(|reference| outcomes.remove(reference).ok_or(Error::OutcomeUnknown)).collect()
}

async fn write_clinics(
    db: &mut PgConnection,
    batch: Vec<Booking>,
) -> Result<std::collections::HashMap<uuid::Uuid, Written>> {
    let mut outcomes = std::collections::HashMap::with_capacity(batch.len());
    let first = batch[0].caller.clinic;
    for of_clinic in batch.chunk_by(|a, b| a.caller.clinic == b.caller.clinic) {
        let clinic = of_clinic[0].caller.clinic;
        if clinic != first {
            context::set(&mut *db, Context::Clinic(clinic), true).await?;
        }
        outcomes.extend(bookings::write(&mut *db, clinic, of_clinic).await?);
    }
    Ok(outcomes)
}
