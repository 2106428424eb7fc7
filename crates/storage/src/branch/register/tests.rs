//! Registers under races, faults, trimming and deletion.

use std::collections::BTreeSet;
use std::convert::Infallible;

use object_store::ObjectStore;
use object_store::memory::InMemory;

use super::*;
use crate::object::{FaultHandle, FaultStore, Limits};

type Numbers = Vec<u32>;

#[derive(Debug, thiserror::Error)]
#[error("no")]
struct No;

fn quick() -> Limits {
    let (backoff, backoff_max) = (Duration::from_micros(100), Duration::from_millis(1));
    Limits { attempts: 60, backoff, backoff_max, ..Limits::default() }
}

fn calm() -> Store {
    Store::with_limits(Arc::new(InMemory::new()), quick())
}

/// Several handles of one backend, each with faults of its own.
fn faulty(backend: &Arc<InMemory>, plan: &str) -> (Store, FaultHandle) {
    let faulty = FaultStore::new(Arc::clone(backend) as Arc<dyn ObjectStore>, plan.parse().unwrap());
    let handle = faulty.handle();
    (Store::with_limits(Arc::new(faulty), quick()), handle)
}

fn register(store: &Store) -> Register<Numbers> {
    Register::new(store, Key::from_store("p/register"))
}

async fn push(register: &Register<Numbers>, n: u32) -> Result<(u64, Numbers), UpdateError<Infallible>> {
    register
        .update(|mut all| {
            all.push(n);
            Ok(all)
        })
        .await
}

async fn names(store: &Store) -> Vec<u64> {
    let listed = store.list(&Key::from_store("p/register"), None).await.unwrap();
    listed.iter().filter_map(|listed| key::register_seq(&listed.key)).collect()
}

#[tokio::test]
async fn made_read_changed_refused() {
    let store = calm();
    let one = register(&store);
    assert!(matches!(one.read().await, Err(RegisterError::Missing(_))));
    assert!(!one.exists().await.unwrap());
    assert!(matches!(push(&one, 1).await, Err(UpdateError::Register(RegisterError::Missing(_)))));
    one.create_first(vec![]).await.unwrap();
    assert!(matches!(register(&store).create_first(vec![9]).await, Err(RegisterError::Exists(_))));
    assert_eq!(one.read().await.unwrap(), (1, vec![]));
    assert_eq!(push(&one, 7).await.unwrap(), (2, vec![7]));
    assert_eq!(register(&store).read().await.unwrap(), (2, vec![7]));
    let refused = one.update(|_| Err::<Numbers, _>(No)).await;
    assert!(matches!(refused, Err(UpdateError::Refused(No))));
    assert_eq!(names(&store).await, [1, 2]);
}

#[tokio::test]
async fn a_refusal_is_about_the_newest_value() {
    let store = calm();
    let (behind, ahead) = (register(&store), register(&store));
    behind.create_first(vec![]).await.unwrap();
    push(&ahead, 1).await.unwrap();
    let only_when_something = |all: Numbers| if all.is_empty() { Err(No) } else { Ok(vec![]) };
    assert_eq!(behind.update(only_when_something).await.unwrap(), (3, vec![]));
}

#[tokio::test]
async fn the_usual_read_and_update_are_one_request_each() {
    let store = calm();
    let one = register(&store);
    one.create_first(vec![]).await.unwrap();
    let before = store.stats();
    push(&one, 1).await.unwrap();
    let update = store.stats();
    assert_eq!(
        (update.writes - before.writes, update.reads - before.reads, update.lists - before.lists),
        (1, 0, 0)
    );
    one.read().await.unwrap();
    let read = store.stats();
    assert_eq!(
        (read.writes - update.writes, read.reads - update.reads, read.lists - update.lists),
        (0, 1, 0)
    );
}

#[tokio::test]
async fn an_old_memory_is_proved_by_requests_at_once() {
    let store = calm();
    let (one, other) = (register(&store), register(&store));
    one.create_first(vec![7]).await.unwrap();
    assert_eq!((one.hint_of_value(), other.hint_of_value()), (Some(vec![7]), None));
    age(&one);
    let before = store.stats();
    assert_eq!(one.read().await.unwrap(), (1, vec![7]));
    let proved = store.stats();
    assert_eq!((proved.reads - before.reads, proved.lists - before.lists), (2, 1));
    // It is remembered as if it had been read for the first time.
    one.read().await.unwrap();
    assert_eq!((store.stats().reads - proved.reads, store.stats().lists - proved.lists), (1, 0));
    push(&other, 8).await.unwrap();
    age(&one);
    assert_eq!(one.read().await.unwrap(), (2, vec![7, 8]));
    assert_eq!(one.hint_of_value(), Some(vec![7, 8]));
}

