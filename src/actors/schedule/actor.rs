//! The schedule actor: executes the effects of its core. It never waits for the database.

use std::time::Instant;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use uuid::Uuid;

use super::core::{Apart, Core, Effect, Happening, Now, Wrote};
use super::directory::Directory;
use super::request::{Booking, Change, Wish};
use crate::actors::repository::{Error, Repository};
use crate::clock;
use crate::domain::calendar::CalendarCopy;
use crate::domain::{ClinicId, DoctorId};
use crate::repository::batches::Batch;
use crate::repository::changes::Basis;

/// The messages of a schedule.
pub(super) enum Message {
    /// Decide a request.
    Ask(Box<Wish>),
    /// Handle the result of an effect.
    Happened(Box<Happening>),
    /// Leave memory if nobody has used this schedule for a while.
    Tick,
    /// Too many schedules are in memory: leave if nothing is pending.
    MakeRoom,
    /// The program stops: leave when nothing is pending.
    Leave,
}

/// The arguments of an activation.
pub(super) struct Arguments {
    pub(super) clinic: ClinicId,
    pub(super) doctor: DoctorId,
    pub(super) copy: CalendarCopy,
    pub(super) repository: Repository,
    pub(super) directory: Directory,
}

/// The state of an activation.
pub(super) struct State {
    core: Core,
    key: (ClinicId, DoctorId),
    repository: Repository,
    directory: Directory,
    last_used: Instant,
    /// Set when the actor has left the directory. It stops when nothing is pending. A caller that still reaches it then
    /// asks the next activation.
    is_leaving: bool,
}

/// One doctor's schedule.
pub(super) struct ScheduleActor;

impl Actor for ScheduleActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(&self, _: ActorRef<Message>, at: Arguments) -> Result<State, ActorProcessingErr> {
        Ok(State {
            core: Core::new(at.clinic, at.doctor, at.copy),
            key: (at.clinic, at.doctor),
            repository: at.repository,
            directory: at.directory,
            last_used: clock::instant(),
            is_leaving: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let now = Now { utc: clock::now(), instant: clock::instant() };
        match message {
            Message::Ask(wish) if state.is_leaving => drop(wish),
            Message::Ask(wish) => {
                state.last_used = now.instant;
                state.happened(&myself, Happening::Asked(*wish), now);
            }
            Message::Happened(event) => state.happened(&myself, *event, now),
            Message::Tick => {
                state.core.forget_before(now.utc);
                let is_idle = now.instant - state.last_used >= state.directory.limits().idle;
                if is_idle && state.core.is_at_rest() {
                    state.leave(&myself);
                }
            }
            Message::MakeRoom if state.core.is_at_rest() => state.leave(&myself),
            Message::MakeRoom => {}
            Message::Leave => state.leave(&myself),
        }
        if state.is_leaving && state.core.is_at_rest() {
            let _ = myself.drain();
        }
        Ok(())
    }
}

impl State {
    fn happened(&mut self, myself: &ActorRef<Message>, event: Happening, now: Now) {
        for effect in self.core.handle(event, now) {
            let repository = self.repository.clone();
            match effect {
                Effect::Reply(reply) => reply.send(),
                Effect::Leave => self.leave(myself),
                Effect::Wake(pause) => drop(myself.send_after(pause, || Message::Happened(Box::new(Happening::Woke)))),
                Effect::Look(asked) => {
                    let lost = Happening::Looked(Err(Error::Unavailable));
                    run(myself, lost, async move { Happening::Looked(repository.read_calendar(asked).await) });
                }
                Effect::Book { requests, batch, apart } => {
                    run(myself, written(Wrote::Lost), async move {
                        written(book(&repository, requests, batch, apart).await)
                    });
                }
                Effect::Change(change, basis) => {
                    run(myself, written(Wrote::Lost), async move { written(amend(&repository, change, basis).await) });
                }
            }
        }
    }

    /// Leaves the directory, so that later callers get the next activation.
    fn leave(&mut self, myself: &ActorRef<Message>) {
        self.directory.forget(self.key, myself.get_id());
        self.is_leaving = true;
    }
}

fn written(wrote: Wrote) -> Happening {
    Happening::Written(Box::new(wrote))
}

/// Runs work in its own task. Sends the actor its result or, if the task panics, `lost`.
fn run(myself: &ActorRef<Message>, lost: Happening, work: impl Future<Output = Happening> + Send + 'static) {
    let (myself, work) = (myself.clone(), tokio::spawn(work));
    tokio::spawn(async move {
        let event = work.await.unwrap_or(lost);
        let _ = myself.cast(Message::Happened(Box::new(event)));
    });
}

async fn book(repository: &Repository, requests: Vec<Booking>, batch: Batch, apart: Option<Apart>) -> Wrote {
    let written = match apart {
        None => repository.book(batch).await,
        Some(Apart { waits }) => repository.book_apart(batch, waits).await,
    };
    Wrote::Bookings(requests, written)
}

async fn amend(repository: &Repository, change: Change, basis: Basis) -> Wrote {
    match change {
        Change::Amend(request) => {
            let outcome = repository.amend((*request.wish).clone(), basis).await;
            Wrote::Amended(request, outcome)
        }
        Change::Accept(request) => {
            let outcome = repository.accept((*request.wish).clone(), basis).await;
            Wrote::Accepted(request, outcome)
        }
        Change::Series(request) => {
            let outcome = repository.book_series(Uuid::now_v7(), (*request.wish).clone(), basis).await;
            Wrote::Series(request, outcome)
        }
    }
}
