//! The outermost layer. It handles request ids, the framework's errors, common headers and the log line of each
//! request.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use poem::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use poem::web::headers::HeaderMapExt;
use poem::{Endpoint, IntoResponse, Request, Response};
use poem_openapi::OperationId;
use poem_openapi::error::{ContentTypeError, ParseParamError, ParsePathError};
use tokio::sync::watch;
use uuid::Uuid;

use crate::api::http::negotiation::{Coding, Methods};
use crate::api::http::problem::Problem;
use crate::api::http::request_id::within_request;
use crate::api::http::{negotiation, problem};
use crate::domain::fields::FieldErrors;

/// The time limit for a request. After it, the client gets an answer without the outcome.
const PATIENCE: Duration = Duration::from_secs(30);

/// Answers every request, even if the inner endpoint panics or takes too long.
pub struct Outermost<E> {
    inner: Arc<E>,
    methods: Methods,
    /// Becomes true when the program stops and no longer waits for requests.
    is_last_call: watch::Receiver<bool>,
}

impl<E> Outermost<E> {
    /// Wraps the program's endpoints. `methods` has the methods of their paths.
    pub fn new(inner: E, methods: Methods, is_last_call: watch::Receiver<bool>) -> Self {
        Self { inner: Arc::new(inner), methods, is_last_call }
    }
}

impl<E: Endpoint + 'static> Endpoint for Outermost<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let id = Uuid::now_v7();
        within_request(id, self.answer(request, id)).await
    }
}

impl<E: Endpoint + 'static> Outermost<E> {
    async fn answer(&self, request: Request, id: Uuid) -> poem::Result<Response> {
        let began = crate::clock::instant();
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let is_api = path.starts_with("/api");
        let answers_json = is_api || matches!(path.trim_end_matches('/'), "/healthz" | "/readyz");
        let known = request.headers().typed_get();
        let coding = Coding::of(request.headers());
        let mut operation = None;
        let mut response = if method == Method::OPTIONS {
            self.methods.options(&path)
        } else if answers_json && !negotiation::takes_json(request.headers()) {
            Problem::new(problem::NOT_ACCEPTABLE, "`Accept` must take application/json.").into_response()
        } else {
            self.answered(request, id, &mut operation).await
        };
        operation = operation.or_else(|| response.data::<OperationId>().map(|operation| operation.0));
        if response.status() == StatusCode::METHOD_NOT_ALLOWED
            && let Some(allowed) = self.methods.allowed(&path)
        {
            response.headers_mut().insert(header::ALLOW, allowed);
        }
        response = negotiation::unless_known(&method, known, response);
        let encoded = negotiation::encoded(coding, response).await;
        response = encoded.unwrap_or_else(|error| Problem::internal(&error).into_response());
        set_headers(&mut response, id, is_api);
        // Logs the operation's name instead of the path, because a path may contain what a log must not contain.
        tracing::info!(
            request = %id,
            %method,
            operation = operation.unwrap_or("-"),
            status = response.status().as_u16(),
            milliseconds = began.elapsed().as_secs_f64() * 1000.0,
            "answered"
        );
        Ok(response)
    }

    /// Runs the operation. A request that may change something runs to its end even if the client disconnects, so that
    /// the work after a change in the database (updating caches, releasing a key) is never skipped.
    async fn called(&self, request: Request, id: Uuid) -> poem::Result<Response> {
        let changes_nothing = request.method().is_safe();
        let inner = self.inner.clone();
        let call = async move { inner.call(request).await.map(IntoResponse::into_response) };
        let called = match changes_nothing {
            true => AssertUnwindSafe(call).catch_unwind().await.ok(),
            false => tokio::spawn(within_request(id, call)).await.ok(),
        };
        called.unwrap_or_else(|| Ok(panicked(changes_nothing)))
    }

    async fn answered(&self, request: Request, id: Uuid, operation: &mut Option<&'static str>) -> Response {
        let changes_nothing = request.method().is_safe();
        let mut is_last_call = self.is_last_call.clone();
        let answered = tokio::select! {
            biased;
            answered = self.called(request, id) => answered,
            Ok(_) = is_last_call.wait_for(|is_last_call| *is_last_call) => {
                return match changes_nothing {
                    true => Problem::new(problem::UNAVAILABLE, "The server is stopping. Nothing was done."),
                    false => Problem::new(
                        problem::OUTCOME_UNKNOWN,
                        "The server is stopping. The request may or may not have been executed. Read the data before you try again.",
                    ),
                }
                .into_response();
            }
            () = tokio::time::sleep(PATIENCE) => {
                return match changes_nothing {
                    true => Problem::new(problem::UNAVAILABLE, "The request took too long. Nothing was done."),
                    false => Problem::new(
                        problem::OUTCOME_UNKNOWN,
                        "The request took too long. It may or may not have been executed. Read the data before you try again.",
                    ),
                }
                .into_response();
            }
        };
        match answered {
            Ok(response) => response,
            Err(error) => {
                *operation = error.data::<OperationId>().map(|operation| operation.0);
                problem_of(error)
            }
        }
    }
}

