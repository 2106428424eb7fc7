//! The only part of tidy that touches the disk: which files there are, and what is in them.
//!
//! Git decides which files count (tracked, or new and not ignored), so build output and scratch files never
//! produce findings.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tree::{TextFile, Tree};

/// Larger files are data, not text that a person keeps tidy.
const LARGEST_TEXT: u64 = 4 * 1024 * 1024;

/// Why the workspace could not be read.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// `git` did not start.
    StartGit(std::io::Error),
    /// `git ls-files` ended with an error; this is what it said.
    ListFiles(String),
    /// A listed file could not be read.
    ReadFile(PathBuf, std::io::Error),
}

impl fmt::Display for LoadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartGit(error) => write!(out, "cannot start git: {error}; install git and run again"),
            Self::ListFiles(said) => write!(out, "git ls-files failed: {said}; run from a git checkout"),
            Self::ReadFile(path, error) => write!(out, "cannot read {}: {error}", path.display()),
        }
    }
}

/// The workspace root: the parent of this package's directory.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("xtask is a directory inside the workspace").to_owned()
}

/// Reads all text files that git knows or would accept.
///
/// # Errors
/// Git is missing or refuses, or a file cannot be read.
pub(crate) fn load(root: &Path) -> Result<Tree, LoadError> {
    let mut files = Vec::new();
    for path in listed(root)? {
        let full = root.join(&path);
        // A file that is deleted but still in the index, a symbolic link and a submodule are all not for us.
        let Ok(metadata) = std::fs::symlink_metadata(&full) else { continue };
        if !metadata.is_file() || metadata.len() > LARGEST_TEXT {
            continue;
        }
        let bytes = match std::fs::read(&full) {
            Ok(bytes) => bytes,
            // Somebody may remove a file while we look.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(LoadError::ReadFile(full, error)),
        };
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(TextFile { path, text });
        }
    }
    Ok(Tree::new(files))
}

fn listed(root: &Path) -> Result<Vec<String>, LoadError> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .map_err(LoadError::StartGit)?;
    if !output.status.success() {
        return Err(LoadError::ListFiles(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let mut paths: Vec<String> = output
        .stdout
        .split(|byte| *byte == 0)
        .filter(|path| !path.is_empty())
        .map(|path| String::from_utf8_lossy(path).into_owned())
        .collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}
