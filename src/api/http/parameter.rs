//! Parameters that many operations have: each is a type, and `spec` writes into the contract what the type says of it.

use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ExtractParamOptions,
    error::ParseParamError,
    param::{Header, Query},
    registry::MetaSchemaRef,
    types::{ParseFromParameter, Type},
    validation::Validator,
};
use serde_json::Value;

/// A header of that name.
pub async fn header(request: &Request, body: &mut RequestBody, name: &'static str) -> poem::Result<Option<String>> {
    Ok(Header::from_request(request, body, named(name)).await?.0)
}

/// A part of the query of that name.
pub async fn query<T: ParseFromParameter>(
    request: &Request,
    body: &mut RequestBody,
    name: &'static str,
) -> poem::Result<Option<T>> {
    Ok(Query::from_request(request, body, named(name)).await?.0)
}

fn named<T>(name: &'static str) -> ExtractParamOptions<T> {
    ExtractParamOptions {
        name,
        ignore_case: false,
        default_value: None,
        example_value: None,
        explode: true,
        style: None,
    }
}

/// Holds a parameter to its limits.
///
/// # Errors
/// 422 with the limit.
pub fn check<T>(name: &'static str, value: Option<&T>, limits: &[&dyn Validator<T>]) -> poem::Result<()> {
    let broken = value.and_then(|value| limits.iter().find(|limit| !limit.check(value)));
    let reason = broken.map(|limit| format!("verification failed. {limit}"));
    reason.map_or(Ok(()), |reason| Err(ParseParamError { name, reason }.into()))
}

/// A text, as a parameter's schema.
pub fn text() -> Option<MetaSchemaRef> {
    Some(<Option<String>>::schema_ref())
}

/// A parameter that need not be sent, as the contract describes it.
pub fn described(name: &str, place: &str, schema: Value, description: &str) -> Value {
    serde_json::json!({
        "name": name, "schema": schema, "in": place, "description": description,
        "required": false, "deprecated": false, "explode": true,
    })
}
