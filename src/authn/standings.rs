//! A cache of the memberships of accounts. Every request needs one, so entries live for a few seconds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::actors::repository::{Repository, Result};
use crate::domain::users::Standing;
use crate::domain::{AccountId, ClinicId};

/// How long an entry is used. A change on another node takes effect after at most this time.
const FRESH: Duration = Duration::from_secs(5);
/// The maximum number of entries.
const LIMIT: usize = 10_000;

type Key = (ClinicId, AccountId);
/// The membership that was read, and when the read began.
type Known = HashMap<Key, (Instant, Option<Standing>)>;

/// The cache. Cheap to clone.
#[derive(Clone)]
pub(super) struct Standings {
    repository: Repository,
    known: Arc<Mutex<Known>>,
    /// Counts the changes. A membership that was read before a change is not cached after it.
    changes: Arc<AtomicU64>,
}

impl Standings {
    pub(super) fn new(repository: Repository) -> Self {
        Self { repository, known: Arc::default(), changes: Arc::default() }
    }

    /// Returns the account's membership in the clinic.
    pub(super) async fn find(&self, clinic: ClinicId, account: AccountId) -> Result<Option<Standing>> {
        let key = (clinic, account);
        if let Some((since, standing)) = self.known().get(&key)
            && since.elapsed() < FRESH
        {
            return Ok(standing.clone());
        }
        let asked = crate::clock::instant();
        let changes = self.changes.load(Ordering::Acquire);
        let standing = self.repository.find_standing(clinic, account).await?;
        let mut known = self.known();
        if known.len() >= LIMIT {
            known.retain(|_, (since, _)| since.elapsed() < FRESH);
        }
        if known.len() < LIMIT && self.changes.load(Ordering::Acquire) == changes {
            known.insert(key, (asked, standing.clone()));
        }
        Ok(standing)
    }

    /// Drops a clinic's entries after a change. The change takes effect at once on this node.
    pub(super) fn forget(&self, clinic: ClinicId) {
        let mut known = self.known();
        self.changes.fetch_add(1, Ordering::AcqRel);
        known.retain(|(of, _), _| *of != clinic);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Every single operation leaves the map consistent, so a panic elsewhere does not corrupt it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
