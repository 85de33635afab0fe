//! A worker: owns one connection and does one piece of work at a time.

use futures_util::future::BoxFuture;
use ractor::ActorProcessingErr;
use ractor::factory::{FactoryRef, Job, Worker, WorkerId};

use super::Context;
use super::connection::Connection;

/// A piece of work for any free worker. It answers its caller itself.
pub(crate) struct Work(Box<Run>);

type Run = dyn for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, ()> + Send;

impl Work {
    pub(super) fn new(run: impl for<'c> FnOnce(&'c mut Connection) -> BoxFuture<'c, ()> + Send + 'static) -> Self {
        Self(Box::new(run))
    }
}

/// The worker actor. Its state is its connection. If it fails, the factory starts another worker, which opens a new
/// connection.
pub(crate) struct RepositoryWorker;

impl Worker for RepositoryWorker {
    type Key = Context;
    type Message = Work;
    type Arguments = Connection;
    type State = Connection;

    async fn pre_start(
        &self,
        _id: WorkerId,
        _factory: &FactoryRef<Context, Work>,
        connection: Connection,
    ) -> Result<Connection, ActorProcessingErr> {
        Ok(connection)
    }

    async fn handle(
        &self,
        _id: WorkerId,
        _factory: &FactoryRef<Context, Work>,
        job: Job<Context, Work>,
        connection: &mut Connection,
    ) -> Result<Context, ActorProcessingErr> {
        (job.msg.0)(connection).await;
        Ok(job.key)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use sqlx::postgres::PgConnectOptions;

    use super::super::{Error, Repository, Settings};
    use crate::repository::context::{Global, Scope};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_worker_that_panics_is_replaced_by_one_that_answers() {
        // Nothing connects before a statement is to run.
        let settings = Settings { options: PgConnectOptions::new_without_pgpass(), workers: 1, booking_writers: 1 };
        let repository = Repository::start(settings).await.unwrap();
        for round in 0..3 {
            let panicked: super::super::Result<()> =
                repository.submit(Global.context(), |_| async { panic!("this is a test") }.boxed()).await;
            assert!(matches!(panicked, Err(Error::OutcomeUnknown)), "{panicked:?}");
            let answered = repository.submit(Global.context(), move |_| async move { Ok(round) }.boxed()).await;
            assert_eq!(answered.unwrap(), round);
        }
    }
}
