//! What a schedule actor is asked, and what it answers.

use std::{sync::Arc, time::Instant};

use chrono::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use uuid::Uuid;

use crate::{
    actors::repository,
    domain::{
        AppointmentId, Interval,
        appointments::{Amendment, Appointment, Booking, BookingRequest, Refusal},
        calendar::{Calendar, Rules, Terms, Violation},
        series::{BookedSeries, SeriesRequest, Skipped},
    },
};

/// The appointment as it stands in the database, or why it does not.
pub type Answer = Result<Appointment, ScheduleError>;

/// Why an appointment was not booked or changed.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// The schedule stands against it.
    #[error("refused: {0:?}")]
    Refused(Refused),
    /// The schedule stands against a series, because of these times.
    #[error("series refused: {0:?}")]
    SeriesRefused(Vec<Skipped>),
    /// The database, or the queue in front of it, does.
    #[error(transparent)]
    Repository(#[from] repository::Error),
}

/// A refusal that says what would work instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Every rule that was broken.
    pub violations: Vec<Violation>,
    /// The times that stood in the way.
    pub conflicts: Vec<Interval>,
    /// The next times that satisfy all rules.
    pub next_slots: Vec<Interval>,
}

/// What becomes of a wish that is granted.
#[derive(Debug)]
pub(super) enum Granted {
    /// An appointment stands as wished.
    Appointment(Appointment),
    /// A series is booked.
    Series(BookedSeries),
    /// The calendar, as it was at some moment after it was asked for.
    Calendar(Arc<Calendar>),
}

/// What a caller wants of a schedule.
#[derive(Debug, Clone)]
pub(super) enum Wish {
    /// A new appointment.
    Book(BookingRequest),
    /// A series of them.
    BookSeries(Box<SeriesRequest>),
    /// A change of one.
    Amend(Amendment),
    /// To look at the calendar; with `is_checked` where it must not be behind the database.
    View { is_checked: bool },
}

impl Wish {
    /// Whether it needs time that it does not hold.
    pub(super) fn takes_time(&self) -> bool {
        match self {
            Self::Book(_) | Self::BookSeries(_) => true,
            Self::Amend(amendment) => amendment.takes_time(),
            Self::View { .. } => false,
        }
    }

    /// The one time that it wants; `None` where it wants none, or where that leaves the years that are kept.
    pub(super) fn during(&self, rules: &Rules) -> Option<Interval> {
        match self {
            Self::Book(request) => Interval::starting(request.start, request.length.unwrap_or(rules.slot)),
            Self::Amend(amendment) => Some(amendment.during),
            Self::BookSeries(_) | Self::View { .. } => None,
        }
    }

    /// How long the appointment is to be.
    pub(super) fn length(&self, rules: &Rules) -> Duration {
        match self {
            Self::Book(request) => request.length.unwrap_or(rules.slot),
            Self::BookSeries(request) => request.length.unwrap_or(rules.slot),
            Self::Amend(amendment) => amendment.during.length(),
            Self::View { .. } => rules.slot,
        }
    }

    /// The appointment whose own time does not stand in its way.
    pub(super) fn ignored(&self) -> Option<AppointmentId> {
        match self {
            Self::Book(_) | Self::BookSeries(_) | Self::View { .. } => None,
            Self::Amend(amendment) => Some(amendment.current.id),
        }
    }
}

/// A wish with its caller.
pub(super) struct Request {
    pub(super) wish: Wish,
    pub(super) reply: oneshot::Sender<Reply>,
    /// After this the caller no longer waits.
    pub(super) deadline: Instant,
    /// The places that the request holds until it is answered: overall and of this doctor.
    pub(super) _admission: [OwnedSemaphorePermit; 2],
}

impl Request {
    /// Whether nobody waits for the answer any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reply.is_closed() || Instant::now() > self.deadline
    }

    /// Answers; a caller that has gone misses it.
    pub(super) fn answer(self, answer: Result<Granted, ScheduleError>) {
        let _ = self.reply.send(Reply::Answer(answer));
    }

    /// Gives the wish back, for the next activation.
    pub(super) fn hand_back(self) {
        let _ = self.reply.send(Reply::AskNext(Box::new(self.wish)));
    }
}

/// What an actor says to a request.
pub(super) enum Reply {
    /// It is decided.
    Answer(Result<Granted, ScheduleError>),
    /// This activation is on its way out: ask the next.
    AskNext(Box<Wish>),
}

/// What became of a write.
pub(super) enum Settled {
    /// The appointment stands as wished.
    Kept(Appointment),
    /// The series is booked.
    SeriesKept(BookedSeries),
    /// The database stands against it.
    Refused(Refusal),
    /// The database stands against the series, because of these times.
    SeriesRefused(Vec<Skipped>),
    /// The calendar that it was decided on is not so any more.
    Outdated,
}

/// The mailbox.
pub(super) enum Message {
    /// Decide this.
    Decide(Box<Request>),
    /// A write that was handed over has this outcome.
    Written(u32, Box<repository::Result<Settled>>),
    /// The calendar was read from the database.
    Loaded(Box<repository::Result<Calendar>>),
    /// The calendar was changed elsewhere: read it again.
    Refresh,
    /// A reading failed a while ago: time for the next.
    Retry,
    /// Time to look whether anybody still needs this actor.
    Tick,
    /// There are too many schedules in memory: leave, if nothing is under way.
    MakeRoom,
}

/// A booking as the writer takes it.
pub(super) fn booking(reference: Uuid, request: &BookingRequest, during: Interval, terms: Terms) -> Booking {
    Booking {
        reference,
        caller: request.caller.clone(),
        bookable: request.bookable,
        doctor: request.doctor,
        patient: request.patient,
        during,
        reason: request.reason.clone(),
        terms,
        series: None,
        hold: request.hold,
    }
}
