//! How the core looks at the calendar for requests that an old copy must not refuse.

use super::core::{Core, Effect, Now, Queued, out_of_years, refused};
use super::request::{Booking, Reply, Request, ScheduleError};
use crate::actors::repository::{CalendarQuestion, Fresh, Read, Result};
use crate::domain::Interval;
use crate::domain::appointments::BookingRequest;
use crate::domain::calendar::CalendarCopy;
use crate::domain::proposal::{PatientSide, Proposal, Refusal};
use crate::repository::calendars::{Known, Question};

/// A request that waits for a look at the calendar.
pub(super) enum Look {
    Book(Booking),
    Check(Request<BookingRequest, Refusal>),
    View(Request<(), CalendarCopy>),
}

impl Look {
    fn fail(self, error: ScheduleError) -> Effect {
        Effect::Reply(match self {
            Self::Book(request) => Reply::Appointment(request.to, Err(error)),
            Self::Check(request) => Reply::Refusal(request.to, Err(error)),
            Self::View(request) => Reply::Calendar(request.to, Err(error)),
        })
    }
}

impl Core {
    /// Starts a look at the calendar for all requests that wait for one, if none is pending.
    pub(super) fn look(&mut self, effects: &mut Vec<Effect>) {
        if self.looking.is_some() || self.looks.is_empty() {
            return;
        }
        let (mut looks, mut questions) = (Vec::new(), Vec::new());
        for look in std::mem::take(&mut self.looks) {
            let question = match &look {
                Look::Book(request) => self.question(&request.wish),
                Look::Check(request) => self.question(&request.wish),
                Look::View(_) => {
                    looks.push(look);
                    continue;
                }
            };
            match question {
                // One question for each request that names a time. The answers come in this order.
                Some(question) => {
                    looks.push(look);
                    questions.push(question);
                }
                None => effects.push(look.fail(out_of_years())),
            }
        }
        let known = Known { clinic: self.clinic, doctor: self.doctor, versions: self.copy.versions };
        effects.push(Effect::Look(CalendarQuestion { known, questions }));
        self.looking = Some(looks);
    }

    fn question(&self, wish: &BookingRequest) -> Option<Question> {
        let proposal = Proposal::new(self.during(wish)?);
        let (clinic, doctor) = (self.clinic, self.doctor);
        Some(Question { clinic, doctor, patient: wish.patient, bookable: wish.bookable, proposal })
    }

    /// Handles the result of a look. It began after all of these requests arrived, so its state may refuse them.
    pub(super) fn looked(&mut self, read: Result<Read>, now: Now, effects: &mut Vec<Effect>) {
        let looks = self.looking.take().unwrap_or_default();
        let Read { fresh, patients } = match read {
            Ok(read) => read,
            Err(error) => {
                effects.extend(looks.into_iter().map(|look| look.fail(error.like().into())));
                return;
            }
        };
        match fresh {
            Fresh::Changed(versions, changes) => self.copy.catch_up(versions, &changes),
            Fresh::Whole(copy) => self.copy = copy,
            Fresh::Gone => {
                let gone = || ScheduleError::Refused(Refusal::no_such_doctor());
                effects.extend(looks.into_iter().map(|look| look.fail(gone())));
                effects.push(Effect::Leave);
                return;
            }
        }
        let mut patients = patients.into_iter();
        // Under high load many requests name the same time, and most of their patients are free. Equal questions are
        // answered once.
        let mut weighed = Vec::new();
        for look in looks {
            match look {
                Look::View(request) => {
                    effects.push(Effect::Reply(Reply::Calendar(request.to, Ok(self.copy.clone()))));
                }
                Look::Check(request) => {
                    let (_, refusal) = self.weigh(&request.wish, patients.next(), now, &mut weighed);
                    effects.push(Effect::Reply(Reply::Refusal(request.to, Ok(refusal))));
                }
                Look::Book(mut request) => {
                    let (patient, refusal) = self.weigh(&request.wish, patients.next(), now, &mut weighed);
                    if refusal.violations.is_empty() {
                        request.patient = Some(patient);
                        self.enqueue(Queued::Book(request));
                    } else {
                        effects.push(refused(request.to, refusal));
                    }
                }
            }
        }
    }

    /// Returns the refusal of a request by the doctor's and the patient's side. Reuses the result in `weighed` if an
    /// equal question was answered there.
    fn weigh(
        &self,
        wish: &BookingRequest,
        patient: Option<PatientSide>,
        now: Now,
        weighed: &mut Vec<(Interval, PatientSide, Refusal)>,
    ) -> (PatientSide, Refusal) {
        let patient = patient.unwrap_or_default();
        let Some(during) = self.during(wish) else { return (patient, Refusal::default()) };
        let same = weighed.iter().find(|(time, side, _)| *time == during && *side == patient);
        if let Some((_, _, refusal)) = same {
            return (patient, refusal.clone());
        }
        let refusal = Proposal::new(during).weigh(&self.copy.calendar, &patient, now.utc);
        weighed.push((during, patient.clone(), refusal.clone()));
        (patient, refusal)
    }
}
