//! The core of a schedule: `(state, event, now) -> effects`. It uses no actor, no clock and no database.
//!
//! The core keeps a copy of the doctor's calendar, which may be older than the database. It decides requests in the
//! order of their arrival, only by the copy and never by uncommitted bookings:
//!
//! - A request that the copy allows is written; one batch is written at a time. The write compares versions, so the
//!   decision is valid for the database's state and not only for the copy's.
//! - A request that the copy does not allow is refused only after a look at the calendar that began after the request
//!   arrived. One look serves all requests that wait for it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::looking::Look;
use super::request::{Booking, Change, Reply, Request, ScheduleError, Ticket, To, Wish};
use crate::actors::repository::{CalendarQuestion, Error, Read, Result};
use crate::domain::appointments::{Amendment, Appointment, BookingRequest};
use crate::domain::calendar::{CalendarCopy, Decision};
use crate::domain::proposal::{Proposal, Refusal};
use crate::domain::series::{BookedSeries, SeriesRefusal, SeriesRequest};
use crate::domain::waitlist::Acceptance;
use crate::domain::{ClinicId, DoctorId, Interval, appointments};
use crate::repository::batches::{Batch, BatchWritten};
use crate::repository::changes::{Basis, Outcome};

/// The maximum number of bookings in one batch.
const LARGEST: usize = 64;

/// The current time: by the wall clock, and by a monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) utc: DateTime<Utc>,
    pub(super) instant: Instant,
}

/// An input of the core.
pub(super) enum Happening {
    /// A request arrived.
    Asked(Wish),
    /// A look at the calendar returned.
    Looked(Result<Read>),
    /// A write returned.
    Written(Box<Wrote>),
    /// The pause before a retry is over.
    Woke,
}

/// The outcome of a write, with the requests that it contained.
pub(super) enum Wrote {
    /// The outcome of a batch of bookings.
    Bookings(Vec<Booking>, Result<BatchWritten>),
    /// The outcome of a change of one appointment.
    Amended(Request<Amendment, Appointment>, Result<Outcome<Appointment>>),
    /// The outcome of accepting an offer.
    Accepted(Request<Acceptance, Appointment>, Result<Outcome<Appointment>>),
    /// The outcome of a series.
    Series(Request<SeriesRequest, BookedSeries>, Result<Outcome<BookedSeries, SeriesRefusal>>),
    /// The write's task panicked. Its requests are lost with it.
    Lost,
}

/// An action that the core requests.
pub(super) enum Effect {
    /// Read the calendar.
    Look(CalendarQuestion),
    /// Write a batch: together with batches of other doctors or, if `apart` is set, alone, because a row that it needs
    /// was locked.
    Book { requests: Vec<Booking>, batch: Batch, apart: Option<Apart> },
    /// Write a change.
    Change(Change, Basis),
    /// Answer a request.
    Reply(Reply),
    /// Send [`Happening::Woke`] after a while.
    Wake(Duration),
    /// The doctor does not exist any more: leave the directory.
    Leave,
}

/// How a batch is written apart from those of other doctors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Apart {
    /// Whether it waits for the lock on its calendar.
    pub(super) waits: bool,
}

/// A request that waits to be written.
pub(super) enum Queued {
    Book(Booking),
    Change(Change),
}

/// A schedule without its actor.
pub(super) struct Core {
    pub(super) clinic: ClinicId,
    pub(super) doctor: DoctorId,
    pub(super) copy: CalendarCopy,
    /// By order of arrival.
    queue: BTreeMap<u64, Queued>,
    /// Requests that arrived after the pending look began.
    pub(super) looks: Vec<Look>,
    /// Requests that the pending look serves.
    pub(super) looking: Option<Vec<Look>>,
    is_writing: bool,
    last_place: u64,
}

impl Core {
    pub(super) fn new(clinic: ClinicId, doctor: DoctorId, copy: CalendarCopy) -> Self {
        Self {
            clinic,
            doctor,
            copy,
            queue: BTreeMap::new(),
            looks: Vec::new(),
            looking: None,
            is_writing: false,
            last_place: 0,
        }
    }

