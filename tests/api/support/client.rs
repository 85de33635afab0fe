//! A client that checks each answer against the contract.

use std::net::SocketAddr;
use std::sync::LazyLock;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;

static CONTRACT: LazyLock<Value> = LazyLock::new(|| {
    let contract = clinicd::api::contract().expect("the contract");
    serde_json::from_str(&contract).expect("the contract is JSON")
});

/// Returns the contract that the program serves.
pub fn contract() -> &'static Value {
    &CONTRACT
}

/// A caller of the API, with or without a token.
#[derive(Clone)]
pub struct Session {
    client: reqwest::Client,
    address: SocketAddr,
    /// The access token.
    pub access: Option<String>,
    /// The refresh token.
    pub refresh: String,
    /// The account's id.
    pub id: i64,
    /// The clinic's id.
    pub clinic: i64,
}

/// An answer that was read in full.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// The body as JSON, or null if it is empty or not JSON.
    pub body: Value,
    /// The body as text.
    pub text: String,
    asked: String,
}

impl Session {
    pub fn anonymous(address: SocketAddr) -> Self {
        Self { client: reqwest::Client::new(), address, access: None, refresh: String::new(), id: 0, clinic: 0 }
    }

    /// Creates the session from the answer to a registration, login or refresh.
    pub fn of(address: SocketAddr, tokens: &Value) -> Self {
        Self {
            access: Some(tokens["access"].as_str().expect("an access token").to_owned()),
            refresh: tokens["refresh"].as_str().expect("a refresh token").to_owned(),
            id: tokens["user"]["id"].as_i64().expect("a user id"),
            clinic: tokens["user"]["clinic"].as_i64().expect("a clinic id"),
            ..Self::anonymous(address)
        }
    }

    /// Returns the same session at another node.
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, &[]).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body), &[]).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(body), &[]).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body), &[]).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None, &[]).await
    }

    /// Sends a request and checks the answer against the contract.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>, headers: &[(&str, &str)]) -> Answer {
        let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
        self.send_raw(method, path, body, headers).await
    }

    /// Sends a request with any body and checks the answer against the contract.
    pub async fn send_raw(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let asked = format!("{method} {path}");
        let mut request = self.client.request(method.clone(), format!("http://{}{path}", self.address));
        if let Some(access) = &self.access {
            request = request.bearer_auth(access);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some((content_type, body)) = body {
            request = request.header("content-type", content_type).body(body);
        }
        let response = request.send().await.unwrap_or_else(|error| panic!("{asked}: {error}"));
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap_or_else(|error| panic!("{asked}: {error}"));
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        let answer = Answer { status: status.as_u16(), headers, body, text, asked };
        answer.hold_to_contract(&method, path, status);
        answer
    }
}

impl Answer {
    /// Asserts the status, and shows the whole answer if it differs.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text);
        self
    }

    /// Asserts a problem of this kind (`slot-taken`, …) and its status.
    #[track_caller]
    pub fn expect_problem(self, status: u16, kind: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.body["type"], format!("/problems/{kind}"), "{}: {}", answer.asked, answer.text);
        answer
    }

    /// Returns the id in the body.
    #[track_caller]
    pub fn id(&self) -> i64 {
        self.body["id"].as_i64().unwrap_or_else(|| panic!("{} answered no id: {}", self.asked, self.text))
    }

    /// Returns the ids of a list's rows, in order.
    #[track_caller]
    pub fn ids(&self) -> Vec<i64> {
        let rows = self.body.as_array().unwrap_or_else(|| panic!("{} answered no list: {}", self.asked, self.text));
        rows.iter().map(|row| row["id"].as_i64().expect("a row's id")).collect()
    }

    /// Returns a header's text, or an empty text if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Returns the row's version from the `ETag`.
    pub fn version(&self) -> &str {
        self.header("etag").trim_matches('"').split('.').next().unwrap_or_default()
    }

    /// Returns the messages for a field of a problem.
    pub fn errors(&self, field: &str) -> Vec<String> {
        let messages = self.body["errors"][field].as_array();
        messages.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Asserts that the contract contains the status, and that every error is a problem with a type.
    fn hold_to_contract(&self, method: &Method, path: &str, status: StatusCode) {
        if let Some((template, operation)) = operation_of(method, path) {
            let documented = &operation["responses"][status.as_str()];
            assert!(!documented.is_null(), "{method} {template} answers {status}, which the contract does not have");
        }
        if *method != Method::HEAD && (status.is_client_error() || status.is_server_error()) {
            assert_eq!(self.header("content-type"), "application/problem+json", "{}: {}", self.asked, self.text);
            assert_eq!(self.body["status"], status.as_u16(), "{}: {}", self.asked, self.text);
            for field in ["type", "title", "detail", "instance"] {
                assert!(self.body[field].is_string(), "{} has no {field}: {}", self.asked, self.text);
            }
        }
        // A preflight is a browser's question about a request and not a request itself.
        assert!(
            *method == Method::OPTIONS || !self.header("x-request-id").is_empty(),
            "{} has no request id",
            self.asked
        );
    }
}

/// Returns the contract's operation for a request, and the template of its path.
fn operation_of(method: &Method, path: &str) -> Option<(&'static str, &'static Value)> {
    let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
    let segments: Vec<_> = path.split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<_> = template.split('/').collect();
        parts.len() == segments.len()
            && parts.iter().zip(&segments).all(|(part, segment)| part.starts_with('{') || part == segment)
    };
    let paths = contract()["paths"].as_object().expect("paths");
    // A literal path takes precedence over one with a parameter.
    let mut fitting: Vec<_> = paths.iter().filter(|(template, _)| fits(template)).collect();
    fitting.sort_by_key(|(template, _)| template.matches('{').count());
    let (template, operations) = fitting.first()?;
    let operation = &operations[method.as_str().to_lowercase()];
    (!operation.is_null()).then_some((template.as_str(), operation))
}
