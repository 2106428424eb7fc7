//! What is believed of a directory that was left alone for a while.

use std::fs;
use std::path::Path;
use std::process::Command;

use dormouse_hydrate::layout::{CHUNK, FILL, HIDDEN_CONTROL, TRUNCATE, TRUNCATED};
use dormouse_runtime::failpoint;
use dormouse_storage::hydrate::{HydrateError, Hydration, Life, Place};

use super::{ALONE, Small, ask, until};

/// A directory that is on the disk, with all chunks but the last.
async fn partly_filled() -> Small {
    let small = Small::new();
    let hydration = small.begin().await;
    assert_eq!(ask(&mut small.connect(), FILL, 0, 4), 0);
    until(|| small.place.state.join("durable").exists()).await;
    hydration.stop().await;
    small
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// The same, elsewhere.
fn copied(small: &Small, dir: &Path) -> Place {
    for from in [&small.place.data, &small.place.state, &small.place.runtime] {
        copy(from, dir);
    }
    let [data, state, runtime] = ["data", "state", "run"].map(|name| dir.join(name));
    Place { data, state, runtime, ..small.place.clone() }
}

/// As it was written before there were anchors.
fn forget_anchor(place: &Place) {
    let plan = place.state.join("plan");
    let mut written: serde_json::Value = serde_json::from_slice(&fs::read(&plan).unwrap()).unwrap();
    written.as_object_mut().unwrap().remove("anchor").unwrap();
    fs::write(&plan, written.to_string()).unwrap();
}

fn is_refused(resumed: &Result<Option<Hydration>, HydrateError>, place: &Place) -> bool {
    let hidden = !place.data.join("global/pg_control").exists() && place.data.join(HIDDEN_CONTROL).exists();
    matches!(resumed, Err(HydrateError::Moved)) && hidden && !place.state.join("sealed").exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_neither_filled_nor_completed() {
    let _alone = ALONE.lock().await;
    let mut small = partly_filled().await;
    let dir = tempfile::tempdir().unwrap();
    let (original, copy) = (small.place.clone(), copied(&small, dir.path()));
    for life in [Life::Rests, Life::Runs] {
        small.place = copy.clone();
        assert!(is_refused(&small.try_resume(life).await, &copy), "{life:?}");
        small.place = original.clone();
        let hydration = small.try_resume(life).await.unwrap().unwrap();
        assert_eq!(hydration.missing(0).iter().collect::<Vec<_>>(), [5], "{life:?}");
        hydration.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_without_an_anchor_is_known_by_its_files() {
    let _alone = ALONE.lock().await;
    let mut small = partly_filled().await;
    let dir = tempfile::tempdir().unwrap();
    forget_anchor(&small.place);
    let (original, copy) = (small.place.clone(), copied(&small, dir.path()));
    small.place = copy.clone();
    assert!(is_refused(&small.try_resume(Life::Rests).await, &copy));
    small.place = original;
    let hydration = small.try_resume(Life::Rests).await.unwrap().unwrap();
    assert_eq!(ask(&mut small.connect(), FILL, 5, 5), 0);
    until(|| hydration.is_complete()).await;
    hydration.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_copied_back_into_the_same_directory_is_a_copy() {
    let _alone = ALONE.lock().await;
    let small = partly_filled().await;
    let dir = tempfile::tempdir().unwrap();
    let copy = copied(&small, dir.path());
    for name in ["PG_VERSION", "file"] {
        fs::remove_file(small.place.data.join(name)).unwrap();
        self::copy(&copy.data.join(name), &small.place.data);
    }
    assert!(is_refused(&small.try_resume(Life::Rests).await, &small.place));
}

/// Snapshots and PostgreSQL's next start take the path, the filler what it has opened.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_exchanged_while_it_is_filled_is_not_completed() {
    let _alone = ALONE.lock().await;
    let small = partly_filled().await;
    let dir = tempfile::tempdir().unwrap();
    let hydration = small.try_resume(Life::Rests).await.unwrap().unwrap();
    hydration.in_place().unwrap();
    let aside = dir.path().join("data");
    fs::rename(&small.place.data, &aside).unwrap();
    assert!(matches!(hydration.in_place(), Err(HydrateError::Moved)));
    copy(&aside, &small.place.data);
    assert!(matches!(hydration.in_place(), Err(HydrateError::Moved)));
    assert_eq!(ask(&mut small.connect(), FILL, 5, 5), 0);
    assert_eq!(hydration.progress().absent, 0);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!hydration.is_complete() && !small.place.data.join("global/pg_control").exists());
    hydration.stop().await;
}

/// A file system that lost writes may be mounted again within one boot.
#[tokio::test(flavor = "multi_thread")]
async fn bits_do_not_outlive_their_bytes() {
    let _alone = ALONE.lock().await;
    for (life, missing) in [(Life::Runs, vec![5]), (Life::Rests, vec![2, 5])] {
        let small = partly_filled().await;
        let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(small.file(), flags, 2 * CHUNK + 8192, 4096).unwrap();
        let hydration = small.try_resume(life).await.unwrap().unwrap();
        assert_eq!(hydration.missing(0).iter().collect::<Vec<_>>(), missing, "{life:?}");
        if life == Life::Rests {
            assert_eq!(ask(&mut small.connect(), FILL, 0, 4), 0);
            assert!(small.is_original(0, 5 * CHUNK as usize));
        }
        hydration.stop().await;
    }
}

/// What an earlier truncation cut off stays PostgreSQL's own when a later one did not happen.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_that_did_not_happen_leaves_the_one_before() {
    let _alone = ALONE.lock().await;
    let small = Small::new();
    let hydration = small.begin().await;
    let mut stream = small.connect();
    assert_eq!(ask(&mut stream, TRUNCATE, 4 * CHUNK, 0), 0);
    small.file().set_len(4 * CHUNK).unwrap();
    assert_eq!(ask(&mut stream, TRUNCATED, 0, 0), 0);
    small.file().set_len(6 * CHUNK).unwrap();
    until(|| small.place.state.join("durable").exists()).await;
    assert_eq!(ask(&mut stream, TRUNCATE, 2 * CHUNK, 0), 0);
    failpoint::arm("hydrate.truncate.before_settle=error").unwrap();
    hydration.stop().await;
    failpoint::disarm();
    small.try_resume(Life::Runs).await.unwrap().unwrap().stop().await;
    let hydration = small.try_resume(Life::Rests).await.unwrap().unwrap();
    assert_eq!(hydration.missing(0).iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    hydration.stop().await;
}

/// The kernel takes what a disk refused for written: the second answer is always yes.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_disk_refused_once_is_never_completed() {
    let _alone = ALONE.lock().await;
    for refused in ["made", "filled"] {
        let small = Small::new();
        let first = "hydrate.sync.asks=error@1";
        if refused == "made" {
            failpoint::arm(first).unwrap();
        }
        let hydration = small.begin().await;
        if refused == "filled" {
            until(|| small.place.state.join("durable").exists()).await;
            failpoint::arm(first).unwrap();
        }
        assert_eq!(ask(&mut small.connect(), FILL, 0, 5), 0);
        until(|| hydration.is_suspect()).await;
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        assert!(hydration.make_durable().await.is_err());
        hydration.stop().await;
        failpoint::disarm();
        let has = |name| small.place.state.join(name).exists();
        assert!(!has("sealed") && has("durable") == (refused == "filled"), "{refused}");
        assert!(!hydration.is_complete() && !small.place.data.join("global/pg_control").exists());
        for life in [Life::Rests, Life::Runs] {
            assert!(matches!(small.try_resume(life).await, Err(HydrateError::Suspect)), "{refused} {life:?}");
        }
        // Made again, it is as good as any.
        let hydration = small.begin().await;
        assert_eq!(ask(&mut small.connect(), FILL, 0, 5), 0);
        until(|| hydration.is_complete()).await;
        hydration.stop().await;
    }
}
