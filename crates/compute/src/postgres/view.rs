//! An installation as the computes see it: the same stock binaries and libraries, with the
//! extension list of a platform.
//!
//! A database's owner on Dormouse is not a superuser, but is expected to be able to
//! `CREATE EXTENSION pg_stat_statements`. PostgreSQL has a switch for exactly that, `trusted = true`
//! in an extension's control file, but only some control files set it, and the installed files are
//! not ours to edit. PostgreSQL finds its files relative to its own executable; so the view is a
//! directory with a copy of the one executable, links to everything else, and control files of our
//! own for the extensions in [`TRUSTED`].
//!
//! ```text
//! view/15-1a2b3c4d/
//!   lib/postgresql/15/bin/postgres      copy (a link would be resolved to the original place)
//!   lib/postgresql/15/lib            →  /usr/lib/postgresql/15/lib
//!   share/postgresql/15/*            →  /usr/share/postgresql/15/*
//!   share/postgresql/15/extension/*  →  …, except the changed control files
//! ```

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use super::discover::Installation;

/// Extensions that the owner of a database may create although their authors did not mark them so.
/// None of them gives its user a way to files, programs or other roles' rights.
pub const TRUSTED: [&str; 17] = [
    "amcheck",
    "autoinc",
    "dblink",
    "earthdistance",
    "hypopg",
    "insert_username",
    "moddatetime",
    "pg_buffercache",
    "pg_cron",
    "pg_prewarm",
    "pg_stat_statements",
    "pgrowlocks",
    "pgstattuple",
    "postgis",
    "postgres_fdw",
    "refint",
    "vector",
];

/// What an extension's script gives to nobody but a superuser, given to whoever creates it.
const AFTER: [(&str, &str); 3] = [
    ("dblink", "GRANT USAGE ON FOREIGN DATA WRAPPER dblink_fdw TO @extowner@ WITH GRANT OPTION;"),
    ("pg_cron", "GRANT USAGE ON SCHEMA cron TO @extowner@ WITH GRANT OPTION;"),
    ("postgres_fdw", "GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO @extowner@ WITH GRANT OPTION;"),
];

/// Changing what views contain changes this number, so that old ones are not used.
const FORMAT: u32 = 3;

/// A finished view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The installation behind it.
    pub installation: Installation,
    /// The executable to start.
    pub postgres: PathBuf,
    /// Everything that must be readable to run it.
    pub reach: Vec<PathBuf>,
}

/// Why a view could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare PostgreSQL {major} for computes in {path}")]
pub struct ViewError {
    major: u16,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl View {
    /// Makes the view below `cache`, or finds it there. Blocks: copies one executable, once.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn prepare(installation: &Installation, cache: &Path) -> Result<Self, ViewError> {
        let failed = |source| ViewError { major: installation.major, path: cache.to_owned(), source };
        let root = cache.join(name_of(installation).map_err(failed)?);
        let prefix = common_prefix(&[&installation.bin, &installation.share, &installation.pkglib]);
        let bin = below(&prefix, &installation.bin);
        if !root.is_dir() {
            let partial = cache.join(format!(".partial-{}", std::process::id()));
            build(installation, &prefix, &partial)
                .and_then(|()| fs::rename(&partial, &root))
                .or_else(|error| {
                    // Another server on the same data may have been quicker.
                    let _left_over = fs::remove_dir_all(&partial);
                    if root.is_dir() { Ok(()) } else { Err(error) }
                })
                .map_err(failed)?;
        }
        let reach =
            vec![root.clone(), installation.bin.clone(), installation.share.clone(), prefix.join("lib")]
                .into_iter()
                .chain([installation.pkglib.clone()])
                .collect();
        Ok(Self { installation: installation.clone(), postgres: root.join(bin).join("postgres"), reach })
    }
}

/// Changes when the installation is upgraded in place.
fn name_of(installation: &Installation) -> io::Result<String> {
    let mut hasher = DefaultHasher::new();
    FORMAT.hash(&mut hasher);
    installation.bin.hash(&mut hasher);
    for path in [installation.bin.join("postgres"), installation.share.join("extension")] {
        let meta = fs::metadata(path)?;
        (meta.mtime(), meta.mtime_nsec(), meta.size()).hash(&mut hasher);
    }
    Ok(format!("{}-{:08x}", installation.major, hasher.finish() as u32))
}

