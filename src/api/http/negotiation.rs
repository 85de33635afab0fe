//! HTTP semantics of every path (RFC 9110): allowed methods, content negotiation and conditional GET.

use std::io::Cursor;

use async_compression::Level;
use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder};
use poem::error::ReadBodyError;
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use poem::web::headers::{ETag, HeaderMapExt, IfNoneMatch};
use poem::{Body, IntoResponse, Response};
use serde_json::Value;

use crate::api::http::problem;
use crate::api::http::problem::Problem;

/// The minimum size of a body to compress, in bytes. A smaller body fits into one packet anyway.
const WORTH_COMPRESSING: usize = 1024;

/// Paths that are not in the contract. All of them only support GET.
const PAGES: [&str; 6] = ["/docs", "/redoc", "/favicon.ico", "/openapi.json", "/metrics", "/problems/{name}"];

/// The methods of each path.
pub struct Methods(Vec<(Vec<Segment>, HeaderValue)>);

/// A part of a path between slashes. A literal sorts before a parameter, so that it matches first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(String),
    Any,
}

impl Methods {
    /// Reads the methods of the contract's paths, and adds those of [`PAGES`].
    ///
    /// # Errors
    /// Fails if the contract is not JSON.
    pub fn of(contract: &str) -> Result<Self, serde_json::Error> {
        let contract: Value = serde_json::from_str(contract)?;
        let operations = contract["paths"].as_object().into_iter().flatten();
        let operations = operations.filter_map(|(path, methods)| {
            let methods: Vec<_> = methods.as_object()?.keys().map(|method| method.to_uppercase()).collect();
            Some((path.as_str(), methods))
        });
        let pages = PAGES.map(|path| (path, vec!["GET".to_owned()]));
        let mut all: Vec<_> = operations.chain(pages).filter_map(|(path, methods)| known(path, methods)).collect();
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Self(all))
    }

    /// Returns the `Allow` header of a path, or `None` if there is no such path.
    pub fn allowed(&self, path: &str) -> Option<HeaderValue> {
        let asked: Vec<_> = path.trim_end_matches('/').split('/').collect();
        let is_that = |known: &[Segment]| {
            known.len() == asked.len()
                && known.iter().zip(&asked).all(|(known, asked)| match known {
                    Segment::Literal(text) => text == asked,
                    Segment::Any => !asked.is_empty(),
                })
        };
        self.0.iter().find(|(known, _)| is_that(known)).map(|(_, methods)| methods.clone())
    }

    /// Returns the response to `OPTIONS`.
    pub fn options(&self, path: &str) -> Response {
        match self.allowed(path) {
            Some(allowed) => StatusCode::NO_CONTENT.with_header(header::ALLOW, allowed).into_response(),
            None => Problem::new(problem::NOT_FOUND, "There is no such path.").into_response(),
        }
    }
}

fn known(path: &str, mut methods: Vec<String>) -> Option<(Vec<Segment>, HeaderValue)> {
    if methods.iter().any(|method| method == "GET") {
        methods.push("HEAD".to_owned());
    }
    methods.push("OPTIONS".to_owned());
    let segment = |text: &str| match text.starts_with('{') {
        true => Segment::Any,
        false => Segment::Literal(text.to_owned()),
    };
    Some((path.split('/').map(segment).collect(), methods.join(", ").parse().ok()?))
}

/// Returns the ranges of an `Accept…` header with their weights. Skips values that cannot be parsed.
fn weighted<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = (&'a str, f32)> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let ranges = values.flat_map(|value| value.split(',')).map(str::trim).filter(|range| !range.is_empty());
    ranges.map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.filter_map(|part| part.strip_prefix("q=")).find_map(|weight| weight.parse().ok());
        (name, weight.unwrap_or(1.0))
    })
}

/// The content coding of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Not compressed.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
}

impl Coding {
    /// Returns the coding that the client prefers. If several have the same weight, returns the one with the smallest
    /// output (RFC 9110 §12.5.3).
    pub fn of(headers: &HeaderMap) -> Self {
        let asked: Vec<_> = weighted(headers, &header::ACCEPT_ENCODING).collect();
        let named =
            |name: &str| asked.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, weight)| *weight);
        // `*` stands for every coding that is not named. Identity is allowed unless it is refused, but comes last.
        let of = |name| named(name).or_else(|| named("*")).unwrap_or(0.0);
        let by_size =
            [(Self::Identity, named("identity").unwrap_or(0.0)), (Self::Gzip, of("gzip")), (Self::Brotli, of("br"))];
        let liked = by_size.into_iter().filter(|(_, weight)| *weight > 0.0);
        // If several have the same weight, `max_by` returns the last.
        liked.max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(Self::Identity, |(coding, _)| coding)
    }
}

