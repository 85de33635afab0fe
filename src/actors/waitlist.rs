//! The waitlist actor: offers freed time to the entries of the waitlist.
//!
//! The transaction that frees or holds a time writes an alarm. So any node can handle it, and none is lost when a node
//! stops. A node claims an alarm, so that other nodes skip it; if the node does not finish, the alarm becomes due
//! again. An offer is a hold: a booking that no list shows until it is accepted. The doctor's schedule decides it like
//! any other booking.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::repository::Repository;
use super::schedule::{ScheduleError, Schedules};
use crate::clock;
use crate::domain::appointments::{BookingRequest, Hold};
use crate::domain::calendar::Calendar;
use crate::domain::waitlist::{Alarm, Entry};
use crate::domain::{ClinicId, Interval};

/// The pause between two searches for due alarms, unless a notification comes first.
const PAUSE: Duration = Duration::from_secs(1);
/// How many alarms of one clinic a node handles at a time, so that a slow clinic does not delay others.
const AT_A_TIME: usize = 4;
/// How many times of a freed span are tried for one entry.
const TRIES: usize = 10;

/// A handle that can stop the actor.
#[derive(Clone)]
pub struct Waitlist(ActorRef<Message>);

impl Waitlist {
    /// Starts to offer freed time. An offer is held for `hold`, but not beyond the start of its time. Nodes notify each
    /// other of freed time over a connection with `options`; without it they search once per second.
    ///
    /// # Errors
    /// Fails if the actor cannot be spawned.
    pub async fn start(
        repository: Repository,
        schedules: Schedules,
        hold: TimeDelta,
        options: PgConnectOptions,
    ) -> Result<Self, ractor::SpawnErr> {
        let offering = Arc::new(Offering { repository, schedules, hold, at_work: Mutex::default() });
        let (actor, _) = Actor::spawn(None, WaitlistActor, offering).await?;
        tokio::spawn(wake(actor.clone(), options));
        Ok(Self(actor))
    }

    /// Stops after the current work. Returns whether it stopped before the deadline.
    pub async fn drain(&self, deadline: Instant) -> bool {
        self.0.drain_and_wait(Some(clock::until(deadline))).await.is_ok()
    }
}

/// Wakes the actor when time becomes free, and after every pause.
async fn wake(actor: ActorRef<Message>, options: PgConnectOptions) {
    let mut listener = None;
    while actor.cast(Message::Look).is_ok() {
        if listener.is_none() {
            listener = timeout(PAUSE, listen(&options)).await.ok().and_then(Result::ok);
        }
        match &mut listener {
            // A notification that is lost, with its connection or behind a pooler, only costs one pause.
            Some(listening) => {
                if let Ok(Err(_) | Ok(None)) = timeout(PAUSE, listening.try_recv()).await {
                    listener = None;
                }
            }
            None => sleep(PAUSE).await,
        }
    }
}

async fn listen(options: &PgConnectOptions) -> sqlx::Result<PgListener> {
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.ignore_pool_close_event(true);
    listener.eager_reconnect(false);
    listener.listen("clinicd_waitlist").await?;
    Ok(listener)
}

/// The messages of the waitlist actor.
#[derive(Debug)]
pub enum Message {
    /// Search for due alarms.
    Look,
}

struct WaitlistActor;

impl Actor for WaitlistActor {
    type Msg = Message;
    type State = Arc<Offering>;
    type Arguments = Arc<Offering>;

    async fn pre_start(
        &self,
        _: ActorRef<Message>,
        offering: Arc<Offering>,
    ) -> Result<Arc<Offering>, ActorProcessingErr> {
        Ok(offering)
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        offering: &mut Arc<Offering>,
    ) -> Result<(), ActorProcessingErr> {
        let Message::Look = message;
        let due = match offering.repository.due_alarms().await {
            Ok(due) => due,
            Err(error) => {
                tracing::debug!(%error, "cannot read the waitlist's due alarms");
                return Ok(());
            }
        };
        for alarm in due {
            let Some(at_work) = AtWork::begin(offering, alarm.clinic) else { continue };
            let myself = myself.clone();
            tokio::spawn(async move {
                let done = at_work.0.deal_with(alarm).await;
                drop(at_work);
                match done {
                    // More alarms of this clinic may be due.
                    Ok(true) => drop(myself.cast(Message::Look)),
                    Ok(false) => {}
                    // A failed alarm becomes due again later.
                    Err(error) => {
                        tracing::warn!(%error, doctor = %alarm.doctor, "cannot offer a freed time to the waitlist");
                    }
                }
            });
        }
        Ok(())
    }
}

