//! The program under test: the release build of this checkout, unless another one is named.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;
use crate::talk;

/// Builds `target/release/dormouse` and tells where it is.
///
/// # Errors
/// When the build fails.
pub(crate) fn build() -> Result<PathBuf, Error> {
    talk::say("building the release binary");
    // cargo names itself to the programs that it runs.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--locked", "-p", "dormouse-cli"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .stdout(Stdio::null())
        .status()
        .map_err(Error::system("run cargo"))?;
    if !status.success() {
        return Err(Error::unexpected("the release binary cannot be built"));
    }
    let own = std::env::current_exe().map_err(Error::system("find the build directory"))?;
    // target/<profile>/benches → target/release/dormouse
    let binary = own.ancestors().nth(2).map(|target| target.join("release/dormouse"));
    binary
        .filter(|path| path.is_file())
        .ok_or_else(|| Error::unexpected("cargo built no target/release/dormouse"))
}
