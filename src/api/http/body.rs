//! JSON bodies. Each is checked against its own schema in the contract, so that the contract is enforced as written and
//! one response names every invalid field.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate};
use poem::http::header;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::ParseFromJSON;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde_json::{Map, Value};
use tokio::io::AsyncReadExt;

use crate::api::http::problem::Problem;
use crate::api::http::{idempotency, problem};
use crate::domain::access::Retry;
use crate::domain::fields::{FieldErrors, NON_FIELD};
use crate::domain::interval::YEARS;

/// The maximum size of a body, in bytes.
const LARGEST: u64 = 1024 * 1024;
/// The initial capacity of the buffer, in bytes. Most bodies fit into it.
const TYPICAL: usize = 512;
/// The time limit for receiving a body.
const PATIENCE: Duration = Duration::from_secs(10);
/// The maximum depth of nesting.
const DEEPEST: usize = 64;

/// A JSON body of this type, and the identity of the request if it has an `Idempotency-Key`.
pub struct Body<T>(pub T, pub Option<Retry>);

impl<'a, T: ParseFromJSON + 'static> ApiExtractor<'a> for Body<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType { content_type: "application/json", schema: T::schema_ref() }],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let value = read(request, body).await?;
        let Value::Object(fields) = &value else {
            return Err(Problem::invalid(FieldErrors::one(NON_FIELD, "The body must be a JSON object.")).into());
        };
        check::<T>(fields).into_result().map_err(Problem::invalid)?;
        let retry = idempotency::named(request, fields)?;
        match T::parse_from_json(Some(value)) {
            Ok(parsed) => Ok(Self(parsed, retry)),
            Err(error) => {
                // The schema allows something that the type refuses. This is a bug of the program, but the client gets
                // a correct refusal.
                tracing::warn!(error = error.message(), "a body fits its schema but not its type");
                Err(Problem::invalid(FieldErrors::one(NON_FIELD, "The body does not match the documented schema."))
                    .into())
            }
        }
    }
}

async fn read(request: &Request, body: &mut RequestBody) -> Result<Value, Problem> {
    let is_json = |value: &str| {
        let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
    };
    if let Some(value) = request.headers().get(header::CONTENT_TYPE)
        && !value.to_str().is_ok_and(is_json)
    {
        return Err(Problem::new(problem::UNSUPPORTED_MEDIA_TYPE, "The body's Content-Type is not application/json."));
    }
    let malformed = |detail: &str| Problem::new(problem::MALFORMED, detail);
    let body = body.take().map_err(|_| malformed("The body cannot be read."))?;
    // `into_bytes_limit` is not used: its buffer of 4 KiB would become part of every handler's future, which is moved
    // several times.
    let mut bytes = Vec::with_capacity(TYPICAL);
    let mut limited = body.into_async_read().take(LARGEST + 1);
    match tokio::time::timeout(PATIENCE, limited.read_to_end(&mut bytes)).await {
        Ok(Ok(length)) if length as u64 <= LARGEST => {}
        Ok(Ok(_)) => return Err(Problem::new(problem::TOO_LARGE, "The body is larger than 1 MiB.")),
        Ok(Err(_)) => return Err(malformed("The body cannot be read.")),
        Err(_) => return Err(Problem::new(problem::TIMEOUT, "The body did not arrive within ten seconds.")),
    }
    // The error names the position only. It must not repeat what the client sent.
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
        malformed(&format!("The body is not JSON (line {}, column {}).", error.line(), error.column()))
    })?;
    if depth(&value) > DEEPEST {
        return Err(malformed("The body is nested more than 64 deep."));
    }
    Ok(value)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 1,
    }
}

/// The schemas of the body types that were read so far, each with the schemas that it refers to.
static SCHEMAS: LazyLock<Mutex<HashMap<TypeId, &'static Registry>>> = LazyLock::new(Mutex::default);

/// Returns the registry that contains `T`. It is created once per type and never freed, because there are few types.
fn registry<T: ParseFromJSON + 'static>() -> &'static Registry {
    let mut schemas = SCHEMAS.lock().unwrap_or_else(PoisonError::into_inner);
    schemas.entry(TypeId::of::<T>()).or_insert_with(|| {
        let mut registry = Registry::new();
        T::register(&mut registry);
        Box::leak(Box::new(registry))
    })
}

