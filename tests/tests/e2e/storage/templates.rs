//! Building a template takes longer than most of these tests: the first one of a build is kept for the others.
//! (That servers build theirs is tested by everything outside of this module.)

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use dormouse_tests::binary;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const PREFIX: &str = "templates-";

/// Where this build's are.
fn place() -> PathBuf {
    let built = binary().metadata().unwrap().modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{PREFIX}{}", built.as_nanos()))
}

/// Puts what was kept into a new data directory.
pub(super) fn give(data: &Path) {
    if place().is_dir() {
        std::fs::create_dir_all(data).unwrap();
        // Without it the server would take the directory for somebody else's.
        std::fs::File::create(data.join("lock")).unwrap();
        copy(&place(), &data.join("templates"));
    }
}

/// Keeps the templates of a server that has started, if none are kept yet.
pub(super) fn keep(data: &Path) {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if place().is_dir() {
        return;
    }
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for old in std::fs::read_dir(root).into_iter().flatten().flatten() {
        if old.file_name().to_string_lossy().starts_with(PREFIX) {
            std::fs::remove_dir_all(old.path()).unwrap();
        }
    }
    let draft = root.join(format!("{PREFIX}new"));
    std::fs::create_dir_all(&draft).unwrap();
    for template in std::fs::read_dir(data.join("templates")).unwrap().flatten() {
        // Not the spare copies, which come and go, and not the note where it was stored.
        if template.file_name().to_string_lossy().parse::<u16>().is_ok() {
            copy(&template.path(), &draft.join(template.file_name()));
            let _not_noted = std::fs::remove_file(draft.join(template.file_name()).join("stored.json"));
        }
    }
    std::fs::rename(draft, place()).unwrap();
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success(), "cp {} {}", from.display(), to.display());
}
