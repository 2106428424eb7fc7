//! Shared memory that a dead compute leaves behind.
//!
//! PostgreSQL removes its shared memory when it ends, and a later start in the same directory
//! removes what a killed one left. An endpoint that is killed and then stays asleep would leak it
//! until then, so it is cleaned here: the System V segment that the pid file names, and, where the
//! compute has a user ID of its own, everything of that user, whatever made it: a superuser's
//! programs can make segments, too, and asleep means that nothing is used.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::identity::Identity;

/// Removes what the user of a dead compute left. `segment` is the System V segment ID from
/// `postmaster.pid` line 7. A segment that some process still uses is left alone.
pub fn clean(identity: Identity, private_user: bool, segment: Option<i32>) {
    let table = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    for id in orphans(&table, identity.uid) {
        if private_user || segment == Some(id) {
            super::spawn::remove_sysv_segment(id);
        }
    }
    if !private_user {
        return;
    }
    let files = files_of(identity.uid);
    if files.is_empty() || super::process::any_of_user(identity.uid) {
        return;
    }
    for path in files {
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove left shared memory");
        }
    }
}

fn files_of(uid: u32) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/dev/shm") else { return Vec::new() };
    let owned = |entry: &fs::DirEntry| entry.metadata().is_ok_and(|meta| meta.uid() == uid);
    entries.flatten().filter(owned).map(|entry| entry.path()).collect()
}

/// In the format of `/proc/sysvipc/shm`: column 2 is the ID, 7 the number of attached processes, 8 the owner.
/// Gives the IDs of a user's segments that no process uses.
fn orphans(table: &str, uid: u32) -> Vec<i32> {
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<&str>>());
    let unused = rows.filter(|fields| {
        fields.get(6) == Some(&"0") && fields.get(7).and_then(|f| f.parse().ok()) == Some(uid)
    });
    unused.filter_map(|fields| fields.get(1)?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unattached_segments_of_the_right_user_are_orphans() {
        let table = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n\
             1 7 600 56 10 10 0 998 998 998 998 0 0 0 4096 0\n\
             2 8 600 56 10 10 3 998 998 998 998 0 0 0 4096 0\n";
        assert_eq!(orphans(table, 998), [7], "8 is in use");
        assert!(orphans(table, 999).is_empty(), "somebody else's");
    }
}
