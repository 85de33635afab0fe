//! `Idempotency-Key`: a request that creates something can be sent again and is executed once.
//!
//! The outcome is stored in the transaction of the change, so that both are committed or neither is, also after a
//! crash. A refusal changes nothing and is not stored.

use aws_lc_rs::digest;
use poem::Request;
use poem_openapi::validation::{MaxLength, MinLength};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::api::http::etag::{Created, Entered, etag};
use crate::api::http::json::{One, Row};
use crate::api::http::parameter::{check, described, extracted, header};
use crate::api::http::problem::Problem;
use crate::domain::access::Retry;
use crate::domain::fields::FieldErrors;

/// The maximum length of a key.
const LONGEST: usize = 200;
/// `Idempotency-Key`, with the identity of a request without a body. For a request with a body, `Body` has the
/// identity.
pub struct IdempotencyKey(pub Option<Retry>);

extracted!(IdempotencyKey, Header, |request, body| {
    let key = header(request, body, Self::NAME).await?;
    check(Self::NAME, key.as_ref(), &[&MaxLength::new(LONGEST), &MinLength::new(1)])?;
    Ok(Self(named(request, &Map::new())?))
});

impl IdempotencyKey {
    /// The header's name.
    pub const NAME: &str = "Idempotency-Key";

    /// Returns the parameter for the contract.
    pub fn parameter() -> Value {
        let schema = json!({ "type": "string", "maxLength": LONGEST, "minLength": 1 });
        described(
            Self::NAME,
            "header",
            schema,
            "A key that the client chooses for this request. A request with the same key within a day is not executed\n\
             again; it gets the same response.",
        )
    }
}

/// Returns the identity of a request with an `Idempotency-Key`: the key and a digest. The digest leaves the password
/// out, because this fast digest would be stored beside the slow hash.
pub fn named(request: &Request, fields: &Map<String, Value>) -> Result<Option<Retry>, Problem> {
    let Some(key) = request.headers().get(IdempotencyKey::NAME) else {
        return Ok(None);
    };
    let key = key.to_str().ok().filter(|key| (1..=LONGEST).contains(&key.len()));
    let Some(key) = key else {
        let message = format!("Must be 1 to {LONGEST} visible ASCII characters.");
        return Err(Problem::invalid(FieldErrors::one(IdempotencyKey::NAME, message)));
    };
    let mut digest = digest::Context::new(&digest::SHA256);
    digest.update(format!("{} {}\n", request.method(), request.original_uri().path()).as_bytes());
    for (name, value) in fields.iter().filter(|(name, _)| *name != "password") {
        digest.update(format!("{name}={value}\n").as_bytes());
    }
    let fingerprint = digest.finish().as_ref().to_vec();
    Ok(Some(Retry { key: key.to_owned(), fingerprint, claim: Uuid::now_v7() }))
}

/// The outcome of a request, and whether an earlier request with the same key produced it.
pub struct Once<T> {
    outcome: T,
    /// The `Idempotency-Replayed` header.
    replayed: Option<String>,
}

impl<T> Once<T> {
    /// Returns the outcome of this request.
    pub fn new(outcome: T) -> Self {
        Self { outcome, replayed: None }
    }

    /// Returns the outcome of an earlier request with the same key.
    pub fn again(outcome: T) -> Self {
        Self { outcome, replayed: Some("true".to_owned()) }
    }

    /// Converts the outcome.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Once<U> {
        Once { outcome: make(self.outcome), replayed: self.replayed }
    }

    /// Returns the response for a new row of a collection. `id_and_version` reads both from the outcome.
    pub fn created<V: From<T> + Row>(self, collection: &str, id_and_version: impl Fn(&T) -> (i64, i64)) -> Created<V> {
        let (id, version) = id_and_version(&self.outcome);
        let (row, location) = (One::of(self.outcome), format!("{collection}/{id}"));
        let tag = etag(version, &row);
        Created::Created(row, location, tag, self.replayed)
    }

    /// Returns the response for a new row of a collection whose rows have no version.
    pub fn entered<V: From<T> + Row>(self, collection: &str, id: impl Fn(&T) -> i64) -> Entered<V> {
        let location = format!("{collection}/{}", id(&self.outcome));
        Entered::Created(One::of(self.outcome), location, self.replayed)
    }
}
