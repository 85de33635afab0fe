//! Hands what a schedule has accepted to the repository, and reads what became of it.

use chrono::Duration;
use uuid::Uuid;

use super::message::{Settled, Wish, booking};
use crate::{
    actors::repository::{Conflict, Error, Repository, Result, SeriesWritten, Written},
    domain::{
        Interval,
        appointments::{Amendment, Booking},
        calendar::{Terms, Violation},
        series::{NewSeries, SeriesRequest, Skipped},
    },
};

/// What is to be written of a wish.
pub(super) enum Write {
    /// It takes no time.
    Freely,
    /// It takes this time, found free by these terms.
    At(Interval, Terms),
    /// It takes these times, and leaves out those that it skips.
    Series { times: Vec<(Interval, Terms)>, length: Duration, skipped: Vec<Skipped> },
}

/// Writes what was accepted, and says what became of it.
pub(super) async fn write(repository: Repository, reference: Uuid, wish: Wish, what: Write) -> Result<Settled> {
    match (wish, what) {
        (Wish::Book(request), Write::At(during, terms)) => {
            match repository.book(booking(reference, &request, during, terms)).await? {
                Written::Booked(appointment) => Ok(Settled::Kept(appointment)),
                Written::Refused(refusal) => Ok(Settled::Refused(refusal)),
                Written::Outdated => Ok(Settled::Outdated),
            }
        }
        (Wish::BookSeries(request), Write::Series { times, length, skipped }) => {
            let new = NewSeries { skipped, ..series(reference, *request, times, length) };
            match repository.book_series(new).await? {
                SeriesWritten::Booked(booked) => Ok(Settled::SeriesKept(booked)),
                SeriesWritten::Refused(skipped) => Ok(Settled::SeriesRefused(skipped)),
                SeriesWritten::Outdated => Ok(Settled::Outdated),
            }
        }
        (Wish::Amend(amendment), Write::At(_, terms)) => amend(&repository, amendment, Some(terms)).await,
        (Wish::Amend(amendment), Write::Freely) => amend(&repository, amendment, None).await,
        (Wish::Book(_) | Wish::BookSeries(_) | Wish::Amend(_) | Wish::View { .. }, _) => {
            Err(Error::Corrupt("a wish without the time that it was granted".into()))
        }
    }
}

async fn amend(repository: &Repository, amendment: Amendment, terms: Option<Terms>) -> Result<Settled> {
    match repository.amend(amendment.clone(), terms).await {
        Ok(appointment) => Ok(Settled::Kept(appointment)),
        Err(Error::Conflict(Conflict::ScheduleChanged)) => Ok(Settled::Outdated),
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
    }
}

fn series(reference: Uuid, request: SeriesRequest, times: Vec<(Interval, Terms)>, length: Duration) -> NewSeries {
    let bookings = times.into_iter().map(|(during, terms)| Booking {
        reference: Uuid::now_v7(),
        caller: request.caller.clone(),
        bookable: request.bookable,
        doctor: request.doctor,
        patient: request.patient,
        during,
        reason: request.reason.clone(),
        terms,
        series: None,
        hold: None,
    });
    NewSeries {
        reference,
        bookings: bookings.collect(),
        caller: request.caller,
        doctor: request.doctor,
        patient: request.patient,
        first: request.first,
        rrule: request.repeat.text().to_owned(),
        length,
        reason: request.reason,
        skip_conflicts: request.skip_conflicts,
        skipped: Vec::new(),
    }
}
