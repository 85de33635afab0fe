//! Reads the sources and checks which layer uses which: the table of `src/lib.rs`.

use std::{collections::BTreeSet, fs, path::Path};

/// The modules that each layer may use. Only `app`, `cli`, `demo` and `main` may use all.
const MAY_USE: &[(&str, &[&str])] = &[
    ("api", &["authn", "authz", "actors", "domain", "clock"]),
    ("authn", &["actors", "domain", "clock"]),
    ("authz", &["actors", "domain"]),
    ("actors", &["repository", "domain", "clock"]),
    ("repository", &["domain"]),
    ("domain", &[]),
    ("clock", &[]),
    ("postgres", &["clock"]),
    ("telemetry", &[]),
    ("config", &["authn"]),
];

/// Files with more than 400 lines, each with its reason. The list must only shrink.
const LONG_FILES: &[&str] = &[];

/// Returns every source file of `src`, with its layer.
fn sources() -> Vec<(String, String, String)> {
    fn walk(folder: &Path, found: &mut Vec<(String, String, String)>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
                continue;
            }
            let name = path.strip_prefix("src").expect("below src").display().to_string();
            let layer = name.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
            found.push((name, layer, fs::read_to_string(&path).expect("a source file")));
        }
    }
    let mut found = Vec::new();
    walk("src".as_ref(), &mut found);
    found.retain(|(name, _, _)| name.ends_with(".rs"));
    assert!(found.len() > 50, "the sources are where they were");
    found
}

/// Returns the modules that a text names after `crate::`, also in braces over several lines.
fn used_modules(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => used.extend(first_words_of_group(group)),
            None => used.extend(first_word(rest)),
        }
    }
    used
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

/// Returns the first words of a brace group's own entries, without those of inner groups.
fn first_words_of_group(group: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut depth, mut entry_begins) = (0, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                words.extend(first_word(&group[entry_begins..at]));
                entry_begins = at + 1;
                if letter == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    words
}

#[test]
fn each_layer_uses_only_what_is_below_it() {
    let mut wrong = Vec::new();
    for (name, layer, text) in sources() {
        let Some((_, allowed)) = MAY_USE.iter().find(|(of, _)| *of == layer) else {
            assert!(["app", "cli", "demo", "lib", "main"].contains(&&*layer), "{name} is in no layer of the table");
            continue;
        };
        for used in used_modules(&text) {
            if used != layer && !allowed.contains(&&*used) {
                wrong.push(format!("{name} uses {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_reader_of_uses_sees_through_braces() {
    let text = "use crate::{\n    actors::{repository::Page, schedule},\n    domain::{Caller, fields::tidy},\n};\nuse crate::authn;";
    let used: Vec<_> = used_modules(text).into_iter().collect();
    assert_eq!(used, ["actors", "authn", "domain"]);
}

#[test]
fn the_domain_is_pure() {
    let foreign = ["sqlx", "poem", "ractor", "tokio::", "Utc::now", "Local::now", "SystemTime"];
    let mut wrong = Vec::new();
    for (name, layer, text) in sources() {
        for word in foreign.iter().filter(|word| layer == "domain" && text.contains(**word)) {
            wrong.push(format!("{name} has {word}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn http_stays_in_api_and_sql_below_the_actors() {
    let mut wrong = Vec::new();
    for (name, layer, text) in sources() {
        if text.contains("poem") && !["api", "app"].contains(&&*layer) {
            wrong.push(format!("{name} knows poem"));
        }
        if text.contains("sqlx::") && !["repository", "actors", "postgres"].contains(&&*layer) {
            wrong.push(format!("{name} knows sqlx"));
        }
        if text.contains("sqlx::query!") && layer != "repository" {
            wrong.push(format!("{name} has SQL"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_is_longer_than_the_limit() {
    let long = sources().into_iter().filter(|(_, _, text)| text.lines().count() > 400);
    let long: Vec<_> = long.map(|(name, _, _)| name).collect();
    assert_eq!(long, LONG_FILES);
}

#[test]
fn every_case_of_scheduling_names_tests_that_exist() {
    let mut code: String = sources().into_iter().map(|(_, _, text)| text).collect();
    for entry in fs::read_dir("tests/api").expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            code += &fs::read_to_string(path).expect("a test file");
        }
    }
    let document = fs::read_to_string("docs/scheduling.md").expect("the cases");
    let cases: Vec<_> = document.lines().skip_while(|line| !line.starts_with("| case")).skip(2).collect();
    let cases: Vec<_> = cases.into_iter().take_while(|line| line.starts_with('|')).collect();
    assert_eq!(cases.len(), 28);
    for case in cases {
        let tests = case.trim_end_matches(" |").rsplit(" | ").next().expect("a cell of tests");
        let names: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test is named in {case}");
        for name in names {
            assert!(code.contains(&format!("fn {name}(")), "there is no test {name}");
        }
    }
    let names = document.split('`').skip(1).step_by(2);
    for name in names.filter(|name| name.matches('_').count() > 3) {
        assert!(code.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}
