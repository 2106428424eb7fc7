//! Where Dormouse keeps its data when nobody says: `$DORMOUSE_DATA`, else `/var/lib/dormouse/data`
//! for root, else `$XDG_DATA_HOME/dormouse/data`, which is `~/.local/share/dormouse/data` when
//! that variable is not set.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::Error;

/// The variable that names the data directory.
pub(crate) const DATA_VARIABLE: &str = "DORMOUSE_DATA";

/// The data directory of root, who has a whole machine.
const ROOTS_DATA: &str = "/var/lib/dormouse/data";

/// The data directory to use: `given` (from `--data`), else the default of this user.
///
/// # Errors
/// When there is no default, because the user has no home directory.
pub(crate) fn data_directory(given: Option<PathBuf>) -> Result<PathBuf, Error> {
    if let Some(given) = given {
        return Ok(given);
    }
    default_from(rustix::process::geteuid().is_root(), |name| env::var_os(name)).ok_or_else(|| {
        Error::usage("there is no default data directory, because HOME is not set")
            .hint(format!("Name one with `--data DIR` or {DATA_VARIABLE}."))
    })
}

fn default_from(root: bool, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(data) = set(DATA_VARIABLE) {
        return Some(data);
    }
    if root {
        return Some(PathBuf::from(ROOTS_DATA));
    }
    // The XDG rule: a relative path there is to be ignored.
    let shared = set("XDG_DATA_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))?;
    Some(shared.join("dormouse/data"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(root: bool, variables: &[(&str, &str)]) -> Option<String> {
        let found = default_from(root, |name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value))
        });
        found.map(|path| path.display().to_string())
    }

    #[test]
    fn the_order() {
        let home = ("HOME", "/home/ann");
        let xdg = ("XDG_DATA_HOME", "/x");
        let own = ("DORMOUSE_DATA", "here");
        assert_eq!(with(true, &[home, xdg, own]).unwrap(), "here");
        assert_eq!(with(true, &[home, xdg]).unwrap(), "/var/lib/dormouse/data");
        assert_eq!(with(false, &[home, xdg]).unwrap(), "/x/dormouse/data");
        assert_eq!(with(false, &[home]).unwrap(), "/home/ann/.local/share/dormouse/data");
        assert_eq!(
            with(false, &[home, ("XDG_DATA_HOME", "x"), ("DORMOUSE_DATA", "")]).unwrap(),
            "/home/ann/.local/share/dormouse/data"
        );
        assert_eq!(with(false, &[]), None);
    }
}