/// Compresses a response whose body is large enough. The tag stays the same: it identifies the content in any coding,
/// and `If-Match` must recognise it.
///
/// # Errors
/// Fails if the body cannot be read. The bodies of this program are in memory.
pub async fn encoded(coding: Coding, mut response: Response) -> Result<Response, ReadBodyError> {
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if coding == Coding::Identity {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    let body = body.into_bytes().await?;
    if body.len() < WORTH_COMPRESSING {
        return Ok(Response::from_parts(parts, body.into()));
    }
    let body = Cursor::new(body);
    let (name, body) = match coding {
        Coding::Brotli => ("br", Body::from_async_read(BrotliEncoder::with_quality(body, Level::Fastest))),
        _ => ("gzip", Body::from_async_read(GzipEncoder::with_quality(body, Level::Fastest))),
    };
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(parts, body))
}

/// Returns whether the client accepts JSON. The most specific matching range decides (RFC 9110 §12.5.1).
pub fn takes_json(headers: &HeaderMap) -> bool {
    let mut best: Option<(usize, f32)> = None;
    let mut is_asked = false;
    for (name, weight) in weighted(headers, &header::ACCEPT) {
        is_asked = true;
        let ranges = ["*/*", "application/*", "application/json"];
        let precision = ranges.iter().position(|known| known.eq_ignore_ascii_case(name));
        if let Some(precision) = precision.filter(|precision| best.is_none_or(|(known, _)| *precision >= known)) {
            best = Some((precision, weight));
        }
    }
    !is_asked || best.is_some_and(|(_, weight)| weight > 0.0)
}

/// Returns 304 if the client already has this response according to its `If-None-Match` (RFC 9110 §13.1.2).
pub fn unless_known(method: &Method, known: Option<IfNoneMatch>, response: Response) -> Response {
    let is_read = matches!(*method, Method::GET | Method::HEAD) && response.status() == StatusCode::OK;
    let tag: Option<ETag> = response.headers().typed_get();
    if !is_read || known.zip(tag).is_none_or(|(known, tag)| known.precondition_passes(&tag)) {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::NOT_MODIFIED;
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(accept: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, HeaderValue::from_static(value));
        }
        takes_json(&headers)
    }

    #[test]
    fn json_is_taken_where_the_most_specific_range_takes_it() {
        for good in ["*/*", "application/*;q=0.1", "text/html, application/json", "APPLICATION/JSON; charset=utf-8"] {
            assert!(accepts(&[good]), "{good}");
        }
        for bad in ["text/html", "application/xml, text/*", "application/json;q=0, */*", "application/problem+json"] {
            assert!(!accepts(&[bad]), "{bad}");
        }
        assert!(accepts(&[]) && accepts(&["text/html", "application/json"]));
    }

    #[test]
    fn the_coding_is_the_one_that_the_client_likes_best() {
        let coding = |accepted: &'static str| {
            let headers = [(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted))];
            Coding::of(&HeaderMap::from_iter(headers))
        };
        assert_eq!(coding("gzip, deflate, br"), Coding::Brotli);
        assert_eq!(coding("gzip, br;q=0.5"), Coding::Gzip);
        assert_eq!(coding("gzip;q=0, deflate"), Coding::Identity);
        assert_eq!(coding("*"), Coding::Brotli);
        assert_eq!(coding("gzip;q=0, *"), Coding::Brotli);
        assert_eq!(coding("br;q=0, *"), Coding::Gzip);
        assert_eq!(coding("identity, gzip;q=0.5"), Coding::Identity);
        assert_eq!(Coding::of(&HeaderMap::new()), Coding::Identity);
    }

    #[test]
    fn a_path_has_the_methods_of_its_closest_template() {
        let contract =
            r#"{"paths": {"/a/{id}": {"get": {}, "patch": {}}, "/a/check": {"post": {}}, "/a": {"get": {}}}}"#;
        let methods = Methods::of(contract).unwrap();
        let allowed = |path| methods.allowed(path).map(|allow| allow.to_str().unwrap().to_owned());
        assert_eq!(allowed("/a/7").unwrap(), "GET, PATCH, HEAD, OPTIONS");
        assert_eq!(allowed("/a/check").unwrap(), "POST, OPTIONS");
        assert_eq!(allowed("/a/").unwrap(), "GET, HEAD, OPTIONS");
        assert_eq!(allowed("/docs").unwrap(), "GET, HEAD, OPTIONS");
        assert_eq!((allowed("/b"), allowed("/a/7/8")), (None, None));
    }
}
