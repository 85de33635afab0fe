//! The booking writer: writes all batches that are queued when its connection becomes free in one transaction.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::time::timeout_at;

use super::connection::Connection;
use super::grouping::{Answering, GroupedWork, Pending};
use super::{Error, Result};
use crate::clock;
use crate::repository::batches::{Batch, BatchWritten, Work, Written};
use crate::repository::context::Grouped;
use crate::repository::{batches, context};

/// The pauses between lookups of a lost outcome, in milliseconds. They are short, so that an outcome is found soon
/// after the database is back.
pub(super) const LOOKS: [u64; 15] = [20, 100, 500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 500];
/// How long the outcomes of one group are looked up.
const SETTLING: Duration = Duration::from_secs(8);

/// Batches of bookings, written in groups. The batches of one doctor always go to the same writer.
pub(super) struct Bookings;

impl GroupedWork for Bookings {
    const NAME: &'static str = "bookings";
    const LARGEST: usize = 64;
    type Item = Batch;
    type Answer = BatchWritten;
    type Memory = ();

    fn deadline(batch: &Batch) -> Option<Instant> {
        Some(batch.deadline)
    }

    async fn work(connection: &mut Connection, (): &mut (), mut group: Vec<Pending<Self>>) {
        // The order of locks.
        group.sort_by_key(|(batch, _)| (batch.clinic, batch.doctor));
        let (batches, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        match write(connection, &batches).await {
            Ok(written) => answer(batches, answers, written.into_iter().map(Ok).collect()),
            // The lookup runs in its own task, so that other batches do not wait for it.
            Err(Error::OutcomeUnknown) => {
                tokio::spawn(settle(connection.another(), batches, answers));
            }
            Err(error @ (Error::Unavailable | Error::Unable)) => {
                let failed = batches.iter().map(|_| Err(error.like())).collect();
                answer(batches, answers, failed);
            }
            // An error or a lock that concerns one batch must not fail the others.
            Err(_) => {
                for (batch, to) in batches.into_iter().zip(answers) {
                    match write_alone(connection, &batch).await {
                        Err(Error::OutcomeUnknown) => {
                            tokio::spawn(settle(connection.another(), vec![batch], vec![to]));
                        }
                        written => answer(vec![batch], vec![to], vec![written]),
                    }
                }
            }
        }
    }
}

/// Answers the batches. Their calendars are dropped first, because the callers change their copies when they get the
/// answer.
fn answer(batches: Vec<Batch>, answers: Vec<Answering<Bookings>>, written: Vec<Result<BatchWritten>>) {
    drop(batches);
    for (answer, written) in answers.into_iter().zip(written) {
        let _ = answer.send(written);
    }
}

async fn write(connection: &mut Connection, batches: &[Batch]) -> Result<Vec<BatchWritten>> {
    let mut works: Vec<_> = batches.iter().cloned().map(Work::new).collect();
    let finish =
        |works: Vec<Work>, otherwise: Written| works.into_iter().map(|w| w.finish(otherwise.clone())).collect();
    let mut is_begun = false;
    if !works.iter().any(Work::has_consequences) {
        works = connection.at_once(Grouped::OF_ANY_CLINICS, |db| batches::write_at_once(db, works).boxed()).await?;
        is_begun = true;
    }
    if works.iter().all(Work::is_done) {
        return Ok(finish(works, Written::Again));
    }
    let begun = works.clone();
    let now = clock::now();
    match connection.transact(Grouped::OF_ANY_CLINICS, move |db| batches::write(db, works, now).boxed()).await {
        Ok(works) => Ok(finish(works, Written::Again)),
        // The first statement is committed, even if the rest fails.
        Err(error) if is_begun && !matches!(error, Error::OutcomeUnknown) => Ok(finish(begun, Written::Held)),
        Err(error) => Err(error),
    }
}

async fn write_alone(connection: &mut Connection, batch: &Batch) -> Result<BatchWritten> {
    match write(connection, std::slice::from_ref(batch)).await {
        Ok(mut written) => written.pop().ok_or(Error::OutcomeUnknown),
        Err(Error::TryAgain) => Ok(BatchWritten::held(batch)),
        Err(error) => Err(error),
    }
}

/// Looks up what transactions with a lost outcome committed. Answers each batch as soon as its outcome is known.
async fn settle(mut connection: Connection, batches: Vec<Batch>, answers: Vec<Answering<Bookings>>) {
    let until = clock::instant() + SETTLING;
    let mut lost: Vec<_> = batches.into_iter().zip(answers).collect();
    for pause in LOOKS {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let mut not_found = Vec::new();
        for (batch, to) in lost {
            match timeout_at(until.into(), look(&mut connection, batch.clone())).await {
                Ok(Ok(settled)) => answer(vec![batch], vec![to], vec![Ok(settled)]),
                _ => not_found.push((batch, to)),
            }
        }
        lost = not_found;
        if lost.is_empty() || clock::instant() > until {
            break;
        }
    }
    for (batch, to) in lost {
        answer(vec![batch], vec![to], vec![Err(Error::OutcomeUnknown)]);
    }
}

/// Looks up once what was committed.
async fn look(connection: &mut Connection, batch: Batch) -> Result<BatchWritten> {
    let looked = connection.transact(batch.clinic, move |db| {
        async move {
            context::give_up_soon(&mut *db).await?;
            batches::settle(db, &batch).await
        }
        .boxed()
    });
    looked.await
}
