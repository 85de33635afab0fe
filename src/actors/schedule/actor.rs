//! The schedule actor: a shell around the calendar.
//!
//! It never waits for the database. A booking that breaks no rule claims its time and is written
//! beside the actor; the outcome comes back as a message. Where memory may be behind the database, the
//! calendar is read again, beside the actor too, and what depends on it is parked until then.

use std::{collections::HashMap, sync::Arc, time::Instant};

use chrono::Utc;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use uuid::Uuid;

use super::{
    directory::Directory,
    message::{Granted, Message, Refused, Request, ScheduleError, Settled, Wish},
    reading::{Parked, Reading, keep},
    writing::{Write, write},
};
use crate::{
    actors::repository::{self, Error, Repository},
    domain::{
        ClinicId, DoctorId, Interval,
        appointments::{Appointment, Refusal},
        calendar::{Calendar, Holder, Search, Violation},
        series::{SeriesRequest, Skipped},
    },
};

/// How many other times a refusal offers.
pub(super) const OFFERS: usize = 3;

/// What an activation starts from.
pub(super) struct Arguments {
    pub(super) clinic: ClinicId,
    pub(super) doctor: DoctorId,
    /// Shared with whoever looks at it; a change while somebody does is made to a copy.
    pub(super) calendar: Arc<Calendar>,
    pub(super) repository: Repository,
    pub(super) directory: Directory,
}

/// What an activation holds.
pub(super) struct State {
    pub(super) at: Arguments,
    pub(super) in_flight: HashMap<u32, InFlight>,
    /// Counts the claims.
    last_claim: u32,
    /// There are claims whose outcome was lost: they hold their time until the calendar has been read again.
    pub(super) has_orphans: bool,
    pub(super) reading: Option<Reading>,
    /// What waits for a reading that begins after it came.
    pub(super) parked: Vec<Parked>,
    pub(super) read_again: bool,
    /// Something is known to have changed past this actor: nothing is decided before it has been read.
    pub(super) is_outdated: bool,
    /// A reading failed, and the next is set.
    pub(super) will_retry: bool,
    pub(super) last_used: Instant,
    /// It has left the directory, and ends once nothing is under way.
    pub(super) is_leaving: bool,
}

/// A write under way.
pub(super) struct InFlight {
    request: Request,
    pub(super) claims: Vec<Interval>,
}

/// One doctor's schedule.
pub(super) struct ScheduleActor;

impl Actor for ScheduleActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(&self, _: ActorRef<Message>, at: Arguments) -> Result<State, ActorProcessingErr> {
        Ok(State {
            at,
            in_flight: HashMap::new(),
            last_claim: 0,
            has_orphans: false,
            reading: None,
            parked: Vec::new(),
            read_again: false,
            is_outdated: false,
            will_retry: false,
            last_used: Instant::now(),
            is_leaving: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Decide(request) if state.is_leaving => request.hand_back(),
            Message::Decide(request) => {
                state.last_used = Instant::now();
                state.decide(&myself, *request, false);
            }
            Message::Written(claim, outcome) => state.written(&myself, claim, *outcome),
            Message::Loaded(outcome) => state.loaded(&myself, *outcome),
            Message::Refresh => {
                state.is_outdated = true;
                state.read(&myself);
            }
            Message::Retry => {
                state.will_retry = false;
                if state.is_outdated {
                    state.read(&myself);
                }
            }
            Message::Tick => state.tick(&myself),
            Message::MakeRoom if state.is_at_rest() => state.leave(&myself),
            Message::MakeRoom => {}
        }
        if state.is_leaving && state.is_at_rest() {
            // What has come in the meantime is still handed back.
            let _ = myself.drain();
        }
        Ok(())
    }
}

impl State {
    fn calendar(&mut self) -> &mut Calendar {
        Arc::make_mut(&mut self.at.calendar)
    }

