//! Where on the disk new directories are put.
//!
//! ext4 puts a directory near its parent and a file near its directory. It does not use the number of a
//! deleted file again for some minutes, and whoever makes a file looks at all those numbers first: where a few
//! thousand files were deleted, each new one takes 0.5 ms instead of 0.02 (measured, Linux 6.18), and a
//! cluster has a thousand. With the flag `TOPDIR` on their parent, directories are put far from each other, by
//! their names; then only names that come again find what was deleted before.

use std::fs::File;
use std::path::Path;

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

/// Asks for directories made in this one to be put far from each other. File systems that know nothing of it
/// refuse, and lose nothing.
pub fn children_of(path: &Path) {
    let Ok(dir) = File::open(path) else { return };
    if let Ok(flags) = ioctl_getflags(&dir) {
        let _not_known_here = ioctl_setflags(&dir, flags | IFlags::TOPDIR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_can_remembers_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::open(dir.path()).unwrap();
        let before = ioctl_getflags(&file);
        children_of(dir.path());
        // tmpfs has flags and refuses this one; ext2, ext3 and ext4 take it.
        let is_ext = rustix::fs::fstatfs(&file).unwrap().f_type == 0xEF53;
        if is_ext {
            assert!(!before.unwrap().contains(IFlags::TOPDIR));
            assert!(ioctl_getflags(&file).unwrap().contains(IFlags::TOPDIR));
        }
        std::fs::create_dir(dir.path().join("child")).unwrap();
        children_of(&dir.path().join("nothing here"));
    }
}
