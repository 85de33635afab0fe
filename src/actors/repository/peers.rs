//! Whether other nodes share the database, and word of what they change.
//!
//! A node that is alone holds an exclusive advisory lock. A node that starts says hello and waits for
//! a share of the lock; the node that was alone first stops believing so and then gives way. So a node
//! that believes itself alone is: while it does, its memory is the whole truth about taken times.
//! Word of changes only makes other nodes' memories fresh sooner; nothing depends on it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{
    Row,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use crate::domain::{ClinicId, DoctorId};

/// The advisory lock that a lone node holds exclusively and several nodes share.
const LOCK: i64 = 0x0063_6c69_6e69_6364;
/// Where nodes say hello.
const NODES: &str = "clinicd_nodes";
/// Where nodes say which schedule they changed: node, clinic, and the doctor or `*`.
const SCHEDULES: &str = "clinicd_schedules";
/// How often a node that is not alone looks whether it is by now.
const LOOK: Duration = Duration::from_secs(5);
/// How long a starting node waits for the others to make room.
const WELCOME: Duration = Duration::from_secs(5);

/// What a node hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Another node changed this doctor's schedule, or what all of the clinic's depend on.
    Changed(ClinicId, Option<DoctorId>),
    /// This node is alone from now on: what it remembers must be read afresh once.
    Alone,
}

/// This node's place among the nodes of its database.
#[derive(Clone)]
pub struct Peers {
    alone: Arc<AtomicBool>,
    say: mpsc::UnboundedSender<(ClinicId, Option<DoctorId>)>,
    task: Arc<JoinHandle<()>>,
}

impl Peers {
    /// Joins the nodes of the database. Answers once every other node knows, or after a while.
    pub async fn join(options: PgConnectOptions) -> (Self, mpsc::UnboundedReceiver<News>) {
        let alone = Arc::new(AtomicBool::new(false));
        let (say, said) = mpsc::unbounded_channel();
        let (tell, news) = mpsc::unbounded_channel();
        let (joined, has_joined) = tokio::sync::oneshot::channel();
        let node = Node { id: Uuid::now_v7(), options, alone: alone.clone(), tell, said };
        let task = Arc::new(tokio::spawn(node.run(joined)));
        let _ = timeout(WELCOME * 2, has_joined).await;
        (Self { alone, say, task }, news)
    }

    /// Whether no other node shares the database.
    pub fn is_alone(&self) -> bool {
        self.alone.load(Ordering::Acquire)
    }

    /// Tells other nodes, if there are any, that a schedule changed, or all of a clinic's.
    pub fn announce(&self, clinic: ClinicId, doctor: Option<DoctorId>) {
        if !self.is_alone() {
            let _ = self.say.send((clinic, doctor));
        }
    }

    /// Leaves: the others may find themselves alone.
    pub fn leave(&self) {
        self.task.abort();
    }
}

struct Node {
    id: Uuid,
    options: PgConnectOptions,
    alone: Arc<AtomicBool>,
    tell: mpsc::UnboundedSender<News>,
    said: mpsc::UnboundedReceiver<(ClinicId, Option<DoctorId>)>,
}

