//! Which files a compute can reach, enforced by the kernel whatever user it runs as.
//!
//! Even a PostgreSQL superuser who runs programs (`COPY … PROGRAM`) sees only: its own data
//! directory and socket directory (read, write), the PostgreSQL installation and the system's
//! libraries and programs (read, execute), and a few devices. Everything else, and `/proc` with
//! the list of other sockets, does not open. Kernels before 5.13 have no Landlock; `doctor` says so.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, Scope,
};

/// System paths that programs need to run at all. `/proc` is left out on purpose.
const READ_EXECUTE: [&str; 9] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/opt", "/nix/store", "/etc"];

/// Devices that PostgreSQL and ordinary programs write to.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/full", "/dev/tty"];

/// POSIX shared memory lives here. Segments of other users are closed by their mode (0600).
const SHARED_MEMORY: &str = "/dev/shm";

/// What a compute may reach beside the system.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Read and write.
    pub write: Vec<PathBuf>,
    /// Read and execute.
    pub read: Vec<PathBuf>,
    /// POSIX shared memory; only for a user of its own.
    pub shared_memory: bool,
}

/// Whether this kernel enforces Landlock.
#[must_use]
pub fn is_supported() -> bool {
    super::spawn::landlock_abi() > 0
}

/// Prepares a ruleset in the parent; the child only has to enter it. `None` without Landlock.
///
/// # Errors
/// When the kernel has Landlock but the ruleset cannot be made: then nothing may be started.
pub fn prepare(reach: &Reach) -> io::Result<Option<OwnedFd>> {
    if !is_supported() {
        return Ok(None);
    }
    let ruleset = build(reach).map_err(io::Error::other)?;
    match Option::<OwnedFd>::from(ruleset) {
        Some(fd) => Ok(Some(fd)),
        None => Err(io::Error::other("the Landlock ruleset is empty")),
    }
}

fn build(reach: &Reach) -> Result<RulesetCreated, landlock::RulesetError> {
    let abi = ABI::V6;
    let all = AccessFs::from_all(abi);
    let read = AccessFs::from_read(abi);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?;
    for path in READ_EXECUTE {
        rules = allow(rules, Path::new(path), read)?;
    }
    for path in &reach.read {
        rules = allow(rules, path, read)?;
    }
    for path in DEVICES {
        rules = allow(rules, Path::new(path), AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev)?;
    }
    if reach.shared_memory {
        let shared = AccessFs::from_file(abi) | AccessFs::RemoveFile | AccessFs::MakeReg | AccessFs::ReadDir;
        rules = allow(rules, Path::new(SHARED_MEMORY), shared)?;
    }
    for path in &reach.write {
        rules = allow(rules, path, all)?;
    }
    Ok(rules)
}

/// Adds a rule; a path that does not exist on this system needs none.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: impl Into<landlock::BitFlags<AccessFs>>,
) -> Result<RulesetCreated, landlock::RulesetError> {
    match PathFd::new(path) {
        Ok(fd) => rules.add_rule(PathBeneath::new(fd, access.into())),
        Err(_) => Ok(rules),
    }
}