/// Returns all errors of the fields according to the schema of `T`.
fn check<T: ParseFromJSON + 'static>(fields: &Map<String, Value>) -> FieldErrors {
    let registry = registry::<T>();
    registry
        .schemas
        .get(T::name().as_ref())
        .map_or_else(FieldErrors::default, |schema| fields_of(registry, schema, fields))
}

fn fields_of(registry: &Registry, schema: &MetaSchema, fields: &Map<String, Value>) -> FieldErrors {
    let mut errors = FieldErrors::default();
    for name in fields.keys() {
        if !schema.properties.iter().any(|(known, _)| known == name) {
            let name: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
            errors.add(&name, "There is no such field.");
        }
    }
    for (name, field) in &schema.properties {
        match fields.get(*name) {
            None if schema.required.contains(name) => errors.add(name, "This field is required."),
            None => {}
            Some(value) => {
                if let Some(message) = wrong(registry, field, value) {
                    errors.add(name, message);
                }
            }
        }
    }
    errors
}

/// Collects the schemas that a value must match. Resolves references and `allOf`.
fn resolve<'s>(registry: &'s Registry, schema: &'s MetaSchemaRef, facets: &mut Vec<&'s MetaSchema>) {
    match schema {
        MetaSchemaRef::Reference(name) => facets.extend(registry.schemas.get(name)),
        MetaSchemaRef::Inline(schema) => {
            facets.push(schema);
            for part in &schema.all_of {
                resolve(registry, part, facets);
            }
        }
    }
}

/// Returns what is wrong with a value. The message does not repeat the value.
fn wrong(registry: &Registry, schema: &MetaSchemaRef, value: &Value) -> Option<String> {
    let mut facets = Vec::new();
    resolve(registry, schema, &mut facets);
    if value.is_null() {
        let nullable = facets.iter().any(|facet| facet.nullable);
        return (!nullable).then(|| "This field may not be null.".to_owned());
    }
    facets.iter().find_map(|facet| {
        let wrong_type = match facet.ty {
            "string" => (!value.is_string()).then_some("Must be text."),
            "integer" => (!value.is_i64()).then_some("Must be a whole number."),
            "number" => (!value.is_number()).then_some("Must be a number."),
            "boolean" => (!value.is_boolean()).then_some("Must be true or false."),
            "array" => (!value.is_array()).then_some("Must be a list."),
            "object" => (!value.is_object()).then_some("Must be an object."),
            _ => None,
        };
        wrong_type.map(str::to_owned).or_else(|| match value {
            Value::String(text) => wrong_text(facet, text),
            Value::Number(number) => wrong_number(facet, number.as_f64()?),
            Value::Array(items) => wrong_items(registry, facet, items),
            Value::Object(fields) => {
                let errors = fields_of(registry, facet, fields);
                let (field, messages) = errors.0.into_iter().next()?;
                Some(format!("{field}: {}", messages.join(" ")))
            }
            _ => None,
        })
    })
}

fn wrong_items(registry: &Registry, facet: &MetaSchema, items: &[Value]) -> Option<String> {
    if let Some(most) = facet.max_items.filter(|most| items.len() > *most) {
        return Some(format!("Must have at most {most} items."));
    }
    let schema = facet.items.as_ref()?;
    let mut wrong = items.iter().enumerate().filter_map(|(n, item)| Some((n, wrong(registry, schema, item)?)));
    wrong.next().map(|(n, message)| format!("Item {}: {message}", n + 1))
}

