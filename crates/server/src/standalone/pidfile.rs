//! The file that says which process runs.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, test_kill_process};

use super::PoolError;

/// Written at the start, removed at the end.
pub(super) struct PidFile(Option<PathBuf>);

impl PidFile {
    /// Writes it; an empty name means none. A file of a process that is gone is replaced.
    /// So is that of a process which hands over to this one (`replaces`).
    pub(super) fn write(name: &str, replaces: bool) -> Result<Self, PoolError> {
        if name.is_empty() {
            return Ok(Self(None));
        }
        let path = PathBuf::from(name);
        let known = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse::<i32>().ok());
        if let Some(pid) = known.filter(|pid| *pid != own() && !replaces)
            && Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid).is_ok())
        {
            return Err(PoolError::Running { path, pid });
        }
        fs::write(&path, format!("{}\n", own()))
            .map_err(|source| PoolError::PidFile { path: path.clone(), source })?;
        Ok(Self(Some(path)))
    }

    /// Whether it could be written.
    pub(super) fn check(name: &str) -> Result<(), PoolError> {
        if name.is_empty() {
            return Ok(());
        }
        let path = PathBuf::from(name);
        let opened = fs::OpenOptions::new().append(true).create(true).open(&path);
        opened.map(drop).map_err(|source| PoolError::PidFile { path, source })
    }
}

fn own() -> i32 {
    i32::try_from(std::process::id()).expect("process IDs fit")
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let is_own =
            |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.trim() == own().to_string());
        // It may be a successor's by now.
        if let Some(path) = self.0.as_ref().filter(|path| is_own(path)) {
            // The next start replaces what is left behind.
            let _left_behind = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_refused_and_a_dead_ones_file_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        let name = path.to_str().unwrap();
        fs::write(&path, "1\n").unwrap();
        // Process 1 is always there; whether we may signal it or not depends on who we are.
        if test_kill_process(Pid::from_raw(1).unwrap()).is_ok() {
            assert!(matches!(PidFile::write(name, false), Err(PoolError::Running { pid: 1, .. })));
        }
        fs::write(&path, "nonsense").unwrap();
        let file = PidFile::write(name, false).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().trim(), std::process::id().to_string());
        drop(file);
        assert!(!path.exists());
    }
}
