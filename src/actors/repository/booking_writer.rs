//! The booking writer: all bookings that are queued when its connection is free are one transaction.

use std::time::Duration;

use futures_util::FutureExt;

use super::{
    Context, Error, Result, Written,
    connection::Connection,
    grouping::{Kind, Pending},
};
use crate::{domain::appointments::Booking, repository::bookings};

/// How often a booking is tried again after a deadlock or a lost outcome.
const ATTEMPTS: u32 = 5;

/// Bookings, written in groups; a doctor's always by the same writer.
pub(super) struct Bookings;

impl Kind for Bookings {
    const NAME: &'static str = "bookings";
    const LARGEST: usize = 64;
    type Item = Booking;
    type Answer = Written;
    type Memory = ();

    async fn work(connection: &mut Connection, (): &mut (), mut group: Vec<Pending<Self>>) {
        // Both sides of a deadlock would otherwise take the same rows in different orders.
        group.sort_by_key(|(booking, _)| (booking.caller.clinic, booking.doctor, booking.during));
        let (bookings, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let outcomes = settle(connection, &bookings, false).await;
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            let _ = answer.send(outcome);
        }
    }
}

/// Writes a batch until the outcome of each booking is known. Writing one again finds what an earlier
/// attempt wrote, by its reference, and waits for an attempt that the server is still at.
async fn settle(connection: &mut Connection, batch: &[Booking], mut may_have_happened: bool) -> Vec<Result<Written>> {
    let mut pause = Duration::from_millis(20);
    for attempt in 1..=ATTEMPTS {
        let error = match commit(connection, batch.to_vec()).await {
            Ok(outcomes) => return outcomes.into_iter().map(Ok).collect(),
            Err(error) => error,
        };
        let (clinic, last) = (batch[0].caller.clinic, batch[batch.len() - 1].caller.clinic);
        match error {
            Error::Unavailable if !may_have_happened => break,
            Error::OutcomeUnknown => may_have_happened = true,
            // Whoever is in the way of one clinic must not keep the others waiting.
            Error::TryAgain if attempt > 1 && clinic != last => {
                let clinics = batch.chunk_by(|a, b| a.caller.clinic == b.caller.clinic);
                return settle_apart(connection, clinics, may_have_happened).await;
            }
            Error::TryAgain | Error::Unavailable => {}
            // What one booking did wrong must not fail the others: each goes alone.
            _ if batch.len() > 1 => return settle_apart(connection, batch.chunks(1), may_have_happened).await,
            error => return vec![Err(error)],
        }
        if attempt < ATTEMPTS {
            tokio::time::sleep(pause).await;
            pause *= 4;
        }
    }
    let unsettled = || if may_have_happened { Error::OutcomeUnknown } else { Error::Unavailable };
    batch.iter().map(|_| Err(unsettled())).collect()
}

/// Writes the parts of a batch one after the other.
async fn settle_apart<'a>(
    connection: &mut Connection,
    parts: impl Iterator<Item = &'a [Booking]>,
    may_have_happened: bool,
) -> Vec<Result<Written>> {
    let mut outcomes = Vec::new();
    for part in parts {
        outcomes.extend(Box::pin(settle(connection, part, may_have_happened)).await);
    }
    outcomes
}

/// Writes bookings as one transaction, each clinic's under its own context, and answers them in order.
async fn commit(connection: &mut Connection, batch: Vec<Booking>) -> Result<Vec<Written>> {
    let order: Vec<_> = batch.iter().map(|booking| booking.reference).collect();
    let mut outcomes = connection
        .transact(Context::Global, move |db| async move { bookings::write(db, &batch).await }.boxed())
        .await?;
    order.iter().map(|reference| outcomes.remove(reference).ok_or(Error::OutcomeUnknown)).collect()
}
