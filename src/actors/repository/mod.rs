//! The repository actors: a pool of workers, the booking writers and the grouped readers. Each owns one PostgreSQL
//! connection.
//!
//! [`Repository`] is the handle that all other modules hold. Its methods are in one file per resource. Each is one
//! piece of work, in the context of one clinic.

mod accounts;
mod appointments;
mod booking_writer;
mod calendar_reader;
mod changes;
mod clinics;
mod connection;
mod doctors;
mod grouping;
mod invitations;
mod mappings;
mod outage;
mod patient_pages;
mod patients;
mod queue;
mod reader;
mod retries;
mod schedules;
mod series;
mod sessions;
mod shared;
mod signing_keys;
mod users;
mod waitlist;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ractor::factory::routing::QueuerRouting;
use ractor::factory::{Factory, FactoryArguments, FactoryMessage, Job, JobOptions};
use ractor::{Actor, ActorRef};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{Semaphore, oneshot};

use crate::domain::access::{Action, Resource};
use crate::domain::{Caller, Identified};
use crate::repository::appointment_lists::AppointmentList;
use crate::repository::audit::{Event, Outcome};
pub use crate::repository::context::Context;
use crate::repository::context::{ClinicDb, Db, Global, Scope};
pub use crate::repository::housekeeping::Removed;
use crate::repository::mappings::MappingList;
use crate::repository::patient_groups::PatientRead;
pub use crate::repository::retries::Claim;
pub use crate::repository::signing_keys::SigningKey;
pub use crate::repository::{Conflict, Error, Page, Result};
use crate::repository::{audit, context, housekeeping};
pub use accounts::Joining;
use booking_writer::Bookings;
use calendar_reader::Calendars;
pub(crate) use calendar_reader::{CalendarQuestion, Fresh, Read};
use connection::{Connection, Target};
use grouping::Grouping;
use patient_pages::PatientPages;
use queue::FairQueue;
use reader::Reader;
pub use schedules::RuleChanges;
pub use shared::Shared;
pub use signing_keys::wrap_signing_keys;
use worker::{RepositoryWorker, Work};

/// The maximum number of queued pieces of work.
const QUEUE_LIMIT: usize = 1024;
/// The number of connections that read calendars. Single patients, pages of patients and every other kind of list have
/// the same number each.
const READERS: usize = 2;
/// The maximum number of changes that wait for locked calendars at a time. The other workers stay free for work that
/// need not wait.
const WAITING_CHANGES: usize = 2;
/// How long a piece of work may wait before it is dropped.
const PATIENCE: Duration = Duration::from_secs(10);

type Workers = ActorRef<FactoryMessage<Context, Work>>;

/// The handle of the repository actors. Cheap to clone.
#[derive(Clone)]
pub struct Repository {
    workers: Workers,
    bookings: Grouping<Bookings>,
    calendars: Grouping<Calendars>,
    patients: Grouping<Reader<PatientRead>>,
    appointment_lists: Grouping<Reader<AppointmentList>>,
    mapping_lists: Grouping<Reader<MappingList>>,
    patient_pages: Grouping<PatientPages>,
    waiting: Arc<Semaphore>,
    /// Permits for changes that wait for a locked calendar.
    waiting_changes: Arc<Semaphore>,
}

/// The settings of the repository.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address and login of the database.
    pub options: PgConnectOptions,
    /// The number of workers, each with one connection.
    pub workers: usize,
    /// The number of booking writers, each with one connection.
    pub booking_writers: usize,
}

/// The id of a deleted row, for the audit trail.
pub(crate) struct Deleted(i64);

impl Identified for Deleted {
    fn id(&self) -> i64 {
        self.0
    }
}

/// Retries work that conflicted with another transaction.
async fn tried_again<T, W>(mut work: impl FnMut() -> W) -> Result<T>
where
    W: Future<Output = Result<T>>,
{
    for pause in [10, 50, 250].map(Duration::from_millis) {
        match work().await {
            Err(Error::TryAgain) => tokio::time::sleep(pause).await,
            done => return done,
        }
    }
    work().await
}

impl Repository {
    /// Starts the workers and the booking writers. Each connects with its first piece of work.
    ///
    /// # Errors
    /// Fails if an actor cannot be spawned.
    pub async fn start(settings: Settings) -> Result<Self, ractor::SpawnErr> {
        let target = Target::new(settings.options);
        // A wait for one row would delay the whole group.
        let of_groups = target.with("lock_timeout", "100ms");
        let of_workers = target.clone();
        let arguments = FactoryArguments::builder()
            .worker_builder(Box::new(ractor::factory::worker_builder(move |_| {
                (RepositoryWorker, Connection::new(of_workers.clone()))
            })))
            .queue(FairQueue::default())
            .router(QueuerRouting::default())
            .num_initial_workers(settings.workers)
            .build();
        let factory = Factory::<Context, Work, Connection, RepositoryWorker, QueuerRouting<_, _>, FairQueue>::default();
        let (workers, _) = Actor::spawn(None, factory, arguments).await?;
        Ok(Self {
            workers,
            bookings: Grouping::start(of_groups, settings.booking_writers).await?,
            calendars: Grouping::start(target.clone(), READERS).await?,
            patients: Grouping::start(target.clone(), READERS).await?,
            appointment_lists: Grouping::start(target.clone(), READERS).await?,
            mapping_lists: Grouping::start(target.clone(), READERS).await?,
            patient_pages: Grouping::start(target, READERS).await?,
            waiting: Arc::new(Semaphore::new(QUEUE_LIMIT)),
            waiting_changes: Arc::new(Semaphore::new(WAITING_CHANGES)),
        })
    }