    /// Decides a request from memory. `checked` says that memory is fresh enough to refuse by.
    pub(super) fn decide(&mut self, myself: &ActorRef<Message>, request: Request, checked: bool) {
        if request.is_abandoned() {
            return;
        }
        let needs_calendar = request.wish.takes_time() || matches!(request.wish, Wish::View { .. });
        if needs_calendar && self.is_outdated && !checked {
            return self.park(myself, request, None);
        }
        match &request.wish {
            Wish::View { is_checked: true, .. } if !checked && self.may_be_behind() => self.park(myself, request, None),
            Wish::View { .. } => {
                let calendar = self.at.calendar.clone();
                request.answer(Ok(Granted::Calendar(calendar)));
            }
            Wish::BookSeries(series) => {
                let series = series.clone();
                self.decide_series(myself, request, &series, checked);
            }
            Wish::Amend(amendment) if !amendment.takes_time() => self.write(myself, request, Write::Freely, Vec::new()),
            Wish::Book(_) | Wish::Amend(_) => self.decide_one(myself, request, checked),
        }
    }

    fn decide_one(&mut self, myself: &ActorRef<Message>, request: Request, checked: bool) {
        let Some(during) = request.wish.during(self.at.calendar.rules()) else {
            let error = Error::invalid("appointment_datetime", "The appointment must lie in the years 1900 to 2200.");
            return request.answer(Err(error.into()));
        };
        let ignored = request.wish.ignored();
        let violations = self.at.calendar.violations(&during, ignored, Utc::now());
        if violations.is_empty() {
            let terms = self.at.calendar.terms(&during);
            return self.write(myself, request, Write::At(during, terms), vec![during]);
        }
        let from_memory = violations.iter().any(|violation| *violation != Violation::InThePast);
        if from_memory && !checked && self.may_be_behind() {
            self.park(myself, request, None);
        } else {
            let conflicts = self.at.calendar.conflicts(&during, ignored);
            let refusal = Refusal { violations, conflicts, patient_busy: Vec::new() };
            self.refuse(request, refusal);
        }
    }

    /// Decides the times of a series one after the other, each with those before it in place.
    fn decide_series(&mut self, myself: &ActorRef<Message>, request: Request, series: &SeriesRequest, checked: bool) {
        let rules = self.at.calendar.rules();
        let length = series.length.unwrap_or(rules.slot);
        let starts = match series.repeat.starts(rules.zone, series.first) {
            Ok(starts) => starts,
            Err(errors) => return request.answer(Err(Error::Invalid(errors).into())),
        };
        let (now, holder) = (Utc::now(), Holder::Claim(self.next_claim()));
        let (mut accepted, mut skipped) = (Vec::new(), Vec::new());
        for during in starts.into_iter().filter_map(|start| Interval::starting(start, length)) {
            let violations = self.at.calendar.violations(&during, None, now);
            if violations.is_empty() {
                self.calendar().take(holder, during);
                accepted.push(during);
            } else {
                skipped.push(Skipped { during, violations });
            }
        }
        for during in &accepted {
            self.calendar().release_span(holder, *during);
        }
        if !skipped.is_empty() && !checked && self.may_be_behind() {
            return self.park(myself, request, None);
        }
        if accepted.is_empty() || !(skipped.is_empty() || series.skip_conflicts) {
            return request.answer(Err(ScheduleError::SeriesRefused(skipped)));
        }
        let times = accepted.iter().map(|during| (*during, self.at.calendar.terms(during))).collect();
        self.write(myself, request, Write::Series { times, length, skipped }, accepted);
    }

    /// Whether the database may know of changes that memory does not.
    fn may_be_behind(&self) -> bool {
        self.reading.is_some() || !self.at.directory.is_alone()
    }

    /// Claims the time and hands the write over.
    fn write(&mut self, myself: &ActorRef<Message>, request: Request, what: Write, claims: Vec<Interval>) {
        let claim = self.next_claim();
        for during in &claims {
            self.calendar().take(Holder::Claim(claim), *during);
        }
        let outcome = write(self.at.repository.clone(), Uuid::now_v7(), request.wish.clone(), what);
        self.in_flight.insert(claim, InFlight { request, claims });
        let myself = myself.clone();
        tokio::spawn(async move {
            let outcome = outcome.await;
            let _ = myself.cast(Message::Written(claim, Box::new(outcome)));
        });
    }

