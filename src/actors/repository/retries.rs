//! What requests with an `Idempotency-Key` brought about.

use futures_util::{FutureExt, future::BoxFuture};
use serde::{Serialize, de::DeserializeOwned};

use super::{Error, Repository, Result};
use crate::{
    domain::{
        Caller, Identified,
        access::{Action, Resource, Retry},
    },
    repository::{
        context::{self, ClinicDb},
        retries::{self, Claim},
    },
};

impl Repository {
    /// Claims the key of a request, or answers what an earlier attempt brought about. The claim need not be durable: a
    /// server that loses it has lost the work of its attempt too, which keeps its outcome only by a claim that is there.
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
            // An attempt is at its end, with an outcome that is not known yet.
            Err(Error::TryAgain) => Ok(Claim::UnderWay),
            claimed => claimed,
        }
    }

    /// Gives up the key of a request that was refused; answers whether it was still claimed by this attempt.
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

    /// Makes a row for a caller, with its audit event, once for each `Idempotency-Key`.
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
