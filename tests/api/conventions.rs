//! HTTP conventions of every path: methods, conditional requests, representations.

use std::io::Read;

use reqwest::Method;
use serde_json::json;

use crate::support::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn head_and_options_work_and_other_methods_get_405() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let patient = admin.new_patient().await;
    let path = format!("/api/patients/{patient}");
    let got = admin.get(&path).await.expect(200);
    let head = admin.send(Method::HEAD, &path, None, &[]).await.expect(200);
    assert_eq!((head.text.as_str(), head.header("etag")), ("", got.header("etag")));
    assert_eq!(admin.send(Method::HEAD, "/api/patients/999999", None, &[]).await.status, 404);
    for (path, allowed) in [
        (path.as_str(), "GET, PUT, DELETE, PATCH, HEAD, OPTIONS"),
        ("/api/patients/", "GET, POST, HEAD, OPTIONS"),
        ("/api/appointments/check", "POST, OPTIONS"),
        ("/docs", "GET, HEAD, OPTIONS"),
    ] {
        let options = app.anonymous().send(Method::OPTIONS, path, None, &[]).await.expect(204);
        let mut told: Vec<_> = options.header("allow").split(", ").collect();
        let mut expected: Vec<_> = allowed.split(", ").collect();
        told.sort_unstable();
        expected.sort_unstable();
        assert_eq!(told, expected, "{path}");
        let refused = admin.send(Method::TRACE, path, None, &[]).await;
        let refused = refused.expect_problem(405, "method-not-allowed");
        assert_eq!(refused.header("allow"), options.header("allow"), "{path}");
    }
    app.anonymous().send(Method::OPTIONS, "/api/nowhere", None, &[]).await.expect_problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_row_is_answered_304() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let patient = admin.new_patient().await;
    let path = format!("/api/patients/{patient}");
    let tag = admin.get(&path).await.expect(200).header("etag").to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"0\", {tag}"), "*".to_owned()] {
        let answer = admin.send(Method::GET, &path, None, &[("if-none-match", &known)]).await.expect(304);
        assert_eq!(
            (answer.text.as_str(), answer.header("etag"), answer.header("content-type")),
            ("", tag.as_str(), "")
        );
    }
    admin.patch(&path, json!({ "first_name": "Changed" })).await.expect(200);
    let newer = admin.send(Method::GET, &path, None, &[("if-none-match", &tag)]).await.expect(200);
    assert_eq!(newer.body["first_name"], "Changed");
    // `If-None-Match` does not prevent a change.
    admin.send(Method::PATCH, &path, Some(json!({})), &[("if-none-match", newer.header("etag"))]).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_sent_again_when_a_related_row_changed() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let (doctor, patient) = (admin.new_doctor().await, admin.new_patient().await);
    let made = admin.post("/api/mappings", json!({ "doctor": doctor, "patient": patient })).await.expect(201);
    let path = made.header("location").to_owned();
    let known = [("if-none-match", made.header("etag"))];
    admin.send(Method::GET, &path, None, &known).await.expect(304);
    admin.patch(&format!("/api/patients/{patient}"), json!({ "last_name": "Renamed" })).await.expect(200);
    let renamed = admin.send(Method::GET, &path, None, &known).await.expect(200);
    assert!(renamed.text.contains("Renamed"), "{}", renamed.text);
    // The mapping itself has not changed, so a change of it succeeds.
    let seen = [("if-match", made.header("etag"))];
    admin.send(Method::PATCH, &path, Some(json!({ "notes": "Sees her on Mondays." })), &seen).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_compressed_as_its_client_prefers() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    for _ in 0..4 {
        admin.new_patient().await;
    }
    let (list, row) = ("/api/patients", "/api/patients?limit=1");
    for (path, accepted, coding) in [
        (list, "gzip", "gzip"),
        (list, "br, gzip;q=0.5", "br"),
        (list, "br;q=0, gzip", "gzip"),
        (list, "identity", ""),
        (row, "br, gzip", ""),
    ] {
        let plain = admin.get(path).await.expect(200);
        assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", "accept-encoding"));
        assert_eq!(plain.text.len() < 1024, path == row, "an answer that fits into one packet is not compressed");
        let url = format!("http://{}{path}", app.address);
        let request = reqwest::Client::new().get(url).bearer_auth(admin.access.as_ref().unwrap());
        let answer = request.header("accept-encoding", accepted).send().await.unwrap();
        let told = answer.headers().get("content-encoding").map_or("", |value| value.to_str().unwrap()).to_owned();
        assert_eq!(told, coding, "{path} {accepted}");
        let bytes = answer.bytes().await.unwrap();
        let mut text = String::new();
        match coding {
            "gzip" => flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap(),
            "br" => brotli::Decompressor::new(&bytes[..], 4096).read_to_string(&mut text).unwrap(),
            _ => (&bytes[..]).read_to_string(&mut text).unwrap(),
        };
        assert_eq!(text, plain.text, "{path} {accepted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_accepts_no_json_gets_406_first() {
    let app = TestApp::start().await;
    let admin = app.founder("ada").await;
    let input = json!({ "first_name": "Maya", "last_name": "Okafor" });
    for accept in ["text/html", "application/xml;q=0.9, application/json;q=0"] {
        let refused = admin.send(Method::POST, "/api/patients", Some(input.clone()), &[("accept", accept)]).await;
        refused.expect_problem(406, "not-acceptable");
    }
    assert!(admin.get("/api/patients").await.expect(200).ids().is_empty());
    for accept in ["*/*", "application/json", "text/html, application/*;q=0.1"] {
        admin.send(Method::POST, "/api/patients", Some(input.clone()), &[("accept", accept)]).await.expect(201);
    }
    let xml = Some(("application/xml", b"<patient/>".to_vec()));
    admin.send_raw(Method::POST, "/api/patients", xml, &[]).await.expect_problem(415, "unsupported-media-type");
}
