//! A model of the database: executes the core's effects on a list.

use super::super::core::Wrote;
use super::super::request::{Booking, Change};
use super::state::{State, side};
use super::world::World;
use super::{DOCTOR, UNKNOWN, start_of_day};
use crate::actors::repository::{CalendarQuestion, Error, Fresh, Read};
use crate::domain::appointments::{Amendment, Appointment};
use crate::domain::calendar::{Decision, SpanChange, Stamp};
use crate::domain::lifecycle::Status;
use crate::domain::proposal::{PatientSide, Proposal};
use crate::domain::{AccountId, AppointmentId, Interval, PatientId};
use crate::repository::batches::{Batch, BatchWritten, Written};
use crate::repository::changes::Outcome;

/// A write that the core has requested.
pub(super) enum Pending {
    Book(Vec<Booking>, Batch),
    Change(Box<Change>),
}

impl World {
    /// Commits a change of the calendar.
    pub(super) fn commit(&mut self, state: State, changed: &[AppointmentId]) -> Stamp {
        let before = self.versions;
        self.versions.doctor += 1;
        self.stamps.extend(changed.iter().map(|id| (self.versions.doctor, *id)));
        self.states.push(state);
        let changes = changed.iter().map(|id| self.change(*id)).collect();
        Stamp { before, version: self.versions.doctor, changes }
    }

    pub(super) fn change(&self, id: AppointmentId) -> SpanChange {
        let row = &self.rows[id.0 as usize];
        SpanChange {
            appointment: id,
            during: row.during,
            is_active: row.status.is_active(),
            held_until: None,
            is_new: false,
        }
    }

    pub(super) fn insert(&mut self, state: &mut State, patient: PatientId, during: Interval) -> Appointment {
        assert_eq!(state.violations(&during, None), [], "written in breach of the rules: {during:?} in {state:?}");
        let at = start_of_day();
        let row = Appointment {
            id: AppointmentId(self.rows.len() as i64),
            doctor: DOCTOR,
            patient,
            during,
            status: Status::Scheduled,
            reason: String::new(),
            series: None,
            created_by: AccountId(1),
            created_at: at,
            updated_at: at,
            version: 1,
        };
        state.taken.push((row.id, during));
        self.rows.push(row.clone());
        row
    }

    /// Models `repository::batches` on a list.
    pub(super) fn write_batch(&mut self, batch: &Batch) -> BatchWritten {
        let is_known = batch.copy.versions == self.versions;
        if !is_known && self.rules_version > batch.copy.versions.doctor {
            let (written, stamp) = (vec![Written::Outdated; batch.bookings.len()], Stamp::default());
            return BatchWritten { written, copy: None, stamp };
        }
        let by_rules = batch.copy.calendar.rules().allow_all_but_overlaps();
        let (mut state, mut changed) = (self.state().clone(), Vec::new());
        let mut written = vec![None; batch.bookings.len()];
        // As decided, if the state is the copy's or if only an overlap can prevent the bookings.
        if is_known || by_rules {
            for (booking, written) in batch.bookings.iter().zip(&mut written) {
                let patient = booking.request.patient;
                let is_taken = state.taken.iter().any(|(_, taken)| taken.overlaps(&booking.during));
                if patient.0 < UNKNOWN && !(is_taken && by_rules) {
                    let row = self.insert(&mut state, patient, booking.during);
                    changed.push(row.id);
                    *written = Some(Written::Booked(row));
                }
            }
        }
        let stamp = self.commit(state, &changed);
        if written.iter().all(Option::is_some) {
            return BatchWritten { written: written.into_iter().flatten().collect(), copy: None, stamp };
        }
        // The other bookings are decided by the current state, which the transaction locks.
        let mut copy = self.copy();
        let open = || batch.bookings.iter().zip(&written).filter(|(_, written)| written.is_none());
        let wanted: Vec<_> = open().map(|(booking, _)| booking.during).collect();
        let mut decisions = copy.decide(&wanted, self.now.utc).into_iter();
        let (mut state, mut changed) = (self.state().clone(), Vec::new());
        for (booking, written) in batch.bookings.iter().zip(&mut written).filter(|(_, written)| written.is_none()) {
            let patient = booking.request.patient;
            let refusal = || Proposal::new(booking.during).weigh(&copy.calendar, &side(patient), self.now.utc);
            *written = Some(match decisions.next() {
                Some(Decision::Write) if patient.0 < UNKNOWN => {
                    let row = self.insert(&mut state, patient, booking.during);
                    changed.push(row.id);
                    Written::Booked(row)
                }
                Some(Decision::Write | Decision::Refuse(_)) => Written::Refused(refusal()),
                Some(Decision::Wait) | None => Written::Again,
            });
        }
        let stamp = self.commit(state, &changed);
        let copy = Some(copy);
        BatchWritten { written: written.into_iter().flatten().collect(), copy, stamp }
    }

