//! Completes the framework's OpenAPI document with what all operations have in common.

mod examples;
mod links;

use poem_openapi::registry::Registry;
use poem_openapi::types::Type;
use serde_json::{Value, json};

use crate::api::http::etag::IfMatch;
use crate::api::http::idempotency::IdempotencyKey;
use crate::api::http::page::Paging;
use crate::api::http::problem::{KINDS, Kind, *};
use crate::api::views::refusal::InsteadView;

/// Returns the complete contract.
pub fn complete(document: &str) -> Result<String, serde_json::Error> {
    let mut spec: Value = serde_json::from_str(document)?;
    if let Some(paths) = spec["paths"].as_object_mut() {
        let operations = paths.values_mut().filter_map(Value::as_object_mut).flatten();
        for (method, operation) in operations {
            complete_operation(method == "get", operation);
        }
    }
    close_bodies(&mut spec);
    add_problem_schemas(&mut spec)?;
    rename_formats(&mut spec);
    join_references(&mut spec);
    examples::add(&mut spec);
    links::add(&mut spec);
    spec["openapi"] = json!("3.0.3");
    spec["info"]["license"] = json!({ "name": "MIT OR Apache-2.0", "url": "https://spdx.org/licenses/MIT.html" });
    spec["info"]["contact"] =
        json!({ "name": "The clinicd project", "url": "https://clinicd.example", "email": "contact@clinicd.example" });
    let mut text = serde_json::to_string_pretty(&spec)?;
    text.push('\n');
    Ok(text)
}

fn complete_operation(is_get: bool, operation: &mut Value) {
    complete_parameters(operation);
    let declared = declared(operation);
    let has = |what: &str, value: &str| {
        let parameters = operation["parameters"].as_array();
        parameters.is_some_and(|all| all.iter().any(|parameter| parameter[what] == value))
    };
    let is_secured = operation["security"].as_array().is_some_and(|all| !all.is_empty());
    let mut kinds: Vec<&Kind> = Vec::new();
    if is_secured {
        kinds.push(UNAUTHENTICATED);
    }
    if has("in", "path") {
        kinds.push(NOT_FOUND);
    }
    if has("name", IfMatch::NAME) {
        kinds.push(STALE);
    }
    if has("name", IdempotencyKey::NAME) {
        kinds.extend([KEY_IN_USE, KEY_OF_ANOTHER]);
    }
    if operation.get("requestBody").is_some() {
        kinds.extend([MALFORMED, TIMEOUT, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, INVALID]);
    } else if has("in", "query") {
        kinds.push(INVALID);
    }
    kinds.extend(declared);
    kinds.push(NOT_ACCEPTABLE);
    if !is_get {
        kinds.push(OUTCOME_UNKNOWN);
    }
    if let Some(responses) = operation["responses"].as_object_mut() {
        let mut statuses: Vec<u16> = kinds.iter().map(|kind| kind.status.as_u16()).collect();
        statuses.sort_unstable();
        statuses.dedup();
        for status in statuses {
            let of_status: Vec<&Kind> = kinds.iter().copied().filter(|kind| kind.status.as_u16() == status).collect();
            responses.insert(status.to_string(), problem_response(status, &of_status));
        }
        for answer in responses.values_mut() {
            name_as_http_does(answer);
        }
    }
    if operation.pointer("/responses/200/headers/ETag").is_some() && is_get {
        add_conditional_get(operation);
    }
    if !is_secured {
        operation["security"] = json!([]);
    }
    if operation.get("description").is_none() {
        let summary = operation["summary"].as_str().unwrap_or_default();
        operation["description"] = json!(format!("{summary}."));
    }
    if let Some(body) = operation.pointer_mut("/requestBody") {
        body["required"] = Value::Bool(true);
    }
}

/// Removes the pseudo-responses that [`Refused`](crate::api::http::problem::Refused) adds, and returns the kinds of
/// problems that they name.
fn declared(operation: &mut Value) -> Vec<&'static Kind> {
    let mut declared = Vec::new();
    if let Some(answers) = operation["responses"].as_object_mut() {
        answers.retain(|_, answer| {
            let names = answer["content"].as_object().into_iter().flat_map(serde_json::Map::keys);
            let kinds: Vec<_> = names.filter_map(|name| KINDS.iter().find(|kind| kind.name == *name)).collect();
            declared.extend(kinds.iter().copied().copied());
            kinds.is_empty()
        });
    }
    declared
}

/// Replaces the arguments whose types are common parameters by the descriptions of these parameters.
fn complete_parameters(operation: &mut Value) {
    let Some(Value::Array(parameters)) = operation.get_mut("parameters") else { return };
    let completed = parameters.drain(..).flat_map(|parameter| match parameter["name"].as_str() {
        Some("paging") => Paging::parameters().into(),
        Some("if_match") => vec![IfMatch::parameter(parameter["description"].as_str())],
        Some("key" | "_key") => vec![IdempotencyKey::parameter()],
        _ => vec![parameter],
    });
    *parameters = completed.collect();
}

/// Adds `additionalProperties: false` to bodies and their parts. `body.rs` enforces this, but the framework does not
/// write it.
fn close_bodies(spec: &mut Value) {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found
                    .extend(fields.get("$ref").and_then(Value::as_str).map(|to| to.trim_start_matches('#').to_owned()));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut pointers = Vec::new();
    let operations = spec["paths"].as_object().into_iter().flat_map(serde_json::Map::values);
    let operations = operations.filter_map(Value::as_object).flat_map(serde_json::Map::values);
    operations.filter_map(|operation| operation.get("requestBody")).for_each(|body| references(body, &mut pointers));
    while let Some(pointer) = pointers.pop() {
        let Some(schema) = spec.pointer_mut(&pointer).filter(|schema| schema["additionalProperties"] != false) else {
            continue;
        };
        if schema["type"] == "object" {
            schema["additionalProperties"] = Value::Bool(false);
        }
        references(schema, &mut pointers);
    }
}

