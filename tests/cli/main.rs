//! The program from the command line: commands, the private local cluster, the demo clinic, signals and logs.

mod private_cluster;
mod program;

use std::path::Path;

use nix::sys::signal::Signal::SIGTERM;
use serde_json::{Value, json};

use program::{Folder, Serving, cluster_runs, run, wait_until};

#[test]
fn an_empty_development_database_gets_a_demo_clinic() {
    let folder = Folder::new("demo");
    let mut serving = Serving::start(&folder, &[]);
    let printed = serving.lines(5);
    assert!(printed[0].contains("/docs") && printed[0].contains("/redoc"), "{printed:?}");
    for login in &printed[2..] {
        let words: Vec<_> = login.split_whitespace().collect();
        let &[role, email, password] = words.as_slice() else { panic!("{login}") };
        let (status, tokens) = serving.login(email, password);
        assert_eq!((status, &tokens["user"]["role"]), (200, &json!(role)));
        if role == "admin" {
            let token = tokens["access"].as_str();
            for (list, least) in [("users", 3), ("doctors", 4), ("patients", 6), ("mappings", 6), ("appointments", 6)] {
                let (_, rows) = serving.ask("GET", &format!("/api/{list}"), token, None);
                assert!(rows.as_array().unwrap().len() >= least, "{list}: {rows}");
            }
        }
        if role == "doctor" {
            let (_, rows) = serving.ask("GET", "/api/appointments", tokens["access"].as_str(), None);
            assert!(!rows.as_array().unwrap().is_empty(), "the doctor has appointments in the coming days");
        }
    }
    let (code, _) = serving.stop(SIGTERM);
    assert_eq!(code, Some(0));

    // The next start finds the demo clinic and does not create it again.
    let mut serving = Serving::start(&folder, &[]);
    assert!(serving.lines(2)[1].starts_with("Sign up with"));
    assert_eq!(serving.login("admin@demo.example", "demo-clinic-admin").0, 200);
    serving.stop(SIGTERM);
}

#[test]
fn two_checkouts_run_at_once_independently() {
    let (one, other) = (Folder::new("one"), Folder::new("other"));
    let (first, second) = (Serving::start(&one, &["--no-demo"]), Serving::start(&other, &["--no-demo"]));
    let body = json!({ "email": "ada@example.com", "password": "seven quiet lanterns" });
    assert_eq!(first.ask("POST", "/api/auth/register", None, Some(body)).0, 201);
    assert_eq!(second.login("ada@example.com", "seven quiet lanterns").0, 401);
    first.stop(SIGTERM);
    assert_eq!(second.ask("GET", "/readyz", None, None).0, 200);
    second.stop(SIGTERM);
}

#[test]
fn production_neither_migrates_nor_creates_a_demo() {
    let folder = Folder::new("production");
    let refused = run(&folder, &["serve", "--env", "production", "--log", "error"]);
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert!(complaint.contains("production needs CLINICD_KEY_SECRET"), "{complaint}");
    let secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    std::fs::write(folder.0.join(".env"), format!("CLINICD_KEY_SECRET={}\n", &secret[4..])).unwrap();
    let refused = run(&folder, &["serve", "--env", "production", "--log", "error"]);
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert!(
        complaint.contains("CLINICD_KEY_SECRET is not 32 bytes") && !complaint.contains(&secret[4..]),
        "{complaint}"
    );

    std::fs::write(folder.0.join(".env"), format!("CLINICD_KEY_SECRET={secret}\n")).unwrap();
    let refused = run(&folder, &["serve", "--env", "production", "--log", "error"]);
    assert_eq!(refused.status.code(), Some(1));
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert!(complaint.contains("run `clinicd migrate`"), "{complaint}");
    wait_until("a start that fails stops the cluster too", || !cluster_runs(&folder));

    let migrated = run(&folder, &["migrate", "--log", "error"]);
    assert!(migrated.status.success(), "{migrated:?}");
    let mut serving = Serving::start(&folder, &["--env", "production"]);
    assert!(serving.lines(2)[1].starts_with("Sign up with"));
    assert_eq!(serving.login("admin@demo.example", "demo-clinic-admin").0, 401);
    serving.stop(SIGTERM);
}

