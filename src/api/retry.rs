//! `Idempotency-Key`: a request that creates can be sent again, and is done once.
//!
//! What it brought about is kept in the transaction of the change, so that no crash and no lost answer
//! comes between the two. A refusal changes nothing and is not kept.

use std::{
    collections::HashSet,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest;
use poem::Request;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    context::{Services, to_the_end},
    etag::{Created, Entered, etag},
    problem::Problem,
    rows::{One, Row},
};
use crate::{
    actors::repository::{Conflict, Error},
    domain::{AccountId, Caller, ClinicId, access::Retry, fields::FieldErrors},
};

/// The header that names a request.
pub(super) const HEADER: &str = "Idempotency-Key";
/// How long a name may be.
const LONGEST: usize = 200;

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
    Ok(Some(Retry { key: key.to_owned(), fingerprint: digest.finish().as_ref().to_vec() }))
}

/// The keys whose requests are under way on this node.
#[derive(Clone, Default)]
pub struct UnderWay(Arc<Mutex<HashSet<Name>>>);

type Name = (ClinicId, AccountId, String);

/// A key that is under way until this is dropped.
struct Busy(UnderWay, Name);

impl UnderWay {
    fn enter(&self, caller: &Caller, retry: &Retry) -> Option<Busy> {
        let name = (caller.clinic, caller.account, retry.key.clone());
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.clone()).then(|| Busy(self.clone(), name))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
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
    /// Does work that creates something; where the caller sent a key, once for that key.
    ///
    /// # Errors
    /// What the work meets; 409 where the same key is under way; 422 where it was used for another request.
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
        let Some(busy) = self.under_way.enter(&caller, &retry) else {
            return Err(Error::Conflict(Conflict::KeyUsed).into());
        };
        let services = self.clone();
        // A client that goes away does not end it: whoever sends it again must find it done or under way.
        to_the_end(async move {
            let _busy = busy;
            let replay = |outcome| Ok(Once { outcome, replayed: Some("true".to_owned()) });
            if let Some(kept) = services.repository.find_kept(&caller, retry.clone()).await? {
                return replay(kept);
            }
            let keyed = Caller { retry: Some(Arc::new(retry.clone())), ..caller.clone() };
            match work(keyed).await {
                Ok(outcome) => Ok(Once::new(outcome)),
                // Perhaps because another node has just done it.
                Err(problem) => match services.repository.find_kept(&caller, retry).await {
                    Ok(Some(kept)) => replay(kept),
                    Err(error @ Error::Conflict(_)) => Err(error.into()),
                    Ok(None) | Err(_) => Err(problem),
                },
            }
        })
        .await
    }
}
