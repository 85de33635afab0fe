//! Reads and writes of the keys that sign access tokens.

use futures_util::FutureExt;
use sqlx::{Connection, PgConnection};

use super::{Error, Repository, Result};
use crate::repository::context::Global;
use crate::repository::signing_keys;
use crate::repository::signing_keys::SigningKey;

impl Repository {
    /// Returns the keys that sign access tokens, newest first. Stores `first` if there is none.
    pub async fn signing_keys(&self, first: SigningKey) -> Result<Vec<SigningKey>> {
        self.transact(Global, move |db| async move { signing_keys::list(db, &first).await }.boxed()).await
    }
}

/// Keeps what `wrap` makes of each key, where it makes another, over a connection of their owner: the program's role cannot change
/// a key.
///
/// # Errors
/// Fails if the database or `wrap` fails. Nothing is changed then.
pub async fn wrap_signing_keys<E: From<Error>>(
    mut owner: PgConnection,
    wrap: impl Fn(&SigningKey) -> Result<Option<SigningKey>, E>,
) -> Result<(), E> {
    let mut transaction = owner.begin().await.map_err(Error::from)?;
    for key in signing_keys::lock_all(&mut transaction).await? {
        if let Some(wrapped) = wrap(&key)? {
            signing_keys::wrap(&mut transaction, &wrapped).await?;
        }
    }
    transaction.commit().await.map_err(Error::from)?;
    Ok(())
}
