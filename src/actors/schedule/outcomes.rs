//! How the core handles the outcomes of its writes.

use std::time::Duration;

use super::core::{Core, Effect, Now, Queued, Wrote, out_of_years};
use super::looking::Look;
use super::request::{Booking, Change, Reply, Request, ScheduleError, To};
use crate::actors::repository::{Conflict, Error, Result};
use crate::domain::calendar::{CalendarCopy, Stamp};
use crate::domain::proposal::Refusal;
use crate::domain::series::SeriesRefusal;
use crate::repository::batches::{BatchWritten, Written};
use crate::repository::changes::Outcome;

/// How often a request is written without an outcome before it fails.
const TRIES: u32 = 16;
/// The longest pause before a write that met a lock is tried again.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

impl Core {
    /// Handles the outcome of a write.
    pub(super) fn wrote(&mut self, wrote: Wrote, now: Now, effects: &mut Vec<Effect>) {
        match wrote {
            Wrote::Bookings(requests, Ok(BatchWritten { written, copy, stamp })) => {
                self.follow(copy, &stamp);
                for (request, written) in requests.into_iter().zip(written) {
                    self.booked(request, written, now, effects);
                }
            }
            Wrote::Bookings(requests, Err(error)) => {
                let (same, mut error) = (error.like(), Some(error));
                let replies = requests.into_iter().map(|request| {
                    let error = error.take().unwrap_or_else(|| same.like());
                    Effect::Reply(Reply::Appointment(request.to, Err(error.into())))
                });
                effects.extend(replies);
            }
            Wrote::Amended(request, outcome) => {
                let queued = |request| Queued::Change(Change::Amend(request));
                self.changed(request, outcome, now, effects, queued, Reply::Appointment, ScheduleError::Refused);
            }
            Wrote::Accepted(request, outcome) => {
                let queued = |request| Queued::Change(Change::Accept(request));
                self.changed(request, outcome, now, effects, queued, Reply::Appointment, ScheduleError::Refused);
            }
            Wrote::Series(request, outcome) => {
                let queued = |request| Queued::Change(Change::Series(request));
                let refused = |refusal| match refusal {
                    SeriesRefusal::NoSuchDoctor => ScheduleError::Refused(Refusal::no_such_doctor()),
                    SeriesRefusal::Times(skipped) => ScheduleError::SeriesRefused(skipped),
                };
                self.changed(request, outcome, now, effects, queued, Reply::Series, refused);
            }
            Wrote::Lost => {}
        }
    }

    fn follow(&mut self, copy: Option<CalendarCopy>, stamp: &Stamp) {
        if let Some(copy) = copy.filter(|copy| !self.copy.versions.includes(copy.versions)) {
            self.copy = copy;
        }
        self.copy.follow(stamp);
    }

    /// Handles the outcome of one booking of a batch.
    fn booked(&mut self, mut request: Booking, written: Written, now: Now, effects: &mut Vec<Effect>) {
        let answer = match written {
            Written::Booked(appointment) => Ok(appointment),
            Written::Refused(refusal) => Err(ScheduleError::Refused(refusal)),
            Written::OutOfYears => Err(out_of_years()),
            Written::KeyLost => Err(Error::Conflict(Conflict::KeyUsed).into()),
            Written::Held => return self.put_off(request, now, effects, Queued::Book),
            Written::Again if request.tries < TRIES => {
                request.tries += 1;
                request.ticket.beginning.take_back();
                return self.enqueue(Queued::Book(request));
            }
            Written::Outdated if request.tries < TRIES => {
                request.tries += 1;
                request.ticket.beginning.take_back();
                return self.looks.push(Look::Book(request));
            }
            Written::Again | Written::Outdated => Err(Error::TryAgain.into()),
        };
        effects.push(Effect::Reply(Reply::Appointment(request.to, answer)));
    }

    /// Handles the outcome of a change.
    #[expect(clippy::too_many_arguments, reason = "the last three say which kind of change it is")]
    fn changed<W, T, R>(
        &mut self,
        request: Request<W, T>,
        outcome: Result<Outcome<T, R>>,
        now: Now,
        effects: &mut Vec<Effect>,
        queued: impl FnOnce(Request<W, T>) -> Queued,
        reply: impl FnOnce(To<T>, Result<T, ScheduleError>) -> Reply,
        refused: impl FnOnce(R) -> ScheduleError,
    ) {
        let answer = match outcome {
            Ok(Outcome::Held) => return self.put_off(request, now, effects, queued),
            Ok(Outcome::Refused(refusal)) => Err(refused(refusal)),
            Ok(Outcome::Done { row, copy, stamp }) => {
                self.follow(copy, &stamp);
                Ok(row)
            }
            Err(error) => Err(error.into()),
        };
        effects.push(Effect::Reply(reply(request.to, answer)));
    }

    /// Retries a request that met a lock: at once and waiting for the lock, then after growing pauses.
    fn put_off<W, T>(
        &mut self,
        mut request: Request<W, T>,
        now: Now,
        effects: &mut Vec<Effect>,
        queued: impl FnOnce(Request<W, T>) -> Queued,
    ) {
        request.held += 1;
        request.ticket.beginning.take_back();
        if request.held > 1 {
            let pause = Duration::from_millis(5 << request.held.min(7)).min(LONGEST_PAUSE);
            request.not_before = Some(now.instant + pause);
            effects.push(Effect::Wake(pause));
        }
        self.enqueue(queued(request));
    }
}
