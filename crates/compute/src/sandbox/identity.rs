//! Which user a compute runs as.
//!
//! A server that runs as root gives every endpoint a user ID of its own, from a range that no
//! account uses (the way systemd's dynamic users work): two computes then cannot read each other's
//! files, attach each other's shared memory or signal each other, whatever else fails. A server that
//! runs as an ordinary user cannot change users; its computes share that user and are kept apart by
//! Landlock and unguessable socket paths.
//!
//! Building a template needs a user *with* an account, because `initdb` looks its own name up.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags};
use rustix::process::{Gid, Uid};

/// The account that `scripts/setup` creates.
pub const ACCOUNT: &str = "dormouse";

/// First user ID of the computes' range: above every range that distributions, systemd or user
/// namespaces hand out, below the sign bit.
pub const FIRST_UID: u32 = 0x7000_0000;

/// How many there are.
const RANGE: u32 = 0x1000_0000;

/// A user and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// User ID.
    pub uid: u32,
    /// Group ID.
    pub gid: u32,
}

/// Who computes may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identities {
    /// Each endpoint its own user ID; templates are built by `account`.
    Range {
        /// The account with a name.
        account: Identity,
        /// Where this server's part of the range begins, so that two servers on one machine do not
        /// use the same users.
        offset: u32,
    },
    /// All computes are this user (user namespace too small for the range).
    Shared(Identity),
    /// The server's own user.
    Own(Identity),
}

/// Why no unprivileged user could be chosen.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Root, and no account to step down to.
    #[error(
        "PostgreSQL refuses to run as root and the user `{0}` does not exist: create it with `useradd --system --no-create-home {0}`, or run `scripts/setup`"
    )]
    NoAccount(String),
    /// The account is root itself.
    #[error("computes cannot run as `{0}`, which is root: name another user with --compute-user")]
    IsRoot(String),
    /// `/etc/passwd` or `/proc/self/uid_map` could not be read.
    #[error("cannot read {what}")]
    Read {
        /// The file.
        what: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

impl Identities {
    /// Chooses for this process. `account` overrides the account's name; `instance` tells this server
    /// from others on the machine (its data directory does).
    ///
    /// # Errors
    /// When the process is root and there is no ordinary user to become.
    pub fn detect(account: Option<&str>, instance: &Path) -> Result<Self, IdentityError> {
        let uid = rustix::process::geteuid();
        if !uid.is_root() {
            return Ok(Self::Own(Identity { uid: uid.as_raw(), gid: rustix::process::getegid().as_raw() }));
        }
        let name = account.unwrap_or(ACCOUNT);
        let passwd = std::fs::read_to_string("/etc/passwd")
            .map_err(|source| IdentityError::Read { what: "/etc/passwd", source })?;
        let account = find_account(&passwd, name).ok_or_else(|| IdentityError::NoAccount(name.to_owned()))?;
        if account.uid == 0 {
            return Err(IdentityError::IsRoot(name.to_owned()));
        }
        let map = std::fs::read_to_string("/proc/self/uid_map")
            .map_err(|source| IdentityError::Read { what: "/proc/self/uid_map", source })?;
        let mut hasher = DefaultHasher::new();
        instance.hash(&mut hasher);
        let offset = hasher.finish() as u32 & 0x0fff_0000;
        Ok(if range_is_mapped(&map) { Self::Range { account, offset } } else { Self::Shared(account) })
    }

    /// The identity of the compute with this slot number.
    #[must_use]
    pub fn for_slot(self, slot: u32) -> Identity {
        match self {
            Self::Range { offset, .. } => {
                let id = FIRST_UID + (offset.wrapping_add(slot) % RANGE);
                Identity { uid: id, gid: id }
            }
            Self::Shared(identity) | Self::Own(identity) => identity,
        }
    }

    /// The identity that builds templates.
    #[must_use]
    pub fn template(self) -> Identity {
        match self {
            Self::Range { account, .. } => account,
            Self::Shared(identity) | Self::Own(identity) => identity,
        }
    }

    /// Whether a user ID belongs to one endpoint alone, so that everything it owns may be removed.
    #[must_use]
    pub fn is_private(self, identity: Identity) -> bool {
        let in_range = (FIRST_UID..FIRST_UID + RANGE).contains(&identity.uid);
        matches!(self, Self::Range { .. }) && in_range
    }
}

fn find_account(passwd: &str, name: &str) -> Option<Identity> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Identity { uid, gid })
    })
}

fn range_is_mapped(uid_map: &str) -> bool {
    uid_map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        matches!(numbers[..], [inside, _, count] if inside <= u64::from(FIRST_UID) && inside + count >= 0x8000_0000)
    })
}

impl Identity {
    /// Whether this process already is this user.
    #[must_use]
    pub fn is_current(self) -> bool {
        rustix::process::geteuid().as_raw() == self.uid
    }

    /// Who owns a file.
    #[must_use]
    pub fn owner_of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Self { uid: meta.uid(), gid: meta.gid() })
    }

    /// Makes this identity the owner of `path` and all below it. Links are changed, not followed.
    ///
    /// # Errors
    /// The first file that could not be changed.
    pub fn own(self, path: &Path) -> std::io::Result<()> {
        if self.is_current() {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        rustix::fs::chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
            Ok(dir) => own_below(&dir, uid, gid),
            Err(rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn own_below(dir: &impl std::os::fd::AsFd, uid: Uid, gid: Gid) -> std::io::Result<()> {
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let name = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
        rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if entry.file_type() == rustix::fs::FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            own_below(&rustix::fs::openat(dir, name, flags, Mode::empty())?, uid, gid)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_exact_name() {
        let passwd = "root:x:0:0::/:/bin/sh\ndormouse2:x:7:7::/:/x\ndormouse:x:998:997::/:/x\nbroken\n";
        assert_eq!(find_account(passwd, "dormouse"), Some(Identity { uid: 998, gid: 997 }));
        assert_eq!(find_account(passwd, "nobody"), None);
    }

    #[test]
    fn a_small_user_namespace_has_no_range() {
        assert!(range_is_mapped("         0          0 4294967295\n"));
        assert!(!range_is_mapped("0 100000 65536\n"));
    }

    #[test]
    fn slots_get_different_users() {
        let range = Identities::Range { account: Identity { uid: 998, gid: 998 }, offset: 0x1_0000 };
        assert_ne!(range.for_slot(1), range.for_slot(2));
        assert!(range.for_slot(u32::MAX).uid < 0x8000_0000);
        assert!(range.is_private(range.for_slot(7)));
        assert!(!range.is_private(range.template()) && !range.is_private(Identity { uid: 0, gid: 0 }));
    }
}
