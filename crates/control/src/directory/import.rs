//! A foreign data directory: may it be imported, and copying it.
//!
//! The directory is somebody else's and may be anything. So it is looked at as a whole before
//! anything is copied; links are never followed, nothing is opened by a path that was checked
//! earlier; and only what belongs to a cluster's *data* comes along: no settings, no access rules, no
//! keys, no logs. [`super::import_copy`] does it, [`dormouse_compute::import`] then makes the copy ours.
//!
//! ```text
//!  examine          copy_import                prepare_import            place_import
//!  rules only  ──►  <endpoint>/data.import ──► single-user mode     ──►  <endpoint>/data
//! ```
//!
//! A new rule is a line in [`Walk`] (about one file) or in [`examine`] (about the cluster).

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dormouse_compute::postgres::discover::Installations;
use dormouse_storage::snapshot::control_file::{self, ControlError, ControlFile, State};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, statat};

use super::{DirectoryError, failed};

/// What belongs to a cluster's data, at the top of its directory.
const KEPT: [&str; 18] = [
    "PG_VERSION",
    "base",
    "global",
    "pg_commit_ts",
    "pg_dynshmem",
    "pg_logical",
    "pg_multixact",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_tblspc",
    "pg_twophase",
    "pg_wal",
    "pg_xact",
];

/// Directories that PostgreSQL wants and fills itself. The slots of the old cluster would hold WAL
/// for ever.
const EMPTIED: [&str; 10] = [
    "pg_dynshmem",
    "pg_notify",
    "pg_replslot",
    "pg_serial",
    "pg_snapshots",
    "pg_stat_tmp",
    "pg_subtrans",
    "pg_twophase",
    "pg_wal/archive_status",
    "pg_wal/summaries",
];

/// Directories inside directories; a cluster has three levels.
const MAX_DEPTH: usize = 8;

/// A directory that can be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Importable {
    /// Where it really is.
    pub path: PathBuf,
    /// Its major version.
    pub major: u16,
    /// Bytes of what would be copied.
    pub bytes: u64,
}

pub(super) fn no(why: impl Into<String>) -> DirectoryError {
    DirectoryError::NotImportable(why.into())
}

/// Looks at a directory as a whole: may it be imported by a server whose data is in `own`?
///
/// # Errors
/// [`DirectoryError::NotImportable`] says which rule it breaks.
pub fn examine(given: &Path, own: &Path, installed: &Installations) -> Result<Importable, DirectoryError> {
    if !given.is_absolute() {
        return Err(no(format!("`{}` is not an absolute path", given.display())));
    }
    let path = given.canonicalize().map_err(|error| unreadable(given, &error))?;
    let own = own.canonicalize().unwrap_or_else(|_| own.to_owned());
    if path.starts_with(&own) || own.starts_with(&path) {
        return Err(no(format!("{} is part of this server's own data directory", path.display())));
    }
    for above in path.ancestors().skip(1) {
        let meta = fs::metadata(above).map_err(|error| unreadable(above, &error))?;
        if meta.mode() & 0o002 != 0 && meta.mode() & 0o1000 == 0 {
            return Err(no(format!(
                "everybody may write to {}: somebody could exchange the directory",
                above.display()
            )));
        }
    }
    let root = open_dir(&path)?;
    let major = version(&root, &path)?;
    not_running(&root, &path)?;
    if installed.get(major).is_none() {
        let all: Vec<String> = installed.iter().map(|i| i.major.to_string()).collect();
        return Err(DirectoryError::NotInstalled { major, installed: all.join(", ") });
    }
    for file in ["standby.signal", "recovery.signal"] {
        if statat(&root, file, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(no(format!(
                "it is a standby or is being recovered ({file} exists): promote it, then stop it"
            )));
        }
    }
    for (dir, what) in [
        (
            "pg_tblspc",
            "it has tablespaces: move everything to `pg_default` (ALTER TABLE … SET TABLESPACE) and drop them",
        ),
        ("pg_twophase", "it has prepared transactions: commit or roll back each of them"),
    ] {
        if !is_empty(&root, &path, dir)? {
            return Err(no(format!("{what}, then stop it again")));
        }
    }
    let bytes = Walk { source: &path, copy: false }.directory(&root, Path::new(""), Path::new(""), 0)?;
    Ok(Importable { path, major, bytes })
}

