//! `Idempotency-Key`: a request that creates can be sent again, and is done once.
//!
//! What it brought about is kept in the transaction of the change, so that no crash and no lost answer
//! comes between the two. A refusal changes nothing and is not kept.

use std::{future::Future, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use poem::Request;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    context::{Services, to_the_end},
    etag::{Created, Entered, etag},
    problem::Problem,
    rows::{One, Row},
};
use crate::{
    actors::repository::{Claim, Conflict, Error},
    domain::{Caller, access::Retry, fields::FieldErrors},
};

/// The header that names a request.
pub(super) const HEADER: &str = "Idempotency-Key";
/// How long a name may be.
const LONGEST: usize = 200;
/// How long the outcome of a request is waited for that was sent with the same key: the pauses between looks, in
/// milliseconds, some five seconds in all.
const PAUSES: [u64; 14] = [10, 20, 40, 80, 150, 250, 300, 400, 500, 500, 600, 700, 700, 750];

/// What a request with an `Idempotency-Key` is recognised by. A password is not part of it: a digest that
/// is quickly made would be kept beside the slow one.
pub(super) fn named(request: &Request, fields: &Map<String, Value>) -> Result<Option<Retry>, Problem> {
    let Some(key) = request.headers().get(HEADER) else {
        return Ok(None);
    };
    let key = key.to_str().ok().filter(|key| (1..=LONGEST).contains(&key.len()));
    let Some(key) = key else {
        let message = format!("Must be 1 to {LONGEST} visible ASCII characters.");
        return Err(Problem::invalid(FieldErrors::one(HEADER, message)));
    };
    let mut digest = digest::Context::new(&digest::SHA256);
    digest.update(format!("{} {}\n", request.method(), request.original_uri().path()).as_bytes());
    for (name, value) in fields.iter().filter(|(name, _)| *name != "password") {
        digest.update(format!("{name}={value}\n").as_bytes());
    }
    let fingerprint = digest.finish().as_ref().to_vec();
    Ok(Some(Retry { key: key.to_owned(), fingerprint, claim: Uuid::now_v7() }))
}

/// What a request brought about, and whether that was earlier.
pub(super) struct Once<T> {
    pub(super) outcome: T,
    /// The `Idempotency-Replayed` header.
    pub(super) replayed: Option<String>,
}

impl<T> Once<T> {
    /// What was done just now.
    pub(super) fn new(outcome: T) -> Self {
        Self { outcome, replayed: None }
    }

    /// With something made of the outcome.
    pub(super) fn map<U>(self, make: impl FnOnce(T) -> U) -> Once<U> {
        Once { outcome: make(self.outcome), replayed: self.replayed }
    }

    /// The answer with a new row of that collection; `id_and_version` reads the two.
    pub(super) fn created<V: From<T> + Row>(
        self,
        collection: &str,
        id_and_version: impl Fn(&T) -> (i64, i64),
    ) -> Created<V> {
        let (id, version) = id_and_version(&self.outcome);
        let (row, location) = (One::of(self.outcome), format!("{collection}/{id}"));
        let tag = etag(version, &row);
        Created::Created(row, location, tag, self.replayed)
    }

    /// The answer with a new row, of that collection, that has no version.
    pub(super) fn entered<V: From<T> + Row>(self, collection: &str, id: impl Fn(&T) -> i64) -> Entered<V> {
        let location = format!("{collection}/{}", id(&self.outcome));
        Entered::Created(One::of(self.outcome), location, self.replayed)
    }
}

impl Services {
    /// Does work that creates something; where the caller sent a key, once for that key, on all nodes together.
    ///
    /// Whoever sends a key again while its outcome is open waits for that outcome. An attempt that is refused gives its key
    /// up before that is told: so a refusal is never told of a key for which something was, or may yet be, done.
    ///
    /// # Errors
    /// What the work meets; 409 where the outcome stays open; 422 where the key was used for another request.
    pub(super) async fn once<T, W>(
        &self,
        caller: Caller,
        retry: Option<Retry>,
        work: impl FnOnce(Caller) -> W + Send + 'static,
    ) -> Result<Once<T>, Problem>
    where
        T: DeserializeOwned + Send + 'static,
        W: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let Some(retry) = retry else {
            return Ok(Once::new(work(caller).await?));
        };
        let services = self.clone();
        // The key is held with the work: a client that goes away does not end it.
        to_the_end(async move {
            if let Some(kept) = services.claim(&caller, &retry).await? {
                return Ok(kept);
            }
            let keyed = Caller { retry: Some(Arc::new(retry.clone())), ..caller.clone() };
            match work(keyed).await {
                Ok(outcome) => Ok(Once::new(outcome)),
                // The key stays claimed: who sends it again waits until the outcome is known.
                Err(problem) if problem.leaves_outcome_open() => Err(problem),
                Err(problem) => match services.repository.give_up_key(&caller, &retry).await {
                    Ok(true) => Err(problem),
                    // Another attempt has taken it over: what that brings about is the answer.
                    Ok(false) => match services.claim(&caller, &retry).await? {
                        Some(kept) => Ok(kept),
                        // Nobody works for it, and this attempt is over.
                        None => {
                            let _ = services.repository.give_up_key(&caller, &retry).await;
                            Err(key_in_use())
                        }
                    },
                    // Nothing was done, and it cannot be said that nothing will be.
                    Err(_) => Err(Error::OutcomeUnknown.into()),
                },
            }
        })
        .await
    }

    /// Claims a key, or answers what it brought about. Waits for an attempt that is under way.
    async fn claim<T>(&self, caller: &Caller, retry: &Retry) -> Result<Option<Once<T>>, Problem>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let mut pauses = PAUSES.into_iter();
        loop {
            match self.repository.claim_key(caller, retry).await? {
                Claim::Taken => return Ok(None),
                Claim::Kept(outcome) => return Ok(Some(Once { outcome, replayed: Some("true".to_owned()) })),
                Claim::UnderWay => match pauses.next() {
                    Some(pause) => tokio::time::sleep(Duration::from_millis(pause)).await,
                    None => return Err(key_in_use()),
                },
            }
        }
    }
}

fn key_in_use() -> Problem {
    Error::Conflict(Conflict::KeyUsed).into()
}
