//! The patient reader: all patients that are asked for while its connection is busy are one round trip.

use futures_util::FutureExt;

use super::{
    Context, Error, Result,
    connection::{Connection, tell},
    grouping::{Kind, Pending},
};
use crate::{
    domain::patients::Patient,
    repository::patient_groups::{self, Wanted},
};

/// Patients, read in groups.
pub(super) struct Patients;

impl Kind for Patients {
    const NAME: &'static str = "patients";
    const LARGEST: usize = 64;
    type Item = Wanted;
    type Answer = Patient;
    type Memory = ();

    async fn work(connection: &mut Connection, (): &mut (), group: Vec<Pending<Self>>) {
        let (wanted, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let found = connection
            .read(Context::Global, move |db| async move { patient_groups::find_all(db, &wanted).await }.boxed())
            .await;
        match found {
            Ok(found) => {
                for (answer, found) in answers.into_iter().zip(found) {
                    let _ = answer.send(found.ok_or(Error::NotFound));
                }
            }
            Err(error) => {
                tell(&error, "patients");
                for answer in answers {
                    let _: Result<(), _> = answer.send(Err(Error::Unavailable));
                }
            }
        }
    }
}