/// Adds schemas that the framework leaves out because no operation of its own names them.
fn add_problem_schemas(spec: &mut Value) -> Result<(), serde_json::Error> {
    let mut registry = Registry::new();
    ProblemBody::register(&mut registry);
    InsteadView::register(&mut registry);
    let schemas = &mut spec["components"]["schemas"];
    for (name, schema) in &registry.schemas {
        schemas[name] = serde_json::to_value(schema)?;
    }
    // The additional fields of some kinds become part of the one problem schema.
    let instead = schemas.as_object_mut().and_then(|schemas| schemas.shift_remove("Instead"));
    if let (Some(Value::Object(more)), Some(problem)) =
        (instead.map(|mut instead| instead["properties"].take()), schemas["Problem"]["properties"].as_object_mut())
    {
        problem.extend(more);
    }
    Ok(())
}

/// Corrects names. The framework writes header names in capitals, and adds parameters to media types where tools expect
/// only the type.
fn name_as_http_does(answer: &mut Value) {
    const NAMES: [&str; 4] = ["ETag", "Location", "Link", "Idempotency-Replayed"];
    if let Some(headers) = answer.get_mut("headers").and_then(Value::as_object_mut) {
        for name in NAMES {
            if let Some(header) = headers.remove(&name.to_uppercase()) {
                headers.insert(name.to_owned(), header);
            }
        }
    }
    if let Some(content) = answer.get_mut("content").and_then(Value::as_object_mut)
        && let Some(json) = content.remove("application/json; charset=utf-8")
    {
        content.insert("application/json".to_owned(), json);
    }
}

/// Adds the conditional GET of a row that has a tag: a client that has the current version gets 304.
fn add_conditional_get(operation: &mut Value) {
    let parameter = json!({
        "name": "If-None-Match", "in": "header", "required": false, "schema": { "type": "string" },
        "description": "The ETag that the client has. If it is current, the response is 304.",
    });
    match operation.get_mut("parameters").and_then(Value::as_array_mut) {
        Some(parameters) => parameters.push(parameter),
        None => operation["parameters"] = json!([parameter]),
    }
    let tag = operation["responses"]["200"]["headers"]["ETag"].clone();
    operation["responses"]["304"] =
        json!({ "description": "The client's version is current.", "headers": { "ETag": tag } });
}

fn problem_response(status: u16, kinds: &[&Kind]) -> Value {
    let description: Vec<_> = kinds.iter().map(|kind| format!("`{}`: {}.", kind.name, kind.title)).collect();
    let mut response = json!({
        "description": description.join(" "),
        "content": {
            "application/problem+json": {
                "schema": { "$ref": "#/components/schemas/Problem" },
                "examples": examples::of_problems(kinds),
            },
        },
    });
    let header =
        |description: &str, ty: &str| json!({ "description": description, "required": true, "schema": { "type": ty } });
    match status {
        401 => response["headers"] = json!({ "WWW-Authenticate": header("The authentication scheme.", "string") }),
        503 => {
            response["headers"] = json!({ "Retry-After": header("Seconds to wait before the next try.", "integer") })
        }
        _ => {}
    }
    response
}

/// Merges references. The framework describes a field with a named schema in a second part of `allOf`. If the field is
/// nullable, tools expect its type next to `nullable`.
fn join_references(spec: &mut Value) {
    let types: Vec<(String, Value)> = spec["components"]["schemas"].as_object().map_or_else(Vec::new, |schemas| {
        let of = |(name, schema): (&String, &Value)| (format!("#/components/schemas/{name}"), schema["type"].clone());
        schemas.iter().map(of).collect()
    });
    fn walk(value: &mut Value, types: &[(String, Value)]) {
        match value {
            Value::Object(fields) => {
                fields.values_mut().for_each(|value| walk(value, types));
                let Some(Value::Array(parts)) = fields.get_mut("allOf") else {
                    return;
                };
                if let (2, Some(Value::Object(said))) = (parts.len(), parts.pop()) {
                    let named =
                        parts[0]["$ref"].as_str().and_then(|name| types.iter().find(|(known, _)| known == name));
                    let ty = named.map(|(_, ty)| ty.clone());
                    fields.extend(said);
                    if let (true, Some(ty)) = (fields.contains_key("nullable"), ty) {
                        fields.insert("type".into(), ty);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|value| walk(value, types)),
            _ => {}
        }
    }
    walk(spec, &types);
}

/// Renames the format of dates. The framework writes `naive-date`; the OpenAPI registry of formats has `date`.
fn rename_formats(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("format").is_some_and(|format| format == "naive-date") {
                fields.insert("format".into(), "date".into());
            }
            fields.values_mut().for_each(rename_formats);
        }
        Value::Array(items) => items.iter_mut().for_each(rename_formats),
        _ => {}
    }
}

/// Returns the page that explains a kind of problem. The field `type` of a problem links to it.
pub fn problem_page(name: &str) -> Option<String> {
    let kind = KINDS.iter().find(|kind| kind.name == name)?;
    Some(format!("{} ({})\n\n{}.\n{}\n", kind.name, kind.status, kind.title, kind.advice))
}
