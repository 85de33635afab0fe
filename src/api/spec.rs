//! The contract as it is served: what the framework writes, completed by what holds for all operations.

use poem_openapi::{registry::Registry, types::Type};
use serde_json::{Value, json};

use super::{
    problem::{KINDS, Kind, *},
    retry,
};

/// Operations that can meet a state that stands against them, and what they answer then.
const CONFLICTS: &[(&str, &[&Kind])] = &[
    ("register", &[TAKEN]),
    ("createUser", &[TAKEN]),
    ("updateUser", &[LAST_ADMINISTRATOR]),
    ("deleteUser", &[LAST_ADMINISTRATOR]),
    ("deleteInvitation", &[ALREADY_ACCEPTED]),
    ("createPatient", &[TAKEN]),
    ("replacePatient", &[TAKEN]),
    ("updatePatient", &[TAKEN]),
    ("deletePatient", &[HAS_FUTURE_APPOINTMENTS]),
    ("createDoctor", &[TAKEN]),
    ("replaceDoctor", &[TAKEN]),
    ("updateDoctor", &[TAKEN]),
    ("deleteDoctor", &[HAS_FUTURE_APPOINTMENTS]),
    ("createMapping", &[TAKEN]),
    ("createAppointment", BOOKING),
    ("updateAppointment", MOVING),
    ("rescheduleAppointment", MOVING),
    ("cancelAppointment", &[INVALID_TRANSITION]),
    ("confirmAppointment", &[INVALID_TRANSITION]),
    ("checkInAppointment", &[INVALID_TRANSITION]),
    ("completeAppointment", &[INVALID_TRANSITION]),
    ("markAppointmentNoShow", &[INVALID_TRANSITION]),
    ("callOffAppointment", &[INVALID_TRANSITION, NOT_IN_SERIES]),
    ("createAppointmentSeries", &[SERIES_CONFLICT]),
    ("acceptWaitlistOffer", &[NO_OFFER]),
    ("deleteWaitlistEntry", &[OFFER_ACCEPTED]),
];

/// What stands against a booking.
const BOOKING: &[&Kind] =
    &[SLOT_TAKEN, PATIENT_BUSY, DOCTOR_INACTIVE, CLINIC_CLOSED, TIME_OFF, OUTSIDE_HOURS, TOO_CLOSE, DAY_FULL];

/// What stands against giving an appointment another time.
const MOVING: &[&Kind] = &[
    SLOT_TAKEN,
    PATIENT_BUSY,
    DOCTOR_INACTIVE,
    CLINIC_CLOSED,
    TIME_OFF,
    OUTSIDE_HOURS,
    TOO_CLOSE,
    DAY_FULL,
    INVALID_TRANSITION,
];

/// Operations whose role or membership may forbid them though no policy line is asked.
const WITHOUT_POLICY: &[&str] = &["logout", "getMe", "updateMe", "listPermissions"];

/// Operations that sign in, and so may find nobody, or nobody with a membership.
const SIGNING_IN: &[&str] = &["login", "createToken", "refreshToken", "renewToken"];

/// Completes the framework's document.
pub fn complete(document: &str) -> Result<String, serde_json::Error> {
    let mut spec: Value = serde_json::from_str(document)?;
    if let Some(paths) = spec["paths"].as_object_mut() {
        for (path, operations) in paths {
            for operation in operations.as_object_mut().into_iter().flat_map(serde_json::Map::values_mut) {
                complete_operation(path, operation);
            }
        }
    }
    close_bodies(&mut spec);
    add_problem_schemas(&mut spec)?;
    rename_formats(&mut spec);
    let mut text = serde_json::to_string_pretty(&spec)?;
    text.push('\n');
    Ok(text)
}

