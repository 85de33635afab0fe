//! Bad input: each wrong field is named, no sent value is repeated, and no answer is a 5xx.

use std::io::Write;
use std::net::TcpStream;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Session, TestApp, TestDatabase, contract, settings};

const MARKER: &str = "Zanzibar";

#[tokio::test(flavor = "multi_thread")]
async fn invalid_json_and_a_non_object_are_distinct_errors() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let deep = format!("{{\"first_name\": {}{}}}", "[".repeat(80), "]".repeat(80));
    let very_deep = "[".repeat(100_000);
    for (body, status) in [
        (&b"not json"[..], 400),
        (b"", 400),
        (b"{\"first_name\": \"A\",}", 400),
        (b"{\"first_name\": \"\xff\xfe\"}", 400),
        (b"{\"age\": 1e400}", 400),
        (b"{\"first_name\": \"\\ud800\"}", 400),
        (deep.as_bytes(), 400),
        (very_deep.as_bytes(), 400),
        (b"[]", 422),
        (b"null", 422),
        (b"\"text\"", 422),
        (b"{}", 422),
    ] {
        let sent = Some(("application/json", body.to_vec()));
        let answer = admin.send_raw(Method::POST, "/api/patients", sent, &[]).await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert_eq!(answer.status, status, "{shown}: {}", answer.text);
    }
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"] {
        let sent = Some((content_type, b"{}".to_vec()));
        let answer = admin.send_raw(Method::POST, "/api/patients", sent, &[]).await;
        answer.expect_problem(415, "unsupported-media-type");
    }
    let sent = Some(("application/json; charset=utf-8", b"{}".to_vec()));
    admin.send_raw(Method::POST, "/api/patients", sent, &[]).await.expect(422);
}

/// Returns the schema of an operation's body, resolved, and its required fields.
fn body_schema(operation: &Value) -> Option<(&'static Value, Vec<&'static str>)> {
    let reference = operation.pointer("/requestBody/content/application~1json/schema/$ref")?.as_str()?;
    let schema = contract().pointer(reference.trim_start_matches('#'))?;
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    Some((&schema["properties"], required))
}

/// Returns values that break a field's schema: its limits, type and format.
fn breaking_values(schema: &Value) -> Vec<Value> {
    let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
    if let Some(reference) = reference {
        let target = contract().pointer(reference.trim_start_matches('#')).unwrap();
        let mut values = breaking_values(target);
        values.retain(|value| schema["nullable"] != true || !value.is_null());
        return values;
    }
    let mut values = vec![json!([MARKER]), json!({ "a": MARKER })];
    match schema["type"].as_str() {
        Some("string") => {
            values.extend([json!(1), json!(true), json!(format!("{MARKER}\0"))]);
            if let Some(longest) = schema["maxLength"].as_u64() {
                values.push(MARKER.repeat(longest as usize / MARKER.len() + 1).into());
            }
            if schema["minLength"].as_u64().is_some_and(|least| least > 0) {
                values.push("".into());
            }
            if schema["enum"].is_array() || schema["format"].as_str().is_some_and(|format| format != "password") {
                values.push(MARKER.into());
            }
        }
        Some("integer") => {
            values.extend([json!(MARKER), json!(1.5), json!("1"), json!(true)]);
            let over = schema["maximum"].as_f64().map(|most| json!(most as i64 + 1));
            let under = schema["minimum"].as_f64().map(|least| json!(least as i64 - 1));
            values.extend(over.into_iter().chain(under));
            values.push(serde_json::from_str("99999999999999999999").unwrap());
        }
        Some("array") => values.extend([json!(MARKER), json!([1]), json!([{ "no_such_field": MARKER }])]),
        Some("boolean") => values.extend([json!(MARKER), json!(0), json!("true")]),
        other => panic!("a field of type {other:?}"),
    }
    if schema["nullable"] != true {
        values.push(Value::Null);
    }
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_is_checked_by_its_schema_and_never_echoed() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (p, d) = (admin.new_patient().await, admin.new_doctor().await);
    let mapping = admin.new_mapping(p, d).await;
    let appointment = admin.new_appointment(d, p, "10:00").await;
    let (mut operations, mut sent) = (0, 0);
    for (template, methods) in contract()["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let Some((properties, required)) = body_schema(operation) else { continue };
            operations += 1;
            let id = match template.split('/').nth(2) {
                Some("patients") => p,
                Some("doctors") => d,
                Some("mappings") => mapping,
                Some("appointments") => appointment,
                _ => admin.id,
            };
            let path = template.replace("{id}", &id.to_string());
            let method: Method = method.to_uppercase().parse().unwrap();
            for (field, schema) in properties.as_object().unwrap() {
                for value in breaking_values(schema) {
                    // Sends only this field. Errors of missing fields do not matter here.
                    let body = json!({ field.as_str(): value });
                    let answer = admin.send(method.clone(), &path, Some(body), &[]).await;
                    let what = format!("{method} {template}: {field} = {value}: {}", answer.text);
                    assert_eq!(answer.status, 422, "{what}");
                    assert_eq!(answer.errors(field).len(), 1, "{what}");
                    assert!(!answer.text.contains(MARKER), "{what}");
                    sent += 1;
                }
            }
            let unknown = admin.send(method.clone(), &path, Some(json!({ "no_such_field": MARKER })), &[]).await;
            assert_eq!(unknown.status, 422, "{method} {template}");
            assert_eq!(unknown.errors("no_such_field"), ["There is no such field."]);
            let empty = admin.send(method, &path, Some(json!({})), &[]).await;
            for field in required {
                assert_eq!(empty.errors(field), ["This field is required."], "{template}: {field}");
            }
        }
    }
    assert!(operations >= 20 && sent > 500, "{operations} operations, {sent} bodies");
}

