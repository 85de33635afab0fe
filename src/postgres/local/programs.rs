//! Finds PostgreSQL's programs on this machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::account::forget_settings;
use super::{At, LocalClusterError, Result};

/// Returns the folder of PostgreSQL's programs. An existing cluster needs the major version that created it; otherwise
/// the first folder is taken.
pub(super) fn find_binaries(data: &Path) -> Result<PathBuf> {
    let version_path = data.join("PG_VERSION");
    let needed = match fs::read_to_string(&version_path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        content => content.at(&version_path)?.trim().parse::<u32>().ok(),
    };
    for folder in binary_folders() {
        let Some(major) = major_version(&folder) else {
            continue;
        };
        if needed.is_none_or(|needed| needed == major) {
            return folder.canonicalize().at(&folder);
        }
    }
    Err(match needed {
        Some(major) => LocalClusterError::MissingVersion { data: data.to_owned(), major },
        None => LocalClusterError::NoBinaries,
    })
}

fn binary_folders() -> Vec<PathBuf> {
    if let Some(folder) = std::env::var_os("CLINICD_PG_BIN").filter(|folder| !folder.is_empty()) {
        return vec![folder.into()];
    }
    let mut folders = versioned_folders("/usr/lib/postgresql", "");
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    folders.push("/usr/local/pgsql/bin".into());
    for (parent, prefix) in
        [("/usr", "pgsql-"), ("/opt/homebrew/opt", "postgresql@"), ("/usr/local/opt", "postgresql@")]
    {
        folders.extend(versioned_folders(parent, prefix));
    }
    folders
}

/// Returns the folders `<parent>/<prefix><version>/bin`, newest version first.
fn versioned_folders(parent: &str, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// Returns the major version of PostgreSQL in `folder`, or `None` if a required program is missing.
fn major_version(folder: &Path) -> Option<u32> {
    if !["initdb", "pg_ctl", "postgres", "psql"].iter().all(|program| folder.join(program).is_file()) {
        return None;
    }
    // "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)", or "17beta1" in place of the number
    let output = forget_settings(&mut Command::new(folder.join("postgres"))).arg("--version").output().ok()?;
    let output = String::from_utf8(output.stdout).ok()?;
    output.split_whitespace().nth(2)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
