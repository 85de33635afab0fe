//! A core in its world: clients that ask, pending effects, and every state that the calendar ever had.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use uuid::Uuid;

use super::super::core::{Core, Effect, Happening, Now, Wrote};
use super::super::request::{Answer, Change, Request, ScheduleError, Ticket, Wish};
use super::database::Pending;
use super::state::State;
use super::{BUSY, CLINIC, DOCTOR, ROUNDS, Step, UNKNOWN, start_of_day, time};
use crate::actors::repository::{CalendarQuestion, Error, Read};
use crate::domain::appointments::{Amendment, Appointment, BookingRequest};
use crate::domain::calendar::{Calendar, CalendarCopy, Versions, Violation};
use crate::domain::lifecycle::Status;
use crate::domain::{AccountId, AppointmentId, Caller, Interval, PatientId, Visibility};

/// A client that waits for an answer.
pub(super) struct Client {
    wanted: Option<(PatientId, Interval)>,
    amends: Option<(AppointmentId, Interval)>,
    /// The number of states when it asked.
    since: usize,
    answer: oneshot::Receiver<Answer>,
}

pub(super) struct World {
    pub(super) states: Vec<State>,
    pub(super) rows: Vec<Appointment>,
    pub(super) versions: Versions,
    pub(super) rules_version: i64,
    pub(super) stamps: Vec<(i64, AppointmentId)>,
    pub(super) core: Core,
    pub(super) now: Now,
    pub(super) clients: Vec<Client>,
    pub(super) views: Vec<(usize, oneshot::Receiver<Result<CalendarCopy, ScheduleError>>)>,
    pub(super) writes: VecDeque<Pending>,
    pub(super) wrote: VecDeque<Wrote>,
    pub(super) looks: VecDeque<CalendarQuestion>,
    pub(super) looked: VecDeque<Read>,
}

impl World {
    pub(super) fn new() -> Self {
        let state = State { most: None, gap: TimeDelta::zero(), taken: Vec::new() };
        let versions = Versions { doctor: 1, clinic: 1 };
        let copy = CalendarCopy::new(Calendar::new(state.rules(), []), versions);
        Self {
            states: vec![state],
            rows: Vec::new(),
            versions,
            rules_version: 1,
            stamps: Vec::new(),
            core: Core::new(CLINIC, DOCTOR, copy),
            now: Now { utc: start_of_day() - TimeDelta::days(9), instant: crate::clock::instant() },
            clients: Vec::new(),
            views: Vec::new(),
            writes: VecDeque::new(),
            wrote: VecDeque::new(),
            looks: VecDeque::new(),
            looked: VecDeque::new(),
        }
    }

    pub(super) fn state(&self) -> &State {
        self.states.last().unwrap()
    }

    pub(super) fn copy(&self) -> CalendarCopy {
        CalendarCopy::new(Calendar::new(self.state().rules(), self.state().taken.clone()), self.versions)
    }

    fn happens(&mut self, event: Happening) {
        for effect in self.core.handle(event, self.now) {
            match effect {
                Effect::Reply(reply) => {
                    reply.send();
                    self.check_answers();
                }
                Effect::Look(asked) => self.looks.push_back(asked),
                Effect::Book { requests, batch, .. } => self.writes.push_back(Pending::Book(requests, batch)),
                Effect::Change(change, _) => {
                    self.writes.push_back(Pending::Change(Box::new(change)));
                }
                Effect::Wake(_) => {}
                Effect::Leave => unreachable!("the doctor is there"),
            }
        }
    }

    fn ticket(&self) -> Ticket {
        let deadline = self.now.instant + Duration::from_secs(1_000_000);
        Ticket { deadline, beginning: Default::default(), _admission: Vec::new() }
    }

    fn nth(&self, n: usize) -> Option<Appointment> {
        let taken = &self.state().taken;
        let (id, _) = taken.get(n % taken.len().max(1))?;
        Some(self.rows[id.0 as usize].clone())
    }

