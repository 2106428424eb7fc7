//! The store's promises on every backend that needs no server, with and without faults.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dormouse_base::{Secret, clock, with_causes};
use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::fault::{Chance, Fault};
use super::*;
use crate::key::{self, Key};

mod opening;
mod rooted;

pub(crate) fn quick() -> Limits {
    Limits {
        attempts: 40,
        backoff: Duration::from_micros(200),
        backoff_max: Duration::from_millis(2),
        ..Limits::default()
    }
}

fn faulty(plan: &str) -> (Store, FaultHandle) {
    let backend = FaultStore::new(Arc::new(InMemory::new()), plan.parse().unwrap());
    let handle = backend.handle();
    (Store::with_limits(Arc::new(backend), quick()), handle)
}

async fn local() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Store::open(dir.path().join("store").to_str().unwrap(), StoreOptions::default()).await.unwrap();
    (dir, store)
}

fn named(name: &str) -> Key {
    Key::from_store(name)
}

fn body(n: u8, len: usize) -> Bytes {
    (0..len).map(|at| n.wrapping_add(at as u8)).collect()
}

/// What every store must do, whatever it is made of.
async fn behaves(store: &Store) {
    let key = named("t/a/one");
    assert!(store.get(&key).await.unwrap_err().is_not_found());
    assert!(!store.exists(&key).await.unwrap());
    store.put(&key, body(1, 100)).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap(), body(1, 100));
    assert_eq!(store.get_range(&key, 10..20).await.unwrap(), body(11, 10));
    assert!(store.get_range(&key, 3..3).await.unwrap().is_empty());
    assert!(!store.get_range(&key, 90..101).await.unwrap_err().is_not_found());
    assert!(!store.get_range(&key, 200..300).await.unwrap_err().is_not_found());
    assert_eq!(store.head(&key).await.unwrap().size, 100);
    let ranges = store.get_ranges(&key, &[50..60, 0..0, 0..10, 99..100]).await.unwrap();
    assert_eq!(ranges, [body(51, 10), Bytes::new(), body(1, 10), body(100, 1)]);

    assert_eq!(store.create(&named("t/a/two"), body(2, 10)).await.unwrap(), Created::New);
    assert_eq!(store.create(&named("t/a/two"), body(3, 10)).await.unwrap(), Created::Exists);
    assert_eq!(store.get(&named("t/a/two")).await.unwrap(), body(2, 10));
    store.put_parts(&named("t/b/three"), vec![body(0, 3), body(3, 4)]).await.unwrap();
    assert_eq!(store.get(&named("t/b/three")).await.unwrap(), body(0, 7));
    // A name that begins alike is no part of the listing: prefixes are whole segments.
    store.put(&named("t/ab"), Bytes::new()).await.unwrap();
    assert!(store.get(&named("t/ab")).await.unwrap().is_empty());
    let names = |listed: Vec<Listed>| listed.into_iter().map(|l| l.key.to_string()).collect::<Vec<_>>();
    assert_eq!(names(store.list(&named("t/a"), None).await.unwrap()), ["t/a/one", "t/a/two"]);
    assert_eq!(names(store.list(&named("t/a"), Some(&key)).await.unwrap()), ["t/a/two"]);
    assert!(store.list(&named("nothing"), None).await.unwrap().is_empty());
    assert_eq!(store.children(&named("t")).await.unwrap(), ["a", "b"]);

    store.delete(&key).await.unwrap();
    store.delete(&key).await.unwrap();
    let all = ["t/a/two", "t/b/three", "t/ab", "t/missing"].map(named);
    store.delete_all(&all).await.unwrap();
    assert!(store.list(&named("t"), None).await.unwrap().is_empty());
}

#[tokio::test]
async fn memory_and_directory_behave() {
    behaves(&Store::open("memory://", StoreOptions::default()).await.unwrap()).await;
    let (_dir, store) = local().await;
    behaves(&store).await;
    let stats = store.stats();
    assert!(stats.reads > 5 && stats.writes > 4 && stats.lists > 2 && stats.deletes > 2, "{stats:?}");
    assert_eq!((stats.retries, stats.bytes_written > 100), (0, true), "{stats:?}");
}

#[tokio::test]
async fn faults_are_ridden_out() {
    let mut injected = [0; 3];
    for seed in 0..8 {
        let plan = format!("seed={seed},error=20%,truncate=20%,timeout_after_success=20%");
        let (store, handle) = faulty(&plan);
        behaves(&store).await;
        for (sum, fault) in injected.iter_mut().zip([Fault::Error, Fault::Truncated, Fault::AfterSuccess]) {
            *sum += handle.injected(fault);
        }
        assert!(store.stats().retries > 0);
    }
    assert!(injected.iter().all(|sum| *sum > 5), "{injected:?}");
}

