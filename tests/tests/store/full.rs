//! A store on a disk that is full: told as what it is, nothing half written, and well again with space.

use std::process::Command;

use bytes::Bytes;
use dormouse_storage::key::Key;
use dormouse_storage::object::{Created, Store, StoreError, StoreOptions};
use dormouse_tests::note;

/// Megabytes of the small disk.
const SIZE: usize = 8;

struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            note("only root can mount a small disk");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={SIZE}m"), "dormouse-test"]).arg(dir.path());
        if !mount.status().is_ok_and(|status| status.success()) {
            note("this system does not let root mount");
            return None;
        }
        Some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_is_half_written() {
    let Some(disk) = SmallDisk::mount() else { return };
    let path = disk.0.path().join("store");
    let store = Store::open(path.to_str().unwrap(), StoreOptions::default()).await.unwrap();
    let key = |n: usize| Key::from_store(&format!("t/{n:04}"));
    let body = Bytes::from(vec![7; 1 << 20]);
    let mut written = 0;
    let error = loop {
        match store.put(&key(written), body.clone()).await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written <= SIZE);
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    let error = store.create(&key(5000), body.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert!(error.to_string().contains("make room"), "{error}");
    assert_eq!(store.stats().retries, 0, "a full disk is not tried again");
    let listed = store.list(&Key::from_store("t"), None).await.unwrap();
    assert_eq!(listed.len(), written);
    for listed in &listed {
        assert!(store.get(&listed.key).await.unwrap() == body);
    }
    store.delete(&key(0)).await.unwrap();
    assert_eq!(store.create(&key(5000), body).await.unwrap(), Created::New);
    // A store that cannot even be begun says so too.
    std::fs::write(disk.0.path().join("ballast"), vec![0; SIZE << 20]).unwrap_err();
    let other = disk.0.path().join("other");
    let refused = Store::open(other.to_str().unwrap(), StoreOptions::default()).await.unwrap_err();
    assert!(dormouse_base::with_causes(&refused).contains("full"), "{refused:?}");
}
