//! A directory that looks like a cluster, cloned.

use std::path::PathBuf;

use dormouse_base::{Lsn, Timeline};

use super::*;
use crate::manifest::WalPages;

fn source(dir: &Path) -> PathBuf {
    let source = dir.join("a");
    fs::create_dir_all(source.join("base/1")).unwrap();
    fs::create_dir_all(source.join("pg_wal/archive_status")).unwrap();
    fs::create_dir_all(source.join("pg_replslot/dormouse_wal")).unwrap();
    for (name, bytes) in [
        ("base/1/1259", vec![7u8; 100_000]),
        ("base/1/16384", vec![8u8; 8192]),
        ("base/1/16385", Vec::new()),
        ("base/1/pg_internal.init", vec![9; 10]),
        ("postmaster.pid", vec![b'1']),
        ("pg_replslot/dormouse_wal/state", vec![1; 100]),
    ] {
        fs::write(source.join(name), bytes).unwrap();
    }
    fs::set_permissions(source.join("base/1/16384"), fs::Permissions::from_mode(0o640)).unwrap();
    source
}

fn left() -> Left {
    let wal = vec![WalPages { at: Lsn(1 << 24), bytes: vec![5; 8192] }];
    Left { end: Lsn((1 << 24) + 200), timeline: Timeline(2), wal }
}

#[test]
fn a_clone_has_what_a_snapshot_would_have() {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (source(dir.path()), dir.path().join("b"));
    let cloned = clone_directory(&source, &left(), &target, None, Sharing::May).unwrap();
    assert_eq!(cloned.copied == Copied::Shared, can_share(dir.path()));
    assert_eq!(fs::read(target.join("base/1/1259")).unwrap(), vec![7u8; 100_000]);
    let meta = |path: &str| fs::metadata(target.join(path)).unwrap();
    assert_eq!(meta("base/1/16384").permissions().mode() & 0o777, 0o640);
    assert_eq!(
        meta("base/1/1259").modified().unwrap(),
        fs::metadata(source.join("base/1/1259")).unwrap().modified().unwrap()
    );
    let wal = fs::read(target.join("pg_wal/000000020000000000000001")).unwrap();
    assert_eq!((wal.len(), &wal[..8192], &wal[8192..8200]), (1 << 24, &[5; 8192][..], &[0; 8][..]));
    assert!(target.join("pg_wal/archive_status").is_dir() && target.join("pg_replslot").is_dir());
    for gone in ["postmaster.pid", "base/1/pg_internal.init", "pg_replslot/dormouse_wal"] {
        assert!(!target.join(gone).exists(), "{gone}");
    }
    let again = clone_directory(&source, &left(), &target, None, Sharing::May);
    assert!(again.is_err(), "never copies over something");
}

#[test]
fn links_are_refused_and_bytes_only_copied_when_they_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let source = source(dir.path());
    let must = clone_directory(&source, &left(), &dir.path().join("b"), None, Sharing::Must);
    assert_eq!(must.is_ok(), can_share(dir.path()));
    std::os::unix::fs::symlink("/etc/passwd", source.join("base/1/2")).unwrap();
    assert!(clone_directory(&source, &left(), &dir.path().join("c"), None, Sharing::May).is_err());
}

#[test]
fn what_the_source_changed_is_looked_at_again() {
    let dir = tempfile::tempdir().unwrap();
    let (source, target) = (source(dir.path()), dir.path().join("b"));
    let base = Key::from_store("b/m");
    let [old, new] = ["old.state", "new.state"].map(|name| dir.path().join(name));
    let stamp = |path: &str| Stamp::look(&fs::File::open(source.join(path)).unwrap()).unwrap();
    let calm = |path| (path, Remembered { stamp: stamp(path), racy: false });
    State::save(&old, &base, [calm("base/1/1259"), calm("base/1/16384")].into_iter()).unwrap();
    fs::write(source.join("base/1/16384"), vec![1u8; 16384]).unwrap();
    let cloned = clone_directory(&source, &left(), &target, None, Sharing::May).unwrap();
    cloned.remember(&base, &old, &new).unwrap();
    let state = State::load(&new, &base).unwrap();
    let clone = |path: &str| Stamp::look(&fs::File::open(target.join(path)).unwrap()).unwrap();
    let known = |path: &str| state.files.get(path).map(|f| (f.stamp == clone(path), f.racy));
    assert_eq!(known("base/1/1259"), Some((true, false)), "the same bytes as in the snapshot");
    assert_eq!(known("base/1/16384"), Some((true, true)), "changed since");
    assert_eq!(known("base/1/16385"), None, "never seen");
    // A state of another snapshot says nothing.
    cloned.remember(&Key::from_store("b/n"), &old, &new).unwrap();
    assert!(State::load(&new, &Key::from_store("b/n")).unwrap().files.is_empty());
}