/// Returns the response after a handler panicked. The panic hook has already logged the panic.
fn panicked(changes_nothing: bool) -> Response {
    match changes_nothing {
        true => Problem::internal(&"a request panicked"),
        false => Problem::new(
            problem::OUTCOME_UNKNOWN,
            "The change may or may not have been made. Read the data before you try again.",
        ),
    }
    .into_response()
}

/// Converts an error of the framework into a problem. The program's own errors are problems already.
fn problem_of(error: poem::Error) -> Response {
    if let Some(bad) = error.downcast_ref::<ParseParamError>() {
        return bad_parameter(bad).into_response();
    }
    // A path parameter that is not an id cannot match a row.
    if error.downcast_ref::<ParsePathError>().is_some() {
        return Problem::new(problem::NOT_FOUND, "There is no such row, or you may not see it.").into_response();
    }
    if let Some(bad) = error.downcast_ref::<ContentTypeError>() {
        let detail = match bad {
            ContentTypeError::NotSupported { .. } => "The body's Content-Type is not application/json.",
            ContentTypeError::ExpectContentType => "Send a body with Content-Type: application/json.",
        };
        return Problem::new(problem::UNSUPPORTED_MEDIA_TYPE, detail).into_response();
    }
    if error.is_from_response() {
        return error.into_response();
    }
    match error.status() {
        StatusCode::NOT_FOUND => Problem::new(problem::NOT_FOUND, "There is no such path."),
        StatusCode::METHOD_NOT_ALLOWED => {
            Problem::new(problem::METHOD_NOT_ALLOWED, "This path does not support this method.")
        }
        StatusCode::UNAUTHORIZED => {
            Problem::new(problem::UNAUTHENTICATED, "Send an access token: `Authorization: Bearer <access>`.")
        }
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(problem::TOO_LARGE, "The body is larger than 1 MiB."),
        status if status.is_client_error() => Problem::new(problem::MALFORMED, "The request cannot be read."),
        _ => Problem::internal(&error),
    }
    .into_response()
}

/// Returns a problem that says which values the query or header parameter may have.
fn bad_parameter(bad: &ParseParamError) -> Problem {
    // The framework's reason repeats the value unless it is a broken limit.
    let message = match bad.reason.split_once("verification failed. ") {
        Some((_, limit)) => format!("Out of range: {limit}."),
        None => "Invalid value. The contract at /openapi.json describes what is allowed.".to_owned(),
    };
    Problem::invalid(FieldErrors::one(bad.name, message))
}

fn set_headers(response: &mut Response, id: Uuid, is_api: bool) {
    let mut set = |name: HeaderName, value: &'static str| {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "no-referrer");
    // Swagger UI and ReDoc are single pages with inline scripts and styles.
    let policy = if is_api {
        "default-src 'none'; frame-ancestors 'none'"
    } else {
        "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; \
         img-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; frame-ancestors 'none'"
    };
    set(header::CONTENT_SECURITY_POLICY, policy);
    if is_api {
        set(header::CACHE_CONTROL, "no-store");
    }
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert("x-request-id", value);
    }
}