/// The dependencies of an offer.
struct Offering {
    repository: Repository,
    schedules: Schedules,
    hold: TimeDelta,
    /// The number of alarms that are being handled, by clinic.
    at_work: Mutex<HashMap<ClinicId, usize>>,
}

/// Counts an alarm of a clinic as being handled until it is dropped.
struct AtWork(Arc<Offering>, ClinicId);

impl AtWork {
    fn begin(offering: &Arc<Offering>, clinic: ClinicId) -> Option<Self> {
        let mut at_work = offering.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        let count = at_work.entry(clinic).or_default();
        (*count < AT_A_TIME).then(|| {
            *count += 1;
            Self(offering.clone(), clinic)
        })
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let mut at_work = self.0.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = at_work.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                at_work.remove(&self.1);
            }
        }
    }
}

impl Offering {
    /// Ends an expired hold, and offers the free time to the entry that has waited longest. Returns whether this node
    /// handled the alarm.
    async fn deal_with(&self, alarm: Alarm) -> Result<bool, ScheduleError> {
        if !self.repository.take_on(alarm).await? {
            return Ok(false);
        }
        let calendar = match self.schedules.calendar(alarm.clinic, alarm.doctor).await {
            Ok(calendar) => Some(calendar),
            // The doctor was deleted.
            Err(ScheduleError::Refused(_)) => None,
            Err(error) => return Err(error),
        };
        if let Some(mut calendar) = calendar {
            let mut free = vec![alarm.during];
            for entry in self.repository.waiting_for(alarm).await? {
                if let Some(held) = self.offer(alarm, &entry, &free, &calendar).await? {
                    free = free.iter().flat_map(|span| without(span, &held)).collect();
                    // The new hold affects the rest of the time through its buffers and the day's capacity.
                    calendar = self.schedules.calendar(alarm.clinic, alarm.doctor).await?;
                }
            }
        }
        self.repository.forget_alarm(alarm).await?;
        Ok(true)
    }

    /// Holds the first free time that suits the entry and its patient. Returns the held time.
    async fn offer(
        &self,
        alarm: Alarm,
        entry: &Entry,
        free: &[Interval],
        calendar: &Calendar,
    ) -> Result<Option<Interval>, ScheduleError> {
        let busy = self.repository.patient_busy(alarm.clinic, entry.patient, alarm.during).await?;
        let now = clock::now();
        let fits = free.iter().flat_map(|span| entry.wanted.fits(span, calendar, &busy, now));
        for fit in fits.take(TRIES).collect::<Vec<_>>() {
            let request = BookingRequest {
                caller: entry.caller(alarm.clinic, Uuid::now_v7()),
                bookable: Entry::BOOKABLE,
                doctor: alarm.doctor,
                patient: entry.patient,
                start: fit.start(),
                length: Some(fit.length()),
                reason: entry.reason.clone(),
                hold: Some(Hold { entry: entry.id, length: self.hold }),
            };
            match self.schedules.book(request).await {
                Ok(held) => return Ok(Some(held.during)),
                // Another booking took the time, or the patient is busy now.
                Err(ScheduleError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// Returns the parts of a span before and after the held time.
fn without(span: &Interval, held: &Interval) -> Vec<Interval> {
    if !span.overlaps(held) {
        return vec![*span];
    }
    let parts = [Interval::between(span.start(), held.start()), Interval::between(held.end(), span.end())];
    parts.into_iter().flatten().collect()
}
