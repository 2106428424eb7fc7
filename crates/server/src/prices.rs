//! The user's own price sheets: files that were named, and those in the data directory.
//!
//! A file that was named must be good, or the server does not start: whoever names it wants it. One that lies in
//! `price-sheets` is skipped with a warning: a typing mistake there must not keep databases down. The first one that
//! was named is the default sheet.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use dormouse_pricing::sheet::read::MAX_SHEET;
use dormouse_pricing::{Pricing, Sheet, SheetError};

/// The directory of own sheets, in the data directory.
pub const DIRECTORY: &str = "price-sheets";

/// The most files that are read of it.
const MAX_FILES: usize = 100;

/// A price sheet cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PricesError {
    /// The file.
    #[error("cannot read the price sheet {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// What is in it.
    #[error("this is not a price sheet: {0}")]
    Sheet(SheetError),
    /// Two that were named have one ID.
    #[error("the price sheets {} and {} have the same `id`, `{id}`", first.display(), second.display())]
    Twice {
        /// The ID.
        id: String,
        /// The first.
        first: PathBuf,
        /// The second.
        second: PathBuf,
    },
}

/// Reads them all. Blocks.
///
/// # Errors
/// When one of `named` cannot be used.
pub fn load(named: &[PathBuf], data: &Path) -> Result<Pricing, PricesError> {
    let mut own: Vec<(PathBuf, Sheet)> = Vec::new();
    for path in named {
        let sheet = read(path)?;
        if let Some((first, _)) = own.iter().find(|(_, other)| other.id == sheet.id) {
            return Err(PricesError::Twice { id: sheet.id, first: first.clone(), second: path.clone() });
        }
        own.push((path.clone(), sheet));
    }
    let default = own.first().map(|(_, sheet)| sheet.id.clone());
    for path in found(&data.join(DIRECTORY)) {
        match read(&path) {
            Ok(sheet) => match own.iter().find(|(_, other)| other.id == sheet.id) {
                None => own.push((path, sheet)),
                // A named file may lie in the directory as well.
                Some((first, _)) if *first == path => {}
                Some((first, _)) => tracing::warn!(
                    skipped = %path.display(), kept = %first.display(), id = sheet.id,
                    "two price sheets have one ID"
                ),
            },
            Err(error) => {
                tracing::warn!(skipped = %path.display(), "{}", dormouse_base::with_causes(&error));
            }
        }
    }
    if !own.is_empty() {
        let ids: Vec<&str> = own.iter().map(|(_, sheet)| sheet.id.as_str()).collect();
        tracing::info!(sheets = ids.join(", "), "own price sheets");
    }
    Ok(Pricing::new(own.into_iter().map(|(_, sheet)| sheet).collect(), default.as_deref()))
}

fn read(path: &Path) -> Result<Sheet, PricesError> {
    let refused = |source| PricesError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(refused)?;
    let mut text = String::new();
    file.take(MAX_SHEET + 1).read_to_string(&mut text).map_err(refused)?;
    if u64::try_from(text.len()).is_ok_and(|length| length > MAX_SHEET) {
        return Err(refused(io::Error::other(format!("it has more than {MAX_SHEET} bytes"))));
    }
    Sheet::read(&path.display().to_string(), &text).map_err(PricesError::Sheet)
}

/// The files of the directory that end in `.toml`, by name.
fn found(directory: &Path) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!(directory = %directory.display(), %error, "own price sheets cannot be listed");
            return Vec::new();
        }
    };
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    paths.sort();
    if paths.len() > MAX_FILES {
        tracing::warn!(directory = %directory.display(), most = MAX_FILES, "too many price sheets: only the first are read");
        paths.truncate(MAX_FILES);
    }
    paths
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail")]

    use super::{DIRECTORY, load};
    use std::path::{Path, PathBuf};

    fn sheet(id: &str) -> String {
        format!(
            "id = \"{id}\"\nprovider = \"P\"\nplan = \"p\"\ndated = 2026-01-01\nsource = \"us\"\ncurrency = \"EUR\"\n\
             region = \"r\"\n[compute]\nprice = 1\nsleeps = true\n"
        )
    }

    fn put(directory: &Path, name: &str, text: &str) -> PathBuf {
        std::fs::create_dir_all(directory).unwrap();
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn named_files_must_be_good_and_found_ones_may_be_bad() {
        let data = tempfile::tempdir().unwrap();
        let (own, other) = (data.path().join(DIRECTORY), data.path().join("elsewhere"));
        assert_eq!(
            load(&[], data.path()).unwrap().default_sheet().id,
            "neon-launch",
            "no directory, no wish"
        );
        put(&own, "b.toml", &sheet("bee"));
        put(&own, "a.toml", "id = 5");
        put(&own, "c.toml", &sheet("bee"));
        put(&own, "note.txt", "not a sheet");
        std::fs::create_dir(own.join("d.toml")).unwrap();
        std::fs::write(own.join("e.toml"), [0xff, 0xfe]).unwrap();
        let pricing = load(&[], data.path()).unwrap();
        assert_eq!(pricing.sheets()[0].id, "bee");
        assert_eq!(pricing.sheets()[1].id, "neon-free", "the bad ones are skipped");
        assert_eq!(pricing.default_sheet().id, "neon-launch");

        let wish = put(&other, "wish.toml", &sheet("wish"));
        let pricing = load(&[wish.clone(), own.join("b.toml")], data.path()).unwrap();
        assert_eq!(pricing.default_sheet().id, "wish");
        let bad = put(&other, "bad.toml", &sheet("bad").replace("price = 1", "price = -1"));
        let error = load(&[wish.clone(), bad.clone()], data.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("{}, line 9, field `compute.price`", bad.display())), "{error}");
        let twin = put(&other, "twin.toml", &sheet("wish"));
        assert!(load(&[wish, twin], data.path()).unwrap_err().to_string().contains("same `id`"));
        let missing = load(&[other.join("missing.toml")], data.path()).unwrap_err().to_string();
        assert!(missing.contains("missing.toml"), "{missing}");
        let large = put(&other, "large.toml", &"#".repeat(300_000));
        let error = dormouse_base::with_causes(&load(&[large], data.path()).unwrap_err()).to_string();
        assert!(error.contains("more than 262144 bytes"), "{error}");
    }
}
