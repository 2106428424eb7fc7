//! Which pg_dump, pg_restore and psql to use.
//!
//! pg_dump refuses servers that are newer than itself. Its output may use what is new in its own
//! version, so the best choice is the target's version, then the nearest below it, then above.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;

/// The programs that must be together in one directory.
const PROGRAMS: [&str; 3] = ["pg_dump", "pg_restore", "psql"];

/// Major versions whose usual directories are looked at.
const MAJORS: std::ops::RangeInclusive<u16> = 15..=20;

/// A directory with all three programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tools {
    pub(super) major: u16,
    pub(super) directory: PathBuf,
}

impl Tools {
    /// The path of one of them.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn at(directory: PathBuf) -> Option<Self> {
        if !PROGRAMS.iter().all(|program| directory.join(program).is_file()) {
            return None;
        }
        let output = Command::new(directory.join("pg_dump")).arg("--version").output().ok()?;
        let major = major_of(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self { major, directory })
    }
}

/// `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` is 15.
fn major_of(version: &str) -> Option<u16> {
    let number = version.trim().strip_prefix("pg_dump (PostgreSQL) ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// All that are installed; `named` alone if it is given.
pub(super) fn find(named: Option<&Path>) -> Result<Vec<Tools>, Error> {
    if let Some(named) = named {
        return Tools::at(named.to_owned()).map(|tools| vec![tools]).ok_or_else(|| {
            Error::usage(format!("{} has no working pg_dump, pg_restore and psql", named.display()))
        });
    }
    let usual = MAJORS.flat_map(|major| {
        [format!("/usr/lib/postgresql/{major}/bin"), format!("/usr/pgsql-{major}/bin")].map(PathBuf::from)
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places =
        crate::serve::installation_directories().into_iter().chain(usual).chain(std::env::split_paths(&path));
    let mut found: Vec<Tools> = Vec::new();
    for tools in places.filter_map(Tools::at) {
        if !found.iter().any(|known| known.major == tools.major) {
            found.push(tools);
        }
    }
    Ok(found)
}

/// Refuses when nothing here can read the source; names what is missing.
pub(super) fn check(found: &[Tools], source: u16) -> Result<(), Error> {
    if found.iter().any(|tools| tools.major >= source) {
        return Ok(());
    }
    let have = match found.iter().map(|tools| tools.major).max() {
        Some(newest) => format!("the newest here is {newest}"),
        None => "there is none here".to_owned(),
    };
    Err(Error::failed(format!(
        "the source is PostgreSQL {source}, which needs pg_dump, pg_restore and psql of version {source} or newer: {have}"
    ))
    .hint("`scripts/postgres --extras` brings those of 16 and 18.")
    .hint(format!("Or install them with the system's package manager (on Debian: `apt install postgresql-client-{source}`).")))
}

/// The best of those that can read the source.
pub(super) fn choose(found: &[Tools], source: u16, target: u16) -> Result<&Tools, Error> {
    check(found, source)?;
    let able = found.iter().filter(|tools| tools.major >= source);
    let best = able.min_by_key(|tools| (tools.major > target, tools.major.abs_diff(target)));
    best.ok_or_else(|| Error::failed("there is no pg_dump"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn fake(root: &Path, major: u16, programs: &[&str]) -> PathBuf {
        let directory = root.join(major.to_string());
        fs::create_dir(&directory).unwrap();
        for program in programs {
            let path = directory.join(program);
            fs::write(&path, format!("#!/bin/sh\necho '{program} (PostgreSQL) {major}.3 (made up)'\n"))
                .unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        directory
    }

    #[test]
    fn a_directory_has_all_or_counts_as_none() {
        let root = tempfile::tempdir().unwrap();
        let complete = fake(root.path(), 16, &PROGRAMS);
        assert_eq!(find(Some(&complete)).unwrap(), [Tools { major: 16, directory: complete }]);
        let partly = fake(root.path(), 17, &["pg_dump", "psql"]);
        assert_eq!(find(Some(&partly)).unwrap_err().class().status(), 2);
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(major_of("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major_of("pg_dump (PostgreSQL) 19beta1\n"), Some(19));
        assert_eq!(major_of("pg_dump: not found"), None);
    }

    #[test]
    fn the_target_s_own_version_is_best() {
        let all: Vec<Tools> = [15, 16, 18].map(|major| Tools { major, directory: PathBuf::new() }).into();
        let chosen = |source, target| choose(&all, source, target).map(|tools| tools.major).ok();
        assert_eq!(chosen(15, 15), Some(15));
        assert_eq!(chosen(15, 18), Some(18));
        assert_eq!(chosen(15, 17), Some(16), "the nearest below");
        assert_eq!(chosen(17, 17), Some(18), "else above");
        assert_eq!(chosen(12, 15), Some(15));
        assert_eq!(chosen(19, 19), None);
    }

    #[test]
    fn what_is_missing_is_named() {
        let old = [Tools { major: 15, directory: PathBuf::new() }];
        let report = check(&old, 17).unwrap_err().report().to_string();
        assert!(report.contains("version 17 or newer: the newest here is 15"), "{report}");
        assert!(
            report.contains("scripts/postgres --extras") && report.contains("postgresql-client-17"),
            "{report}"
        );
        assert!(check(&[], 15).unwrap_err().report().to_string().contains("there is none here"));
    }
}