    /// A number that no claim has that is still held.
    fn next_claim(&mut self) -> u32 {
        self.last_claim = self.last_claim.wrapping_add(1);
        self.last_claim
    }

    /// A write has its outcome.
    fn written(&mut self, myself: &ActorRef<Message>, claim: u32, outcome: repository::Result<Settled>) {
        let Some(InFlight { request, claims }) = self.in_flight.remove(&claim) else {
            return;
        };
        if matches!(outcome, Err(Error::OutcomeUnknown)) {
            self.has_orphans |= !claims.is_empty();
            self.is_outdated = true;
            self.read(myself);
        } else {
            for during in claims {
                self.calendar().release_span(Holder::Claim(claim), during);
            }
        }
        match outcome {
            Ok(Settled::Kept(appointment)) => {
                let before = match &request.wish {
                    Wish::Amend(amendment) => Some(amendment.current.during),
                    _ => None,
                };
                self.enter(before, &appointment);
                if matches!(&request.wish, Wish::Amend(amendment) if amendment.frees_time()) {
                    self.at.directory.freed();
                }
                request.answer(Ok(Granted::Appointment(appointment)));
            }
            Ok(Settled::SeriesKept(booked)) => {
                for appointment in &booked.series.appointments {
                    self.enter(None, appointment);
                }
                request.answer(Ok(Granted::Series(booked)));
            }
            // Only the doctor's side is in this calendar: where that refused, memory was behind.
            Ok(Settled::Refused(refusal))
                if refusal.violations.contains(&Violation::SlotTaken)
                    || refusal.violations.contains(&Violation::DoctorInactive) =>
            {
                self.park(myself, request, Some(refusal));
            }
            Ok(Settled::Refused(refusal)) => self.refuse(request, refusal),
            Ok(Settled::SeriesRefused(skipped)) => {
                if skipped.iter().any(|skipped| skipped.violations.contains(&Violation::SlotTaken)) {
                    self.read(myself);
                }
                request.answer(Err(ScheduleError::SeriesRefused(skipped)));
            }
            Ok(Settled::Outdated) => self.park(myself, request, None),
            Err(error) => request.answer(Err(error.into())),
        }
    }

    /// Enters what was committed, and lets it be known.
    fn enter(&mut self, before: Option<Interval>, appointment: &Appointment) {
        keep(self.calendar(), before, appointment);
        if let Some(reading) = &mut self.reading {
            reading.journal.push((before, appointment.clone()));
        }
        self.at.directory.announce(self.at.clinic, Some(appointment.doctor));
    }

    /// Answers a refusal with every broken rule and with the next times that satisfy all of them.
    pub(super) fn refuse(&self, request: Request, refusal: Refusal) {
        let rules = self.at.calendar.rules();
        let now = Utc::now();
        let next_slots = match request.wish.during(rules) {
            Some(during) => {
                let search = Search {
                    from: during.start(),
                    to: during.start(),
                    length: request.wish.length(rules),
                    also_busy: &refusal.patient_busy,
                    ignored: request.wish.ignored(),
                    now,
                };
                self.at.calendar.next_free(search, OFFERS)
            }
            None => Vec::new(),
        };
        request.answer(Err(ScheduleError::Refused(Refused {
            violations: refusal.violations,
            conflicts: refusal.conflicts,
            next_slots,
        })));
    }

    /// Lets go of what is over, and of itself where nobody has asked for a while.
    fn tick(&mut self, myself: &ActorRef<Message>) {
        let idle = self.at.directory.limits().idle;
        if self.is_at_rest() && self.last_used.elapsed() >= idle {
            return self.leave(myself);
        }
        self.calendar().forget_before(Utc::now());
    }

    fn is_at_rest(&self) -> bool {
        self.in_flight.is_empty() && self.reading.is_none() && self.parked.is_empty() && !self.has_orphans
    }

    /// Leaves the directory, so that who asks from now on gets the next activation.
    pub(super) fn leave(&mut self, myself: &ActorRef<Message>) {
        self.at.directory.forget((self.at.clinic, self.at.doctor), myself.get_id());
        self.is_leaving = true;
    }
}