#[tokio::test(flavor = "multi_thread")]
async fn times_that_no_calendar_can_hold_are_refused() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (d, p) = (admin.new_doctor().await, admin.new_patient().await);
    for time in [
        "2031-03-05T10:00:00",
        "2031-03-05",
        "2031-03-05 10:00:00Z",
        "2031-03-05T23:59:60Z",
        "2031-02-30T10:00:00Z",
        "1899-12-31T10:00:00Z",
        "2201-01-01T10:00:00Z",
        "infinity",
        "-infinity",
        "now",
        "+262142-12-31T23:59:59Z",
    ] {
        let body = json!({ "doctor": d, "patient": p, "appointment_datetime": time });
        let refused = admin.post("/api/appointments", body).await.expect_problem(422, "invalid");
        assert_eq!(refused.errors("appointment_datetime").len(), 1, "{time}");
        assert!(!refused.text.contains(time) || time == "now", "{time}");
    }
    let mut body = json!({ "doctor": d, "patient": p, "appointment_datetime": "2200-12-31T23:50:00Z" });
    admin.post("/api/appointments", body.clone()).await.expect(422);
    body["duration_minutes"] = 5.into();
    admin.post("/api/appointments", body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_ids_and_filters_are_client_errors() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    for kind in ["patients", "doctors", "mappings", "appointments", "users"] {
        for id in
            ["0", "-1", "abc", "1.5", "99999999999999999999", "9223372036854775807", "%00", "%F0%9F%92%A3", "1%20"]
        {
            admin.get(&format!("/api/{kind}/{id}")).await.expect_problem(404, "not-found");
        }
    }
    for query in ["patients?created_by=x", "mappings?patient=1.5", "appointments?doctor=99999999999999999999"] {
        admin.get(&format!("/api/{query}")).await.expect_problem(422, "invalid");
    }
    for query in ["patients?search=%00", "doctors?search=a%00b", "doctors?specialization=%00"] {
        admin.get(&format!("/api/{query}")).await.expect_problem(422, "invalid");
    }
    for query in ["search=%E0%A4%A", "search=%FF", "search=%27%3B--", "search=%5C", "%ZZ=1", "&&&=", "limit=5&limit=6"]
    {
        let answer = admin.get(&format!("/api/patients?{query}")).await;
        assert!(answer.status < 500, "{query}: {}", answer.text);
    }
    admin.send(Method::PUT, "/api/patients", None, &[]).await.expect_problem(405, "method-not-allowed");
    admin.get("/api/nothing").await.expect_problem(404, "not-found");
    let long = format!("/api/patients?search={}", "x".repeat(201));
    assert_eq!(admin.get(&long).await.expect(422).errors("search").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_one_mebibyte_is_too_large_whole_or_in_chunks() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let body = json!({ "first_name": "x".repeat(1024 * 1024), "last_name": "y" });
    admin.post("/api/patients", body).await.expect_problem(413, "too-large");
    let (address, access) = (app.address, admin.access.clone().unwrap());
    let answer = tokio::task::spawn_blocking(move || chunked(address, &access, 40 * 1024, 40)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    admin.get("/healthz").await.expect(200);
}

/// Sends a body in chunks without a length, and returns the head of the answer.
fn chunked(address: std::net::SocketAddr, access: &str, size: usize, count: usize) -> String {
    use std::io::Read;
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /api/patients HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {access}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("{size:x}\r\n{}\r\n", " ".repeat(size));
    for _ in 0..count {
        // The server may answer and close the connection before the end.
        if stream.write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    let mut answer = [0; 200];
    let length = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let app = TestApp::start().await;
    let (address, access) = (app.address, app.founder("ada").await.access.unwrap());
    let answer = tokio::task::spawn_blocking(move || {
        use std::io::Read;
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!(
            "POST /api/patients HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {access}\r\n\
             Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 200];
        let length = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_security_headers() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    for path in ["/api/patients", "/api/patients/1", "/api/nothing", "/docs", "/healthz"] {
        let answer = admin.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{path}");
        let cached = if path.starts_with("/api") { "no-store" } else { "" };
        assert_eq!(answer.header("cache-control"), cached, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_origins_of_the_allow_list_are_admitted() {
    let ask = async |session: &Session, origin: &str| {
        let answer = session.send(Method::GET, "/api/patients", None, &[("Origin", origin)]).await;
        (answer.header("access-control-allow-origin").to_owned(), answer.status)
    };
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    assert_eq!(ask(&admin, "https://app.example.com").await, (String::new(), 200));

    let database = TestDatabase::create().await;
    let mut settings = settings(&database);
    settings.cors_origins = vec!["https://app.example.com".into()];
    let app = TestApp::start_with(database, settings).await;
    let admin = app.founder("ada").await;
    assert_eq!(ask(&admin, "https://app.example.com").await, ("https://app.example.com".into(), 200));
    for foreign in ["https://evil.example.com", "https://app.example.com.evil.com", "null"] {
        // A browser hides the answer from a foreign page. The server's own pages send their origin too.
        assert_eq!(ask(&admin, foreign).await, (String::new(), 200), "{foreign}");
    }
    let preflight = [
        ("Origin", "https://app.example.com"),
        ("Access-Control-Request-Method", "PATCH"),
        ("Access-Control-Request-Headers", "authorization,content-type,if-match"),
    ];
    let plain = admin.send(Method::GET, "/api/patients", None, &[("Origin", "https://app.example.com")]).await;
    assert!(plain.header("access-control-expose-headers").contains("etag"), "{:?}", plain.headers);
    let preflight = app.anonymous().send(Method::OPTIONS, "/api/patients", None, &preflight).await;
    assert_eq!(preflight.status, 204, "{}", preflight.text);
    assert!(preflight.header("access-control-allow-methods").contains("PATCH"));
}

#[tokio::test(flavor = "multi_thread")]
async fn days_outside_the_supported_years_are_refused_by_field() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    let hours = format!("/api/doctors/{doctor}/working-hours");
    let waiting = json!({ "patient": patient, "doctor": doctor, "first_day": "1894-01-01", "last_day": "1894-01-02" });
    let hours_body = json!({ "effective_from": "1894-01-01", "windows": [] });
    for (method, path, body, field) in [
        (Method::POST, "/api/clinic/closures", json!({ "first_day": "1894-01-01" }), "first_day"),
        (Method::POST, "/api/waitlist", waiting, "first_day"),
        (Method::PUT, hours.as_str(), hours_body, "effective_from"),
    ] {
        let refused = admin.send(method, path, Some(body), &[]).await.expect_problem(422, "invalid");
        assert_eq!(refused.errors(field), ["Must lie in the years 1900 to 2200."], "{path}: {}", refused.text);
    }
}
