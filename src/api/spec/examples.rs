//! Examples: one value for each field and required parameter. The examples of bodies and responses are made from them.

use serde_json::{Map, Value, json};

use crate::api::http::problem::{KINDS, Kind};

/// Returns the example of a field or parameter by its name.
fn example(name: &str) -> Option<Value> {
    Some(match name {
        "accepted_at" | "held_until" => json!(null),
        "access" => json!("eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"),
        "action" => json!("read"),
        "address" => json!("12 Harbour Street"),
        "age" => json!(41),
        "allow_duplicate" | "date_of_birth_estimated" | "skip_conflicts" => json!(false),
        "allowed" | "bookable" | "is_active" | "offered" | "on_slot_grid" => json!(true),
        "appointment_datetime" | "at" | "from" | "start" => json!("2030-01-03T09:00:00+00:00"),
        "assigned_at" | "created_at" | "updated_at" => json!("2029-12-01T08:15:00+00:00"),
        "starts_at" => json!("2030-01-04T00:00:00+00:00"),
        "to" => json!("2030-01-10T09:00:00+00:00"),
        "end" | "ends_at" => json!("2030-01-03T09:30:00+00:00"),
        "expires_at" => json!("2029-12-08T08:15:00+00:00"),
        "assigned_by" | "by" | "clinic" | "created_by" | "doctor" | "id" | "patient" | "patient_id" | "time_off_id" => {
            json!(1)
        }
        "buffer_after_minutes" | "buffer_before_minutes" => json!(5),
        "clinic_name" => json!("Harbour Clinic"),
        "date_of_birth" => json!("1988-04-12"),
        "detail" => json!("Doctor already has an appointment at this time."),
        "duration_minutes" | "slot_minutes" => json!(30),
        "earliest_time" => json!("09:00"),
        "effective_from" => json!("2030-01-01"),
        "email" => json!("maya.okafor@example.com"),
        "emergency_contact_name" => json!("Tobi Okafor"),
        "emergency_contact_phone" => json!("+1 555 0135"),
        "expires_in" => json!(3600),
        "first_day" => json!("2030-12-24"),
        "first_name" => json!("Maya"),
        "instance" => json!("urn:uuid:01938a5e-7c1d-7a4e-9b60-0d1c7c1f2a3b"),
        "invitation" => json!("1.Zm9yIG9uZSB1c2Ugb25seQ"),
        "last_day" => json!("2030-12-26"),
        "last_name" => json!("Okafor"),
        "latest_time" => json!("12:00"),
        "license_number" => json!("MD-20417"),
        "local_end" => json!("2030-01-03T10:30:00+01:00"),
        "local_start" => json!("2030-01-03T10:00:00+01:00"),
        "max_appointments_per_day" => json!(16),
        "max_horizon_days" => json!(365),
        "medical_history" => json!("Penicillin allergy."),
        "min_notice_minutes" => json!(60),
        "name" => json!("Harbour Clinic"),
        "notes" => json!("Prefers mornings."),
        "office_address" => json!("Room 210"),
        "password" => json!("seven quiet lanterns"),
        "password2" | "series" | "user" => json!(null),
        "patient_name" => json!("Maya Okafor"),
        "phone_number" => json!("+1 555 0134"),
        "reason" => json!("Follow-up"),
        "reason_for_visit" => json!("Annual check-up"),
        "refresh" => json!("Zm9yIG9uZSBleGNoYW5nZSBvbmx5"),
        "resource" => json!("appointments"),
        "role" => json!("staff"),
        "rrule" => json!("FREQ=WEEKLY;BYDAY=MO,WE;COUNT=10"),
        "scopes" => json!(["clinic"]),
        "specialization" => json!("Cardiology"),
        "status" => json!("SCHEDULED"),
        "time_zone" => json!("Europe/Lisbon"),
        "title" => json!("The doctor has another appointment at this time"),
        "token_type" => json!("Bearer"),
        "type" => json!("/problems/slot-taken"),
        "username" => json!("maya.okafor@example.com"),
        "years_of_experience" => json!(14),
        _ => return None,
    })
}