fn build(installation: &Installation, prefix: &Path, root: &Path) -> io::Result<()> {
    let bin = below(prefix, &installation.bin);
    fs::create_dir_all(root.join(&bin))?;
    let executable = root.join(&bin).join("postgres");
    fs::copy(installation.bin.join("postgres"), &executable)?;
    fs::set_permissions(&executable, fs::Permissions::from_mode(0o755))?;
    // An executable that a power loss left empty would be found, and fail, for ever.
    fs::File::open(&executable)?.sync_all()?;
    link_where_paths_part(prefix, &installation.pkglib, &bin, root)?;

    let share = root.join(below(prefix, &installation.share));
    fs::create_dir_all(share.join("extension"))?;
    link_entries(&installation.share, &share, |name| name == "extension")?;
    let extensions = installation.share.join("extension");
    let own = |name: &str| own_text(&extensions, name);
    link_entries(&extensions, &share.join("extension"), |name| own(name).is_some())?;
    for entry in fs::read_dir(&extensions)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(text) = own(&name) {
            fs::write(share.join("extension").join(&name), text)?;
        }
    }
    // Computes run as other users.
    fs::set_permissions(root, fs::Permissions::from_mode(0o755))
}

/// The text that stands in the view instead of an installed file, if it is one of those we change.
fn own_text(extensions: &Path, name: &str) -> Option<String> {
    if name.strip_suffix(".control").is_some_and(|e| TRUSTED.contains(&e)) {
        let text = fs::read_to_string(extensions.join(name)).ok()?;
        return Some(trust(&text));
    }
    let (_, statement) =
        AFTER.iter().find(|(e, _)| name.strip_suffix(".sql").is_some_and(|n| is_base_script(n, e)))?;
    let text = fs::read_to_string(extensions.join(name)).ok()?;
    Some(format!("{text}\n{statement}\n"))
}

/// `pg_cron--1.0` is a base script, `pg_cron--1.0--1.1` an update.
fn is_base_script(stem: &str, extension: &str) -> bool {
    stem.strip_prefix(extension)
        .and_then(|s| s.strip_prefix("--"))
        .is_some_and(|version| !version.contains("--"))
}

fn trust(control: &str) -> String {
    let setting = |line: &str| line.split('=').next().map(|key| key.trim().to_owned());
    let mut text: String = control
        .lines()
        .filter(|line| setting(line).as_deref() != Some("trusted"))
        .flat_map(|line| [line, "\n"])
        .collect();
    text.push_str("trusted = true\n");
    text
}

fn link_entries(from: &Path, to: &Path, leave_out: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(&leave_out) {
            symlink(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Links the part of `target` that does not lead to the executable.
fn link_where_paths_part(prefix: &Path, target: &Path, bin: &Path, root: &Path) -> io::Result<()> {
    let relative = below(prefix, target);
    let shared = relative.components().zip(bin.components()).take_while(|(a, b)| a == b).count();
    let part: PathBuf = relative.components().take(shared + 1).collect();
    symlink(prefix.join(&part), root.join(part))
}

fn below(prefix: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(prefix).expect("the prefix is common to all parts").to_owned()
}

fn common_prefix(paths: &[&Path]) -> PathBuf {
    let first: Vec<Component<'_>> = paths[0].components().collect();
    let shared = paths.iter().fold(first.len(), |shortest, path| {
        shortest.min(path.components().zip(&first).take_while(|(a, b)| a == *b).count())
    });
    first[..shared].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_replaces_and_adds() {
        assert_eq!(trust("comment = 'x'\ntrusted = false\n"), "comment = 'x'\ntrusted = true\n");
        assert_eq!(trust("comment = 'x'"), "comment = 'x'\ntrusted = true\n");
        assert_eq!(trust("#trusted = false\n"), "#trusted = false\ntrusted = true\n");
    }

    #[test]
    fn update_scripts_are_left_alone() {
        assert!(is_base_script("pg_cron--1.0", "pg_cron"));
        assert!(!is_base_script("pg_cron--1.0--1.1", "pg_cron"));
        assert!(!is_base_script("pg_cronic--1.0", "pg_cron"));
    }

    #[test]
    fn a_view_has_the_installed_layout_and_runs() {
        let all = super::super::discover::Installations::discover(&[]);
        for installation in all.iter() {
            let dir = tempfile::tempdir().unwrap();
            let view = View::prepare(installation, dir.path()).unwrap();
            assert_eq!(View::prepare(installation, dir.path()).unwrap(), view, "found again");
            let output = std::process::Command::new(&view.postgres).arg("--version").output().unwrap();
            assert!(String::from_utf8_lossy(&output.stdout).contains(&installation.version));
        }
    }
}
