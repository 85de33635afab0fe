//! The policy: its golden table, and the rights that it must grant.

use std::process::Command;

use clinicd::authz::{Policy, PolicyError};
use clinicd::domain::access::{Action, Resource};

const MODEL: &str = include_str!("../policies/model.conf");
const CSV: &str = include_str!("../policies/policy.csv");
const MATRIX: &str = include_str!("../policies/matrix.txt");

async fn policy() -> Policy {
    Policy::built_in().await.expect("the built-in policy")
}

/// Returns the scopes as text, or `-` if the role has no right.
fn scopes(policy: &Policy, role: &str, resource: Resource, action: Action) -> String {
    policy.decide(role, resource, action).map_or_else(|| "-".to_owned(), ToString::to_string)
}

#[tokio::test]
async fn the_matrix_is_golden() {
    let matrix = policy().await.matrix();
    assert_eq!(
        matrix, MATRIX,
        "policies/matrix.txt does not match policy.csv; run `make openapi` and review the change"
    );
}

#[tokio::test]
async fn a_removed_policy_line_changes_the_golden_matrix() {
    let lines: Vec<&str> = CSV.lines().collect();
    let rules = lines.iter().enumerate().filter(|(_, line)| line.starts_with("p,"));
    for (removed, rule) in rules {
        let kept: Vec<_> = lines.iter().enumerate().filter(|(n, _)| *n != removed).map(|(_, line)| *line).collect();
        match Policy::parse(MODEL, &kept.join("\n")).await {
            Ok(policy) => assert_ne!(policy.matrix(), MATRIX, "without {rule:?}"),
            // The policy cannot be read without the line that grants the administration of users.
            Err(PolicyError::NoAdministrator) => assert_eq!(*rule, "p, admin, users, update, clinic"),
            Err(error) => panic!("without {rule:?}: {error}"),
        }
    }
}

#[tokio::test]
async fn an_administrator_may_do_everything_in_the_clinic() {
    let policy = policy().await;
    for resource in Resource::ALL {
        for action in resource.actions() {
            assert_eq!(scopes(&policy, "admin", resource, *action), "clinic", "{resource:?} {action:?}");
        }
    }
    assert_eq!(policy.founder_role(), "admin");
    assert_eq!(policy.administering_roles(), ["admin"]);
}

#[tokio::test]
async fn staff_read_doctors_and_work_with_their_own_patients() {
    let policy = policy().await;
    for resource in Resource::ALL {
        for action in resource.actions() {
            let expected = match (resource, action) {
                (Resource::Doctors | Resource::Schedules, Action::Read) => "clinic",
                (Resource::Patients, Action::Transfer) => "-",
                (Resource::Patients | Resource::Mappings | Resource::Appointments | Resource::Waitlist, _) => "own",
                _ => "-",
            };
            assert_eq!(scopes(&policy, "staff", resource, *action), expected, "{resource:?} {action:?}");
        }
    }
}

#[tokio::test]
async fn doctors_read_assigned_rows_and_change_status_and_hours() {
    let policy = policy().await;
    for resource in Resource::ALL {
        for action in resource.actions() {
            let expected = match (resource, action) {
                (Resource::Doctors | Resource::Schedules, Action::Read) => "clinic",
                (
                    Resource::Patients | Resource::Mappings | Resource::Appointments | Resource::Waitlist,
                    Action::Read,
                ) => "assigned",
                (Resource::Appointments, Action::Transition) | (Resource::Schedules, Action::Update) => "assigned",
                _ => "-",
            };
            assert_eq!(scopes(&policy, "doctor", resource, *action), expected, "{resource:?} {action:?}");
        }
    }
}

#[tokio::test]
async fn only_administrators_create_change_and_delete_doctors() {
    let policy = policy().await;
    for action in [Action::Create, Action::Update, Action::Delete] {
        let allowed = |role: &&String| policy.decide(role, Resource::Doctors, action).is_some();
        let roles: Vec<_> = policy.roles().iter().filter(allowed).collect();
        assert_eq!(roles, ["admin"], "{action:?}");
    }
}

/// Runs the program and returns its exit code, output and error message.
fn clinicd(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_clinicd")).args(arguments).output().expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_policy_command_answers_as_the_table() {
    let check = |role, resource, action| {
        clinicd(&["policy", "check", "--role", role, "--resource", resource, "--action", action])
    };
    let (code, out, _) = check("staff", "patients", "read");
    assert_eq!((code, out.as_str()), (Some(0), "own\n"));
    let (code, out, _) = check("doctor", "doctors", "delete");
    assert_eq!((code, out.as_str()), (Some(1), "denied\n"));
    let (code, _, complaint) = check("nurse", "patients", "read");
    assert_eq!(code, Some(1));
    assert_eq!(complaint, "clinicd: unknown role \"nurse\"; the roles are admin, staff, doctor\n");
    let (code, matrix, _) = clinicd(&["policy", "matrix"]);
    assert_eq!((code, matrix.as_str()), (Some(0), MATRIX));
}

#[test]
fn an_unknown_word_in_a_policy_is_refused_with_one_line() {
    let folder = std::env::temp_dir().join(format!("clinicd-policy-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("model.conf"), MODEL).unwrap();
    std::fs::write(folder.join("policy.csv"), format!("{CSV}p, nurse, patients, peek, clinic\n")).unwrap();
    let (code, _, complaint) = clinicd(&["policy", "matrix", "--policy-dir", folder.to_str().unwrap()]);
    std::fs::remove_dir_all(&folder).unwrap();
    let line = CSV.lines().count() + 1;
    assert_eq!(code, Some(1));
    assert_eq!(complaint, format!("clinicd: policy.csv line {line}: `patients` has no action `peek`\n"));
}

/// Role names may appear only in the policy, in the demo's data and in examples.
#[test]
fn no_role_is_written_in_the_code() {
    let mut found = Vec::new();
    for (path, text) in sources("src".as_ref()) {
        // Data and examples, and the fields that links refer to.
        if ["demo.rs", "spec/examples.rs", "spec/links.rs"].iter().any(|name| path.ends_with(name)) {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let mut in_example = false;
        for line in code.lines() {
            in_example = (in_example || line.starts_with("impl Example for")) && line != "}";
            let names_a_role = ["\"admin\"", "\"staff\"", "\"doctor\""].iter().any(|name| line.contains(name));
            // `doctor` is also a field and a parameter.
            let names_a_field = line.contains("errors.add(")
                || line.contains("Error::invalid(")
                || line.contains("INVALID, \"doctor\"")
                || line.contains("DOCTOR_INACTIVE, \"doctor\"");
            if names_a_role && !in_example && !names_a_field && !line.trim_start().starts_with("//") {
                found.push(format!("{path}: {}", line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "a role's name in the code: {found:#?}");
}

/// Returns every source file below a folder, with its text.
fn sources(folder: &std::path::Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push((path.display().to_string(), std::fs::read_to_string(&path).expect("a source file")));
        }
    }
    found
}
