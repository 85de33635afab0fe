//! Parameters that many operations have in common. Each is a type that describes itself; `spec` writes the description
//! into the contract.

use poem::{Request, RequestBody};
use poem_openapi::error::ParseParamError;
use poem_openapi::param::{Header, Query};
use poem_openapi::types::ParseFromParameter;
use poem_openapi::validation::Validator;
use poem_openapi::{ApiExtractor, ExtractParamOptions};
use serde_json::Value;

/// Reads a header.
pub async fn header(request: &Request, body: &mut RequestBody, name: &'static str) -> poem::Result<Option<String>> {
    Ok(Header::from_request(request, body, named(name)).await?.0)
}

/// Reads a query parameter.
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

/// Checks a parameter against its limits.
///
/// # Errors
/// 422 with the violated limit.
pub fn check<T>(name: &'static str, value: Option<&T>, limits: &[&dyn Validator<T>]) -> poem::Result<()> {
    let broken = value.and_then(|value| limits.iter().find(|limit| !limit.check(value)));
    let reason = broken.map(|limit| format!("verification failed. {limit}"));
    reason.map_or(Ok(()), |reason| Err(ParseParamError { name, reason }.into()))
}

/// Implements the framework's extractor for a type that is read from parameters in the given place.
macro_rules! extracted {
    ($made:ty, $place:ident, |$request:ident, $body:ident| $by:expr) => {
        impl<'a> poem_openapi::ApiExtractor<'a> for $made {
            const TYPES: &'static [poem_openapi::ApiExtractorType] = &[poem_openapi::ApiExtractorType::Parameter];
            type ParamType = ();
            type ParamRawType = ();

            fn param_in() -> Option<poem_openapi::registry::MetaParamIn> {
                Some(poem_openapi::registry::MetaParamIn::$place)
            }

            fn param_schema_ref() -> Option<poem_openapi::registry::MetaSchemaRef> {
                Some(<Option<String> as poem_openapi::types::Type>::schema_ref())
            }

            async fn from_request(
                $request: &'a poem::Request,
                $body: &mut poem::RequestBody,
                _: poem_openapi::ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                $by
            }
        }
    };
}
pub(super) use extracted;

/// Returns an optional parameter for the contract.
pub fn described(name: &str, place: &str, schema: Value, description: &str) -> Value {
    serde_json::json!({
        "name": name, "schema": schema, "in": place, "description": description,
        "required": false, "deprecated": false, "explode": true,
    })
}
