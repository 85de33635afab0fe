//! The calls of the README return the answers that it shows.

use serde_json::{Value, json};

use crate::support::{Session, TestApp, TestDatabase, settings};

const README: &str = include_str!("../../README.md");

/// Returns the README's calls, each with the answer that it shows: path, body, answer.
fn calls() -> Vec<(String, Value, Value)> {
    let mut blocks = README.split("```").skip(1).step_by(2);
    let mut calls = Vec::new();
    while let Some(block) = blocks.next() {
        let Some(command) = block.strip_prefix("sh\n").filter(|text| text.contains("curl ")) else { continue };
        let path = command.split("http://127.0.0.1:8000").nth(1).unwrap();
        let path = path.split_whitespace().next().unwrap().to_owned();
        let sent = command.split("-d '").nth(1).unwrap().split("'\n").next().unwrap();
        let shown = blocks.next().and_then(|block| block.strip_prefix("json\n")).expect("an answer after the call");
        calls.push((path, serde_json::from_str(sent).unwrap(), serde_json::from_str(shown).unwrap()));
    }
    calls
}

/// Returns an answer without the values that differ between runs.
fn lasting(mut answer: Value) -> Value {
    for field in ["access", "refresh", "created_at", "updated_at", "instance", "age", "date_of_birth"] {
        if let Some(value) = answer.get_mut(field) {
            *value = json!(value.is_null());
        }
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_in_five_calls_answers_what_the_readme_shows() {
    let database = TestDatabase::create().await;
    let mut settings = settings(&database);
    settings.no_demo = false;
    let app = TestApp::start_with(database, settings).await;
    let mut caller = app.anonymous();
    let calls = calls();
    assert_eq!(calls.len(), 5);
    for (path, sent, shown) in calls {
        let answer = caller.post(&path, sent).await;
        if answer.body["access"].is_string() {
            caller = Session::of(app.address, &answer.body);
        }
        assert_eq!(lasting(answer.body), lasting(shown), "{path}");
    }
}

#[test]
fn the_endpoint_table_has_every_operation() {
    for (path, operations) in crate::support::contract()["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let row = format!("| {} | `{path}` |", method.to_uppercase());
            assert!(README.contains(&row), "the README's table has no row {row}");
        }
    }
}