fn complete_operation(path: &str, operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let has_parameter = |place: &str| {
        let parameters = operation["parameters"].as_array();
        parameters.is_some_and(|all| all.iter().any(|parameter| parameter["in"] == place))
    };
    let has_header = |name: &str| {
        let parameters = operation["parameters"].as_array();
        parameters.is_some_and(|all| all.iter().any(|parameter| parameter["name"] == name))
    };
    let is_secured = operation["security"].as_array().is_some_and(|all| !all.is_empty());
    let is_signing_in = SIGNING_IN.contains(&id.as_str());
    let mut kinds: Vec<&Kind> = Vec::new();
    if is_secured || is_signing_in {
        kinds.push(UNAUTHENTICATED);
    }
    if (is_secured && !WITHOUT_POLICY.contains(&id.as_str())) || matches!(id.as_str(), "login" | "createToken") {
        kinds.push(FORBIDDEN);
    }
    if has_parameter("path") {
        kinds.push(NOT_FOUND);
    }
    if has_header("If-Match") {
        kinds.push(STALE);
    }
    if has_header(retry::HEADER) {
        kinds.extend([KEY_IN_USE, KEY_OF_ANOTHER]);
    }
    if operation.get("requestBody").is_some() {
        kinds.extend([MALFORMED, TIMEOUT, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, INVALID]);
    } else if has_parameter("query") {
        kinds.push(INVALID);
    }
    if id.ends_with("Appointment") && operation.get("requestBody").is_some() {
        kinds.extend([IN_THE_PAST, TOO_SOON, TOO_FAR]);
    }
    for (_, conflicts) in CONFLICTS.iter().filter(|(of, _)| *of == id) {
        kinds.extend_from_slice(conflicts);
    }
    if id != "getHealth" {
        kinds.extend([INTERNAL, UNAVAILABLE]);
    }
    if path.starts_with("/api") && operation.get("requestBody").is_some() {
        kinds.push(OUTCOME_UNKNOWN);
    }
    if let Some(responses) = operation["responses"].as_object_mut() {
        let mut statuses: Vec<u16> = kinds.iter().map(|kind| kind.status.as_u16()).collect();
        statuses.sort_unstable();
        statuses.dedup();
        for status in statuses {
            let of_status = kinds.iter().filter(|kind| kind.status.as_u16() == status);
            let of_status: Vec<_> = of_status.map(|kind| format!("`{}`: {}.", kind.name, kind.title)).collect();
            responses.insert(status.to_string(), problem_response(status, &of_status.join(" ")));
        }
    }
    if let Some(body) = operation.pointer_mut("/requestBody") {
        body["required"] = Value::Bool(true);
    }
}

/// A body has no fields but those of its schema; the framework enforces this and does not say it.
fn close_bodies(spec: &mut Value) {
    let operations = spec["paths"].as_object().into_iter().flat_map(serde_json::Map::values);
    let operations = operations.filter_map(Value::as_object).flat_map(serde_json::Map::values);
    let schemas = operations
        .filter_map(|operation| operation.pointer("/requestBody/content/application~1json/schema/$ref")?.as_str());
    let pointers: Vec<_> = schemas.map(|reference| reference.trim_start_matches('#').to_owned()).collect();
    for pointer in pointers {
        if let Some(schema) = spec.pointer_mut(&pointer) {
            schema["additionalProperties"] = Value::Bool(false);
        }
    }
}

/// The framework leaves schemas out that its own operations do not name.
fn add_problem_schemas(spec: &mut Value) -> Result<(), serde_json::Error> {
    let mut registry = Registry::new();
    ProblemBody::register(&mut registry);
    for (name, schema) in &registry.schemas {
        spec["components"]["schemas"][name] = serde_json::to_value(schema)?;
    }
    Ok(())
}

fn problem_response(status: u16, description: &str) -> Value {
    let mut response = json!({
        "description": description,
        "content": {
            "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
        },
    });
    let header =
        |description: &str, ty: &str| json!({ "description": description, "required": true, "schema": { "type": ty } });
    match status {
        401 => response["headers"] = json!({ "WWW-Authenticate": header("How to authenticate.", "string") }),
        503 => response["headers"] = json!({ "Retry-After": header("Seconds after which to try again.", "integer") }),
        _ => {}
    }
    response
}

/// The framework calls a plain date `naive-date`; the OpenAPI registry of formats calls it `date`.
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

/// The page that explains a kind of problem, for whoever follows `type`.
pub fn problem_page(name: &str) -> Option<String> {
    let kind = KINDS.iter().find(|kind| kind.name == name)?;
    Some(format!("{} ({})\n\n{}.\n{}\n", kind.name, kind.status, kind.title, kind.advice))
}
