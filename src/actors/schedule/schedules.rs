//! The handle of all schedules: admits requests before they reach a mailbox, and sends them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use ractor::{Actor, ActorRef};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout, timeout_at};

use super::actor::{Arguments, Message, ScheduleActor};
use super::directory::{Directory, Key, Place, Supervisor};
use super::limits::Limits;
use super::request::{Answer, Beginning, Change, Request, ScheduleError, Ticket, Wish};
use crate::actors::repository::{Error, Repository, RuleChanges};
use crate::clock;
use crate::domain::appointments::{Amendment, BookingRequest};
use crate::domain::calendar::{Calendar, Violation};
use crate::domain::proposal::Refusal;
use crate::domain::series::{BookedSeries, SeriesRequest};
use crate::domain::waitlist::Acceptance;
use crate::domain::{ClinicId, DoctorId};
use crate::repository::changes::{Basis, Outcome};

/// How long a caller waits after the deadline for the outcome of a request that has begun.
const SETTLING: Duration = Duration::from_secs(20);

/// The handle of all schedules of this node. Cheap to clone.
#[derive(Clone)]
pub struct Schedules {
    directory: Directory,
    repository: Repository,
    rules: RuleChanges,
    supervisor: ActorRef<()>,
    overall: Arc<Semaphore>,
}

impl Schedules {
    /// Starts without schedules in memory.
    ///
    /// # Errors
    /// Fails if the supervisor cannot be spawned.
    pub async fn start(repository: Repository, limits: Limits) -> Result<Self, ractor::SpawnErr> {
        let directory = Directory::new(limits);
        let (supervisor, _) = Actor::spawn(None, Supervisor, directory.clone()).await?;
        let rules = RuleChanges::of(repository.clone());
        Ok(Self { directory, repository, rules, supervisor, overall: Arc::new(Semaphore::new(limits.overall)) })
    }

    /// Books an appointment.
    ///
    /// # Errors
    /// Returns a refusal with alternative times, or the error of the database or the queue.
    pub async fn book(&self, request: BookingRequest) -> Answer {
        self.ask((request.caller.clinic, request.doctor), request, Wish::Book).await
    }

    /// Books a series of appointments.
    ///
    /// # Errors
    /// As [`book`](Self::book), but a refusal lists each time that cannot be booked.
    pub async fn book_series(&self, request: SeriesRequest) -> Result<BookedSeries, ScheduleError> {
        let key = (request.caller.clinic, request.doctor);
        self.ask(key, request, |request| Wish::Change(Change::Series(request))).await
    }

    /// Changes an appointment.
    ///
    /// # Errors
    /// As [`book`](Self::book). Returns [`Error::Stale`] if the appointment has another version now.
    pub async fn amend(&self, amendment: Amendment) -> Answer {
        if !amendment.changes_calendar() {
            return self.amend_apart(amendment).await;
        }
        let key = (amendment.clinic(), amendment.current.doctor);
        match self.ask(key, amendment.clone(), |request| Wish::Change(Change::Amend(request))).await {
            // A deleted doctor has no schedule, but their past appointments can still be corrected.
            Err(ScheduleError::Refused(refusal))
                if refusal.violations == [Violation::NoSuchDoctor] && !amendment.takes_time() =>
            {
                self.amend_apart(amendment).await
            }
            answer => answer,
        }
    }

    /// Accepts the offer of a waitlist entry: the hold becomes an appointment.
    ///
    /// # Errors
    /// As [`book`](Self::book). Returns a conflict if no time is held for the entry.
    pub async fn accept(&self, accepting: Acceptance) -> Answer {
        let key = (accepting.caller.clinic, accepting.doctor);
        self.ask(key, accepting, |request| Wish::Change(Change::Accept(request))).await
    }

    /// Returns a doctor's calendar as it is at some moment after the call.
    ///
    /// # Errors
    /// Returns a refusal if the doctor does not exist, or the error of the database or the queue.
    pub async fn calendar(&self, clinic: ClinicId, doctor: DoctorId) -> Result<Arc<Calendar>, ScheduleError> {
        Ok(self.ask((clinic, doctor), (), Wish::View).await?.calendar)
    }

    /// Decides a booking without writing it. Returns the broken rules and the next times that suit the doctor and the
    /// patient.
    ///
    /// # Errors
    /// Returns the error of the database or the queue.
    pub async fn check(&self, request: &BookingRequest) -> Result<Refusal, ScheduleError> {
        let key = (request.caller.clinic, request.doctor);
        match self.ask(key, request.clone(), Wish::Check).await {
            Err(ScheduleError::Refused(refusal)) => Ok(refusal),
            answer => answer,
        }
    }

    /// What changes the rules that schedules are bound by.
    pub fn rules(&self) -> &RuleChanges {
        &self.rules
    }

    /// Returns the number of schedules in memory.
    pub fn resident(&self) -> usize {
        self.directory.len()
    }

