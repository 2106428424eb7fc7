//! Puts the front where PostgreSQL's dynamic linker finds it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dormouse_hydrate::FRONT;

/// Writes the front into a directory of the server's that computes can read. The name has a hash of the contents,
/// so servers of different builds do not disturb each other, and a file that exists is complete.
///
/// Who comes at the same time gets the same file: a compute that is just being started may be allowed to read that very
/// one, as Landlock goes by the file and not by its name, and another in its place would be out of its reach.
///
/// # Errors
/// When it cannot be written.
pub fn install_front(dir: &Path) -> io::Result<PathBuf> {
    let hash = blake3::hash(FRONT).to_hex();
    let path = dir.join(format!("dormouse-front-{}.so", &hash[..16]));
    if is_whole(&path) {
        return Ok(path);
    }
    let new = dir.join(format!(".front-{}", dormouse_base::rand::token(8)));
    let mut file = File::options().write(true).create_new(true).mode(0o755).open(&new)?;
    let written = file.write_all(FRONT).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| match fs::hard_link(&new, &path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if is_whole(&path) {
                Ok(())
            } else {
                fs::rename(&new, &path)
            }
        }
        linked => linked,
    });
    let _renamed = fs::remove_file(&new);
    placed.map(|()| path)
}

fn is_whole(path: &Path) -> bool {
    fs::read(path).is_ok_and(|there| there == FRONT)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn who_comes_at_the_same_time_gets_the_same_file() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let start = std::sync::Barrier::new(4);
            let install = || {
                start.wait();
                fs::metadata(install_front(dir.path()).unwrap()).unwrap().ino()
            };
            let files: Vec<u64> = std::thread::scope(|scope| {
                #[allow(clippy::disallowed_methods, reason = "a test waits for its own threads")]
                let all: Vec<_> = (0..4).map(|_| scope.spawn(install)).collect();
                all.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(files.iter().all(|file| *file == files[0]), "{files:?}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }

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
