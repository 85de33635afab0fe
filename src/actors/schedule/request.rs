//! The requests to a schedule: what is requested, who waits for the answer, and until when the work may begin.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::actors::repository;
use crate::domain::appointments::{Amendment, Appointment, BookingRequest};
use crate::domain::calendar::CalendarCopy;
use crate::domain::proposal::{PatientSide, Refusal};
use crate::domain::series::{BookedSeries, SeriesRequest, Skipped};
use crate::domain::waitlist::Acceptance;

/// The appointment as it is in the database, or the reason why it was not booked or changed.
pub type Answer = Result<Appointment, ScheduleError>;

/// Why an appointment was not booked or changed.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// These rules prevent it.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// Rules prevent a series at these times.
    #[error("series refused: {0:?}")]
    SeriesRefused(Vec<Skipped>),
    /// The database or the queue in front of it failed.
    #[error(transparent)]
    Repository(#[from] repository::Error),
}

/// The channel to the caller that waits for an answer.
pub(super) type To<T> = oneshot::Sender<Result<T, ScheduleError>>;

/// A request for a `W` that is answered with a `T`.
pub(super) struct Request<W, T> {
    pub(super) wish: Box<W>,
    pub(super) to: To<T>,
    pub(super) ticket: Ticket,
    /// Its position in the order of arrival.
    pub(super) place: u64,
    /// The patient's side, read after the request arrived. Once it is set, the request may be refused.
    pub(super) patient: Option<PatientSide>,
    /// How often its write met a lock.
    pub(super) held: u32,
    /// The earliest time of the next attempt.
    pub(super) not_before: Option<Instant>,
    /// How often it was written without an outcome.
    pub(super) tries: u32,
}

impl<W, T> Request<W, T> {
    pub(super) fn new(wish: W, to: To<T>, ticket: Ticket) -> Self {
        let wish = Box::new(wish);
        Self { wish, to, ticket, place: 0, patient: None, held: 0, not_before: None, tries: 0 }
    }

    pub(super) fn sleeps(&self, now: Instant) -> bool {
        self.not_before.is_some_and(|at| at > now)
    }
}

/// A request to a schedule.
pub(super) enum Wish {
    /// Book a new appointment.
    Book(Booking),
    /// Make a change that its transaction decides.
    Change(Change),
    /// Check a booking without writing it.
    Check(Request<BookingRequest, Refusal>),
    /// Return the calendar as it is at some moment after the request.
    View(Request<(), CalendarCopy>),
}

/// A request for a new appointment.
pub(super) type Booking = Request<BookingRequest, Appointment>;

/// A change that its transaction decides.
pub(super) enum Change {
    /// Change an appointment.
    Amend(Request<Amendment, Appointment>),
    /// Accept an offer of the waitlist.
    Accept(Request<Acceptance, Appointment>),
    /// Book a series of appointments.
    Series(Request<SeriesRequest, BookedSeries>),
}

/// Runs the same code for every kind of change.
macro_rules! each {
    ($change:expr, $request:ident => $done:expr) => {
        match $change {
            Change::Amend($request) => $done,
            Change::Accept($request) => $done,
            Change::Series($request) => $done,
        }
    };
}

impl Change {
    pub(super) fn ticket(&self) -> &Ticket {
        each!(self, request => &request.ticket)
    }

    pub(super) fn place(&self) -> u64 {
        each!(self, request => request.place)
    }

    pub(super) fn set_place(&mut self, place: u64) {
        each!(self, request => request.place = place);
    }

    pub(super) fn held(&self) -> u32 {
        each!(self, request => request.held)
    }

    pub(super) fn sleeps(&self, now: Instant) -> bool {
        each!(self, request => request.sleeps(now))
    }

    /// Answers that nothing was done, with the error.
    pub(super) fn fail(self, error: repository::Error) -> Reply {
        match self {
            Self::Amend(request) => Reply::Appointment(request.to, Err(error.into())),
            Self::Accept(request) => Reply::Appointment(request.to, Err(error.into())),
            Self::Series(request) => Reply::Series(request.to, Err(error.into())),
        }
    }
}

/// An answer and the channel to its caller.
pub(super) enum Reply {
    /// The answer to a booking or a change of one appointment.
    Appointment(To<Appointment>, Answer),
    /// The answer to a series.
    Series(To<BookedSeries>, Result<BookedSeries, ScheduleError>),
    /// The answer to a check.
    Refusal(To<Refusal>, Result<Refusal, ScheduleError>),
    /// The answer to a read of the calendar.
    Calendar(To<CalendarCopy>, Result<CalendarCopy, ScheduleError>),
}

impl Reply {
    /// Sends the answer. It is dropped if the caller is gone.
    pub(super) fn send(self) {
        match self {
            Self::Appointment(to, answer) => drop(to.send(answer)),
            Self::Series(to, answer) => drop(to.send(answer)),
            Self::Refusal(to, answer) => drop(to.send(answer)),
            Self::Calendar(to, answer) => drop(to.send(answer)),
        }
    }
}

/// The permission of a request to begin: until its deadline, unless its caller withdraws it.
pub(super) struct Ticket {
    /// The request does not begin after this.
    pub(super) deadline: Instant,
    pub(super) beginning: Beginning,
    /// The permits that the request holds until it is answered: the overall one and the doctor's.
    pub(super) _admission: Vec<OwnedSemaphorePermit>,
}

/// Whether the write of a request has begun or the request was withdrawn. Only one of the two can happen.
#[derive(Clone, Default)]
pub(super) struct Beginning(Arc<AtomicU8>);

const BEGUN: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Beginning {
    /// Begins, unless the request was withdrawn. A request that has begun may begin again.
    pub(super) fn begin(&self) -> bool {
        match self.0.compare_exchange(0, BEGUN, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => true,
            Err(found) => found == BEGUN,
        }
    }

    /// Resets a request that had begun, because nothing was done.
    pub(super) fn take_back(&self) {
        let _ = self.0.compare_exchange(BEGUN, 0, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Withdraws the request, unless it has begun. Returns `true` if nothing was done and nothing will be.
    pub(super) fn withdraw(&self) -> bool {
        self.0.compare_exchange(0, WITHDRAWN, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    pub(super) fn is_withdrawn(&self) -> bool {
        self.0.load(Ordering::SeqCst) == WITHDRAWN
    }
}
