//! The account that owns the cluster, and the cluster's folder.

use std::ffi::OsStr;
use std::fs;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{User, getegid, geteuid};

use super::{At, DATA, LocalClusterError, Result, SYSTEM_FOLDER, output_of, path_hash};

/// The account that PostgreSQL runs as. PostgreSQL refuses to run as root.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    pub(super) fn command(self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        // The program gets its own process group. Otherwise Ctrl-C in the terminal would kill it before it is done.
        command.current_dir(folder).stdin(Stdio::null()).process_group(0);
        if geteuid().is_root() {
            // Setting the user id as root also clears the supplementary groups.
            command.uid(self.uid).gid(self.gid);
        }
        forget_settings(&mut command).env("LC_ALL", "C").env("PGCONNECT_TIMEOUT", "10");
        command
    }

    fn can_enter(self, folder: &Path) -> Result<bool> {
        let mut command = self.command(Path::new("sh"), Path::new("/"));
        Ok(output_of(command.args(["-c", r#"test -x "$1""#, "sh"]).arg(folder))?.status.success())
    }
}

/// Removes this program's settings and secrets from the environment of another program, and PGDATA, PGPORT, PGOPTIONS
/// and similar variables, which are meant for other servers.
pub(super) fn forget_settings(command: &mut Command) -> &mut Command {
    let is_setting = |name: &OsStr| {
        ["PG", "CLINICD_"].iter().any(|start| name.as_bytes().starts_with(start.as_bytes())) || name == "DATABASE_URL"
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_setting(name)) {
        command.env_remove(name);
    }
    command
}

/// Returns the folder and the account of the cluster of a data folder. Root's clusters belong to an unprivileged
/// account.
pub(super) fn place(data_dir: &Path) -> Result<(PathBuf, Account)> {
    let near = data_dir.join("postgres");
    if !geteuid().is_root() {
        return Ok((near, Account { uid: geteuid().as_raw(), gid: getegid().as_raw() }));
    }
    let far = Path::new(SYSTEM_FOLDER).join(format!("{:016x}", path_hash(data_dir)));
    // An existing cluster keeps its folder and its account, even if the permissions of folders have changed.
    for base in [&far, &near] {
        if let Ok(data) = fs::metadata(base.join(DATA)) {
            let account = Account { uid: data.uid(), gid: data.gid() };
            if !account.can_enter(base)? {
                return Err(LocalClusterError::Unreachable { path: base.clone(), uid: account.uid });
            }
            return Ok((base.clone(), account));
        }
    }
    let user = ["postgres", "nobody"].into_iter().find_map(|name| User::from_name(name).ok().flatten());
    let user = user.ok_or(LocalClusterError::NoUnprivilegedUser)?;
    let account = Account { uid: user.uid.as_raw(), gid: user.gid.as_raw() };
    if account.can_enter(data_dir)? {
        return Ok((near, account));
    }
    let system = Path::new(SYSTEM_FOLDER);
    fs::create_dir_all(system).at(system)?;
    fs::set_permissions(system, fs::Permissions::from_mode(0o755)).at(system)?;
    Ok((far, account))
}

/// Creates `folder` if necessary, gives it to the account and closes it to other users. Refuses a folder that belongs
/// to another user.
pub(super) fn private_folder(folder: &Path, account: Account) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error).at(folder),
        _ => {}
    }
    let found = fs::symlink_metadata(folder).at(folder)?;
    if !found.is_dir() || ![account.uid, geteuid().as_raw()].contains(&found.uid()) {
        return Err(LocalClusterError::NotOurs { path: folder.to_owned(), uid: account.uid });
    }
    if found.uid() != account.uid {
        lchown(folder, Some(account.uid), Some(account.gid)).at(folder)?;
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).at(folder)
}
