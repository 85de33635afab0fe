//! The schedule actor: a shell around the calendar.
//!
//! It never waits for the database. A booking that breaks no rule claims its time and is written
//! beside the actor; the outcome comes back as a message. Where memory may be behind the database, the
//! calendar is read again, beside the actor too, and what depends on it is parked until then.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chrono::Utc;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use uuid::Uuid;

use super::{
    directory::Directory,
    message::{Message, Refused, Request, ScheduleError, Settled, Wish, booking},
};
use crate::{
    actors::repository::{self, Conflict, Error, Repository, Written},
    domain::{
        ClinicId, DoctorId, Interval,
        appointments::{Appointment, Refusal},
        calendar::{Calendar, Holder, Violation},
    },
};

/// How many other times a refusal offers.
const OFFERS: usize = 3;
/// After how long a calendar that could not be read is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What an activation starts from.
pub(super) struct Arguments {
    pub(super) clinic: ClinicId,
    pub(super) doctor: DoctorId,
    pub(super) calendar: Calendar,
    pub(super) repository: Repository,
    pub(super) directory: Directory,
}

/// What an activation holds.
pub(super) struct State {
    at: Arguments,
    in_flight: HashMap<Uuid, InFlight>,
    /// Claims whose outcome was lost: they hold their time until the calendar has been read again.
    orphans: Vec<(Uuid, Interval)>,
    reading: Option<Reading>,
    /// What waits for a reading that begins after it came.
    parked: Vec<Parked>,
    read_again: bool,
    /// Something is known to have changed past this actor: nothing is decided before it has been read.
    is_outdated: bool,
    last_used: Instant,
    /// It has left the directory, and ends once nothing is under way.
    is_leaving: bool,
}

/// A write under way.
struct InFlight {
    request: Request,
    claim: Option<Interval>,
}

/// A reading of the calendar under way.
#[derive(Default)]
struct Reading {
    parked: Vec<Parked>,
    /// What was committed since it began: the reading may not have seen it.
    journal: Vec<(Option<Interval>, Appointment)>,
}

/// A request that waits for the calendar to be read.
struct Parked {
    request: Request,
    /// Why the database refused it; without this it is decided anew.
    refusal: Option<Refusal>,
}

/// One doctor's schedule.
pub(super) struct ScheduleActor;

