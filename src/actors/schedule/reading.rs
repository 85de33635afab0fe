//! How a schedule reads its calendar again: beside the actor, with what depends on it parked until then.

use std::{sync::Arc, time::Duration};

use ractor::ActorRef;

use super::{
    actor::State,
    message::{Message, Request},
};
use crate::{
    actors::repository::{self, Error},
    domain::{
        Interval,
        appointments::{Appointment, Refusal},
        calendar::{Calendar, Holder, Violation},
    },
};

/// After how long a calendar that could not be read is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A reading of the calendar under way.
#[derive(Default)]
pub(super) struct Reading {
    parked: Vec<Parked>,
    /// What was committed since it began: the reading may not have seen it.
    pub(super) journal: Vec<(Option<Interval>, Appointment)>,
}

/// A request that waits for the calendar to be read.
pub(super) struct Parked {
    request: Request,
    /// Why the database refused it; without this it is decided anew.
    refusal: Option<Refusal>,
}

impl State {
    /// Keeps a request until the calendar has been read by a reading that begins from now on.
    pub(super) fn park(&mut self, myself: &ActorRef<Message>, request: Request, refusal: Option<Refusal>) {
        self.parked.push(Parked { request, refusal });
        self.read(myself);
    }

    /// Reads the calendar; where a reading is under way already, once more after it.
    pub(super) fn read(&mut self, myself: &ActorRef<Message>) {
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
    pub(super) fn loaded(&mut self, myself: &ActorRef<Message>, outcome: repository::Result<Calendar>) {
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
                self.has_orphans = false;
                return self.leave(myself);
            }
            Err(error) => {
                tracing::warn!(%error, doctor = %self.at.doctor, "cannot read a calendar");
                for parked in reading.parked {
                    parked.request.answer(Err(Error::Unavailable.into()));
                }
                // Memory stays what it was, and is known to be behind.
                self.is_outdated = true;
                if !std::mem::replace(&mut self.will_retry, true) {
                    myself.send_after(RETRY, || Message::Retry);
                }
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

    fn replace(&mut self, mut calendar: Calendar, journal: Vec<(Option<Interval>, Appointment)>) {
        self.has_orphans = false;
        for (before, appointment) in journal {
            keep(&mut calendar, before, &appointment);
        }
        for (claim, in_flight) in &self.in_flight {
            for during in &in_flight.claims {
                calendar.take(Holder::Claim(*claim), *during);
            }
        }
        self.at.calendar = Arc::new(calendar);
    }
}

/// Enters an appointment in place of what it was.
pub(super) fn keep(calendar: &mut Calendar, before: Option<Interval>, appointment: &Appointment) {
    let holder = Holder::Appointment(appointment.id);
    if let Some(before) = before {
        calendar.release_span(holder, before);
    }
    if appointment.status.is_active() {
        calendar.take(holder, appointment.during);
    }
}
