//! What accounts are in clinics, remembered for a few seconds: each request asks, few need the database.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    actors::repository::{Repository, Result},
    domain::{AccountId, ClinicId, users::Standing},
};

/// How long another node may go by what was true before a change.
const FRESH: Duration = Duration::from_secs(5);
/// How many are remembered at most.
const LIMIT: usize = 10_000;

type Key = (ClinicId, AccountId);
/// What was found, and when it was asked for.
type Known = HashMap<Key, (Instant, Option<Standing>)>;

/// The memory of standings; cheap to clone.
#[derive(Clone)]
pub(super) struct Standings {
    repository: Repository,
    known: Arc<Mutex<Known>>,
    /// Counts the changes: what was read before one is not remembered after it.
    changes: Arc<AtomicU64>,
}

impl Standings {
    pub(super) fn new(repository: Repository) -> Self {
        Self { repository, known: Arc::default(), changes: Arc::default() }
    }

    /// What the account is in the clinic.
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

    /// Forgets a clinic's, because something changed: at once on this node.
    pub(super) fn forget(&self, clinic: ClinicId) {
        let mut known = self.known();
        self.changes.fetch_add(1, Ordering::AcqRel);
        known.retain(|(of, _), _| *of != clinic);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // The map is whole after any single operation on it, so a panic elsewhere does not spoil it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
