//! The served contract is the committed one and describes every operation.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{TestApp, contract};

const COMMITTED: &str = include_str!("../../openapi/openapi.json");

fn operations() -> Vec<(&'static str, &'static str, &'static Value)> {
    let mut found = Vec::new();
    for (path, operations) in contract()["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            found.push((path.as_str(), method.as_str(), operation));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_committed_contract_is_what_is_served() {
    let app = TestApp::start().await;
    let served = app.anonymous().get("/openapi.json").await.expect(200);
    assert_eq!(served.header("content-type"), "application/json");
    assert!(served.text == COMMITTED, "openapi/openapi.json is not what the program serves; run `make openapi`");
}

#[test]
fn every_operation_is_described_without_a_trailing_slash() {
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations() {
        let name = format!("{method} {path}");
        assert!(!path.ends_with('/'), "{name}");
        let id = operation["operationId"].as_str().unwrap_or_default();
        assert!(!id.is_empty() && ids.insert(id), "{name}: the operation id {id:?}");
        assert!(operation["summary"].is_string(), "{name} has no summary");
        assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{name} has no tag");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{name}: {parameter}");
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            let is_success = status.starts_with('2') || status == "304";
            let of_problems = &response["content"]["application/problem+json"];
            assert_eq!(of_problems.is_null(), is_success, "{name}: {status}");
            assert!(response["description"].is_string(), "{name}: {status}");
        }
        if path.starts_with("/api") && !path.starts_with("/api/auth") && !path.starts_with("/api/token") {
            assert_eq!(operation["security"][0]["bearerAuth"], Value::Array(Vec::new()), "{name} is open");
            for status in ["401", "403"] {
                assert!(operation["responses"][status].is_object(), "{name} has no {status}");
            }
        }
    }
    assert!(ids.len() >= 50, "{} operations", ids.len());
}

#[test]
fn every_reference_resolves() {
    fn walk(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| walk(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let mut references = BTreeSet::new();
    walk(contract(), &mut references);
    assert!(references.contains("#/components/schemas/Problem"));
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(contract().pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn every_field_of_a_request_is_described_and_bounded() {
    for (path, method, operation) in operations() {
        let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema/$ref") else {
            continue;
        };
        let name = schema.as_str().unwrap().trim_start_matches("#/components/schemas/");
        for name in [name].into_iter().chain((name == "HoursInput").then_some("WorkingWindow")) {
            let is_closed = &contract()["components"]["schemas"][name]["additionalProperties"];
            assert_eq!(is_closed, false, "{name} allows unknown fields, but the program refuses them");
        }
        for (field, schema) in contract()["components"]["schemas"][name]["properties"].as_object().unwrap() {
            let of_what = format!("{method} {path}: {name}.{field}");
            assert!(schema["description"].is_string(), "{of_what} is not described");
            let is_bounded = match (schema["type"].as_str(), schema["format"].as_str()) {
                (Some("string"), Some("date" | "date-time")) => true,
                (Some("string"), _) => schema["maxLength"].is_u64() || schema["allOf"].is_array(),
                (Some("integer"), _) => schema["minimum"].is_number(),
                _ => true,
            };
            assert!(is_bounded, "{of_what} has no limit: {schema}");
        }
    }
}

#[test]
fn every_operation_field_and_required_parameter_has_an_example() {
    let named =
        |schema: &Value| schema["$ref"].is_string() || schema["allOf"].is_array() || schema["items"].is_object();
    for (name, schema) in contract()["components"]["schemas"].as_object().unwrap() {
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            assert!(schema.get("example").is_some() || named(schema), "{name}.{field} has no example");
        }
    }
    for (path, method, operation) in operations() {
        let name = format!("{method} {path}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            // Swagger UI sends an optional parameter with an example unless the user clears it.
            let (has_example, is_required) = (parameter.get("example").is_some(), parameter["required"] == true);
            assert_eq!(has_example, is_required, "{name}: the example of {}", parameter["name"]);
        }
        let bodies =
            operation["responses"].as_object().unwrap().iter().map(|(status, answer)| (status.as_str(), answer));
        for (what, body) in bodies.chain(operation.get("requestBody").map(|body| ("request", body))) {
            for (kind, content) in body["content"].as_object().into_iter().flatten() {
                let example = content.get("example").or_else(|| content["examples"].as_object()?.values().next());
                assert!(example.is_some_and(|example| !example.is_null()), "{name} {what} {kind} has no example");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn swagger_ui_and_redoc_hold_the_contract_and_ask_no_other_host() {
    let app = TestApp::start().await;
    for (path, marker) in [("/docs", "SwaggerUIBundle"), ("/redoc", "Redoc.init"), ("/docs/", "SwaggerUIBundle")] {
        let page = app.anonymous().get(path).await.expect(200);
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
        assert!(page.text.contains(marker) && page.text.contains("createAppointment"), "{path}");
        // The parts that are added after the framework are in the pages too.
        assert!(page.text.contains("slot-taken"), "{path}");
        for reference in ["<script src=", "<link href=\"http", "<link rel=\"stylesheet\" href=\"http"] {
            assert!(!page.text.contains(reference), "{path} refers to another host");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_says_whether_it_is_alive_and_ready() {
    let app = TestApp::start().await;
    let nobody = app.anonymous();
    assert_eq!(nobody.get("/healthz").await.expect(200).body["status"], "ok");
    assert_eq!(nobody.get("/readyz").await.expect(200).body["status"], "ok");
    let mut db = app.database.connect().await;
    let behind = "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
    sqlx::raw_sql(behind).execute(&mut db).await.unwrap();
    let unready = nobody.get("/readyz").await.expect_problem(503, "unavailable");
    assert!(unready.body["detail"].as_str().unwrap().contains("clinicd migrate"), "{}", unready.text);
    nobody.get("/healthz").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_type_of_a_problem_links_to_its_explanation() {
    let app = TestApp::start().await;
    let nobody = app.anonymous();
    for asked in ["/api/patients", "/api/nowhere", "/nowhere"] {
        let problem = nobody.get(asked).await;
        let explained = nobody.get(problem.body["type"].as_str().unwrap()).await.expect(200);
        assert!(explained.text.contains(problem.body["title"].as_str().unwrap()), "{}", explained.text);
    }
    nobody.get("/problems/unheard-of").await.expect_problem(404, "not-found");
}