    fn ask(&mut self, wanted: Option<(PatientId, Interval)>, amendment: Option<Amendment>) {
        let (to, answer) = oneshot::channel();
        let amends = amendment.as_ref().map(|amendment| (amendment.current.id, amendment.during));
        self.clients.push(Client { wanted, amends, since: self.states.len() - 1, answer });
        let ticket = self.ticket();
        let wish = match (wanted, amendment) {
            (Some((patient, during)), _) => {
                let request = BookingRequest {
                    caller: caller(),
                    bookable: Visibility::WHOLE_CLINIC,
                    doctor: DOCTOR,
                    patient,
                    start: during.start(),
                    length: Some(during.length()),
                    reason: String::new(),
                    hold: None,
                };
                Wish::Book(Request::new(request, to, ticket))
            }
            (None, Some(amendment)) => Wish::Change(Change::Amend(Request::new(amendment, to, ticket))),
            (None, None) => unreachable!("somebody wants something"),
        };
        self.happens(Happening::Asked(wish));
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Book(patient, n) => self.ask(Some((PatientId(patient), time(n))), None),
            Step::Move(n, to) => {
                let Some(current) = self.nth(n) else { return };
                let (during, status) = (time(to), current.status);
                if during != current.during {
                    self.ask(None, Some(amendment(current, during, status)));
                }
            }
            Step::Cancel(n) => {
                let Some(current) = self.nth(n) else { return };
                let during = current.during;
                self.ask(None, Some(amendment(current, during, Status::Cancelled)));
            }
            Step::View => {
                let (to, answer) = oneshot::channel();
                self.views.push((self.states.len() - 1, answer));
                let ticket = self.ticket();
                self.happens(Happening::Asked(Wish::View(Request::new((), to, ticket))));
            }
            Step::OtherBooks(n) => {
                let mut state = self.state().clone();
                if state.violations(&time(n), None).is_empty() {
                    let row = self.insert(&mut state, PatientId(0), time(n));
                    self.commit(state, &[row.id]);
                }
            }
            Step::OtherCancels(n) => {
                if let Some(current) = self.nth(n) {
                    let during = current.during;
                    let _ = self.amend(&amendment(current, during, Status::Cancelled));
                }
            }
            Step::OtherLimits(most, gap) => {
                let gap = TimeDelta::minutes(if gap { 30 } else { 0 });
                let state = State { most, gap, ..self.state().clone() };
                self.commit(state, &[]);
                self.rules_version = self.versions.doctor;
            }
            Step::Write => {
                if let Some(pending) = self.writes.pop_front() {
                    let wrote = self.do_write(pending);
                    self.wrote.push_back(wrote);
                }
            }
            Step::Wrote => {
                if let Some(wrote) = self.wrote.pop_front() {
                    self.happens(Happening::Written(Box::new(wrote)));
                }
            }
            Step::Lose => {
                if let Some(pending) = self.writes.pop_front() {
                    let wrote = Self::settled(self.do_write(pending));
                    self.wrote.push_back(wrote);
                }
            }
            Step::Unknown => {
                if let Some(pending) = self.writes.pop_front() {
                    self.happens(Happening::Written(Box::new(Self::not_done(pending, Some(Error::OutcomeUnknown)))));
                }
            }
            Step::Held => {
                if let Some(pending) = self.writes.pop_front() {
                    self.happens(Happening::Written(Box::new(Self::not_done(pending, None))));
                }
            }
            Step::Look => {
                if let Some(asked) = self.looks.pop_front() {
                    let read = self.do_look(&asked);
                    self.looked.push_back(read);
                }
            }
            Step::Looked => {
                if let Some(read) = self.looked.pop_front() {
                    self.happens(Happening::Looked(Ok(read)));
                }
            }
            Step::LookFails => {
                if self.looks.pop_front().is_some() {
                    self.happens(Happening::Looked(Err(Error::Unavailable)));
                }
            }
            Step::Wake => {
                self.now.instant += Duration::from_secs(1);
                self.happens(Happening::Woke);
            }
            Step::Restart => {
                // Committed writes remain. Waiting clients get no answer.
                self.core = Core::new(CLINIC, DOCTOR, self.copy());
                self.writes.clear();
                self.wrote.clear();
                self.looks.clear();
                self.looked.clear();
                self.check_answers();
                self.clients.clear();
                self.views.clear();
            }
        }
    }

    /// Checks that each answer is right by some state between its request and now.
    pub(super) fn check_answers(&mut self) {
        let mut clients = std::mem::take(&mut self.clients);
        clients.retain_mut(|client| match client.answer.try_recv() {
            Ok(answer) => {
                self.check(client, answer);
                false
            }
            Err(TryRecvError::Empty) => true,
            Err(TryRecvError::Closed) => false,
        });
        self.clients = clients;
        let mut views = std::mem::take(&mut self.views);
        views.retain_mut(|(since, answer)| match answer.try_recv() {
            Ok(Ok(copy)) => {
                let shown = |state: &State| Calendar::new(state.rules(), state.taken.clone()) == *copy.calendar;
                assert!(self.states[*since..].iter().any(shown), "the view shows no state since the request");
                false
            }
            Ok(Err(ScheduleError::Repository(Error::Unavailable))) | Err(TryRecvError::Closed) => false,
            Ok(Err(error)) => panic!("a view failed: {error}"),
            Err(TryRecvError::Empty) => true,
        });
        self.views = views;
    }

    fn check(&self, client: &Client, answer: Answer) {
        let states = &self.states[client.since..];
        let (during, ignored) = match (client.wanted, client.amends) {
            (Some((_, during)), _) => (during, None),
            (None, Some((id, during))) => (during, Some(id)),
            (None, None) => unreachable!("somebody wants something"),
        };
        match answer {
            Ok(row) => {
                assert_eq!(row.during, during);
                assert!(client.wanted.is_none_or(|(patient, _)| patient.0 < UNKNOWN), "booked for {:?}", row.patient);
                assert!(
                    states.iter().any(|state| state.taken.contains(&(row.id, during))) || !row.status.is_active(),
                    "acknowledged but never stored"
                );
            }
            Err(ScheduleError::Refused(refusal)) => {
                assert!(!refusal.violations.is_empty(), "refused without a reason: {:?}", client.wanted);
                let of_patient =
                    |violation: &Violation| matches!(violation, Violation::PatientBusy | Violation::NoSuchPatient);
                let (patients, told): (Vec<_>, Vec<_>) = refusal.violations.iter().copied().partition(of_patient);
                let side = client.wanted.map(|(patient, _)| patient.0);
                let of_side = match side {
                    Some(UNKNOWN) => vec![Violation::NoSuchPatient],
                    Some(BUSY) => vec![Violation::PatientBusy],
                    _ => Vec::new(),
                };
                assert_eq!(patients, of_side, "the patient's side of {:?}", client.wanted);
                let is_justified = |state: &State| state.violations(&during, ignored) == told;
                assert!(states.iter().any(is_justified), "{told:?} never applied to {during:?} in {states:?}");
                for conflict in &refusal.conflicts {
                    let is_there = |state: &State| state.taken.iter().any(|(_, taken)| taken == conflict);
                    let is_patients = side == Some(BUSY) && conflict.length() == TimeDelta::hours(24);
                    assert!(is_patients || states.iter().any(is_there), "{conflict:?} was never a conflict");
                }
            }
            Err(ScheduleError::Repository(Error::OutcomeUnknown | Error::Unavailable | Error::Stale)) => {}
            Err(error) => panic!("told {error}"),
        }
    }

    /// Finishes all pending work without disturbance, and checks that every client has an answer.
    pub(super) fn come_to_rest(&mut self) {
        let most = ROUNDS * (self.clients.len() + self.views.len() + 4);
        for _ in 0..most {
            if self.core.is_at_rest() {
                break;
            }
            for step in [Step::Write, Step::Wrote, Step::Look, Step::Looked, Step::Wake] {
                self.step(step);
            }
        }
        assert!(self.core.is_at_rest(), "not at rest after {most} rounds");
        self.check_answers();
        assert!(self.clients.is_empty() && self.views.is_empty(), "a client was not answered");
        // The copy equals the database.
        self.step(Step::View);
        self.step(Step::Look);
        self.step(Step::Looked);
        assert!(self.views.is_empty());
    }
}

fn caller() -> Caller {
    let request = Uuid::nil();
    Caller { clinic: CLINIC, account: AccountId(1), role: "model".into(), doctor: None, request, retry: None }
}

fn amendment(current: Appointment, during: Interval, status: Status) -> Amendment {
    Amendment { caller: caller(), current, during, status, reason: String::new(), reference: Uuid::nil() }
}