#[test]
fn create_admin_works_for_a_new_and_an_existing_clinic() {
    let folder = Folder::new("admin");
    let create = |email: &str, password: &str, clinic: &str| {
        let arguments =
            ["create-admin", "--log", "error", "--email", email, "--password", password, "--clinic", clinic];
        run(&folder, &arguments)
    };
    for email in ["ada@example.com", "bea@example.com"] {
        let made = create(email, "seven quiet lanterns", "Harbour");
        let printed = String::from_utf8(made.stdout).unwrap();
        assert_eq!(printed, format!("{email} is an administrator of Harbour\n"));
    }
    let refused = create("eve@example.com", "password1", "Harbour");
    assert_eq!(refused.status.code(), Some(1));
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert!(complaint.contains("most common"), "{complaint}");

    let serving = Serving::start(&folder, &["--no-demo"]);
    let mut clinics = Vec::new();
    for email in ["ada@example.com", "bea@example.com"] {
        let (status, tokens) = serving.login(email, "seven quiet lanterns");
        assert_eq!((status, &tokens["user"]["role"]), (200, &json!("admin")));
        clinics.push(tokens["user"]["clinic"].clone());
    }
    assert_eq!(clinics[0], clinics[1], "the second joined the clinic of the first");
    serving.stop(SIGTERM);
}

#[test]
fn a_wrong_setting_is_one_line_that_names_it() {
    let folder = Folder::new("wrong");
    for (arguments, named) in [
        (&["serve", "--listen", "nowhere"][..], "--listen"),
        (&["serve", "--db-connections", "0"], "--db-connections"),
        (&["serve", "--access-token-minutes", "never"], "--access-token-minutes"),
        (&["serve", "--env", "staging"], "--env"),
        (&["serve", "--cors-origins", "*"], "--cors-origins"),
        (&["serve", "--log", "clinicd=loud"], "CLINICD_LOG"),
        (&["serve", "--database-url", "mysql://x/y"], "DATABASE_URL"),
        (&["serve", "--policy-dir", "missing"], "missing/model.conf"),
        (&["serve", "--nonsense"], "--nonsense"),
    ] {
        let refused = run(&folder, arguments);
        assert!(!refused.status.success(), "{arguments:?}");
        let complaint = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        assert!(complaint.starts_with("clinicd: ") && complaint.contains(named), "{complaint}");
    }
    // The same setting in a `.env` file.
    std::fs::write(folder.0.join(".env"), "CLINICD_LISTEN=nowhere\n").unwrap();
    let refused = run(&folder, &["serve"]);
    assert!(String::from_utf8(refused.stderr).unwrap().contains("--listen"));
}

#[test]
fn the_log_contains_no_person_and_no_secret() {
    let folder = Folder::new("log");
    let serving = Serving::start(&folder, &["--no-demo"]);
    let secrets = ["Zanzibar", "zanzibar@example.com", "quiet zanzibar lanterns"];
    let body = json!({ "email": secrets[1], "password": secrets[2], "name": secrets[0] });
    let (_, tokens) = serving.ask("POST", "/api/auth/register", None, Some(body));
    let token = tokens["access"].as_str().unwrap().to_owned();
    let patient = json!({ "first_name": secrets[0], "last_name": "X", "email": secrets[1] });
    let (status, _) = serving.ask("POST", "/api/patients", Some(&token), Some(patient.clone()));
    assert_eq!(status, 201);
    serving.ask("POST", "/api/patients", Some(&token), Some(patient));
    serving.ask("GET", "/api/patients?search=Zanzibar", Some(&token), None);
    serving.ask("GET", "/api/Zanzibar", Some(&token), None);
    serving.login(secrets[1], "Zanzibar wrong");
    let (_, log) = serving.stop(SIGTERM);
    let answered: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let operations: Vec<_> = answered.iter().filter_map(|line| line["operation"].as_str()).collect();
    assert_eq!(operations, ["register", "createPatient", "createPatient", "listPatients", "-", "login"]);
    assert!(answered.iter().filter(|line| line["operation"].is_string()).all(|line| line["request"].is_string()));
    let lower = log.to_lowercase();
    assert!(!lower.contains("zanzibar"), "{log}");
    for secret in [&token, tokens["refresh"].as_str().unwrap()] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn the_printed_contract_is_the_committed_one() {
    let folder = Folder::new("openapi");
    let printed = run(&folder, &["openapi"]);
    assert!(printed.stdout == include_bytes!("../../openapi/openapi.json"), "run `make openapi`");
    assert!(Path::new("openapi/openapi.json").exists());
}