fn unreadable(path: &Path, error: &io::Error) -> DirectoryError {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            no(format!("there is no directory {shown} on the server's machine"))
        }
        io::ErrorKind::PermissionDenied => {
            no(format!("the server may not read {shown}: run it as a user who may, or copy the directory"))
        }
        _ => no(format!("{shown} cannot be read: {error}")),
    }
}

pub(super) fn open_dir(path: &Path) -> Result<OwnedFd, DirectoryError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(rustix::fs::CWD, path, flags, Mode::empty()).map_err(|errno| unreadable(path, &errno.into()))
}

/// Opens a file of a directory that belongs to somebody else: no link, no device, no waiting.
fn open_file(dir: &OwnedFd, name: &OsStr, shown: &Path) -> Result<File, DirectoryError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(dir, name, flags, Mode::empty()).map_err(|errno| unreadable(shown, &errno.into()))?;
    let stat = fstat(&file).map_err(|errno| unreadable(shown, &errno.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(no(format!("{} is not an ordinary file", shown.display())));
    }
    Ok(file.into())
}

fn beginning(root: &OwnedFd, path: &Path, name: &str, length: usize) -> Result<Vec<u8>, DirectoryError> {
    let shown = path.join(name);
    let (dir, file) = match name.split_once('/') {
        Some((dir, file)) => (Some(open_dir(&path.join(dir))?), file),
        None => (None, name),
    };
    let mut bytes = Vec::new();
    let file = open_file(dir.as_ref().unwrap_or(root), file.as_ref(), &shown)?;
    file.take(length as u64).read_to_end(&mut bytes).map_err(|error| unreadable(&shown, &error))?;
    Ok(bytes)
}

fn version(root: &OwnedFd, path: &Path) -> Result<u16, DirectoryError> {
    if statat(root, "PG_VERSION", AtFlags::SYMLINK_NOFOLLOW).is_err() {
        return Err(no(format!(
            "{} is not a PostgreSQL data directory: it has no PG_VERSION",
            path.display()
        )));
    }
    let text = beginning(root, path, "PG_VERSION", 16)?;
    let major = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
    major.ok_or_else(|| no("its PG_VERSION names no version that Dormouse runs (15 to 18)"))
}

/// Refuses a cluster that runs, was killed, or is laid out in another way than ours.
pub(super) fn not_running(root: &OwnedFd, path: &Path) -> Result<(), DirectoryError> {
    if statat(root, "postmaster.pid", AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        let text = beginning(root, path, "postmaster.pid", 64)?;
        let pid =
            String::from_utf8_lossy(&text).lines().next().and_then(|line| line.trim().parse::<i32>().ok());
        if let Some(pid) = pid.map(i32::abs).and_then(rustix::process::Pid::from_raw)
            && rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
        {
            return Err(no(format!(
                "it runs (process {}): stop it with `pg_ctl stop -D {}`",
                pid.as_raw_nonzero(),
                path.display()
            )));
        }
    }
    let bytes = beginning(root, path, control_file::PATH, control_file::LEN)?;
    let control = ControlFile::parse(&bytes).map_err(|error| match error {
        ControlError::Unsupported { .. } => no(format!(
            "it was made with other sizes ({error}): import it from the running server, by its address"
        )),
        error => no(format!("its global/pg_control is damaged or of another kind of machine: {error}")),
    })?;
    match control.state {
        State::ShutDown => Ok(()),
        State::ShutDownInRecovery => Err(no("it is a standby: promote it, then stop it")),
        State::Other(_) => Err(no(
            "it was not shut down in an orderly way, or it runs on another machine: start it once, then stop it with `pg_ctl stop -m fast`",
        )),
    }
}