#[tokio::test]
async fn a_lost_answer_does_not_make_our_object_a_strangers() {
    let (store, handle) = faulty("timeout_after_success=100%");
    let plan = handle.plan();
    let create = |store: Store, n| async move { store.create(&named("k"), body(n, 9)).await.unwrap() };
    // The first try is carried out and its answer lost; from then on answers arrive.
    let calm = async {
        while handle.injected(Fault::AfterSuccess) == 0 {
            tokio::task::yield_now().await;
        }
        handle.clear();
    };
    let (created, ()) = tokio::join!(create(store.clone(), 1), calm);
    assert_eq!(created, Created::New);
    assert_eq!(create(store.clone(), 2).await, Created::Exists);
    // Nor does a lost answer make a stranger's object ours.
    handle.set(FaultPlan { error: Chance(500_000), ..plan });
    for n in 3..40 {
        assert_eq!(create(store.clone(), n).await, Created::Exists);
    }
}

#[tokio::test]
async fn limits_end_a_hopeless_operation() {
    let (store, handle) = faulty("truncate=100%");
    store.put(&named("k"), body(0, 50)).await.unwrap();
    let error = store.get(&named("k")).await.unwrap_err();
    assert!(with_causes(&error).contains("announced 50 bytes"), "{error:?}");
    assert_eq!(store.stats().retries, u64::from(quick().attempts) - 1);
    handle.set("latency=10s".parse().unwrap());
    let limits = Limits { attempts: 2, attempt: Duration::from_millis(20), ..quick() };
    let slow = FaultStore::new(Arc::new(InMemory::new()), "latency=10s".parse().unwrap());
    let store = Store::with_limits(Arc::new(slow), limits);
    let begun = clock::Mono::now();
    let prefix = named("k");
    let listing = tokio::time::timeout(Duration::from_millis(60), store.list(&prefix, None));
    assert!(listing.await.is_err(), "listings have more time");
    let error = store.get(&named("k")).await.unwrap_err();
    assert!(with_causes(&error).contains("no answer within 20ms"), "{}", with_causes(&error));
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn stale_lists_and_flipped_bits_are_injected() {
    let (store, handle) = faulty("stale_list=100%,stale_for=1s");
    store.put(&named("a/k"), body(0, 50)).await.unwrap();
    assert!(store.list(&named("a"), None).await.unwrap().is_empty());
    handle.set("corrupt=100%".parse().unwrap());
    assert_eq!(store.list(&named("a"), None).await.unwrap().len(), 1);
    let flipped = store.get(&named("a/k")).await.unwrap();
    let bits: u32 = flipped.iter().zip(body(0, 50)).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!(bits, 1);
    handle.clear();
    assert_eq!(store.get(&named("a/k")).await.unwrap(), body(0, 50));
}

#[tokio::test]
async fn a_crash_leaves_files_that_are_invisible_and_swept() {
    let (dir, store) = local().await;
    store.put(&named("t/k"), body(0, 50)).await.unwrap();
    let left = dir.path().join("store/t/k#1");
    std::fs::write(&left, b"half").unwrap();
    std::fs::write(dir.path().join("store/t/other#12"), b"half").unwrap();
    assert_eq!(store.list(&named("t"), None).await.unwrap().len(), 1);
    // Neither is the name taken for good.
    assert_eq!(store.create(&named("t/other"), body(1, 5)).await.unwrap(), Created::New);
    store.put(&named("t/k"), body(2, 50)).await.unwrap();
    assert_eq!(store.sweep_leftovers().await.unwrap(), 0, "they may be writes under way");
    assert_eq!(store.sweep_older_than(Duration::ZERO).await.unwrap(), 2);
    assert!(!left.exists());
    assert_eq!(store.get(&named("t/k")).await.unwrap(), body(2, 50));
}

#[tokio::test]
async fn one_of_many_creates_wins() {
    let (_dir, store) = local().await;
    let racing = (0..16).map(|n| {
        let store = store.clone();
        async move { store.create(&named("race"), body(n, 64)).await.unwrap() }
    });
    let won = futures_util::future::join_all(racing).await.into_iter().filter(|c| *c == Created::New);
    assert_eq!(won.count(), 1);
}

#[tokio::test]
async fn parts_are_read_with_few_requests() {
    let store = Store::new(Arc::new(InMemory::new()));
    let big = body(0, 3 << 20);
    store.put(&named("pack"), big.clone()).await.unwrap();
    let wanted: Vec<_> = (0..48).map(|n: u64| n * 65536..n * 65536 + 60000).collect();
    let parts = store.get_ranges(&named("pack"), &wanted).await.unwrap();
    for (part, range) in parts.iter().zip(&wanted) {
        assert_eq!(part, &big.slice(range.start as usize..range.end as usize));
    }
    assert_eq!(store.stats().reads, 1);
}

#[tokio::test]
async fn metrics_have_names_that_people_will_look_for() {
    let store = Store::new(Arc::new(InMemory::new()));
    let mut registry = prometheus_client::registry::Registry::default();
    store.register_metrics(&mut registry);
    store.put(&named("k"), body(0, 10)).await.unwrap();
    assert!(store.get(&named("missing")).await.is_err());
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        r#"dormouse_store_requests_total{op="put",result="ok"} 1"#,
        r#"dormouse_store_requests_total{op="get",result="not_found"} 1"#,
        "dormouse_store_written_bytes_total 10",
        r#"dormouse_store_request_seconds_count{op="put"} 1"#,
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}
