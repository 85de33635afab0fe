//! What requests with an `Idempotency-Key` brought about.

use futures_util::{FutureExt, future::BoxFuture};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::PgConnection;

use super::{Context, Repository, Result};
use crate::{
    domain::{
        Caller, Identified,
        access::{Action, Resource, Retry},
    },
    repository::retries,
};

impl Repository {
    /// What the same request has brought about already.
    pub async fn find_kept<T>(&self, caller: &Caller, retry: Retry) -> Result<Option<T>>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let caller = caller.clone();
        self.read(Context::Clinic(caller.clinic), move |db| {
            async move { retries::find(db, &caller, &retry).await }.boxed()
        })
        .await
    }

    /// Makes a row for a caller, with its audit event, once for each `Idempotency-Key`.
    pub(super) async fn create<T, F>(&self, caller: &Caller, action: Action, resource: Resource, work: F) -> Result<T>
    where
        T: Identified + Serialize + Send + Sync + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T>> + Send + 'static,
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
