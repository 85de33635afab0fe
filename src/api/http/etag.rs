//! Entity tags (RFC 9110 §8.8.3). A tag has the row's version, which `If-Match` compares, and a digest of the response.
//! The digest is needed because a response may show more than its row: an age, a name from another row, or a current
//! offer.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem_openapi::ApiResponse;
use poem_openapi::payload::Json;
use poem_openapi::types::ToJSON;
use serde_json::{Value, json};

use crate::api::http::json::{One, Row};
use crate::api::http::parameter::{described, extracted, header};
use crate::api::http::problem;
use crate::api::http::problem::Problem;

/// Returns the tag of a row of this version, as it is shown.
pub fn etag<T: Row>(version: i64, shown: &One<T>) -> String {
    let digest = digest::digest(&digest::SHA256, shown.as_bytes());
    format!("\"{version}.{}\"", URL_SAFE_NO_PAD.encode(&digest.as_ref()[..6]))
}

/// `If-Match`: the tag that a row must still have.
pub struct IfMatch(Option<String>);

extracted!(IfMatch, Header, |request, body| header(request, body, Self::NAME).await.map(Self));

impl IfMatch {
    /// The header's name.
    pub const NAME: &str = "If-Match";

    /// Returns the parameter for the contract. An operation may give its own description.
    pub fn parameter(said: Option<&str>) -> Value {
        let description = said.unwrap_or("The ETag that the row must have; otherwise 412.");
        described(Self::NAME, "header", json!({ "type": "string" }), description)
    }

    /// Returns the requested version, or `None` if the header is absent or `*`. The digest is ignored: a change
    /// conflicts with another change of the same row, but not with a change of a name that the row shows.
    ///
    /// # Errors
    /// 412 if the tag is not one of ours, because it cannot match any version.
    pub fn version(&self) -> Result<Option<i64>, Problem> {
        let Some(text) = self.0.as_ref().map(|text| text.trim()).filter(|text| *text != "*") else {
            return Ok(None);
        };
        // A weak tag never matches here (RFC 9110 §13.1.1).
        let tag = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let version = tag.map(|tag| tag.split_once('.').map_or(tag, |(version, _)| version));
        let version = version.and_then(|version| version.parse().ok()).ok_or_else(|| {
            Problem::new(problem::STALE, "`If-Match` has no tag that this row ever had; read the row again.")
        });
        version.map(Some)
    }
}

/// One row, with its tag.
#[derive(ApiResponse)]
pub enum Fetched<T: Row> {
    /// The row.
    #[oai(status = 200)]
    Ok(
        One<T>,
        /// The row's tag, for `If-Match` and `If-None-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

impl<T: Row> Fetched<T> {
    /// Returns the response for a row of this version.
    pub fn of(version: i64, row: impl Into<T>) -> Self {
        let row = One::of(row);
        let tag = etag(version, &row);
        Self::Ok(row, tag)
    }
}

/// A new row, with its tag and where it is.
#[derive(ApiResponse)]
pub enum Created<T: Row> {
    /// The new row.
    #[oai(status = 201)]
    Created(
        One<T>,
        /// The path of the new row.
        #[oai(header = "Location")]
        String,
        /// The row's tag, for `If-Match` and `If-None-Match`.
        #[oai(header = "ETag")]
        String,
        /// `true` if an earlier request with the same `Idempotency-Key` created the row.
        #[oai(header = "Idempotency-Replayed")]
        Option<String>,
    ),
}

/// A new row that is never changed, so that it has no tag, and where it is listed.
#[derive(ApiResponse)]
pub enum Entered<T: Row> {
    /// The new row.
    #[oai(status = 201)]
    Created(
        One<T>,
        /// The path of the new row.
        #[oai(header = "Location")]
        String,
        /// `true` if an earlier request with the same `Idempotency-Key` created the row.
        #[oai(header = "Idempotency-Replayed")]
        Option<String>,
    ),
}

/// The result.
#[derive(ApiResponse)]
pub enum Found<T: ToJSON> {
    /// The result.
    #[oai(status = 200)]
    Ok(Json<T>),
}

/// Done, without a body.
#[derive(ApiResponse)]
pub enum NoContent {
    /// Done.
    #[oai(status = 204)]
    Done,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_back_as_the_version_it_was_made_of() {
        for version in [7, -17] {
            let tag = etag(version, &One::<i64>::of(41));
            assert_eq!(IfMatch(Some(tag.clone())).version().unwrap(), Some(version), "{tag}");
            assert_ne!(tag, etag(version, &One::<i64>::of(42)), "the same version, shown otherwise");
        }
        assert_eq!(IfMatch(None).version().unwrap(), None);
        assert_eq!(IfMatch(Some("*".to_owned())).version().unwrap(), None);
        for wrong in ["7", "W/\"7\"", "\"seven\"", "\".7\"", ""] {
            assert!(IfMatch(Some(wrong.to_owned())).version().is_err(), "{wrong}");
        }
    }
}
