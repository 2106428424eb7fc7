//! The machine key and what it seals: passwords of roles, and replies that may be asked for again.
//!
//! Role passwords are kept so that `reveal_password` works, but never in the clear: each is sealed
//! with ChaCha20-Poly1305 under a key that lives in its own file. A stolen metadata file alone
//! reveals nothing; a sealed password moved to another role does not open, because branch and role
//! name are authenticated with it.

use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use dormouse_base::{BranchId, Secret, rand};

/// The file name in the data directory.
pub const FILE: &str = "machine.key";
const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 12;

/// Why the machine key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file operation failed.
    #[error("cannot {what} the machine key {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a key.
    #[error("the machine key {} has {found} bytes instead of 32: restore it from a backup", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length, bytes.
        found: usize,
    },
    /// Others can read it.
    #[error("the machine key {} can be read by others: run `chmod 600` on it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
}

/// A sealed value does not open: another machine key, another role, or damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored password cannot be opened with this machine key")]
pub struct OpenSealError;

/// Seals and opens role passwords.
pub struct Secrets {
    cipher: ChaCha20Poly1305,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(***)")
    }
}

impl Secrets {
    /// Reads the machine key of a data directory; makes it the first time.
    ///
    /// # Errors
    /// When the file cannot be read or made, has the wrong length, or others can read it.
    pub fn open(directory: &Path) -> Result<Self, KeyError> {
        let path = directory.join(FILE);
        let bytes = private_file(&path, || rand::bytes::<KEY_LEN>().to_vec())?;
        let key = Secret::new(
            <[u8; KEY_LEN]>::try_from(bytes.expose().as_slice())
                .map_err(|_| KeyError::Length { path, found: bytes.expose().len() })?,
        );
        Ok(Self { cipher: ChaCha20Poly1305::new(&Key::from(*key.expose())) })
    }

    /// Seals the password of a role.
    #[must_use]
    pub fn seal(&self, branch: &BranchId, role: &str, password: &str) -> Vec<u8> {
        self.seal_in(&context(branch, role), password.as_bytes())
    }

    /// Seals something that belongs to `context`, which no password's begins with.
    pub(crate) fn seal_in(&self, context: &[u8], open: &[u8]) -> Vec<u8> {
        let nonce = rand::bytes::<NONCE_LEN>();
        let sealed = self
            .cipher
            .encrypt(&Nonce::from(nonce), Payload { msg: open, aad: context })
            .expect("passwords and replies are far below the cipher's limit of 256 GiB");
        [nonce.as_slice(), &sealed].concat()
    }

    /// Seals something that is not a role's: `what` it is (such as `webhook`), and its ID.
    #[must_use]
    pub fn seal_named(&self, what: &str, id: &str, text: &str) -> Vec<u8> {
        self.seal_in(&named(what, id), text.as_bytes())
    }

    /// Opens what [`Secrets::seal_named`] made for the same thing.
    ///
    /// # Errors
    /// When it was sealed for another one or with another key, or is damaged.
    pub fn unseal_named(&self, what: &str, id: &str, sealed: &[u8]) -> Result<Secret<String>, OpenSealError> {
        let open = self.unseal_in(&named(what, id), sealed)?;
        String::from_utf8(open).map(Secret::new).map_err(|_| OpenSealError)
    }

    /// Opens what [`Secrets::seal`] made for the same role.
    ///
    /// # Errors
    /// When it was sealed for another role or with another key, or is damaged.
    pub fn unseal(
        &self,
        branch: &BranchId,
        role: &str,
        sealed: &[u8],
    ) -> Result<Secret<String>, OpenSealError> {
        let open = self.unseal_in(&context(branch, role), sealed)?;
        String::from_utf8(open).map(Secret::new).map_err(|_| OpenSealError)
    }

    /// Opens what [`Secrets::seal_in`] made in the same context.
    pub(crate) fn unseal_in(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenSealError> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(OpenSealError)?;
        let nonce = <[u8; NONCE_LEN]>::try_from(nonce).map_err(|_| OpenSealError)?;
        self.cipher
            .decrypt(&Nonce::from(nonce), Payload { msg: sealed, aad: context })
            .map_err(|_| OpenSealError)
    }
}

/// A branch's ID begins with `br-`, so this is never the context of a role.
fn named(what: &str, id: &str) -> Vec<u8> {
    [what.as_bytes(), b"\0", id.as_bytes()].concat()
}

fn context(branch: &BranchId, role: &str) -> Vec<u8> {
    [branch.as_str().as_bytes(), b"\0", role.as_bytes()].concat()
}

/// Reads a file that only its owner may read; makes it, durably and all at once, the first time.
pub(crate) fn private_file(
    path: &Path,
    fresh: impl FnOnce() -> Vec<u8>,
) -> Result<Secret<Vec<u8>>, KeyError> {
    let failed = |what| move |source| KeyError::File { what, path: path.to_owned(), source };
    match std::fs::File::open(path) {
        Ok(mut file) => {
            let mode = file.metadata().map_err(failed("look at"))?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(KeyError::Exposed { path: path.to_owned() });
            }
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(failed("read"))?;
            Ok(Secret::new(bytes))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let value = Secret::new(fresh());
            write_private_file(path, value.expose())?;
            Ok(value)
        }
        Err(error) => Err(failed("open")(error)),
    }
}

/// Writes a file that only its owner may read, durably and all at once, in place of what was there.
pub(crate) fn write_private_file(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    let failed = |what| move |source| KeyError::File { what, path: path.to_owned(), source };
    let draft = path.with_extension("new");
    // One that a crash left may have another mode.
    let _absent = std::fs::remove_file(&draft);
    let mut file = std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&draft)
        .map_err(failed("create"))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("write"))?;
    std::fs::rename(&draft, path).map_err(failed("place"))?;
    if let Some(parent) = path.parent() {
        std::fs::File::open(parent).and_then(|d| d.sync_all()).map_err(failed("store"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_for_the_same_role_and_key() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(dir.path()).unwrap();
        let (branch, other) = (BranchId::generate(), BranchId::generate());
        let sealed = secrets.seal(&branch, "app", "hunter2");
        assert!(!sealed.windows(7).any(|w| w == b"hunter2"));

        let again = Secrets::open(dir.path()).unwrap();
        assert_eq!(again.unseal(&branch, "app", &sealed).unwrap().expose(), "hunter2");
        assert!(again.unseal(&branch, "other", &sealed).is_err());
        assert!(again.unseal(&other, "app", &sealed).is_err());
        let mut damaged = sealed.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(again.unseal(&branch, "app", &damaged).is_err());
        assert!(again.unseal(&branch, "app", b"short").is_err());

        let elsewhere = tempfile::tempdir().unwrap();
        assert!(Secrets::open(elsewhere.path()).unwrap().unseal(&branch, "app", &sealed).is_err());
    }

    #[test]
    fn what_is_sealed_for_one_thing_opens_for_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::open(dir.path()).unwrap();
        let sealed = secrets.seal_named("webhook", "hook-a", "whsec_1");
        assert_eq!(secrets.unseal_named("webhook", "hook-a", &sealed).unwrap().expose(), "whsec_1");
        assert!(secrets.unseal_named("webhook", "hook-b", &sealed).is_err());
        assert!(secrets.unseal_named("other", "hook-a", &sealed).is_err());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        Secrets::open(dir.path()).unwrap();
        let path = dir.path().join(FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Secrets::open(dir.path()), Err(KeyError::Exposed { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, b"short").unwrap();
        assert!(matches!(Secrets::open(dir.path()), Err(KeyError::Length { found: 5, .. })));
    }
}
