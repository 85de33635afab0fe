//! What a schedule is asked: a wish, who waits for it, and until when it may begin.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Instant,
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    actors::repository,
    domain::{
        appointments::{Amendment, Appointment, BookingRequest},
        calendar::CalendarCopy,
        proposal::{PatientSide, Refusal},
        series::{BookedSeries, SeriesRequest, Skipped},
        waitlist::Acceptance,
    },
};

/// The appointment as it stands in the database, or why it does not.
pub type Answer = Result<Appointment, ScheduleError>;

/// Why an appointment was not booked or changed.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// These rules stand against it.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// Rules stand against a series, because of these times.
    #[error("series refused: {0:?}")]
    SeriesRefused(Vec<Skipped>),
    /// The database, or the queue in front of it, does.
    #[error(transparent)]
    Repository(#[from] repository::Error),
}

/// Who waits for an answer.
pub(super) type To<T> = oneshot::Sender<Result<T, ScheduleError>>;

/// A wish of a kind `W`, which is answered with a `T`.
pub(super) struct Request<W, T> {
    pub(super) wish: Box<W>,
    pub(super) to: To<T>,
    pub(super) ticket: Ticket,
    /// Its place in the order in which requests came.
    pub(super) place: u64,
    /// What its patient stands against it, read after it came: from then on it may be refused.
    pub(super) patient: Option<PatientSide>,
    /// How often somebody else held what it needs.
    pub(super) held: u32,
    /// Not to be tried again before.
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

/// What a schedule may be asked.
pub(super) enum Wish {
    /// A new appointment.
    Book(Booking),
    /// A change that its transaction decides.
    Change(Change),
    /// What a booking would meet.
    Check(Request<BookingRequest, Refusal>),
    /// The calendar as it is at some moment after this.
    View(Request<(), CalendarCopy>),
}

/// A new appointment that is wanted.
pub(super) type Booking = Request<BookingRequest, Appointment>;

/// A change that its transaction decides.
pub(super) enum Change {
    /// Of an appointment.
    Amend(Request<Amendment, Appointment>),
    /// A held time is taken.
    Accept(Request<Acceptance, Appointment>),
    /// A series of appointments.
    Series(Request<SeriesRequest, BookedSeries>),
}

/// Does the same with whatever kind of change.
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

    /// Answers that nothing was done, and why.
    pub(super) fn fail(self, error: repository::Error) -> Reply {
        match self {
            Self::Amend(request) => Reply::Appointment(request.to, Err(error.into())),
            Self::Accept(request) => Reply::Appointment(request.to, Err(error.into())),
            Self::Series(request) => Reply::Series(request.to, Err(error.into())),
        }
    }
}

/// An answer and who waits for it.
pub(super) enum Reply {
    /// To a booking or a change of one appointment.
    Appointment(To<Appointment>, Answer),
    /// To a series.
    Series(To<BookedSeries>, Result<BookedSeries, ScheduleError>),
    /// To a check.
    Refusal(To<Refusal>, Result<Refusal, ScheduleError>),
    /// To a look at the calendar.
    Calendar(To<CalendarCopy>, Result<CalendarCopy, ScheduleError>),
}

impl Reply {
    /// Answers; a caller that has gone misses it.
    pub(super) fn send(self) {
        match self {
            Self::Appointment(to, answer) => drop(to.send(answer)),
            Self::Series(to, answer) => drop(to.send(answer)),
            Self::Refusal(to, answer) => drop(to.send(answer)),
            Self::Calendar(to, answer) => drop(to.send(answer)),
        }
    }
}

/// What a request may do: begin until its deadline, unless its caller has withdrawn it.
pub(super) struct Ticket {
    /// After this it does not begin.
    pub(super) deadline: Instant,
    pub(super) beginning: Beginning,
    /// The places that the request holds until it is answered: overall and of this doctor.
    pub(super) _admission: Vec<OwnedSemaphorePermit>,
}

/// Whether a request has begun to be written, or was withdrawn before: one of the two, and only once.
#[derive(Clone, Default)]
pub(super) struct Beginning(Arc<AtomicU8>);

const BEGUN: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Beginning {
    /// Begins, unless it was withdrawn. What has begun may begin again.
    pub(super) fn begin(&self) -> bool {
        match self.0.compare_exchange(0, BEGUN, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => true,
            Err(found) => found == BEGUN,
        }
    }

    /// Says that what was begun was not done after all.
    pub(super) fn take_back(&self) {
        let _ = self.0.compare_exchange(BEGUN, 0, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Withdraws, unless it has begun: then nothing was done, and nothing will be.
    pub(super) fn withdraw(&self) -> bool {
        self.0.compare_exchange(0, WITHDRAWN, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    pub(super) fn is_withdrawn(&self) -> bool {
        self.0.load(Ordering::SeqCst) == WITHDRAWN
    }
}
