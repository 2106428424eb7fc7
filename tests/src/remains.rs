//! What computes that were killed by force leave behind, removed, so that a test leaves nothing.

use std::path::{Path, PathBuf};

use dormouse_compute::sandbox::identity::{FIRST_UID, Identity};
use dormouse_compute::sandbox::{process, shm};
use rustix::process::Signal;

/// Ends all processes of the computes below `computes`, and removes their shared memory and cgroups.
pub(crate) fn remove(computes: &Path) {
    let homes: Vec<PathBuf> =
        std::fs::read_dir(computes).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    for pid in process::in_directory(computes) {
        process::signal(pid, Signal::CONT);
        process::signal(pid, Signal::KILL);
    }
    let parents: Vec<PathBuf> = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/freezer"]
        .into_iter()
        .flat_map(|dir| std::fs::read_dir(dir).into_iter().flatten().flatten())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("dormouse-"))
        .map(|entry| entry.path())
        .collect();
    for home in &homes {
        let name = home.file_name().unwrap();
        for group in parents.iter().map(|parent| parent.join(name)).filter(|group| group.is_dir()) {
            remove_group(&group);
        }
        if let Some(user) = Identity::owner_of(&home.join("data")).filter(|user| user.uid >= FIRST_UID) {
            shm::clean(user, true, None);
        }
    }
}

/// A program of the compute may have gone to another directory; its cgroup knows it.
fn remove_group(group: &Path) {
    for _ in 0..500 {
        // Gone is what we want; a parent that another endpoint uses stays.
        if std::fs::remove_dir(group).is_ok() {
            let _in_use = std::fs::remove_dir(group.parent().unwrap());
            return;
        }
        let thaw = [("cgroup.freeze", "0"), ("freezer.state", "THAWED")];
        for (file, word) in thaw.iter().filter(|(file, _)| group.join(file).exists()) {
            let _frozen = std::fs::write(group.join(file), word);
        }
        let list = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        list.lines().filter_map(|pid| pid.parse().ok()).for_each(|pid| process::signal(pid, Signal::KILL));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
