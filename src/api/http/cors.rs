//! CORS for an exact allow list (Fetch standard, §3.2).
//!
//! The framework's middleware refuses requests from origins that are not on its list. It therefore also refuses Swagger
//! UI's requests, which carry the server's own origin. CORS does not require that: it only adds headers by which a
//! browser decides whether a page may read the response.

use poem::http::{HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, IntoResponse, Request, Response};

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const REQUEST_HEADERS: &str = "authorization, content-type, idempotency-key, if-match, if-none-match";
const ANSWER_HEADERS: &str = "link, etag, location, retry-after, x-request-id, idempotency-replayed";
/// How long a browser may cache a preflight, in seconds.
const REMEMBERED: &str = "600";

/// Allows pages of the listed origins to read responses.
pub struct Cors<E> {
    inner: E,
    origins: Vec<HeaderValue>,
}

impl<E> Cors<E> {
    /// Wraps an endpoint. If there are no origins, it changes nothing.
    pub fn new(inner: E, origins: &[String]) -> Self {
        let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
        Self { inner, origins: origins.collect() }
    }
}

impl<E: Endpoint> Endpoint for Cors<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let origin = request.headers().get(header::ORIGIN).cloned().filter(|origin| self.origins.contains(origin));
        let is_preflight = origin.is_some()
            && request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let mut response = if is_preflight {
            StatusCode::NO_CONTENT.into_response()
        } else {
            self.inner.call(request).await.map_or_else(poem::Error::into_response, IntoResponse::into_response)
        };
        let headers = response.headers_mut();
        if !self.origins.is_empty() {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = origin else { return Ok(response) };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if is_preflight {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_HEADERS));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED));
        } else {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(ANSWER_HEADERS));
        }
        Ok(response)
    }
}
