//! The outcomes of requests with an `Idempotency-Key`.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Error, Repository, Result};
use crate::domain::access::{Action, Resource, Retry};
use crate::domain::{Caller, Identified};
use crate::repository::context::ClinicDb;
use crate::repository::retries::Claim;
use crate::repository::{context, retries};

impl Repository {
    /// Claims the key of a request, or returns the outcome of an earlier attempt. The claim need not be durable: a
    /// server that loses it has also lost the work of its attempt, which stores its outcome only while its claim
    /// exists.
    pub async fn claim_key<T>(&self, caller: &Caller, retry: &Retry) -> Result<Claim<T>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let (caller, retry) = (caller.clone(), retry.clone());
        let claimed = self.transact(caller.clinic, move |db| {
            async move {
                context::give_up_soon(&mut *db).await?;
                context::need_not_be_durable(&mut *db).await?;
                retries::claim(db, &caller, &retry).await
            }
            .boxed()
        });
        match claimed.await {
            // Another attempt is committing, and its outcome is not known yet.
            Err(Error::TryAgain) => Ok(Claim::UnderWay),
            claimed => claimed,
        }
    }

    /// Releases the key of a refused request. Returns whether this attempt still held the claim.
    pub async fn give_up_key(&self, caller: &Caller, retry: &Retry) -> Result<bool> {
        let (caller, retry) = (caller.clone(), retry.clone());
        self.transact(caller.clinic, move |db| {
            async move {
                context::need_not_be_durable(&mut *db).await?;
                retries::give_up(db, &caller, &retry).await
            }
            .boxed()
        })
        .await
    }

    /// Creates a row for a caller, with its audit event, once per `Idempotency-Key`.
    pub(super) async fn create<T, F>(&self, caller: &Caller, action: Action, resource: Resource, work: F) -> Result<T>
    where
        T: Identified + Serialize + Send + Sync + 'static,
        F: for<'c> FnOnce(&'c mut ClinicDb<'_>) -> BoxFuture<'c, Result<T>> + Send + 'static,
    {
        let by = caller.clone();
        self.write(caller, action, resource, move |db| {
            async move {
                let made = work(&mut *db).await?;
                retries::keep(db, &by, &made).await?;
                Ok(made)
            }
            .boxed()
        })
        .await
    }
}
