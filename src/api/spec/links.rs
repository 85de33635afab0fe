//! Links: which operations a new row's id leads to.

use serde_json::{Map, Value, json};

/// Where a new row's id is a field of another row's body: who makes the row, the body's operation, its field.
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

/// Links each answer with a new row to what can be done with the row next.
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
        // The operations on the row itself: their path goes on from the collection's, by one parameter.
        let of_row = paths.iter().filter(|(other, _)| other.starts_with(&format!("{path}/{{")));
        for (other, operation) in of_row.flat_map(|(other, methods)| {
            methods.as_object().into_iter().flat_map(Map::values).map(move |operation| (other, operation))
        }) {
            let Some((name, _)) = other[path.len() + 2..].split_once('}') else {
                continue;
            };
            if other.matches('{').count() == 1 {
                links.insert(id(operation), link(operation, json!({ name: "$response.body#/id" })));
            }
        }
        if !links.is_empty() {
            answer["links"] = Value::Object(links);
        }
    }
    for (maker, operation, field) in FIELDS {
        let operations = spec["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
        let mut operations = operations.filter_map(Value::as_object_mut).flat_map(Map::values_mut);
        let Some(answer) = operations.find(|made_by| id(made_by) == maker) else {
            continue;
        };
        answer["responses"]["201"]["links"][operation] = json!({
            "operationId": operation,
            "requestBody": { field: "$response.body#/id" },
            "description": format!("The new row's id is `{field}` there."),
        });
    }
}

fn link(operation: &Value, parameters: Value) -> Value {
    json!({
        "operationId": operation["operationId"],
        "parameters": parameters,
        "description": format!("{} that was made.", operation["summary"].as_str().unwrap_or_default()),
    })
}
