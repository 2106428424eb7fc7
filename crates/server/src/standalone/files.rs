//! Reads a `pgbouncer.ini` with what it includes, and the lists that it names.
//!
//! Names of files are relative to the working directory, as PgBouncer's are.

use std::io;
use std::path::{Path, PathBuf};

use dormouse_pooler::config::hba::{Hba, HbaError, Ident};
use dormouse_pooler::config::ini::{self, Ini, IniError};
use dormouse_pooler::config::userlist;
use dormouse_proxy::upstream::{Lists, Plan, PlanError};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A line of the configuration.
    #[error(transparent)]
    Ini(IniError),
    /// A line of the HBA file, or of its names.
    #[error("{}, {source}", path.display())]
    Hba {
        /// The file.
        path: PathBuf,
        /// The line, and what is wrong with it.
        source: HbaError,
    },
    /// What it says as a whole.
    #[error("{}", path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: PlanError,
    },
}

/// Reads a configuration.
///
/// # Errors
/// When a file cannot be read, or does not say what can be done.
pub fn load(file: &Path) -> Result<Plan, LoadError> {
    let text = read(file)?;
    let mut ini = ini::parse(&text, &file.display().to_string(), &mut |name| std::fs::read_to_string(name))
        .map_err(LoadError::Ini)?;
    // So that SHOW CONFIG says where it came from.
    ini.settings.set("conffile", &file.display().to_string()).expect("any text is good for it");
    plan(ini, file)
}

/// What settings mean, with the lists that they name.
///
/// # Errors
/// When a list cannot be read, or they do not say what can be done.
pub(super) fn plan(ini: Ini, file: &Path) -> Result<Plan, LoadError> {
    let named = |name: &str| ini.settings.get(name).filter(|name| !name.is_empty()).map(PathBuf::from);
    let mut lists = Lists::default();
    let auth = ini.settings.get("auth_type").unwrap_or_default();
    if let Some(path) = named("auth_file") {
        users(&path, auth != "any", &mut lists);
    }
    // The others are only needed for what refers to them.
    if auth == "hba" {
        if let Some(path) = named("auth_hba_file") {
            lists.hba = Hba::parse(&read(&path)?).map_err(|source| LoadError::Hba { path, source })?;
        }
        if let Some(path) = named("auth_ident_file") {
            lists.ident = Ident::parse(&read(&path)?).map_err(|source| LoadError::Hba { path, source })?;
        }
    }
    Plan::new(ini, lists).map_err(|source| LoadError::Plan { path: file.to_owned(), source })
}

/// Reads the list of users. As in PgBouncer, what is wrong with it is logged, and keeps nobody else out: roles may be
/// looked up on a server, too.
fn users(path: &Path, needed: bool, lists: &mut Lists) {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let found = userlist::parse(&text);
            lists.users = found.entries;
            let told = |problem| format!("broken auth file: {}, {problem}", path.display());
            lists.problems.extend(found.problems.into_iter().map(told));
        }
        Err(error) => {
            lists.users_unread = true;
            let told = || format!("could not open auth_file {}: {error}", path.display());
            lists.problems.extend(needed.then(told));
        }
    }
}

fn read(path: &Path) -> Result<String, LoadError> {
    std::fs::read_to_string(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_hba_are_read_for_hba_only() {
        let read = |auth: &str| {
            let text = format!(
                "[pgbouncer]\nauth_type = {auth}\nauth_hba_file = /nowhere/hba\nauth_ident_file = /nowhere/map\n"
            );
            let ini = ini::parse(&text, "test", &mut |_| Err(io::ErrorKind::NotFound.into())).unwrap();
            plan(ini, Path::new("test"))
        };
        for auth in ["md5", "cert", "peer", "trust"] {
            read(auth).unwrap();
        }
        assert!(matches!(read("hba"), Err(LoadError::Read { .. })));
    }
}
