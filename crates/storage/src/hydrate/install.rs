//! Puts the front where PostgreSQL's dynamic linker finds it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dormouse_hydrate::FRONT;

/// Writes the front into a directory of the server's that computes can read. The name has a hash of the contents,
/// so servers of different builds do not disturb each other, and a file that exists is complete.
///
/// # Errors
/// When it cannot be written.
pub fn install_front(dir: &Path) -> io::Result<PathBuf> {
    let hash = blake3::hash(FRONT).to_hex();
    let path = dir.join(format!("dormouse-front-{}.so", &hash[..16]));
    if fs::read(&path).is_ok_and(|there| there == FRONT) {
        return Ok(path);
    }
    let new = dir.join(format!(".front-{}", dormouse_base::rand::token(8)));
    let mut file = File::options().write(true).create_new(true).mode(0o755).open(&new)?;
    let written = file.write_all(FRONT).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, &path));
    if let Err(error) = written {
        let _left_over = fs::remove_file(&new);
        return Err(error);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_installed_once_and_repaired() {
        let dir = tempfile::tempdir().unwrap();
        let path = install_front(dir.path()).unwrap();
        assert_eq!(install_front(dir.path()).unwrap(), path);
        fs::write(&path, "torn").unwrap();
        install_front(dir.path()).unwrap();
        assert!(fs::read(&path).unwrap().starts_with(b"\x7fELF"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
