//! Sparse packs become dense, and every file stays what it was.

use std::time::Duration;

use super::lab::{Files, Lab, later, noise, project};
use super::trap::{self, Action};
use crate::key;
use crate::pack::boot::BootPack;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn live_chunks_move_and_contents_stay() {
    let lab = Lab::new();
    let main = lab.root().await;
    let now = dormouse_base::clock::now();
    // The first pack holds 24 chunks and a map; later snapshots still use 2 small ones and 1 of a map.
    let mut files = Files::from([
        ("a".to_owned(), noise(1, 1)),
        ("b".to_owned(), noise(20, 18)),
        ("c".to_owned(), noise(60, 5)),
        ("empty".to_owned(), Vec::new()),
        ("tail".to_owned(), vec![7; 1000]),
        ("zeros".to_owned(), vec![0; 300_000]),
    ]);
    lab.file(&main, 0, 10, now).await;
    lab.snapshot(&main, 10, 10, &files).await;
    files.insert("c".to_owned(), noise(160, 5));
    // The last chunk of a file with a map stays, and so do the small files.
    let old = &files["b"][17 * 256 * 1024..];
    let changed: Vec<u8> = [&noise(100, 17), old].concat();
    files.insert("b".to_owned(), changed);
    lab.file(&main, 10, 20, now).await;
    lab.snapshot(&main, 20, 20, &files).await;
    let child = lab.child("child", &main, 20).await;
    lab.open(&child, 20).await;
    files.insert("c".to_owned(), noise(180, 5));
    let child_files = files.clone();
    lab.snapshot(&child, 20, 20, &child_files).await;
    let old_packs = lab.keys("/packs/").await;
    let collector = lab.collector(HOUR);
    let mut rewritten = 0;
    for hours in [2, 4, 6] {
        rewritten += collector.collect_at(later(hours)).await.unwrap().rewritten;
        if rewritten > 0 {
            break;
        }
    }
    assert!(rewritten >= 1);
    let record = lab.record(&main).await;
    assert_eq!(record.snapshots.len(), 1);
    let after = &record.snapshots[0];
    assert!(after.manifest.name().contains("-0001."), "{after:?}");
    let mut expected = child_files.clone();
    expected.insert("c".to_owned(), noise(160, 5));
    assert_eq!(lab.read(&after.manifest).await, expected);
    let boot = BootPack::decode(&after.boot, &lab.store.get(&after.boot).await.unwrap()).unwrap();
    assert_eq!(*boot.manifest, lab.manifest(&after.manifest).await);
    assert!(boot.len() >= 4, "{}", boot.len());
    let retired = record.retired.iter().find(|r| r.snapshot.lsn == after.lsn).unwrap();
    assert_eq!(lab.read(&retired.snapshot.manifest).await, expected, "old readers go on");
    // Enough for the newest of what was written to be old enough, and its predecessors gone.
    for hours in [8, 10, 12] {
        let report = collector.collect_at(later(hours)).await.unwrap();
        assert_eq!(report.rewritten, 0);
    }
    let left = lab.keys("/packs/").await;
    assert!(!left.contains(&old_packs[0]), "the sparse pack is gone");
    assert_eq!(lab.read(&after.manifest).await, expected);
    let newest = &lab.record(&child).await.snapshots[0];
    assert_eq!(lab.read(&newest.manifest).await, child_files);
    assert!(lab.record(&main).await.retired.is_empty());
}

#[tokio::test]
async fn a_damaged_chunk_is_not_carried_on() {
    let lab = Lab::new();
    let main = lab.root().await;
    let now = dormouse_base::clock::now();
    let mut files = Files::from([("a".to_owned(), noise(1, 2)), ("b".to_owned(), noise(20, 10))]);
    lab.file(&main, 0, 10, now).await;
    lab.snapshot(&main, 10, 10, &files).await;
    files.remove("b");
    lab.file(&main, 10, 20, now).await;
    lab.snapshot(&main, 20, 20, &files).await;
    let pack = lab.keys("/packs/").await.remove(0);
    let mut bytes = lab.store.get(&pack).await.unwrap().to_vec();
    bytes[20] ^= 1;
    lab.store.put(&pack, bytes.into()).await.unwrap();
    let collector = lab.collector(HOUR);
    for hours in [2, 4, 6] {
        assert_eq!(collector.collect_at(later(hours)).await.unwrap().rewritten, 0);
    }
    assert!(lab.store.exists(&pack).await.unwrap());
    assert_eq!(
        lab.record(&main).await.snapshots[0].manifest,
        key::manifest(&project(), &main, super::lab::at(20), dormouse_base::Epoch(1))
    );
}

#[tokio::test]
async fn what_is_replaced_stays_for_the_grace_period_from_then_on() {
    let lab = Lab::new();
    let main = lab.root().await;
    let mut files = Files::from([("a".to_owned(), noise(1, 1)), ("b".to_owned(), noise(20, 18))]);
    for (n, seed) in [(0, 20), (10, 100)] {
        lab.file(&main, n, n + 10, dormouse_base::clock::now()).await;
        files.insert("b".to_owned(), noise(seed, 18));
        lab.snapshot(&main, n + 10, n + 10, &files).await;
    }
    let mut collector = lab.collector(Duration::ZERO);
    collector.options.limits.grace = Duration::ZERO;
    trap::set("gc.rewrite.packs.after", 1, Action::Wait);
    for _ in 0..4 {
        let began = dormouse_base::clock::now();
        if collector.collect_at(began).await.unwrap().rewritten > 0 {
            assert!(!trap::clear(), "it took its time");
            let retired = &lab.record(&main).await.retired;
            assert!(!retired.is_empty());
            assert!(retired.iter().all(|r| r.at >= began + Duration::from_millis(20)), "{retired:?} {began}");
            return;
        }
    }
    panic!("nothing was rewritten");
}
