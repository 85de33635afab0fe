//! A worker: owns one connection and does one piece of work at a time.

use futures_util::future::BoxFuture;
use ractor::{
    ActorProcessingErr,
    factory::{FactoryRef, Job, Worker, WorkerId},
};

use super::{Context, connection::Connection};

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
