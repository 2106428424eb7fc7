//! Copies a cluster. Files share their blocks where the file system can (btrfs, XFS: `FICLONE`),
//! else the kernel copies them (`copy_file_range`), else bytes go through user space.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::{DirectoryError, failed};

/// Copies a directory with everything below it. Modes are kept, owners are not. `target` must not
/// exist. Links are refused: a pristine cluster has none, so one is a sign of damage.
///
/// # Errors
/// The first file that could not be copied; what was copied so far stays for the caller to remove.
pub fn tree(source: &Path, target: &Path) -> Result<(), DirectoryError> {
    fs::create_dir(target).map_err(failed("create", target))?;
    for entry in fs::read_dir(source).map_err(failed("list", source))? {
        let entry = entry.map_err(failed("list", source))?;
        let (from, to) = (entry.path(), target.join(entry.file_name()));
        let meta = entry.metadata().map_err(failed("look at", &from))?;
        if meta.is_dir() {
            tree(&from, &to)?;
        } else if meta.is_file() {
            file(&from, &to, &meta).map_err(failed("copy", &from))?;
        } else {
            return Err(failed("copy", &from)(io::Error::other("it is neither a file nor a directory")));
        }
    }
    let mode = fs::metadata(source).map_err(failed("look at", source))?.permissions().mode();
    fs::set_permissions(target, fs::Permissions::from_mode(mode & 0o7777)).map_err(failed("protect", target))
}

fn file(from: &Path, to: &Path, meta: &Metadata) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mode = meta.permissions().mode() & 0o777;
    let mut target = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?;
    if meta.len() == 0 || rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
        return Ok(());
    }
    // The standard library uses `copy_file_range` where it can.
    io::copy(&mut source, &mut target).map(drop)
}

/// Makes a finished copy durable. One call for the whole file system is much cheaper than an
/// `fsync` for each of a thousand files.
///
/// # Errors
/// When the disk refuses; then nothing is known to be stored.
pub fn sync(path: &Path) -> Result<(), DirectoryError> {
    let dir = File::open(path).map_err(failed("open", path))?;
    rustix::fs::syncfs(&dir).map_err(|errno| failed("store", path)(errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_and_modes_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(source.join("base/1")).unwrap();
        fs::write(source.join("base/1/1259"), vec![7u8; 100_000]).unwrap();
        fs::write(source.join("empty"), b"").unwrap();
        fs::set_permissions(source.join("base"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(source.join("empty"), fs::Permissions::from_mode(0o600)).unwrap();
        tree(&source, &target).unwrap();
        sync(&target).unwrap();
        assert_eq!(fs::read(target.join("base/1/1259")).unwrap(), vec![7u8; 100_000]);
        let mode = |p: &str| fs::metadata(target.join(p)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("base"), mode("empty")), (0o700, 0o600));
        assert!(tree(&source, &target).is_err(), "never copies over something");
    }

    #[test]
    fn a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("a");
        fs::create_dir(&source).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", source.join("pg_wal")).unwrap();
        assert!(tree(&source, &dir.path().join("b")).is_err());
    }
}