    /// Models `repository::appointments::amend` on a list.
    pub(super) fn amend(&mut self, amendment: &Amendment) -> Result<Outcome<Appointment>, Error> {
        let id = amendment.current.id;
        if self.rows[id.0 as usize].version != amendment.current.version {
            return Err(Error::Stale);
        }
        let mut state = self.state().clone();
        if amendment.takes_time() && !state.violations(&amendment.during, Some(id)).is_empty() {
            let proposal = Proposal { during: amendment.during, ignored: Some(id) };
            let side = PatientSide { is_known: true, busy: Vec::new() };
            return Ok(Outcome::Refused(proposal.weigh(&self.copy().calendar, &side, self.now.utc)));
        }
        state.taken.retain(|(of, _)| *of != id);
        if amendment.status.is_active() {
            state.taken.push((id, amendment.during));
        }
        let row = &mut self.rows[id.0 as usize];
        (row.during, row.status, row.version) = (amendment.during, amendment.status, row.version + 1);
        let row = row.clone();
        let stamp = self.commit(state, &[id]);
        Ok(Outcome::Done { row, copy: None, stamp })
    }

    pub(super) fn do_write(&mut self, pending: Pending) -> Wrote {
        match pending {
            Pending::Book(requests, batch) => {
                let written = self.write_batch(&batch);
                Wrote::Bookings(requests, Ok(written))
            }
            Pending::Change(change) => match *change {
                Change::Amend(request) => {
                    let outcome = self.amend(&request.wish);
                    Wrote::Amended(request, outcome)
                }
                _ => unreachable!("the model asks for nothing else"),
            },
        }
    }

    /// Returns what a lookup finds for a write whose outcome was lost: the bookings, and nothing else.
    pub(super) fn settled(wrote: Wrote) -> Wrote {
        match wrote {
            Wrote::Bookings(requests, Ok(BatchWritten { written, .. })) => {
                let written = written.into_iter().map(|written| match written {
                    booked @ Written::Booked(_) => booked,
                    _ => Written::Again,
                });
                let done = BatchWritten { written: written.collect(), copy: None, stamp: Stamp::default() };
                Wrote::Bookings(requests, Ok(done))
            }
            Wrote::Amended(request, Ok(Outcome::Done { row, .. })) => {
                Wrote::Amended(request, Ok(Outcome::Done { row, copy: None, stamp: Stamp::default() }))
            }
            wrote => wrote,
        }
    }

    pub(super) fn not_done(pending: Pending, error: Option<Error>) -> Wrote {
        match (pending, error) {
            (Pending::Book(requests, batch), None) => Wrote::Bookings(requests, Ok(BatchWritten::held(&batch))),
            (Pending::Book(requests, _), Some(error)) => Wrote::Bookings(requests, Err(error)),
            (Pending::Change(change), error) => match *change {
                Change::Amend(request) => {
                    let outcome = error.map_or(Ok(Outcome::Held), Err);
                    Wrote::Amended(request, outcome)
                }
                _ => unreachable!("the model asks for nothing else"),
            },
        }
    }

    pub(super) fn do_look(&mut self, asked: &CalendarQuestion) -> Read {
        let known = asked.known.versions.doctor;
        let fresh = if self.rules_version > known {
            Fresh::Whole(self.copy())
        } else {
            let mut ids: Vec<_> = self.stamps.iter().filter(|(at, _)| *at > known).map(|(_, id)| *id).collect();
            ids.sort_unstable();
            ids.dedup();
            Fresh::Changed(self.versions, ids.into_iter().map(|id| self.change(id)).collect())
        };
        Read { fresh, patients: asked.questions.iter().map(|question| side(question.patient)).collect() }
    }
}
