//! Copies a whole directory on this node. Files share their blocks where the file system can (btrfs, XFS:
//! `FICLONE`), else the kernel copies them. Nothing in the source may change meanwhile.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::RestoreError;

/// How files were copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// Blocks are shared: it took no time and no space.
    Shared,
    /// Bytes were copied.
    Bytes,
}

/// Copies a directory with everything below it. Modes are kept, owners are not; links are refused.
/// `target` must not exist. Blocks.
///
/// # Errors
/// The first thing that could not be copied; what was copied so far stays for the caller to remove.
pub fn clone_directory(source: &Path, target: &Path) -> Result<Copied, RestoreError> {
    let mut share = true;
    copy_tree(source, target, &mut share)?;
    Ok(if share { Copied::Shared } else { Copied::Bytes })
}

/// Whether the file system that holds a directory can share blocks between files. Blocks.
#[must_use]
pub fn can_share(dir: &Path) -> bool {
    let (a, b) = (dir.join(".share-test.1"), dir.join(".share-test.2"));
    let tried = || -> io::Result<()> {
        fs::write(&a, [1; 4096])?;
        let (from, to) = (File::open(&a)?, File::create(&b)?);
        Ok(rustix::fs::ioctl_ficlone(&to, &from)?)
    };
    let can = tried().is_ok();
    for file in [a, b] {
        let _best_effort = fs::remove_file(file);
    }
    can
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
    let path = path.to_owned();
    move |source| RestoreError::File { what, path, source }
}

fn copy_tree(source: &Path, target: &Path, share: &mut bool) -> Result<(), RestoreError> {
    fs::DirBuilder::new().mode(0o700).create(target).map_err(failed("create", target))?;
    for entry in fs::read_dir(source).map_err(failed("list", source))? {
        let entry = entry.map_err(failed("list", source))?;
        let (from, to) = (entry.path(), target.join(entry.file_name()));
        let meta = entry.metadata().map_err(failed("look at", &from))?;
        if meta.is_dir() {
            copy_tree(&from, &to, share)?;
        } else if meta.is_file() {
            copy_file(&from, &to, &meta, share).map_err(failed("copy", &from))?;
        } else {
            return Err(failed("copy", &from)(io::Error::other("it is neither a file nor a directory")));
        }
    }
    let mode = fs::metadata(source).map_err(failed("look at", source))?.permissions().mode();
    fs::set_permissions(target, fs::Permissions::from_mode(mode & 0o777)).map_err(failed("protect", target))
}

fn copy_file(from: &Path, to: &Path, meta: &fs::Metadata, share: &mut bool) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut source = options.read(true).custom_flags(libc_nofollow()).open(from)?;
    let mode = meta.permissions().mode() & 0o777;
    let mut target = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?;
    if meta.len() == 0 {
        return Ok(());
    }
    // One refusal tells for all: both are whole directories of one file system each.
    if *share && rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
        return Ok(());
    }
    *share = false;
    // The standard library uses `copy_file_range` where it can.
    io::copy(&mut source, &mut target).map(drop)
}

/// `O_NOFOLLOW` as the standard library wants it.
fn libc_nofollow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_and_modes_are_kept_and_links_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(source.join("base/1")).unwrap();
        fs::write(source.join("base/1/1259"), vec![7u8; 100_000]).unwrap();
        fs::set_permissions(source.join("base"), fs::Permissions::from_mode(0o700)).unwrap();
        let copied = clone_directory(&source, &target).unwrap();
        assert_eq!(copied == Copied::Shared, can_share(dir.path()));
        assert_eq!(fs::read(target.join("base/1/1259")).unwrap(), vec![7u8; 100_000]);
        assert_eq!(fs::metadata(target.join("base")).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(clone_directory(&source, &target).is_err(), "never copies over something");
        std::os::unix::fs::symlink("/etc/passwd", source.join("pg_wal")).unwrap();
        assert!(clone_directory(&source, &dir.path().join("c")).is_err());
    }
}