    /// Finishes the queued work and closes the connections. Returns whether that was done before the deadline.
    pub async fn drain(&self, deadline: Instant) -> bool {
        let _ = self.workers.cast(FactoryMessage::DrainRequests);
        let (bookings, calendars, patients, patient_pages, appointments, mappings, workers) = tokio::join!(
            self.bookings.drain(deadline),
            self.calendars.drain(deadline),
            self.patients.drain(deadline),
            self.patient_pages.drain(deadline),
            self.appointment_lists.drain(deadline),
            self.mapping_lists.drain(deadline),
            self.workers.wait(Some(crate::clock::until(deadline))),
        );
        bookings && calendars && patients && patient_pages && appointments && mappings && workers.is_ok()
    }

    /// Returns the newest migration of the database, or 0 if it has none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the database does not respond, [`Error::Unable`] if it accepts no changes.
    pub async fn schema_version(&self) -> Result<i64> {
        self.read(Global, |db| context::schema_version(db).boxed()).await
    }

    /// Removes at most `most` expired rows of each kind. Returns `None` if another node is doing so.
    pub async fn remove_what_is_over(&self, most: i64) -> Result<Option<Removed>> {
        self.transact(Global, move |db| housekeeping::remove(db, most).boxed()).await
    }

    /// Runs statements that change nothing.
    async fn read<S, T, F>(&self, scope: S, work: F) -> Result<T>
    where
        S: Scope,
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Db<'_, S>) -> BoxFuture<'c, Result<T>> + Send + 'static,
    {
        self.submit(scope.context(), move |connection| connection.read(scope, work).boxed()).await
    }

    /// Runs statements as one transaction.
    async fn transact<S, T, F>(&self, scope: S, work: F) -> Result<T>
    where
        S: Scope,
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Db<'_, S>) -> BoxFuture<'c, Result<T>> + Send + 'static,
    {
        self.submit(scope.context(), move |connection| connection.transact(scope, work).boxed()).await
    }

    /// Changes one row for a caller. The change and its audit event are one transaction.
    async fn write<T, F>(&self, caller: &Caller, action: Action, resource: Resource, work: F) -> Result<T>
    where
        T: Identified + Send + 'static,
        F: for<'c> FnOnce(&'c mut ClinicDb<'_>) -> BoxFuture<'c, Result<T>> + Send + 'static,
    {
        let caller = caller.clone();
        self.transact(caller.clinic, move |db| {
            async move {
                let changed = work(&mut *db).await?;
                let event = Event {
                    caller,
                    action: action.name(),
                    resource: resource.name(),
                    resource_id: Some(changed.id()),
                    outcome: Outcome::Done,
                };
                audit::record(db, &event).await?;
                Ok(changed)
            }
            .boxed()
        })
        .await
    }

    /// Records that the policy denied an action.
    ///
    /// # Errors
    /// Fails if the audit trail cannot be written. The action stays denied.
    pub async fn record_denial(&self, caller: &Caller, action: Action, resource: Resource) -> Result<()> {
        let event = Event {
            caller: caller.clone(),
            action: action.name(),
            resource: resource.name(),
            resource_id: None,
            outcome: Outcome::Denied,
        };
        self.transact(caller.clinic, move |db| async move { audit::record(db, &event).await }.boxed()).await
    }

    /// Submits a piece of work to the next free worker and waits for its outcome.
    ///
    /// Work is dropped if its caller is gone before a worker is free. Work that has begun is finished.
    async fn submit<T, F>(&self, key: Context, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, Result<T>> + Send + 'static,
    {
        let permit = self.waiting.clone().try_acquire_owned().map_err(|_| Error::Overloaded)?;
        let (answer, outcome) = oneshot::channel();
        let deadline = crate::clock::instant() + PATIENCE;
        let work = Work::new(move |connection: &mut Connection| {
            drop(permit);
            async move {
                if answer.is_closed() {
                    return;
                }
                let result =
                    if crate::clock::instant() > deadline { Err(Error::Overloaded) } else { work(connection).await };
                // If the caller is gone, the answer is dropped. The work was still done.
                let _ = answer.send(result);
            }
            .boxed()
        });
        let job = Job { key, msg: work, options: JobOptions::default(), accepted: None };
        self.workers.cast(FactoryMessage::Dispatch(job)).map_err(|_| Error::Unavailable)?;
        // A worker that panicked cannot report how far the work got.
        outcome.await.unwrap_or(Err(Error::OutcomeUnknown))
    }
}
