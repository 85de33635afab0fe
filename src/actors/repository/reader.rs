//! Readers. Requests that arrive while a reader's connection is busy become one round trip.

use std::marker::PhantomData;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::connection::{Connection, tell};
use super::grouping::{GroupedWork, Pending};
use super::{Error, Result};
use crate::domain::ClinicId;
use crate::domain::appointments::Appointment;
use crate::domain::mappings::Mapping;
use crate::domain::patients::Patient;
use crate::repository::appointment_lists::AppointmentList;
use crate::repository::context::{Grouped, GroupedDb};
use crate::repository::mappings::MappingList;
use crate::repository::patient_groups::PatientRead;
use crate::repository::{appointment_lists, mappings, patient_groups};

/// A kind of request that is read in groups. Each request is cheap, so that no caller waits long for the rest of its
/// group.
pub(super) trait GroupedRead: Clone + Send + Sync + 'static {
    /// Its name in the metrics.
    const NAME: &'static str;
    /// The type of an answer.
    type Answer: Send + 'static;

    /// Reads all requests, each in its own clinic. Returns the answers in the order of the requests, with `None` for a
    /// row that does not exist.
    fn read_all(
        connection: &mut Connection,
        asked: Vec<Self>,
    ) -> impl Future<Output = Result<Vec<Option<Self::Answer>>>> + Send;
}

impl GroupedRead for PatientRead {
    const NAME: &'static str = "patients";
    type Answer = Patient;

    async fn read_all(connection: &mut Connection, asked: Vec<Self>) -> Result<Vec<Option<Patient>>> {
        connection
            .read(Grouped::OF_ANY_CLINICS, move |db| async move { patient_groups::find_all(db, &asked).await }.boxed())
            .await
    }
}

impl GroupedRead for AppointmentList {
    const NAME: &'static str = "appointment_lists";
    type Answer = Vec<Appointment>;

    async fn read_all(connection: &mut Connection, asked: Vec<Self>) -> Result<Vec<Option<Vec<Appointment>>>> {
        let first = asked.first().map(|list| list.clinic);
        let lists =
            planned(connection, first, |db| async move { appointment_lists::read_all(db, &asked).await }.boxed());
        Ok(lists.await?.into_iter().map(Some).collect())
    }
}

impl GroupedRead for MappingList {
    const NAME: &'static str = "mapping_lists";
    type Answer = Vec<Mapping>;

    async fn read_all(connection: &mut Connection, asked: Vec<Self>) -> Result<Vec<Option<Vec<Mapping>>>> {
        let first = asked.first().map(|list| list.clinic);
        let lists = planned(connection, first, |db| async move { mappings::read_all(db, &asked).await }.boxed());
        Ok(lists.await?.into_iter().map(Some).collect())
    }
}

/// Reads lists in a transaction. Sets the context of `first`, the clinic of one of them, because the planner needs a
/// context.
async fn planned<T: Send, F>(connection: &mut Connection, first: Option<ClinicId>, read: F) -> Result<T>
where
    F: for<'c> FnOnce(&'c mut GroupedDb<'_>) -> BoxFuture<'c, Result<T>> + Send + 'static,
{
    let reading = connection.transact(Grouped::OF_ANY_CLINICS, move |db| {
        async move {
            if let Some(clinic) = first {
                db.in_clinic(clinic).await?;
            }
            read(db).await
        }
        .boxed()
    });
    // A read has nothing to commit, so its outcome is never unknown.
    reading.await.map_err(|error| if let Error::OutcomeUnknown = error { Error::Unavailable } else { error })
}

/// The work of a reader.
pub(super) struct Reader<A>(PhantomData<A>);

impl<A: GroupedRead> GroupedWork for Reader<A> {
    const NAME: &'static str = A::NAME;
    const LARGEST: usize = 64;
    type Item = A;
    type Answer = A::Answer;
    type Memory = ();

    async fn work(connection: &mut Connection, (): &mut (), group: Vec<Pending<Self>>) {
        let (asked, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        match A::read_all(connection, asked.clone()).await {
            Ok(found) => {
                for (answer, found) in answers.into_iter().zip(found) {
                    let _ = answer.send(found.ok_or(Error::NotFound));
                }
            }
            // An error of one request must not fail the others, so each is read again alone.
            Err(Error::TryAgain | Error::Database(_) | Error::Corrupt(_)) if asked.len() > 1 => {
                for (asked, answer) in asked.into_iter().zip(answers) {
                    let alone =
                        A::read_all(connection, vec![asked]).await.map(|found| found.into_iter().next().flatten());
                    let _ = answer.send(alone.and_then(|found| found.ok_or(Error::NotFound)));
                }
            }
            Err(error) => {
                tell(&error, A::NAME);
                for answer in answers {
                    let _ = answer.send(Err(error.like()));
                }
            }
        }
    }
}
