//! Entity tags: a row's version, quoted (RFC 9110 §8.8.3).

use poem_openapi::{ApiResponse, payload::Json, types::ToJSON};

use super::{
    problem::{self, Problem},
    rows::{One, Row},
};

/// The tag of a version.
pub fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// The version that `If-Match` asks for; `None` where it is absent or `*`.
///
/// # Errors
/// 412 where it is no tag of ours: it can match no version.
pub fn expected_version(if_match: Option<&String>) -> Result<Option<i64>, Problem> {
    let Some(text) = if_match.map(|text| text.trim()) else {
        return Ok(None);
    };
    if text == "*" {
        return Ok(None);
    }
    // A weak tag never matches here (RFC 9110 §13.1.1).
    let version = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    match version.and_then(|version| version.parse().ok()) {
        Some(version) => Ok(Some(version)),
        None => Err(Problem::new(problem::STALE, "`If-Match` has no tag that this row ever had; read the row again.")),
    }
}

/// One row, with its tag.
#[derive(ApiResponse)]
pub enum Fetched<T: Row> {
    /// The row as it is.
    #[oai(status = 200)]
    Ok(
        One<T>,
        /// The row's version, for `If-Match`.
        #[oai(header = "ETag")]
        String,
    ),
}

/// A new row, with its tag and where it is.
#[derive(ApiResponse)]
pub enum Created<T: Row> {
    /// The row that was made.
    #[oai(status = 201)]
    Created(
        One<T>,
        /// Where the row is.
        #[oai(header = "Location")]
        String,
        /// The row's version, for `If-Match`.
        #[oai(header = "ETag")]
        String,
        /// `true` where the row was made by an earlier request with the same `Idempotency-Key`.
        #[oai(header = "Idempotency-Replayed")]
        Option<String>,
    ),
}

/// A new row that is never changed, so that it has no tag, and where it is listed.
#[derive(ApiResponse)]
pub enum Entered<T: Row> {
    /// The row that was made.
    #[oai(status = 201)]
    Created(
        One<T>,
        /// Where the row is.
        #[oai(header = "Location")]
        String,
        /// `true` where the row was made by an earlier request with the same `Idempotency-Key`.
        #[oai(header = "Idempotency-Replayed")]
        Option<String>,
    ),
}

/// What was asked for.
#[derive(ApiResponse)]
pub enum Found<T: ToJSON> {
    /// What was asked for.
    #[oai(status = 200)]
    Ok(Json<T>),
}

/// Done, with nothing to say.
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
        assert_eq!(expected_version(Some(&etag(7))).unwrap(), Some(7));
        assert_eq!(expected_version(None).unwrap(), None);
        assert_eq!(expected_version(Some(&"*".to_owned())).unwrap(), None);
        for wrong in ["7", "W/\"7\"", "\"seven\"", ""] {
            assert!(expected_version(Some(&wrong.to_owned())).is_err(), "{wrong}");
        }
    }
}
