//! The waitlist actor: offers time that has become free to those who wait for it.
//!
//! What is due stands in the database, written with the change that freed the time or holds it, so that
//! any node can deal with it and nothing is lost with one that ends. A time is offered by a hold: a
//! booking that nobody sees until it is accepted, decided by the doctor's schedule like any other.
//! Where two nodes deal with the same alarm, the constraints let one hold stand.

use std::{sync::Arc, time::Duration};

use chrono::{TimeDelta, Utc};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use uuid::Uuid;

use super::{
    repository::{Error, Repository},
    schedule::{ScheduleError, Schedules},
};
use crate::domain::{
    Interval,
    appointments::BookingRequest,
    calendar::Calendar,
    waitlist::{Alarm, Entry, Hold},
};

/// How long a node waits before it looks again, unless it is told that time became free.
const PAUSE: Duration = Duration::from_secs(1);

/// The handle: ends the actor.
#[derive(Clone)]
pub struct Waitlist(ActorRef<Message>);

impl Waitlist {
    /// Starts to offer time. An offer is held for `hold`.
    ///
    /// # Errors
    /// Where the actor cannot be spawned.
    pub async fn start(
        repository: Repository,
        schedules: Schedules,
        hold: TimeDelta,
    ) -> Result<Self, ractor::SpawnErr> {
        let freed = schedules.freed();
        let offering = Arc::new(Offering { repository, schedules, hold });
        let (actor, _) = Actor::spawn(None, WaitlistActor, offering).await?;
        let told = actor.clone();
        tokio::spawn(async move {
            loop {
                // A change says so before its transaction is seen by all; the next look is not far.
                let _ = tokio::time::timeout(PAUSE, freed.notified()).await;
                if told.cast(Message::Look).is_err() {
                    return;
                }
            }
        });
        Ok(Self(actor))
    }

    /// Ends after what it is at.
    pub async fn drain(&self) {
        let _ = self.0.drain_and_wait(Some(Duration::from_secs(10))).await;
    }
}

/// What the actor is told.
#[derive(Debug)]
pub enum Message {
    /// See what is due.
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
        _: ActorRef<Message>,
        message: Message,
        offering: &mut Arc<Offering>,
    ) -> Result<(), ActorProcessingErr> {
        let Message::Look = message;
        let due = match offering.repository.due_alarms().await {
            Ok(due) => due,
            Err(error) => {
                tracing::debug!(%error, "cannot see what is due to those who wait");
                return Ok(());
            }
        };
        for alarm in due {
            // What fails stays due.
            if let Err(error) = offering.deal_with(alarm).await {
                tracing::warn!(%error, doctor = %alarm.doctor, "cannot offer a time to those who wait");
            }
        }
        Ok(())
    }
}

/// What offering needs.
struct Offering {
    repository: Repository,
    schedules: Schedules,
    hold: TimeDelta,
}

impl Offering {
    /// Frees what was held too long, and offers what is free to who has waited longest.
    async fn deal_with(&self, alarm: Alarm) -> Result<(), ScheduleError> {
        self.repository.lapse_holds(alarm).await?;
        // They may also have lapsed before, for somebody who was booked there, or with another doctor.
        self.schedules.refresh(alarm.clinic, alarm.doctor);
        let calendar = match self.schedules.calendar(alarm.clinic, alarm.doctor).await {
            Ok(calendar) => Some(calendar),
            // The doctor was deleted.
            Err(ScheduleError::Refused(_)) => None,
            Err(error) => return Err(error),
        };
        if let Some(calendar) = calendar {
            let mut free = vec![alarm.during];
            for entry in self.repository.waiting_for(alarm).await? {
                if let Some(held) = self.offer(alarm, &entry, &free, &calendar).await? {
                    free = free.iter().flat_map(|span| without(span, &held)).collect();
                }
            }
        }
        Ok(self.repository.silence(alarm).await?)
    }

    /// Holds the first of the free times that suits the entry. Answers what was held.
    async fn offer(
        &self,
        alarm: Alarm,
        entry: &Entry,
        free: &[Interval],
        calendar: &Calendar,
    ) -> Result<Option<Interval>, ScheduleError> {
        for span in free {
            let now = Utc::now();
            let Some(fit) = entry.wanted.first_fit(span, calendar, now) else { continue };
            let request = BookingRequest {
                caller: entry.caller(alarm.clinic, Uuid::now_v7()),
                bookable: Entry::BOOKABLE,
                doctor: alarm.doctor,
                patient: entry.patient,
                start: fit.start(),
                length: Some(fit.length()),
                reason: entry.reason.clone(),
                hold: Some(Hold { entry: entry.id, until: now + self.hold }),
            };
            match self.schedules.book(request).await {
                Ok(held) => return Ok(Some(held.during)),
                // Taken meanwhile, or the patient is busy then.
                Err(ScheduleError::Refused(_)) => {}
                Err(ScheduleError::Repository(Error::NotFound)) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// What is left of a span around what was held of it.
fn without(span: &Interval, held: &Interval) -> Vec<Interval> {
    if !span.overlaps(held) {
        return vec![*span];
    }
    let parts = [Interval::between(span.start(), held.start()), Interval::between(held.end(), span.end())];
    parts.into_iter().flatten().collect()
}