    /// Handles an event and returns the effects to execute, in order.
    pub(super) fn handle(&mut self, event: Happening, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Happening::Asked(wish) => self.asked(wish, now, &mut effects),
            Happening::Looked(read) => self.looked(read, now, &mut effects),
            Happening::Written(wrote) => {
                self.is_writing = false;
                self.wrote(*wrote, now, &mut effects);
            }
            Happening::Woke => {}
        }
        self.write(now, &mut effects);
        self.look(&mut effects);
        effects
    }

    /// Returns whether nothing is pending and no request waits.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.is_writing && self.looking.is_none() && self.looks.is_empty() && self.queue.is_empty()
    }

    /// Drops appointments that ended long before `now`.
    pub(super) fn forget_before(&mut self, now: DateTime<Utc>) {
        self.copy.forget_before(now);
    }

    fn asked(&mut self, wish: Wish, now: Now, effects: &mut Vec<Effect>) {
        self.last_place += 1;
        let place = self.last_place;
        match wish {
            Wish::Book(mut request) => {
                request.place = place;
                match self.during(&request.wish) {
                    None => effects.push(Effect::Reply(Reply::Appointment(request.to, Err(out_of_years())))),
                    // A refusal does not need to wait for the pending write.
                    Some(during) if !self.copy.calendar.violations(&during, None, now.utc).is_empty() => {
                        self.looks.push(Look::Book(request));
                    }
                    Some(_) => self.enqueue(Queued::Book(request)),
                }
            }
            Wish::Change(mut change) => {
                change.set_place(place);
                self.enqueue(Queued::Change(change));
            }
            Wish::Check(request) => match self.during(&request.wish) {
                None => effects.push(Effect::Reply(Reply::Refusal(request.to, Err(out_of_years())))),
                Some(_) => self.looks.push(Look::Check(request)),
            },
            Wish::View(request) => self.looks.push(Look::View(request)),
        }
    }

    pub(super) fn enqueue(&mut self, queued: Queued) {
        let place = match &queued {
            Queued::Book(request) => request.place,
            Queued::Change(change) => change.place(),
        };
        self.queue.insert(place, queued);
    }

    /// Returns the time that a booking requests. `None` if it leaves the supported years.
    pub(super) fn during(&self, wish: &BookingRequest) -> Option<Interval> {
        wish.during(self.copy.calendar.rules().slot)
    }

    /// Starts the next write, if none is pending.
    fn write(&mut self, now: Now, effects: &mut Vec<Effect>) {
        while !self.is_writing {
            match self.next(now, effects) {
                Next::Nothing => return,
                Next::Change(change) => {
                    self.is_writing = true;
                    let (copy, waits) = (Some(self.copy.clone()), change.held() == 1);
                    let basis = Basis { copy, waits, now: now.utc, deadline: change.ticket().deadline };
                    effects.push(Effect::Change(change, basis));
                }
                Next::Bookings(requests) => self.write_batch(requests, now, effects),
            }
        }
    }

    /// Takes the next write from the queue: one change, or all bookings before the next change. Answers the requests
    /// that may no longer begin.
    fn next(&mut self, now: Now, effects: &mut Vec<Effect>) -> Next {
        let places: Vec<u64> = self.queue.keys().copied().collect();
        let mut bookings = VecDeque::new();
        for place in places {
            let Some(queued) = self.queue.remove(&place) else { continue };
            match queued {
                Queued::Book(request) if is_over(&request.ticket, now) => {
                    effects.push(Effect::Reply(Reply::Appointment(request.to, Err(Error::Overloaded.into()))));
                }
                Queued::Change(change) if is_over(change.ticket(), now) => {
                    effects.push(Effect::Reply(change.fail(Error::Overloaded)));
                }
                Queued::Book(request) if !request.sleeps(now.instant) && bookings.len() < LARGEST => {
                    bookings.push_back(request);
                }
                Queued::Change(change) if !change.sleeps(now.instant) => {
                    if bookings.is_empty() {
                        // The caller withdrew the request and was told that nothing was done.
                        if !change.ticket().beginning.begin() {
                            continue;
                        }
                        return Next::Change(change);
                    }
                    self.queue.insert(place, Queued::Change(change));
                    break;
                }
                queued => drop(self.queue.insert(place, queued)),
            }
        }
        if bookings.is_empty() { Next::Nothing } else { Next::Bookings(bookings.into()) }
    }

    /// Decides bookings by the copy and starts to write the allowed ones.
    fn write_batch(&mut self, requests: Vec<Booking>, now: Now, effects: &mut Vec<Effect>) {
        let (mut in_years, mut wanted) = (Vec::new(), Vec::new());
        for request in requests {
            match self.during(&request.wish) {
                Some(during) => {
                    in_years.push(request);
                    wanted.push(during);
                }
                None => effects.push(Effect::Reply(Reply::Appointment(request.to, Err(out_of_years())))),
            }
        }
        let decisions = self.copy.decide(&wanted, now.utc);
        let (mut writing, mut bookings) = (Vec::new(), Vec::new());
        for ((request, during), decision) in in_years.into_iter().zip(wanted).zip(decisions) {
            match decision {
                Decision::Wait => self.enqueue(Queued::Book(request)),
                Decision::Refuse(_) => self.refuse_or_look(request, during, now, effects),
                Decision::Write => {
                    // The caller withdrew the request and was told that nothing was done.
                    if request.ticket.beginning.begin() {
                        let (reference, series) = (Uuid::now_v7(), None);
                        let wish = (*request.wish).clone();
                        bookings.push(appointments::Booking { reference, request: wish, during, series });
                        writing.push(request);
                    }
                }
            }
        }
        if writing.is_empty() {
            return;
        }
        self.is_writing = true;
        let most = writing.iter().map(|request| request.held).max().unwrap_or(0);
        let apart = (most > 0).then(|| Apart { waits: writing.iter().any(|request| request.held == 1) });
        let deadline = writing.iter().map(|request| request.ticket.deadline).max().unwrap_or(now.instant);
        let batch = Batch { clinic: self.clinic, doctor: self.doctor, copy: self.copy.clone(), bookings, deadline };
        effects.push(Effect::Book { requests: writing, batch, apart });
    }

    /// Refuses a booking whose look has returned, and queues a look for any other.
    fn refuse_or_look(&mut self, request: Booking, during: Interval, now: Now, effects: &mut Vec<Effect>) {
        match &request.patient {
            Some(patient) => {
                let refusal = Proposal::new(during).weigh(&self.copy.calendar, patient, now.utc);
                effects.push(refused(request.to, refusal));
            }
            None => self.looks.push(Look::Book(request)),
        }
    }
}

/// The next write.
enum Next {
    Nothing,
    Change(Change),
    Bookings(Vec<Booking>),
}

pub(super) fn refused(to: To<Appointment>, refusal: Refusal) -> Effect {
    Effect::Reply(Reply::Appointment(to, Err(ScheduleError::Refused(refusal))))
}

/// Returns whether a request may no longer begin.
fn is_over(ticket: &Ticket, now: Now) -> bool {
    now.instant > ticket.deadline || ticket.beginning.is_withdrawn()
}

pub(super) fn out_of_years() -> ScheduleError {
    Error::invalid("appointment_datetime", "The appointment must lie in the years 1900 to 2200.").into()
}
