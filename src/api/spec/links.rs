//! Links from a new row to the operations that take its id.

use serde_json::{Map, Value, json};

/// Fields of bodies that take the id of a new row: the operation that creates the row, the operation of the body, and
/// the field.
const FIELDS: [(&str, &str, &str); 11] = [
    ("createDoctor", "createMapping", "doctor"),
    ("createDoctor", "createAppointment", "doctor"),
    ("createDoctor", "checkBooking", "doctor"),
    ("createDoctor", "createAppointmentSeries", "doctor"),
    ("createPatient", "createMapping", "patient"),
    ("createPatient", "createAppointment", "patient"),
    ("createPatient", "checkBooking", "patient"),
    ("createPatient", "createAppointmentSeries", "patient"),
    ("createPatient", "createWaitlistEntry", "patient"),
    ("createUser", "transferPatient", "user"),
    ("createUser", "createDoctor", "user"),
];

/// The next operations on an appointment after a step: the operation of the step, and those that may follow it.
const STEPS: [(&str, &[&str]); 3] = [
    ("confirmAppointment", &["checkInAppointment", "rescheduleAppointment", "markAppointmentNoShow"]),
    ("checkInAppointment", &["completeAppointment"]),
    ("rescheduleAppointment", &["confirmAppointment"]),
];

/// Links each response that has a new row to the operations on that row.
pub fn add(spec: &mut Value) {
    let Some(paths) = spec["paths"].as_object().cloned() else {
        return;
    };
    let id = |operation: &Value| operation["operationId"].as_str().unwrap_or_default().to_owned();
    for (path, operations) in spec["paths"].as_object_mut().into_iter().flatten() {
        let Some(answer) = operations.pointer_mut("/post/responses/201") else {
            continue;
        };
        let mut links = Map::new();
        // The operations on the row itself. Their path is the collection's path with one more parameter.
        let own = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let own: Map<_, _> = own.map(|name| (name.to_owned(), json!(format!("$request.path.{name}")))).collect();
        let of_row = paths.iter().filter(|(other, _)| other.starts_with(&format!("{path}/{{")));
        for (other, operation) in of_row.flat_map(|(other, methods)| {
            methods.as_object().into_iter().flat_map(Map::values).map(move |operation| (other, operation))
        }) {
            let Some((name, _)) = other[path.len() + 2..].split_once('}') else {
                continue;
            };
            if other.matches('{').count() == own.len() + 1 {
                let mut parameters = own.clone();
                parameters.insert(name.to_owned(), json!("$response.body#/id"));
                links.insert(id(operation), link(operation, parameters.into()));
            }
        }
        if !links.is_empty() {
            answer["links"] = Value::Object(links);
        }
    }
    for operation in spec["paths"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        for operation in operation.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let of = id(operation);
            for (_, next, field) in FIELDS.iter().filter(|(maker, ..)| *maker == of) {
                operation["responses"]["201"]["links"][next] = json!({
                    "operationId": next,
                    "requestBody": { *field: "$response.body#/id" },
                    "description": format!("The new row's id is `{field}` in the request body."),
                });
            }
            for next in STEPS.iter().filter(|(step, _)| *step == of).flat_map(|(_, next)| *next) {
                operation["responses"]["200"]["links"][next] = json!({
                    "operationId": next,
                    "parameters": { "id": "$response.body#/id" },
                    "description": "The appointment's next steps.",
                });
            }
        }
    }
}

fn link(operation: &Value, parameters: Value) -> Value {
    json!({
        "operationId": operation["operationId"],
        "parameters": parameters,
        "description": "The new row's id is the last path parameter.",
    })
}
