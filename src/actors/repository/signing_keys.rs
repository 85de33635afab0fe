//! Work on the keys that sign access tokens.

use futures_util::FutureExt;

use super::{Repository, Result};
use crate::repository::{
    context::Global,
    signing_keys::{self, SigningKey},
};

impl Repository {
    /// The keys that sign access tokens, the newest first; `first` is kept where there is none.
    pub async fn signing_keys(&self, first: SigningKey) -> Result<Vec<SigningKey>> {
        self.transact(Global, move |db| async move { signing_keys::list(db, &first).await }.boxed()).await
    }
}
