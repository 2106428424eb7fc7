//! One template for all tests: the first server builds it, as everybody's first server does, and later ones
//! find a copy in their new data directory, as if they had been started there before. That saves each of more
//! than a hundred tests two seconds of `initdb`.
//!
//! The copy is kept beside the binary under test, under a name that changes with it.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use dormouse_base::rand;
use dormouse_runtime::spread;
use parking_lot::Mutex;

use crate::binary;

const PREFIX: &str = "template-of-";

/// What the server wrote of the store beside the cluster; a new data directory has a new store.
const STORED: &str = "stored.json";

/// Where the template of this binary is kept.
fn kept() -> PathBuf {
    let binary = binary();
    let meta = fs::metadata(&binary).unwrap();
    binary.with_file_name(format!("{PREFIX}{}-{}-{}", meta.len(), meta.mtime(), meta.mtime_nsec()))
}

/// Makes a new data directory that has the template, if one is kept.
pub(crate) fn lay_out(data: &Path) {
    let Ok(versions) = fs::read_dir(kept()) else { return };
    let templates = data.join("templates");
    fs::DirBuilder::new().mode(0o711).recursive(true).create(&templates).unwrap();
    spread::children_of(&templates);
    for version in versions {
        let version = version.unwrap();
        let draft = templates.join(rand::token(8));
        copy(&version.path(), &draft);
        fs::rename(draft, templates.join(version.file_name())).unwrap();
    }
    // By this the server sees that the directory is one of its own.
    fs::write(data.join("lock"), b"").unwrap();
}

/// Keeps the templates of a server that runs, unless they are kept already.
pub(crate) fn keep(data: &Path) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _kept_once = ONE_AT_A_TIME.lock();
    let kept = kept();
    if kept.exists() {
        return;
    }
    forget_others(kept.parent().unwrap());
    let draft = kept.with_extension(rand::token(8));
    fs::create_dir(&draft).unwrap();
    for entry in fs::read_dir(data.join("templates")).unwrap() {
        let entry = entry.unwrap();
        // Not a spare, nor anything that is being made.
        let is_version = entry.file_name().to_str().is_some_and(|name| name.parse::<u16>().is_ok());
        if is_version {
            let copied = draft.join(entry.file_name());
            copy(&entry.path(), &copied);
            let _not_stored_yet = fs::remove_file(copied.join(STORED));
        }
    }
    if let Err(error) = fs::rename(&draft, &kept) {
        // Another program of the tests was quicker.
        assert!(kept.exists(), "cannot keep templates: {error}");
        fs::remove_dir_all(&draft).unwrap();
    }
}

/// Those of earlier binaries, and what an interrupted run left.
fn forget_others(place: &Path) {
    for entry in fs::read_dir(place).unwrap().filter_map(io::Result::ok) {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            let _somebody_else_does = fs::remove_dir_all(entry.path());
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "{} cannot be copied", from.display());
}