fn wrong_text(facet: &MetaSchema, text: &str) -> Option<String> {
    if text.contains('\0') {
        return Some("Must not contain a null character.".into());
    }
    let length = text.chars().count();
    if let Some(longest) = facet.max_length.filter(|longest| length > *longest) {
        return Some(format!("Must have at most {longest} characters."));
    }
    let is_secret = facet.format == Some("password");
    let least = facet.min_length.unwrap_or(0);
    let counted = if is_secret { length } else { text.trim().chars().count() };
    if counted < least {
        return Some(if least == 1 {
            "Must not be blank.".into()
        } else {
            format!("Must have at least {least} characters.")
        });
    }
    if !facet.enum_items.is_empty() && !facet.enum_items.iter().any(|item| item.as_str() == Some(text)) {
        let known: Vec<_> = facet.enum_items.iter().filter_map(Value::as_str).collect();
        return Some(format!("Must be one of {}.", known.join(", ")));
    }
    if let Some(pattern) = &facet.pattern
        && !regex::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
    {
        return Some(format!("Must have the form {pattern}."));
    }
    let fits = match facet.format {
        Some("email") if !is_email(text) => "Must be an e-mail address.",
        Some("naive-date") if !is_date(text) => "Must be a date as YYYY-MM-DD, in the years 1850 to 2200.",
        Some("date-time") if !is_instant(text) => {
            "Must be an instant with its offset (RFC 3339), such as 2030-01-31T09:30:00Z, in the years 1900 to 2200."
        }
        _ => return None,
    };
    Some(fits.to_owned())
}

fn wrong_number(facet: &MetaSchema, number: f64) -> Option<String> {
    match (facet.minimum, facet.maximum) {
        (Some(least), _) if number < least => Some(format!("Must be at least {least}.")),
        (_, Some(most)) if number > most => Some(format!("Must be at most {most}.")),
        _ => None,
    }
}

/// Returns whether the text is an e-mail address without a display name.
fn is_email(text: &str) -> bool {
    <poem_openapi::types::Email as ParseFromJSON>::parse_from_json(Some(Value::String(text.to_owned()))).is_ok()
        && !text.contains(|c: char| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>'))
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok_and(|date| (1850..=2200).contains(&date.year()))
}

/// Returns whether the text is an RFC 3339 instant with an offset. Leap seconds are refused, because a calendar cannot
/// represent them.
fn is_instant(text: &str) -> bool {
    let separated = text.as_bytes().get(10).is_some_and(|c| matches!(c, b'T' | b't'));
    let leap_second = text.get(17..19) == Some("60");
    separated
        && !leap_second
        && DateTime::parse_from_rfc3339(text).is_ok_and(|instant| YEARS.contains(&instant.to_utc().year()))
}

#[cfg(test)]
mod tests {
    use poem_openapi::Object;
    use serde_json::json;

    use super::*;

    #[derive(Object)]
    struct Sample {
        #[oai(validator(min_length = 1, max_length = 5))]
        name: String,
        #[oai(validator(minimum(value = "5"), maximum(value = "10")))]
        minutes: Option<i32>,
        at: DateTime<chrono::Utc>,
        #[oai(nullable)]
        born: Option<NaiveDate>,
    }

    fn errors(body: Value) -> Vec<(String, String)> {
        let errors = check::<Sample>(body.as_object().unwrap());
        errors.0.into_iter().map(|(field, messages)| (field, messages.join(" "))).collect()
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let found = errors(json!({"name": "too long", "minutes": 4, "at": "2030-01-01T10:00:00", "extra": 1}));
        let fields: Vec<_> = found.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["at", "extra", "minutes", "name"]);
    }

    #[test]
    fn a_good_body_has_no_errors_and_null_goes_only_where_it_may() {
        let good = json!({"name": "ok", "at": "2030-01-01T10:00:00+05:30", "born": null});
        assert_eq!(errors(good), []);
        let bad = errors(json!({"name": null, "at": "2030-01-01T10:00:00Z"}));
        assert_eq!(bad, [("name".to_owned(), "This field may not be null.".to_owned())]);
    }

    #[test]
    fn times_that_no_calendar_can_hold_are_refused() {
        for at in [
            "2030-12-31T23:59:60Z",
            "1899-12-31T23:59:59Z",
            "2201-01-01T00:00:00Z",
            "infinity",
            "2030-01-01 10:00:00Z",
            "2030-02-30T10:00:00Z",
        ] {
            assert_eq!(errors(json!({"name": "ok", "at": at}))[0].0, "at", "{at}");
        }
    }

    #[test]
    fn blank_text_and_null_characters_are_refused() {
        for name in ["   ", "", "a\0b"] {
            assert_eq!(errors(json!({"name": name, "at": "2030-01-01T10:00:00Z"}))[0].0, "name");
        }
    }
}