fn is_empty(root: &OwnedFd, path: &Path, name: &str) -> Result<bool, DirectoryError> {
    match statat(root, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => return Ok(false),
        Ok(_) => {}
        Err(_) => return Ok(true),
    }
    let shown = path.join(name);
    let entries = Dir::read_from(open_dir(&shown)?).map_err(|errno| unreadable(&shown, &errno.into()))?;
    Ok(entries.flatten().all(|entry| matches!(entry.file_name().to_bytes(), b"." | b"..")))
}

/// Goes through what is kept of a data directory, and copies it if asked to.
pub(super) struct Walk<'a> {
    pub(super) source: &'a Path,
    pub(super) copy: bool,
}

impl Walk<'_> {
    /// One directory, `below` the source, to `target`. Returns the bytes of its files.
    pub(super) fn directory(
        &self,
        dir: &OwnedFd,
        below: &Path,
        target: &Path,
        depth: usize,
    ) -> Result<u64, DirectoryError> {
        let here = self.source.join(below);
        if depth > MAX_DEPTH {
            return Err(no(format!("{} is nested too deeply", here.display())));
        }
        let stat = fstat(dir).map_err(|errno| unreadable(&here, &errno.into()))?;
        writable(&here, stat.st_mode)?;
        if self.copy {
            fs::DirBuilder::new().mode(0o700).create(target).map_err(failed("create", target))?;
        }
        if EMPTIED.iter().any(|emptied| below == Path::new(emptied)) {
            return Ok(0);
        }
        let mut bytes = 0;
        for entry in Dir::read_from(dir).map_err(|errno| unreadable(&here, &errno.into()))? {
            let entry = entry.map_err(|errno| unreadable(&here, &errno.into()))?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..")
                || (depth == 0 && !KEPT.iter().any(|kept| kept.as_bytes() == name))
                || is_scratch(name)
            {
                continue;
            }
            bytes += self.entry(dir, OsStr::from_bytes(name), below, target, depth)?;
        }
        Ok(bytes)
    }

    fn entry(
        &self,
        dir: &OwnedFd,
        name: &OsStr,
        below: &Path,
        target: &Path,
        depth: usize,
    ) -> Result<u64, DirectoryError> {
        let (below, target) = (below.join(name), target.join(name));
        let shown = self.source.join(&below);
        let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| unreadable(&shown, &errno.into()))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let inner = openat(dir, name, flags, Mode::empty())
                    .map_err(|errno| unreadable(&shown, &errno.into()))?;
                self.directory(&inner, &below, &target, depth + 1)
            }
            FileType::RegularFile => {
                writable(&shown, stat.st_mode)?;
                if self.copy {
                    self.file(dir, name, &shown, &target)?;
                }
                Ok(u64::try_from(stat.st_size).unwrap_or(0))
            }
            FileType::Symlink => {
                Err(no(format!("{} is a link: put what it points to in its place", shown.display())))
            }
            _ => Err(no(format!("{} is neither a file nor a directory", shown.display()))),
        }
    }

    fn file(&self, dir: &OwnedFd, name: &OsStr, shown: &Path, target: &Path) -> Result<(), DirectoryError> {
        let mut source = open_file(dir, name, shown)?;
        let mut made = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(target)
            .map_err(failed("create", target))?;
        if rustix::fs::ioctl_ficlone(&made, &source).is_ok() {
            return Ok(());
        }
        io::copy(&mut source, &mut made).map(drop).map_err(failed("copy to", target))
    }
}

/// What PostgreSQL makes anew, and removes at each start.
fn is_scratch(name: &[u8]) -> bool {
    name.starts_with(b"pgsql_tmp") || name.starts_with(b"pg_internal.init")
}

fn writable(path: &Path, mode: u32) -> Result<(), DirectoryError> {
    if mode & 0o022 == 0 {
        return Ok(());
    }
    Err(no(format!("others than its owner may write to {}: take that away with chmod first", path.display())))
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
