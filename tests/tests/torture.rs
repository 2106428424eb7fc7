//! The short form of the torture, for CI: two seeds, a program of its own so that it runs alone.
//! The long form is `make torture`; what it is, is told in `dormouse_tests::torture`.

#![allow(missing_docs)]

use std::path::{Path, PathBuf};

use dormouse_tests::note;
use dormouse_tests::torture::{Options, run};

/// Seconds of load; the checks come on top, about as long.
const SECONDS: u64 = 18;

/// Bytes; a run takes at most about half of it.
const PLENTY: u64 = 4 << 30;

/// Both seeds have PostgreSQL versions of their own: 15 and 18, the oldest and the newest, and the two
/// with amcheck and all tools.
const SEEDS: [(u64, u64); 2] = [(1, 15), (2, 18)];

/// Memory instead of a disk, when there is plenty: removing some thousand files costs a slow disk more
/// than the whole run. Nothing here loses power, so nothing is lost with it.
fn quick_dir() -> Option<PathBuf> {
    let shm = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(shm).ok()?;
    (room.f_bavail * room.f_frsize > PLENTY).then(|| shm.to_owned())
}

fn short((seed, pg): (u64, u64)) {
    let options =
        Options { seconds: SECONDS, pg: Some(pg), loud: false, dir: quick_dir(), ..Options::with_seed(seed) };
    match run(&options, seed) {
        Ok(report) => note(&report.summary),
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn the_oldest_version_survives() {
    short(SEEDS[0]);
}

#[test]
fn the_newest_version_survives() {
    short(SEEDS[1]);
}
