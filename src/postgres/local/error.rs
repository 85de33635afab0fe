//! Errors of the private cluster.

use std::io;
use std::path::{Path, PathBuf};

/// Why the local cluster could not be started or stopped.
#[allow(missing_docs, reason = "the messages say what the fields are")]
#[derive(Debug, thiserror::Error)]
pub enum LocalClusterError {
    /// No folder with PostgreSQL's server programs was found.
    #[error(
        "PostgreSQL is not installed: run `apt-get install postgresql`, or set CLINICD_PG_BIN to the folder of its programs"
    )]
    NoBinaries,
    /// The existing cluster was created by a major version whose programs are not installed.
    #[error("{} was created by PostgreSQL {major}, which is not installed: run `apt-get install postgresql-{major}`, or set CLINICD_PG_BIN to the folder of its programs", data.display())]
    MissingVersion { data: PathBuf, major: u32 },
    /// The program runs as root, and no account exists that PostgreSQL could run as.
    #[error("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it as")]
    NoUnprivilegedUser,
    /// The account that owns an existing cluster can no longer enter its folder.
    #[error("the user with id {uid}, who owns the PostgreSQL cluster in {}, cannot enter that folder: check the permissions of the folders above it", path.display())]
    Unreachable { path: PathBuf, uid: u32 },
    /// A private folder of the cluster is not a folder or belongs to another user.
    #[error("{} is not a folder that belongs to the user PostgreSQL runs as (id {uid})", path.display())]
    NotOurs { path: PathBuf, uid: u32 },
    /// Creating the cluster failed.
    #[error("initdb failed: {output}")]
    Initdb { output: String },
    /// The server did not start. `log` has its last lines.
    #[error("PostgreSQL did not start: {log}")]
    Start { log: String },
    /// The server runs, but does not answer or refuses to create the database.
    #[error("the local PostgreSQL does not answer: {output}")]
    Query { output: String },
    /// The server did not stop.
    #[error("PostgreSQL did not stop: {output}")]
    Stop { output: String },
    /// A file, folder or program could not be used.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// The start was given up, or the runtime was shut down.
    #[error("interrupted before it was done")]
    Interrupted,
}

pub(super) type Result<T, E = LocalClusterError> = std::result::Result<T, E>;

/// Adds the path to an I/O error.
pub(super) trait At<T> {
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|source| LocalClusterError::Io { path: path.to_owned(), source })
    }
}
