//! `Idempotency-Key`: a request that creates can be sent again, and is done once.
//!
//! What it brought about is kept in the transaction of the change, so that no crash and no lost answer
//! comes between the two. A refusal changes nothing and is not kept.

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

/// How long a name may be.
const LONGEST: usize = 200;
/// `Idempotency-Key`, and what a request without a body is recognised by; one with a body by what `Body` has beside it.
pub struct IdempotencyKey(pub Option<Retry>);

extracted!(IdempotencyKey, Header, |request, body| {
    let key = header(request, body, Self::NAME).await?;
    check(Self::NAME, key.as_ref(), &[&MaxLength::new(LONGEST), &MinLength::new(1)])?;
    Ok(Self(named(request, &Map::new())?))
});

impl IdempotencyKey {
    /// The header's name.
    pub const NAME: &str = "Idempotency-Key";

    /// What the contract says of it.
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

/// What a request with an `Idempotency-Key` is recognised by. A password is not part of it: a digest that
/// is quickly made would be kept beside the slow one.
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

/// What a request brought about, and whether that was earlier.
pub struct Once<T> {
    outcome: T,
    /// The `Idempotency-Replayed` header.
    replayed: Option<String>,
}

impl<T> Once<T> {
    /// What was done just now.
    pub fn new(outcome: T) -> Self {
        Self { outcome, replayed: None }
    }

    /// What was done earlier, by a request with the same key.
    pub fn again(outcome: T) -> Self {
        Self { outcome, replayed: Some("true".to_owned()) }
    }

    /// With something made of the outcome.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Once<U> {
        Once { outcome: make(self.outcome), replayed: self.replayed }
    }

    /// The answer with a new row of that collection; `id_and_version` reads the two.
    pub fn created<V: From<T> + Row>(self, collection: &str, id_and_version: impl Fn(&T) -> (i64, i64)) -> Created<V> {
        let (id, version) = id_and_version(&self.outcome);
        let (row, location) = (One::of(self.outcome), format!("{collection}/{id}"));
        let tag = etag(version, &row);
        Created::Created(row, location, tag, self.replayed)
    }

    /// The answer with a new row, of that collection, that has no version.
    pub fn entered<V: From<T> + Row>(self, collection: &str, id: impl Fn(&T) -> i64) -> Entered<V> {
        let location = format!("{collection}/{}", id(&self.outcome));
        Entered::Created(One::of(self.outcome), location, self.replayed)
    }
}