    /// Stops every schedule when its pending requests are answered. Returns whether all of them stopped before the
    /// deadline.
    pub async fn drain(&self, deadline: Instant) -> bool {
        let entries = self.directory.take_all();
        let actors = || entries.iter().filter_map(|entry| entry.actor.get());
        actors().for_each(|actor| drop(actor.cast(Message::Leave)));
        let ends = actors().map(|actor| actor.wait(Some(clock::until(deadline))));
        let ended = futures_util::future::join_all(ends).await;
        self.supervisor.stop(None);
        ended.iter().all(Result::is_ok)
    }

    /// Makes a change that needs no decision of a schedule.
    async fn amend_apart(&self, amendment: Amendment) -> Answer {
        let deadline = clock::instant() + self.directory.limits().patience;
        for pause in [10, 50, 100].into_iter().chain(std::iter::repeat(250)).map(Duration::from_millis) {
            let basis = Basis { copy: None, waits: false, now: clock::now(), deadline };
            match self.repository.amend(amendment.clone(), basis).await? {
                Outcome::Done { row, .. } => return Ok(row),
                Outcome::Refused(refusal) => return Err(ScheduleError::Refused(refusal)),
                Outcome::Held if clock::instant() > deadline => break,
                Outcome::Held => sleep(pause).await,
            }
        }
        Err(Error::TryAgain.into())
    }

    /// Asks the doctor's schedule. A request that reaches an activation that is leaving goes to the next one. Boxed
    /// because handlers hold this future, and their futures are moved several times.
    fn ask<'a, W: Clone + Send + Sync + 'a, T: Send + 'a>(
        &'a self,
        key: Key,
        wish: W,
        wrap: impl Fn(Request<W, T>) -> Wish + Send + Sync + 'a,
    ) -> BoxFuture<'a, Result<T, ScheduleError>> {
        Box::pin(self.ask_unboxed(key, wish, wrap))
    }

    async fn ask_unboxed<W: Clone, T>(
        &self,
        key: Key,
        wish: W,
        wrap: impl Fn(Request<W, T>) -> Wish,
    ) -> Result<T, ScheduleError> {
        let limits = self.directory.limits();
        let deadline = clock::instant() + limits.patience;
        loop {
            let overall = self.overall.clone().try_acquire_owned().map_err(|_| Error::Overloaded)?;
            let (entry, active) = self.directory.entry(key);
            let of_doctor = entry.permits.clone().try_acquire_owned().map_err(|_| Error::Overloaded)?;
            let actor = match active {
                Some(actor) => actor,
                None => self.activate(key, entry).await?,
            };
            let (to, mut replied) = oneshot::channel();
            let beginning = Beginning::default();
            let ticket = Ticket { deadline, beginning: beginning.clone(), _admission: vec![overall, of_doctor] };
            let asked = Message::Ask(Box::new(wrap(Request::new(wish.clone(), to, ticket))));
            if actor.cast(asked).is_err() {
                self.directory.forget(key, actor.get_id());
            }
            match timeout_at(deadline.into(), &mut replied).await {
                Ok(Ok(answer)) => return answer,
                // The activation has left or failed.
                Ok(Err(_)) if beginning.withdraw() => {
                    if clock::instant() > deadline {
                        return Err(Error::Overloaded.into());
                    }
                }
                Ok(Err(_)) => return Err(Error::OutcomeUnknown.into()),
                // The request has not begun and will not begin.
                Err(_) if beginning.withdraw() => return Err(Error::Overloaded.into()),
                Err(_) => {
                    let settled = timeout(SETTLING, replied).await;
                    return settled.ok().and_then(Result::ok).unwrap_or(Err(Error::OutcomeUnknown.into()));
                }
            }
        }
    }

    /// Activates a doctor's actor. If several callers ask, one of them activates it.
    async fn activate(&self, key: Key, entry: Arc<Place>) -> Result<ActorRef<Message>, ScheduleError> {
        let schedules = self.clone();
        // A task of its own, so that an activation is finished even if the caller goes away.
        let activating = tokio::spawn(async move {
            let activated = entry.actor.get_or_try_init(|| schedules.spawn(key)).await.cloned();
            if activated.is_err() {
                schedules.directory.forget_failed_activation(key, entry);
            }
            activated
        });
        activating.await.unwrap_or_else(|_| Err(Error::Unavailable.into()))
    }

    async fn spawn(&self, (clinic, doctor): Key) -> Result<ActorRef<Message>, ScheduleError> {
        let copy = match self.repository.load_calendar(clinic, doctor).await {
            Ok(copy) => copy,
            Err(Error::NotFound) => return Err(ScheduleError::Refused(Refusal::no_such_doctor())),
            Err(error) => return Err(error.into()),
        };
        let arguments =
            Arguments { clinic, doctor, copy, repository: self.repository.clone(), directory: self.directory.clone() };
        let supervisor = self.supervisor.get_cell();
        match Actor::spawn_linked(None, ScheduleActor, arguments, supervisor).await {
            Ok((actor, _)) => Ok(actor),
            Err(error) => {
                tracing::error!(%error, "cannot activate a schedule");
                Err(Error::Unavailable.into())
            }
        }
    }
}
