//! Housekeeping: removes what is over, in small pieces, on one node at a time.

use std::time::Duration;

use tokio::{task::JoinHandle, time::sleep};

use super::repository::{Removed, Repository};

/// How long until a node looks again for what is over.
const PAUSE: Duration = Duration::from_secs(600);
/// How long others may work between two pieces.
const BREATH: Duration = Duration::from_millis(100);
/// How many rows of each kind are a piece.
const PIECE: i64 = 500;

/// The handle: ends the work.
pub struct Housekeeping(JoinHandle<()>);

impl Housekeeping {
    /// Removes what is over every ten minutes.
    pub fn start(repository: Repository) -> Self {
        Self(tokio::spawn(async move {
            loop {
                // It waits first: a program that starts has enough to do.
                sleep(PAUSE).await;
                tidy(&repository).await;
            }
        }))
    }

    /// Ends. A piece that is under way is a worker's, and comes to its end.
    pub fn stop(&self) {
        self.0.abort();
    }
}

/// Removes all that is over, unless another node does or the database cannot.
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
                tracing::warn!(%error, "what is over could not be removed");
                return;
            }
        }
        sleep(BREATH).await;
    }
}