#[tokio::test]
async fn who_is_far_behind_catches_up_by_a_listing() {
    let store = calm();
    let (ahead, behind) = (register(&store), register(&store));
    ahead.create_first(vec![]).await.unwrap();
    behind.read().await.unwrap();
    for n in 0..50 {
        push(&ahead, n).await.unwrap();
    }
    let before = store.stats();
    assert_eq!(behind.read().await.unwrap().0, 51);
    let after = store.stats();
    assert_eq!((after.reads - before.reads, after.lists - before.lists), (PROBES_FROM_MEMORY + 2, 1));
}

#[tokio::test]
async fn a_deleted_one_stays_deleted() {
    let store = calm();
    let (late, other) = (register(&store), register(&store));
    late.create_first(vec![1]).await.unwrap();
    assert!(matches!(other.delete(|_| Err(No)).await, Err(UpdateError::Refused(No))));
    let gone = other.delete(|_| Ok::<_, Infallible>(())).await.unwrap();
    assert_eq!((gone.seq, gone.value.as_slice(), gone.deleted_at.is_some()), (2, [1].as_slice(), true));
    // The late one still believes in version 1.
    let refused = push(&late, 2).await;
    assert!(matches!(refused, Err(UpdateError::Register(RegisterError::Deleted { .. }))), "{refused:?}");
    assert!(matches!(late.read().await, Err(RegisterError::Deleted { .. })));
    assert!(matches!(late.create_first(vec![]).await, Err(RegisterError::Exists(_))));
    assert_eq!(late.delete(|_| Ok::<_, Infallible>(())).await.unwrap(), gone);
    assert!(late.exists().await.unwrap());
    assert_eq!(late.version().await.unwrap(), gone);
    assert_eq!(late.trim_older(0, Duration::ZERO).await.unwrap(), 1, "the last version is never trimmed");
    assert!(matches!(register(&store).read().await, Err(RegisterError::Deleted { .. })));
    assert_eq!(names(&store).await, [2]);
}

#[tokio::test]
async fn a_trimmed_chain_is_read_and_written_on() {
    let store = calm();
    let (one, behind) = (register(&store), register(&store));
    one.create_first(vec![]).await.unwrap();
    behind.read().await.unwrap();
    for n in 1..10 {
        push(&one, n).await.unwrap();
    }
    assert_eq!(one.trim(3).await.unwrap(), 0, "all of it is young");
    assert_eq!(one.trim_older(3, Duration::ZERO).await.unwrap(), 7);
    assert_eq!(names(&store).await, [8, 9, 10]);
    assert_eq!(register(&store).read().await.unwrap().0, 10);
    assert_eq!(push(&register(&store), 10).await.unwrap().0, 11);
    assert!(matches!(register(&store).create_first(vec![]).await, Err(RegisterError::Exists(_))));
    // What somebody remembered for too long (here: made old by hand) is not trusted.
    age(&behind);
    assert_eq!(behind.read().await.unwrap().0, 11);
    // One that slept between reading and writing lands in the gap, notices, and does it again.
    let slow = Known { version: Version { seq: 4, value: vec![], deleted_at: None }, ..old() };
    let gap = behind.write(Version { seq: 5, value: vec![99], deleted_at: None }).await.unwrap();
    assert!(gap.is_some() && !behind.still_follows(&slow).await.unwrap());
    assert_eq!(register(&store).read().await.unwrap().0, 11);
}

fn old() -> Known<Numbers> {
    let version = Version { seq: 1, value: vec![], deleted_at: None };
    Known { version, seen: Mono::now(), seen_at: clock::now() - FRESH }
}

fn age(register: &Register<Numbers>) {
    register.inner.known.lock().as_mut().unwrap().seen_at = clock::now() - FRESH;
}