/// Returns the example of a field whose name has another meaning in this schema.
fn of_schema(schema: &str, field: &str) -> Option<Value> {
    Some(match (schema, field) {
        ("Problem", "status") => json!(409),
        ("Problem", "errors") => json!({ "non_field_errors": ["Doctor already has an appointment at this time."] }),
        ("Well", "status") => json!("ok"),
        ("WorkingWindow", "start") => json!("09:00"),
        ("WorkingWindow", "end") => json!("12:30"),
        ("RuleVerdict", "detail") => json!(null),
        ("WaitlistOffer", "held_until") => json!("2030-01-03T09:20:00+00:00"),
        ("WaitlistEntry", "status") => json!("OFFERED"),
        ("PatientTransfer" | "SwitchInput", _) => json!(2),
        ("RegisterInput", "password2") => json!("seven quiet lanterns"),
        ("PatientPatch", "age") => json!(null),
        _ => return None,
    })
}

/// Adds an example to every field, required parameter, body and response.
pub fn add(spec: &mut Value) {
    let mut schemas = spec["components"]["schemas"].as_object().cloned().unwrap_or_default();
    for (name, schema) in &mut schemas {
        let own = schema.get("example").cloned();
        for (field, property) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
            if property.get("allOf").is_some() || property.get("$ref").is_some() || property.get("example").is_some() {
                continue;
            }
            let known = of_schema(name, field).or_else(|| Some(own.as_ref()?.get(field)?.clone()));
            if let Some(known) = known.or_else(|| example(field)) {
                property["example"] = known;
            }
        }
    }
    spec["components"]["schemas"] = Value::Object(schemas.clone());
    spec["components"]["examples"] = problems(&spec["paths"].to_string());
    let operations = spec["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in operations.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        // Swagger UI sends an optional parameter that has an example, unless the user clears it.
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten();
        for parameter in parameters.filter(|parameter| parameter["required"] == true) {
            if let Some(known) = parameter["name"].as_str().and_then(example) {
                parameter["example"] = known;
            }
        }
        if let Some(body) = operation.get_mut("requestBody") {
            show(body, &schemas);
        }
        let answers = operation["responses"].as_object_mut().into_iter().flatten();
        for (_, answer) in answers.filter(|(status, _)| status.starts_with('2')) {
            show(answer, &schemas);
        }
    }
}

/// Adds the example of its schema to a body.
fn show(body: &mut Value, schemas: &Map<String, Value>) {
    for content in body.get_mut("content").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        let example = made(&content["schema"], schemas);
        content["example"] = example;
    }
}

/// Returns the example of a schema.
fn made(schema: &Value, schemas: &Map<String, Value>) -> Value {
    if let Some(example) = schema.get("example") {
        return example.clone();
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let named = reference.rsplit('/').next().and_then(|name| schemas.get(name));
        return named.map_or(Value::Null, |named| made(named, schemas));
    }
    if let Some(first) = schema.pointer("/allOf/0") {
        return made(first, schemas);
    }
    if let Some(first) = schema.pointer("/enum/0") {
        return first.clone();
    }
    if let Some(fields) = schema["properties"].as_object() {
        return fields.iter().map(|(name, field)| (name.clone(), made(field, schemas))).collect::<Map<_, _>>().into();
    }
    match schema["type"].as_str() {
        Some("array") => Value::Array(vec![made(&schema["items"], schemas)]),
        _ => Value::Null,
    }
}

/// Returns references to the examples of these kinds of problems.
pub fn of_problems(kinds: &[&Kind]) -> Value {
    let reference =
        |kind: &&Kind| (kind.name.to_owned(), json!({ "$ref": format!("#/components/examples/{}", kind.name) }));
    Value::Object(kinds.iter().map(reference).collect())
}

/// Returns an example of each kind of problem that these paths name.
fn problems(paths: &str) -> Value {
    let used = KINDS.iter().filter(|kind| paths.contains(&format!("/examples/{}\"", kind.name)));
    let examples = used.map(|kind| {
        let mut problem = json!({
            "type": format!("/problems/{}", kind.name),
            "title": kind.title,
            "status": kind.status.as_u16(),
            "detail": kind.advice,
            "instance": example("instance"),
        });
        if kind.name == "slot-taken" {
            let slot = |start: &str, end: &str| json!({ "start": start, "end": end });
            problem["errors"] = json!({ "non_field_errors": ["Doctor already has an appointment at this time."] });
            problem["conflicts"] = json!([slot("2030-01-03T09:00:00+00:00", "2030-01-03T09:30:00+00:00")]);
            problem["next_slots"] = json!([slot("2030-01-03T09:30:00+00:00", "2030-01-03T10:00:00+00:00")]);
        }
        (kind.name.to_owned(), json!({ "summary": kind.title, "value": problem }))
    });
    Value::Object(examples.collect())
}