impl Node {
    async fn run(mut self, joined: tokio::sync::oneshot::Sender<()>) {
        let mut joined = Some(joined);
        loop {
            let ended = self.stay(&mut joined).await;
            self.alone.store(false, Ordering::Release);
            if self.tell.is_closed() {
                return;
            }
            if let Err(error) = ended {
                tracing::warn!(%error, "lost touch with the other nodes; refusals are checked with the database");
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Joins, and stays until the connection is lost.
    async fn stay(&mut self, joined: &mut Option<tokio::sync::oneshot::Sender<()>>) -> sqlx::Result<()> {
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(self.options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.ignore_pool_close_event(true);
        listener.eager_reconnect(false);
        listener.listen_all([NODES, SCHEDULES]).await?;
        self.enter(&mut listener).await?;
        if let Some(joined) = joined.take() {
            let _ = joined.send(());
        }
        let mut look = tokio::time::interval_at(Instant::now() + LOOK, LOOK);
        loop {
            tokio::select! {
                heard = listener.try_recv() => match heard? {
                    Some(word) if word.channel() == NODES => self.make_room(&mut listener, word.payload()).await?,
                    Some(word) => self.hear(word.payload()),
                    None => return Err(sqlx::Error::WorkerCrashed),
                },
                said = self.said.recv() => match said {
                    Some((clinic, doctor)) => {
                        let doctor = doctor.map_or_else(|| "*".to_owned(), |doctor| doctor.to_string());
                        let word = format!("{} {clinic} {doctor}", self.id);
                        notify(&mut listener, SCHEDULES, &word).await?;
                    }
                    None => return Ok(()),
                },
                _ = look.tick() => {
                    if !self.alone.load(Ordering::Acquire) && lock(&mut listener, "pg_try_advisory_lock").await? {
                        lock(&mut listener, "pg_advisory_unlock_shared").await?;
                        self.become_alone();
                    } else {
                        // Also finds out that the connection is gone.
                        sqlx::query("SELECT 1").execute(&mut listener).await?;
                    }
                }
            }
        }
    }

    /// Takes the lock alone, or says hello until the others make room for a share of it.
    async fn enter(&mut self, listener: &mut PgListener) -> sqlx::Result<()> {
        if lock(listener, "pg_try_advisory_lock").await? {
            self.become_alone();
            return Ok(());
        }
        let patience = Instant::now() + WELCOME;
        while !lock(listener, "pg_try_advisory_lock_shared").await? {
            if Instant::now() > patience {
                tracing::warn!(
                    "another node does not make room; going on, its refusals may be late to notice this node"
                );
                return Ok(());
            }
            let word = self.id.to_string();
            notify(listener, NODES, &word).await?;
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn become_alone(&self) {
        self.alone.store(true, Ordering::Release);
        let _ = self.tell.send(News::Alone);
    }

    /// Another node has come: stop believing to be alone, and only then give way.
    async fn make_room(&mut self, listener: &mut PgListener, from: &str) -> sqlx::Result<()> {
        if from != self.id.to_string() && self.alone.swap(false, Ordering::AcqRel) {
            lock(listener, "pg_try_advisory_lock_shared").await?;
            lock(listener, "pg_advisory_unlock").await?;
        }
        Ok(())
    }

    fn hear(&self, word: &str) {
        let mut parts = word.split(' ');
        let from_other = parts.next().is_some_and(|node| node != self.id.to_string());
        let clinic = parts.next().and_then(|part| part.parse().ok());
        let doctor = parts.next().and_then(|part| part.parse().ok());
        if let (true, Some(clinic)) = (from_other, clinic) {
            let _ = self.tell.send(News::Changed(ClinicId(clinic), doctor.map(DoctorId)));
        }
    }
}

/// Calls one of PostgreSQL's advisory lock functions; all that are used here answer a boolean.
async fn lock(listener: &mut PgListener, function: &'static str) -> sqlx::Result<bool> {
    let statement = match function {
        "pg_try_advisory_lock" => "SELECT pg_try_advisory_lock($1)",
        "pg_try_advisory_lock_shared" => "SELECT pg_try_advisory_lock_shared($1)",
        "pg_advisory_unlock" => "SELECT pg_advisory_unlock($1)",
        _ => "SELECT pg_advisory_unlock_shared($1)",
    };
    sqlx::query(statement).bind(LOCK).fetch_one(listener).await?.try_get(0)
}

async fn notify(listener: &mut PgListener, channel: &str, word: &str) -> sqlx::Result<()> {
    sqlx::query("SELECT pg_notify($1, $2)").bind(channel).bind(word).execute(listener).await?;
    Ok(())
}