#[tokio::test]
async fn damage_is_noticed_and_named() {
    let store = calm();
    let one = register(&store);
    one.create_first(vec![1, 2, 3]).await.unwrap();
    let at = key::register_version(one.prefix(), 1);
    let good = store.get(&at).await.unwrap();
    for (bit, byte) in (0..good.len() * 8).step_by(7).map(|bit| (bit % 8, bit / 8)) {
        let mut bad = good.to_vec();
        bad[byte] ^= 1 << bit;
        store.put(&at, bad.into()).await.unwrap();
        let read = register(&store).read().await;
        assert!(matches!(read, Err(RegisterError::Damaged { .. })), "bit {bit} of byte {byte}: {read:?}");
    }
    // A whole version under another number.
    store.delete(&at).await.unwrap();
    store.put(&key::register_version(one.prefix(), 2), good).await.unwrap();
    assert!(matches!(register(&store).read().await, Err(RegisterError::Damaged { .. })));
}

#[tokio::test]
async fn newer_and_too_large_versions_are_refused() {
    let store = calm();
    let one = register(&store);
    let huge = Register::<String>::new(&store, Key::from_store("huge"));
    let large = huge.create_first("x".repeat(MAX_BYTES)).await.unwrap_err();
    assert!(matches!(large, RegisterError::TooLarge { .. }), "{large}");
    let line = r#"{"format":2,"what":"nobody knows"}"#;
    let text = format!("{line}\nblake3:{}\n", blake3::hash(line.as_bytes()).to_hex());
    store.put(&key::register_version(one.prefix(), 1), text.into()).await.unwrap();
    let newer = one.read().await.unwrap_err();
    assert!(newer.to_string().contains("upgrade"), "{newer}");
}

/// `writers` handles push `each` numbers while everything goes wrong; every push that succeeded is there
/// exactly once.
async fn nothing_is_lost(seed: u64, writers: u32, each: u32) {
    let backend = Arc::new(InMemory::new());
    let first = register(&Store::with_limits(Arc::clone(&backend) as Arc<dyn ObjectStore>, quick()));
    first.create_first(vec![]).await.unwrap();
    let mut handles = Vec::new();
    let writing = (0..writers).map(|writer| {
        let plan = format!(
            "seed={},error=15%,truncate=15%,timeout_after_success=20%,stale_list=30%,corrupt=15%",
            seed * 1000 + u64::from(writer)
        );
        let (store, handle) = faulty(&backend, &plan);
        handles.push(handle);
        async move {
            let mine = register(&store);
            for n in 0..each {
                push(&mine, writer * 1000 + n).await.unwrap();
                if n % 3 == 0 {
                    mine.trim(1).await.unwrap();
                }
            }
        }
    });
    futures_util::future::join_all(writing.collect::<Vec<_>>()).await;
    let (seq, all) = first.read().await.unwrap();
    let distinct: BTreeSet<u32> = all.iter().copied().collect();
    assert_eq!(
        (all.len(), distinct.len()),
        ((writers * each) as usize, (writers * each) as usize),
        "seed {seed}"
    );
    assert_eq!(seq, u64::from(writers * each) + 1, "seed {seed}");
    // Each writer's numbers are in the order in which it wrote them.
    for writer in 0..writers {
        assert!(all.iter().filter(|n| **n / 1000 == writer).is_sorted(), "seed {seed}");
    }
}

#[tokio::test]
async fn nothing_is_lost_among_many_writers_with_faults() {
    for seed in 0..12 {
        nothing_is_lost(seed, 6, 8).await;
    }
}

#[tokio::test]
async fn a_deletion_under_faults_is_final_whoever_wins() {
    for seed in 0..20 {
        let backend = Arc::new(InMemory::new());
        let plan = format!("seed={seed},error=20%,timeout_after_success=30%,stale_list=30%,corrupt=10%");
        let (store, _) = faulty(&backend, &plan);
        register(&store).create_first(vec![]).await.unwrap();
        let (writer, deleter) = (register(&store), register(&store));
        let writing = async {
            let mut done = 0;
            while push(&writer, done).await.is_ok() {
                done += 1;
            }
            done
        };
        let deleting = async {
            tokio::time::sleep(Duration::from_millis(3)).await;
            deleter.delete(|_| Ok::<_, Infallible>(())).await.unwrap()
        };
        let (done, gone) = tokio::join!(writing, deleting);
        let last = register(&store).version().await.unwrap();
        assert_eq!(last, gone, "seed {seed}");
        assert_eq!(last.value.len(), done as usize, "seed {seed}: acknowledged, and not there");
    }
}
