//! Which PostgreSQL installations exist, and where their parts are.
//!
//! Order (DESIGN §11): directories named with `--pg-dir`, the system's usual places, Dormouse's own
//! directory, where `scripts/postgres` puts what the system lacks. The first of a major version wins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Major versions that Dormouse runs.
pub const SUPPORTED: std::ops::RangeInclusive<u16> = 15..=18;

/// The environment variable that moves Dormouse's own directory of installations.
pub const HOME_VARIABLE: &str = "DORMOUSE_PG_HOME";

/// One installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Major version.
    pub major: u16,
    /// Full version as it reports itself, such as `15.18 (Debian 15.18-0+deb12u1)`.
    pub version: String,
    /// The directory with `postgres` and `initdb`.
    pub bin: PathBuf,
    /// The directory with `postgres.bki` and `extension/`.
    pub share: PathBuf,
    /// The directory with loadable modules such as `plpgsql.so`.
    pub pkglib: PathBuf,
    /// Whether it can compress pages in the WAL with LZ4: a choice of whoever built it.
    pub lz4: bool,
}

impl Installation {
    /// Looks at a `bin` directory (or its parent).
    #[must_use]
    pub fn at(dir: &Path) -> Option<Self> {
        let bin = [dir.to_owned(), dir.join("bin")].into_iter().find(|d| d.join("postgres").is_file())?;
        let bin = bin.canonicalize().ok()?;
        let output = Command::new(bin.join("postgres")).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let version = text.trim().strip_prefix("postgres (PostgreSQL) ")?.to_owned();
        let major = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
        let prefix = bin.parent()?;
        let share = first_with(
            "postgres.bki",
            [
                prefix.join("share/postgresql"),
                prefix.join("share"),
                PathBuf::from(format!("/usr/share/postgresql/{major}")),
                PathBuf::from("/usr/share/pgsql"),
            ],
        )?;
        let pkglib = first_with(
            "plpgsql.so",
            [
                prefix.join("lib/postgresql"),
                prefix.join("lib"),
                prefix.join("lib64/postgresql"),
                prefix.join("lib64/pgsql"),
            ],
        )?;
        let lz4 = takes(&bin, "wal_compression", "lz4");
        Some(Self { major, version, bin, share, pkglib, lz4 })
    }

    /// Whether a loadable library is installed, such as `pg_stat_statements`.
    #[must_use]
    pub fn has_library(&self, name: &str) -> bool {
        self.pkglib.join(format!("{name}.so")).is_file()
    }

    /// The extensions that can be created, by name.
    #[must_use]
    pub fn extensions(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.share.join("extension")) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .filter_map(|e| Some(e.ok()?.file_name().to_str()?.strip_suffix(".control")?.to_owned()))
            .collect();
        names.sort_unstable();
        names
    }
}

/// Whether `postgres` takes this value of a setting. It starts nothing and reads no cluster: it says what the value
/// would be, or that it is invalid.
fn takes(bin: &Path, setting: &str, value: &str) -> bool {
    let output = Command::new(bin.join("postgres"))
        // First, because root may ask only so.
        .args(["-C", setting, "-c", &format!("{setting}={value}"), "-c", "config_file=/dev/null", "-D", "/"])
        .output();
    output.is_ok_and(|output| output.status.success() && output.stdout.trim_ascii() == value.as_bytes())
}

fn first_with(file: &str, candidates: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    candidates.into_iter().find(|dir| dir.join(file).is_file())?.canonicalize().ok()
}

/// All usable installations, one for each major version.
#[derive(Debug, Clone, Default)]
pub struct Installations(BTreeMap<u16, Installation>);

impl Installations {
    /// Looks in the usual places; `named` come first.
    #[must_use]
    pub fn discover(named: &[PathBuf]) -> Self {
        let mut found = BTreeMap::new();
        for dir in named.iter().cloned().chain(usual_places()) {
            if let Some(installation) = Installation::at(&dir)
                && SUPPORTED.contains(&installation.major)
            {
                found.entry(installation.major).or_insert(installation);
            }
        }
        Self(found)
    }

    /// The installation of a major version.
    #[must_use]
    pub fn get(&self, major: u16) -> Option<&Installation> {
        self.0.get(&major)
    }

    /// The newest installed version: the default of new projects.
    #[must_use]
    pub fn newest(&self) -> Option<&Installation> {
        self.0.values().next_back()
    }

    /// All, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Installation> {
        self.0.values()
    }
}

fn usual_places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    for major in SUPPORTED.rev() {
        places.push(format!("/usr/lib/postgresql/{major}").into());
        places.push(format!("/usr/pgsql-{major}").into());
        places.push(format!("/usr/lib/postgresql{major}").into());
        places.push(format!("/opt/homebrew/opt/postgresql@{major}").into());
    }
    places.push("/usr/local/pgsql".into());
    for major in SUPPORTED.rev() {
        places.push(own_home().join(major.to_string()));
    }
    places
}

/// Where `scripts/postgres` installs.
#[must_use]
pub fn own_home() -> PathBuf {
    if let Some(dir) = std::env::var_os(HOME_VARIABLE) {
        return dir.into();
    }
    if rustix::process::geteuid().is_root() {
        return "/var/lib/dormouse/postgres".into();
    }
    let data = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".local/share"));
    data.join("dormouse/postgres")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_directory_is_no_installation() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Installation::at(dir.path()), None);
    }

    #[test]
    fn what_is_installed_here_is_complete() {
        let found = Installations::discover(&[]);
        let newest = found.newest().expect("tests need a PostgreSQL: run scripts/setup");
        assert!(SUPPORTED.contains(&newest.major));
        for installation in found.iter() {
            assert!(installation.extensions().contains(&"plpgsql".to_owned()), "{installation:?}");
        }
    }
}
