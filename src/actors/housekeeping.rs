//! Housekeeping: removes expired rows in small batches, on one node at a time.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::repository::{Removed, Repository};

/// The pause between two rounds of a node.
const PAUSE: Duration = Duration::from_secs(600);
/// The pause between two batches, which leaves the database to other work.
const BREATH: Duration = Duration::from_millis(100);
/// The maximum number of rows of each kind in one batch.
const PIECE: i64 = 500;

/// A handle that can stop the housekeeping.
pub struct Housekeeping(JoinHandle<()>);

impl Housekeeping {
    /// Starts to remove expired rows every ten minutes.
    pub fn start(repository: Repository) -> Self {
        Self(tokio::spawn(async move {
            loop {
                // The first round waits too, because the program is busy when it starts.
                sleep(PAUSE).await;
                tidy(&repository).await;
            }
        }))
    }

    /// Stops the housekeeping. A batch that has begun belongs to a worker and is finished.
    pub fn stop(&self) {
        self.0.abort();
    }
}

/// Removes all expired rows. Stops if another node is doing so or the database fails.
async fn tidy(repository: &Repository) {
    loop {
        match repository.remove_what_is_over(PIECE).await {
            Ok(Some(removed)) => {
                let Removed { refresh_tokens, sessions, idempotency_keys } = removed;
                for (kind, count) in
                    [("refresh_tokens", refresh_tokens), ("sessions", sessions), ("idempotency_keys", idempotency_keys)]
                {
                    metrics::counter!("clinicd_removed_rows_total", "kind" => kind).increment(count);
                }
                if refresh_tokens.max(idempotency_keys) < PIECE as u64 {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "cannot remove expired rows");
                return;
            }
        }
        sleep(BREATH).await;
    }
}
