//! How much is measured, and where what is kept between runs lies.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::args::Args;
use crate::error::Error;

/// pgbench's scale for a database of about 100 MiB, 1 GiB and 10 GiB.
const SCALES: [(&str, u32); 3] = [("100 MiB", 7), ("1 GiB", 70), ("10 GiB", 700)];

/// A size of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Its name in tables.
    pub(super) name: &'static str,
    /// pgbench's scale.
    pub(super) scale: u32,
}

impl Size {
    /// The usual one.
    pub(super) fn of(args: &Args) -> Self {
        let (name, scale) = SCALES[usize::from(!args.quick)];
        Self { name, scale }
    }

    /// All that were asked for, the usual one first.
    pub(super) fn all(args: &Args) -> Vec<Self> {
        let (name, scale) = SCALES[2];
        let large = (args.size == 10 && !args.quick).then_some(Self { name, scale });
        std::iter::once(Self::of(args)).chain(large).collect()
    }

    /// In how many of these rounds all of it is read.
    pub(super) fn full_rounds(self, rounds: u32) -> u32 {
        if self.scale >= SCALES[2].1 { rounds.div_ceil(3) } else { rounds }
    }

    /// Its rows of accounts.
    pub(super) fn accounts(self) -> u32 {
        self.scale * 100_000
    }
}

/// How often something is measured: `quick` with `--quick`.
pub(super) fn rounds(args: &Args, quick: u32, otherwise: u32) -> u32 {
    if args.quick { quick } else { otherwise }
}

/// The directory of what is kept between runs. Computes, which are other users, must be able to pass.
///
/// # Errors
/// When it cannot be made.
pub(super) fn cache() -> Result<PathBuf, Error> {
    let own = std::env::current_exe().map_err(Error::system("find the build directory"))?;
    // target/<profile>/benches → target/bench
    let target = own.ancestors().nth(2).ok_or_else(|| Error::unexpected("there is no build directory"))?;
    let dir = target.join("bench");
    passable(&dir)?;
    Ok(dir)
}

/// Makes a directory that others may pass through, if it is not there yet.
///
/// # Errors
/// When it cannot be made.
pub(super) fn passable(dir: &Path) -> Result<(), Error> {
    let made =
        fs::create_dir_all(dir).and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o711)));
    made.map_err(Error::system(format!("make the directory {}", dir.display())))
}

/// A directory below [`cache`] that goes with the value.
///
/// # Errors
/// When it cannot be made.
pub(super) fn scratch() -> Result<tempfile::TempDir, Error> {
    let dir = tempfile::Builder::new().prefix("run-").tempdir_in(cache()?);
    let dir = dir.map_err(Error::system("make a directory for this run"))?;
    passable(dir.path())?;
    Ok(dir)
}