impl Actor for ScheduleActor {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(&self, myself: ActorRef<Message>, at: Arguments) -> Result<State, ActorProcessingErr> {
        myself.send_after(at.directory.limits().idle, || Message::Tick);
        Ok(State {
            at,
            in_flight: HashMap::new(),
            orphans: Vec::new(),
            reading: None,
            parked: Vec::new(),
            read_again: false,
            is_outdated: false,
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
            Message::Written(reference, outcome) => state.written(&myself, reference, *outcome),
            Message::Loaded(outcome) => state.loaded(&myself, *outcome),
            Message::Refresh => {
                state.is_outdated = true;
                state.read(&myself);
            }
            Message::Tick => state.tick(&myself),
        }
        if state.is_leaving && state.is_at_rest() {
            // What has come in the meantime is still handed back.
            let _ = myself.drain();
        }
        Ok(())
    }
}

impl State {
    /// Decides a request from memory. `checked` says that memory is fresh enough to refuse by.
    fn decide(&mut self, myself: &ActorRef<Message>, request: Request, checked: bool) {
        if request.is_abandoned() {
            return;
        }
        if !request.wish.takes_time() {
            return self.write(myself, request, None);
        }
        if self.is_outdated && !checked {
            return self.park(myself, request, None);
        }
        let Some(during) = request.wish.during(self.at.calendar.rules()) else {
            let error = Error::invalid("appointment_datetime", "The appointment must lie in the years 1900 to 2200.");
            return request.answer(Err(error.into()));
        };
        let ignored = request.wish.ignored();
        let violations = self.at.calendar.violations(&during, ignored, Utc::now());
        if violations.is_empty() {
            return self.write(myself, request, Some(during));
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

    /// Whether the database may know of changes that memory does not.
    fn may_be_behind(&self) -> bool {
        self.reading.is_some() || !self.at.directory.is_alone()
    }

    /// Claims the time and hands the write over.
    fn write(&mut self, myself: &ActorRef<Message>, request: Request, claim: Option<Interval>) {
        let reference = Uuid::now_v7();
        if let Some(during) = claim {
            self.at.calendar.take(Holder::Claim(reference), during);
        }
        let outcome = write(self.at.repository.clone(), reference, request.wish.clone(), claim);
        self.in_flight.insert(reference, InFlight { request, claim });
        let myself = myself.clone();
        tokio::spawn(async move {
            let outcome = outcome.await;
            let _ = myself.cast(Message::Written(reference, Box::new(outcome)));
        });
    }

    /// A write has its outcome.
    fn written(&mut self, myself: &ActorRef<Message>, reference: Uuid, outcome: repository::Result<Settled>) {
        let Some(InFlight { request, claim }) = self.in_flight.remove(&reference) else {
            return;
        };
        if let (Err(Error::OutcomeUnknown), Some(during)) = (&outcome, claim) {
            self.orphans.push((reference, during));
            self.read(myself);
        } else if let Some(during) = claim {
            self.at.calendar.release_span(Holder::Claim(reference), during);
        }
        match outcome {
            Ok(Settled::Kept(appointment)) => {
                let before = match &request.wish {
                    Wish::Amend(amendment) => Some(amendment.current.during),
                    Wish::Book(_) => None,
                };
                keep(&mut self.at.calendar, before, &appointment);
                if let Some(reading) = &mut self.reading {
                    reading.journal.push((before, appointment.clone()));
                }
                self.at.directory.announce(request.wish.clinic(), appointment.doctor);
                request.answer(Ok(appointment));
            }
            // Only the doctor's side is in this calendar: where that refused, memory was behind.
            Ok(Settled::Refused(refusal))
                if refusal.violations.contains(&Violation::SlotTaken)
                    || refusal.violations.contains(&Violation::DoctorInactive) =>
            {
                self.park(myself, request, Some(refusal));
            }
            Ok(Settled::Refused(refusal)) => self.refuse(request, refusal),
            Err(error) => request.answer(Err(error.into())),
        }
    }

    /// Answers a refusal with every broken rule and with the next times that satisfy all of them.
    fn refuse(&self, request: Request, refusal: Refusal) {
        let rules = self.at.calendar.rules();
        let now = Utc::now();
        let next_slots = match request.wish.during(rules) {
            Some(during) => self.at.calendar.next_free(
                during.start(),
                request.wish.length(rules),
                OFFERS,
                &refusal.patient_busy,
                request.wish.ignored(),
                now,
            ),
            None => Vec::new(),
        };
        request.answer(Err(ScheduleError::Refused(Refused {
            violations: refusal.violations,
            conflicts: refusal.conflicts,
            next_slots,
        })));
    }

    /// Keeps a request until the calendar has been read by a reading that begins from now on.
    fn park(&mut self, myself: &ActorRef<Message>, request: Request, refusal: Option<Refusal>) {
        self.parked.push(Parked { request, refusal });
        self.read(myself);
    }

    /// Reads the calendar; where a reading is under way already, once more after it.
    fn read(&mut self, myself: &ActorRef<Message>) {
        if self.reading.is_some() {
            self.read_again = true;
            return;
        }
        self.read_again = false;
        self.reading = Some(Reading { parked: std::mem::take(&mut self.parked), journal: Vec::new() });
        let (repository, clinic, doctor) = (self.at.repository.clone(), self.at.clinic, self.at.doctor);
        let myself = myself.clone();
        tokio::spawn(async move {
            let loaded = repository.load_calendar(clinic, doctor).await;
            let _ = myself.cast(Message::Loaded(Box::new(loaded)));
        });
    }

    /// The calendar has been read: memory is what it says, with the writes under way on top.
    fn loaded(&mut self, myself: &ActorRef<Message>, outcome: repository::Result<Calendar>) {
        let reading = self.reading.take().unwrap_or_default();
        match outcome {
            Ok(calendar) => {
                // Another change that came meanwhile is read by the reading that follows.
                self.is_outdated &= self.read_again;
                self.replace(calendar, reading.journal);
            }
            Err(Error::NotFound) => {
                for parked in reading.parked.into_iter().chain(std::mem::take(&mut self.parked)) {
                    let refusal = Refusal { violations: vec![Violation::NoSuchDoctor], ..Refusal::default() };
                    self.refuse(parked.request, refusal);
                }
                return self.leave(myself);
            }
            Err(error) => {
                tracing::warn!(%error, doctor = %self.at.doctor, "cannot read a calendar");
                for parked in reading.parked {
                    parked.request.answer(Err(Error::Unavailable.into()));
                }
                // Memory stays what it was, and is known to be behind.
                self.is_outdated = true;
                myself.send_after(RETRY, || Message::Refresh);
                return;
            }
        }
        for Parked { request, refusal } in reading.parked {
            match refusal {
                Some(refusal) => self.refuse(request, refusal),
                None => self.decide(myself, request, true),
            }
        }
        if self.read_again || !self.parked.is_empty() {
            self.read(myself);
        }
    }

    fn replace(&mut self, calendar: Calendar, journal: Vec<(Option<Interval>, Appointment)>) {
        self.at.calendar = calendar;
        self.orphans.clear();
        for (before, appointment) in journal {
            keep(&mut self.at.calendar, before, &appointment);
        }
        for (reference, in_flight) in &self.in_flight {
            if let Some(during) = in_flight.claim {
                self.at.calendar.take(Holder::Claim(*reference), during);
            }
        }
    }

    /// Lets go of what is over, and of itself where nobody has asked for a while.
    fn tick(&mut self, myself: &ActorRef<Message>) {
        let idle = self.at.directory.limits().idle;
        if self.is_at_rest() && self.last_used.elapsed() >= idle {
            return self.leave(myself);
        }
        self.at.calendar.forget_before(Utc::now());
        myself.send_after(idle, || Message::Tick);
    }

    fn is_at_rest(&self) -> bool {
        self.in_flight.is_empty() && self.reading.is_none() && self.orphans.is_empty()
    }

    /// Leaves the directory, so that who asks from now on gets the next activation.
    fn leave(&mut self, myself: &ActorRef<Message>) {
        self.at.directory.forget((self.at.clinic, self.at.doctor), myself.get_id());
        self.is_leaving = true;
    }
}

/// Enters an appointment in place of what it was.
fn keep(calendar: &mut Calendar, before: Option<Interval>, appointment: &Appointment) {
    let holder = Holder::Appointment(appointment.id);
    if let Some(before) = before {
        calendar.release_span(holder, before);
    }
    if appointment.status.is_active() {
        calendar.take(holder, appointment.during);
    }
}

/// Writes what was accepted, and says what became of it.
async fn write(
    repository: Repository,
    reference: Uuid,
    wish: Wish,
    claim: Option<Interval>,
) -> repository::Result<Settled> {
    match wish {
        Wish::Book(request) => {
            let during = claim.ok_or_else(|| Error::Corrupt("a booking without a claim".into()))?;
            match repository.book(booking(reference, &request, during)).await? {
                Written::Booked(appointment) => Ok(Settled::Kept(appointment)),
                Written::Refused(refusal) => Ok(Settled::Refused(refusal)),
            }
        }
        Wish::Amend(amendment) => match repository.amend(amendment.clone()).await {
            Ok(appointment) => Ok(Settled::Kept(appointment)),
            Err(Error::Conflict(conflict @ (Conflict::DoctorBusy | Conflict::PatientBusy))) => {
                let (clinic, during) = (amendment.clinic(), amendment.during);
                let mut refusal = repository.find_busy(clinic, &amendment.current, during).await?;
                if refusal.violations.is_empty() {
                    // What stood in the way has gone since: to the caller it was taken all the same.
                    refusal.violations.push(match conflict {
                        Conflict::PatientBusy => Violation::PatientBusy,
                        _ => Violation::SlotTaken,
                    });
                }
                Ok(Settled::Refused(refusal))
            }
            Err(error) => Err(error),
        },
    }
}
