//! What every server must let the store do.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use dormouse_base::{BranchId, Epoch, Lsn, ProjectId, Secret, Timestamp, clock};
use dormouse_storage::branch::record::{BranchRecord, Origin, ProjectRecord};
use dormouse_storage::branch::register::{
    BranchRegister, ProjectRegister, RegisterError, UpdateError, kinds,
};
use dormouse_storage::key::{self, FORMAT_VERSION, Key};
use dormouse_storage::object::{Created, Limits, OpenError, Store, StoreOptions};

/// The bucket that each server is given.
pub(crate) const BUCKET: &str = "dormouse-test";

/// A large object.
const PACK: usize = 12 << 20;

/// Options for a server on this machine.
pub(crate) fn options(port: u16, secret: &str) -> StoreOptions {
    let variables = [
        ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "dormouse".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
    ];
    let variables: BTreeMap<_, _> =
        variables.into_iter().map(|(name, value)| (name.to_owned(), Secret::new(value))).collect();
    let backoff = Duration::from_millis(2);
    StoreOptions { variables, limits: Limits { backoff, ..Limits::default() }, ..StoreOptions::default() }
}

fn named(name: &str) -> Key {
    Key::from_store(name)
}

/// Objects: written, created once, read whole and in parts, listed (`many` of them), deleted.
pub(crate) async fn objects(store: &Store, many: usize) {
    let body = Bytes::from_iter((0..PACK).map(|at| (at / 251) as u8));
    let pack = named("projects/p/packs/00000001-x.pack");
    store.put(&pack, body.clone()).await.unwrap();
    assert_eq!(store.head(&pack).await.unwrap().size, PACK as u64);
    assert!(store.get(&pack).await.unwrap() == body);
    let wanted: Vec<_> = (0..30_u64).map(|n| n * 400_000..n * 400_000 + 90_000).collect();
    for (part, range) in store.get_ranges(&pack, &wanted).await.unwrap().iter().zip(&wanted) {
        assert!(*part == body.slice(range.start as usize..range.end as usize));
    }
    let beyond = store.get_range(&pack, PACK as u64 - 1..PACK as u64 + 1).await.unwrap_err();
    assert!(!beyond.is_not_found(), "{beyond}");
    assert!(store.get(&named("none")).await.unwrap_err().is_not_found());

    let key = named("projects/p/one");
    assert_eq!(store.create(&key, Bytes::from("a")).await.unwrap(), Created::New);
    assert_eq!(store.create(&key, Bytes::from("b")).await.unwrap(), Created::Exists);
    assert_eq!(store.get(&key).await.unwrap(), "a");

    let keys: Vec<Key> = (0..many).map(|n| named(&format!("many/{n:05}"))).collect();
    let puts = keys.iter().map(|key| store.put(key, Bytes::from("x")));
    futures_util::future::try_join_all(puts).await.unwrap();
    let listed = store.list(&named("many"), None).await.unwrap();
    assert!(listed.iter().map(|listed| &listed.key).eq(&keys), "{}", listed.len());
    let rest = store.list(&named("many"), Some(&keys[many / 2])).await.unwrap();
    assert!(rest.iter().map(|listed| &listed.key).eq(&keys[many / 2 + 1..]), "{}", rest.len());
    store.delete_all(&keys).await.unwrap();
    assert!(store.list(&named("many"), None).await.unwrap().is_empty());
    store.delete(&pack).await.unwrap();
    store.delete(&pack).await.unwrap();
    assert_eq!(store.children(&named("projects")).await.unwrap(), ["p"]);
    store.delete(&key).await.unwrap();
}

fn branch_record(project: &ProjectId, branch: &BranchId) -> BranchRecord {
    BranchRecord {
        format: FORMAT_VERSION,
        project: project.clone(),
        branch: branch.clone(),
        created_at: clock::now(),
        origin: Origin::Import,
        epoch: Epoch(0),
        spans: vec![],
        snapshots: vec![],
        history_start: Lsn(0),
        meta: serde_json::Value::Null,
    }
}

/// Registers: made, changed by several writers at once, found again by listing, deleted for good.
pub(crate) async fn registers(store: &Store) {
    let (project, branch) = (ProjectId::generate(), BranchId::generate());
    let record = ProjectRecord {
        format: FORMAT_VERSION,
        project: project.clone(),
        created_at: clock::now(),
        pg_version: 18,
        meta: serde_json::json!({"name": "äöü"}),
    };
    ProjectRegister::of(store, &project).create_first(record.clone()).await.unwrap();
    let register = BranchRegister::of(store, &project, &branch);
    register.create_first(branch_record(&project, &branch)).await.unwrap();
    let writing = (0..4).map(|_| async {
        // Writers of one process, each with a memory of its own.
        let mine = BranchRegister::of(store, &project, &branch);
        for _ in 0..5 {
            let grow = |mut record: BranchRecord| {
                record.epoch = record.epoch.next();
                Ok::<_, Infallible>(record)
            };
            mine.update(grow).await.unwrap();
        }
    });
    futures_util::future::join_all(writing).await;
    if store.arbitrates() {
        let epoch = register.read().await.unwrap().1.epoch;
        assert!(epoch.0 <= 20 && epoch.0 > 5, "{epoch}");
    } else {
        assert_eq!(register.read().await.unwrap().1.epoch, Epoch(20));
    }
    assert_eq!(kinds::projects(store).await.unwrap(), std::slice::from_ref(&project));
    assert_eq!(kinds::branches(store, &project).await.unwrap(), std::slice::from_ref(&branch));
    assert_eq!(ProjectRegister::of(store, &project).read().await.unwrap(), (1, record));
    register.delete(|_| Ok::<_, Infallible>(())).await.unwrap();
    let late = BranchRegister::of(store, &project, &branch).update(Ok::<_, Infallible>).await;
    assert!(matches!(late, Err(UpdateError::Register(RegisterError::Deleted { .. }))), "{late:?}");
    assert_eq!(register.trim(1).await.unwrap(), 0, "all of it is young");
}

/// Opening: the marker is found again, wrong buckets and wrong keys are named, no secret is shown.
pub(crate) async fn opening(port: u16, secret: &str) {
    let url = format!("s3://{BUCKET}/a/b");
    let marker = Store::open(&url, options(port, secret)).await.unwrap().format().await.unwrap();
    let again = Store::open(&url, options(port, secret)).await.unwrap();
    assert_eq!(again.format().await.unwrap(), marker);
    let above = Store::open(&format!("s3://{BUCKET}"), options(port, secret)).await;
    assert!(matches!(above, Err(OpenError::Foreign { .. })), "{above:?}");
    let missing = Store::open("s3://no-such-bucket-here", options(port, secret)).await.unwrap_err();
    assert!(matches!(missing, OpenError::NoBucket { .. }), "{missing:?}");
    let nobody = free_port();
    let mut unreachable = options(nobody, secret);
    unreachable.limits.attempts = 2;
    let unreachable = Store::open(&url, unreachable).await.unwrap_err();
    let text = format!("{} {unreachable:?}", dormouse_base::with_causes(&unreachable));
    assert!(text.contains("cannot open the store") && !text.contains(secret), "{text}");
    let faulty = StoreOptions {
        faults: Some("seed=5,error=10%,truncate=10%,timeout_after_success=10%".parse().unwrap()),
        ..options(port, secret)
    };
    let faulty = Store::open(&format!("s3://{BUCKET}/faulty"), faulty).await.unwrap();
    registers(&faulty).await;
    assert!(faulty.stats().retries > 0);
    assert!(faulty.exists(&key::format()).await.unwrap());
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
