//! Shared memory that a killed PostgreSQL leaves behind.
//!
//! PostgreSQL removes its shared memory when it ends, and a later start in the same directory
//! removes what a killed one left. An endpoint that is killed and then stays asleep would leak it
//! until then, so it is cleaned here: the System V segment that the pid file names, and, where the
//! compute has a user ID of its own, every `/dev/shm/PostgreSQL.*` of that user.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::identity::Identity;

/// Removes what the user of a dead compute left. `segment` is the System V segment ID from
/// `postmaster.pid` line 7. A segment that some process still uses is left alone.
pub fn clean(identity: Identity, private_user: bool, segment: Option<i32>) {
    if let Some(id) = segment
        && let Ok(table) = fs::read_to_string("/proc/sysvipc/shm")
        && is_orphan(&table, id, identity.uid)
    {
        super::spawn::remove_sysv_segment(id);
    }
    if !private_user || super::process::any_of_user(identity.uid) {
        return;
    }
    let Ok(entries) = fs::read_dir("/dev/shm") else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with("PostgreSQL.")
            && entry.metadata().is_ok_and(|meta| meta.uid() == identity.uid);
        if ours && let Err(error) = fs::remove_file(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "cannot remove left shared memory");
        }
    }
}

/// In the format of `/proc/sysvipc/shm`: column 2 is the ID, 7 the number of attached processes, 8 the owner.
fn is_orphan(table: &str, id: i32, uid: u32) -> bool {
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1).and_then(|f| f.parse().ok()) == Some(id)
            && fields.get(6) == Some(&"0")
            && fields.get(7).and_then(|f| f.parse().ok()) == Some(uid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unattached_segments_of_the_right_user_are_orphans() {
        let table = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n\
             1 7 600 56 10 10 0 998 998 998 998 0 0 0 4096 0\n\
             2 8 600 56 10 10 3 998 998 998 998 0 0 0 4096 0\n";
        assert!(is_orphan(table, 7, 998));
        assert!(!is_orphan(table, 8, 998), "in use");
        assert!(!is_orphan(table, 7, 999), "somebody else's");
        assert!(!is_orphan(table, 9, 998), "not there");
    }
}
