//! Reads the sources and checks which layer uses which: the table of `src/lib.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

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
    assert!(found.len() > 50, "the sources are found");
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

/// The layers of `src/api`, and which of them each may use.
const API_LAYERS: &[(&str, &[&str])] = &[
    ("http", &[]),
    ("context", &["http"]),
    ("views", &["http"]),
    ("spec", &["views", "http"]),
    ("operations", &["context", "views", "http"]),
];

#[test]
fn each_layer_of_the_api_uses_only_lower_ones() {
    let files = Sources::read();
    let mut wrong = Vec::new();
    for (user, used) in files.uses() {
        let layer = |file: &str| file.strip_prefix("api/")?.split(['/', '.']).next().map(str::to_owned);
        let (Some(above), Some(below)) = (layer(&user), layer(&used)) else { continue };
        let allowed = API_LAYERS.iter().find(|(of, _)| *of == above).map(|(_, allowed)| *allowed);
        if above != below && allowed.is_some_and(|allowed| !allowed.contains(&below.as_str())) {
            wrong.push(format!("{user} uses {used}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Features whose files may use each other. Each is one unit that is divided into several files.
const FEATURES: &[&str] = &["actors/schedule/", "cli/", "postgres/local/"];

#[test]
fn no_circle_of_uses_spans_several_features() {
    let files = Sources::read();
    let uses = files.uses();
    assert!(uses.len() > 500, "the uses are found: {}", uses.len());
    let circles: Vec<_> = circles(&uses)
        .into_iter()
        .filter(|circle| !FEATURES.iter().any(|feature| circle.iter().all(|file| file.starts_with(feature))))
        .collect();
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn a_circle_is_found_but_a_chain_is_not() {
    let uses = [("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(circles(&BTreeSet::from(uses)), [BTreeSet::from(["b".to_owned(), "c".to_owned()])].into());
}

/// Returns the groups of files that reach each other.
fn circles(uses: &BTreeSet<(String, String)>) -> BTreeSet<BTreeSet<String>> {
    let reached = |from: &str| {
        let (mut found, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(file) = open.pop() {
            let next = uses.iter().filter(|(user, _)| *user == file).map(|(_, used)| used.clone());
            open.extend(next.filter(|used| found.insert(used.clone())));
        }
        found
    };
    let files: BTreeSet<_> = uses.iter().map(|(user, _)| user.clone()).collect();
    let all: BTreeMap<_, _> = files.iter().map(|file| (file.clone(), reached(file))).collect();
    let circles = all.iter().map(|(file, reached)| {
        let back = reached.iter().filter(|other| all.get(*other).is_some_and(|reached| reached.contains(file)));
        back.cloned().collect::<BTreeSet<_>>()
    });
    circles.filter(|circle| circle.len() > 1).collect()
}

/// The modules of `src` with their file names and their code, without comments and tests.
struct Sources(BTreeMap<Vec<String>, (String, String)>);

impl Sources {
    fn read() -> Self {
        Self(
            sources()
                .into_iter()
                .map(|(name, _, text)| {
                    let path = name.trim_end_matches(".rs").trim_end_matches("/mod");
                    let module = path.split('/').filter(|part| *part != "lib").map(str::to_owned).collect();
                    let lines = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().lines();
                    let code: Vec<_> = lines.map(|line| line.split("//").next().unwrap_or_default()).collect();
                    (module, (name, code.join("\n")))
                })
                .collect(),
        )
    }

    /// Returns which file uses which, by `use` and by paths in the code. A re-export (`pub use`) is followed to its
    /// source. It is not counted as a use itself.
    fn uses(&self) -> BTreeSet<(String, String)> {
        let mut uses = BTreeSet::new();
        for (module, (name, text)) in &self.0 {
            for path in paths(text) {
                let Some(used) = self.absolute(module, &path).and_then(|path| self.file_of(&path, 0)) else { continue };
                if !used.is_empty() && used != *module {
                    uses.insert((name.clone(), self.0[&used].0.clone()));
                }
            }
        }
        uses
    }

    /// Returns a path from the crate's root, or `None` if it belongs to another crate.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Vec<String>> {
        let ups = path.iter().take_while(|part| *part == "super").count();
        let (from, rest) = match path.first()?.as_str() {
            "crate" => (&[][..], &path[1..]),
            "self" => (module, &path[1..]),
            "super" => (module.get(..module.len().checked_sub(ups)?)?, &path[ups..]),
            _ if self.0.contains_key(&[module, &path[..1]].concat()) => (module, path),
            _ => return None,
        };
        Some([from, rest].concat())
    }

    /// Returns the module whose file contains the item of a path.
    fn file_of(&self, path: &[String], reexports: usize) -> Option<Vec<String>> {
        let depth = (0..=path.len()).rev().find(|depth| self.0.contains_key(&path[..*depth]))?;
        let (module, rest) = path.split_at(depth);
        let reexport = rest.first().filter(|_| reexports < 5).and_then(|name| {
            let mut reexports = statements(&self.0[module].1, true).flat_map(named);
            let reexport =
                reexports.find(|reexport| reexport.last().is_some_and(|last| last == name || last == "*"))?;
            let reexport: Vec<_> = reexport.into_iter().filter(|part| part != "*").collect();
            self.absolute(module, &reexport)
        });
        match reexport {
            Some(reexport) => self.file_of(&reexport, reexports + 1),
            None => Some(module.to_owned()),
        }
    }
}

/// Returns the paths after `use`, or after `pub use` if `is_reexport`.
fn statements(text: &str, is_reexport: bool) -> impl Iterator<Item = &str> {
    text.match_indices("use ").filter_map(move |(at, _)| {
        let before = text[..at].rsplit('\n').next().unwrap_or_default().trim();
        let is_statement = before.is_empty() || before.starts_with("pub");
        (is_statement && before.starts_with("pub") == is_reexport).then(|| text[at + 4..].split(';').next())?
    })
}

/// Returns every path that a text uses.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut paths: Vec<_> = statements(text, false).flat_map(named).collect();
    let written = statements(text, true).chain(statements(text, false));
    let text = &written.fold(text.to_owned(), |text, reexport| text.replace(reexport, ""));
    for (at, _) in text.match_indices("::") {
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        let begin = text[..at].rfind(|c| !is_part(c)).map_or(0, |before| before + 1);
        let end = text[at..].find(|c| !is_part(c)).map_or(text.len(), |length| at + length);
        if text[begin..end].ends_with("::") {
            continue;
        }
        paths.push(text[begin..end].split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect());
    }
    paths.retain(|path| path.len() > 1);
    paths
}

/// Returns the paths of a `use`, with its braces resolved.
fn named(text: &str) -> Vec<Vec<String>> {
    let Some((before, rest)) = text.split_once('{') else {
        let path = text.split(" as ").next().unwrap_or_default().split("::").map(|part| part.trim().to_owned());
        return vec![path.filter(|part| !part.is_empty() && part != "self").collect()];
    };
    let before: Vec<_> = before.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let inside = &rest[..rest.rfind('}').unwrap_or(rest.len())];
    let mut depth = 0;
    let entries = inside.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let entries = entries.filter(|entry| !entry.trim().is_empty());
    entries.flat_map(named).map(|path| [before.as_slice(), &path].concat()).collect()
}
