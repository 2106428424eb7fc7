//! The store is away for a while: who works goes on, who has to be fetched is told so, and when it is back nothing
//! is missing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_base::Lsn;
use dormouse_base::clock::Mono;
use dormouse_tests::storage::url_of;
use dormouse_tests::{Project, Server};

use super::{FILL, ROWS, Site};

/// What does not come back within this time does not come back.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// The store's directory is set aside, and a plain file is where it was: nothing can be read or written there.
struct Away {
    store: PathBuf,
    aside: PathBuf,
}

impl Away {
    fn begin(store: &Path) -> Self {
        let aside = store.with_extension("aside");
        std::fs::rename(store, &aside).unwrap();
        std::fs::write(store, b"").unwrap();
        Self { store: store.to_owned(), aside }
    }

    fn end(self) {
        std::fs::remove_file(&self.store).unwrap();
        std::fs::rename(&self.aside, &self.store).unwrap();
    }
}

/// How the wake of an endpoint was refused: SQLSTATE and hint.
async fn refusal(site: &Site, at: &Project) -> (String, String) {
    let error = site.server.try_connect(&at.dsn).await.expect_err("its data cannot be read");
    let told = error.as_db_error().unwrap_or_else(|| panic!("in words: {error:?}"));
    (told.code().code().to_owned(), told.hint().unwrap_or_default().to_owned())
}

/// The number of rows, as soon as a connection is possible again.
async fn rows_in_the_end(site: &Site, at: &Project) -> i64 {
    let start = Mono::now();
    loop {
        match site.server.try_connect(&at.dsn).await {
            Ok(client) => return client.query_one(ROWS, &[]).await.unwrap().get(0),
            Err(error) => assert!(start.elapsed() < BACK_WITHIN, "still not: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_wake_without_the_store_is_refused_in_words_and_works_later() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    site.only_in_the_store(&main);
    let away = Away::begin(&site.store);
    for _ in 0..2 {
        let (code, hint) = refusal(&site, &main).await;
        assert_eq!(code, "58030", "{hint}");
        assert!(hint.contains("Connect again"), "{hint}");
    }
    assert_eq!(site.server.state_of(&main), "stopped");
    away.end();
    assert_eq!(rows_in_the_end(&site, &main).await, 1000);
    site.server.fsck();
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn computes_work_while_the_store_is_away_and_all_of_it_is_stored_later() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    let other = site.server.create_project(&serde_json::json!({}));
    for at in [&main, &other] {
        site.run(at, FILL).await;
    }
    // Long enough for its WAL to be watched.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let client = site.open(&main).await;
    let away = Away::begin(&site.store);
    let insert = client.prepare("insert into t values ($1::int, md5($1::int::text))").await.unwrap();
    for row in 1001..=1400_i32 {
        client.execute(&insert, &[&row]).await.unwrap();
        if row % 100 == 0 {
            // Meanwhile it is tried, and fails, to file what was written.
            let _refused = site.server.branch_verb(&main, "snapshot", "main", &[]);
        }
    }
    // Neither a branch nor a check can be had, and both say so in time.
    let start = Mono::now();
    site.server.try_branch(&main, "never", &["--no-endpoint"]).unwrap_err();
    site.server.ask(&["fsck"]).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    // One that is asleep on this machine needs nothing of the store.
    assert_eq!(site.server.act(&other, "suspend").0, 200);
    assert_eq!(site.number(&other, ROWS).await, 1000);
    away.end();
    drop((insert, client));
    let start = Mono::now();
    while let Err(refused) = site.server.branch_verb(&main, "snapshot", "main", &[]) {
        assert!(start.elapsed() < BACK_WITHIN, "the store is back: {refused:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for (at, rows) in [(&main, 1400), (&other, 1000)] {
        site.only_in_the_store(at);
        assert_eq!(site.number(at, ROWS).await, rows);
    }
    let branch = site.server.branch(&main, "feature", &[]);
    assert_eq!(site.number(&branch.at, ROWS).await, 1400);
    assert!(site.server.stop().1);
}

/// Many things want to know who writes a branch; none of them may wait for an endpoint that waits for the store.
#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_waits_for_the_store_holds_up_no_other() {
    let mut site = Site::with(&[], &[("DORMOUSE_FAILPOINTS", "publish.register.before=sleep:20000@2")]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let slow = site.server.create_project(&serde_json::json!({}));
    let dsn = slow.dsn.clone();
    let waking = tokio::task::JoinSet::from_iter([async move {
        let connecting = tokio_postgres::connect(&dsn, tokio_postgres::NoTls);
        connecting.await.map(drop).map_err(|error| error.to_string())
    }]);
    site.server.until_true("it is being started", || site.server.state_of(&slow) == "starting");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let start = Mono::now();
    let branch = site.server.branch(&main, "feature", &[]);
    assert_eq!(site.number(&branch.at, ROWS).await, 1000);
    let place = site.place(&main).await;
    let reader = site.server.read_only(&main, "main", &place);
    assert_eq!(site.number(&reader, ROWS).await, 1000);
    assert!(start.elapsed() < Duration::from_secs(12), "it waited for another: {:?}", start.elapsed());
    assert_eq!(site.server.state_of(&slow), "starting", "which goes on waiting");
    assert_eq!(waking.join_all().await, [Ok(())]);
    assert!(site.server.stop().1);
}

/// Where the file system of a store is not mounted any more, an empty directory is left: what is written there would
/// be hidden by the next mount.
#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn nothing_counts_as_stored_that_went_where_the_store_is_not() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let endpoint = |site: &Site| site.server.ask(&["storage"]).unwrap()["endpoints"][0].clone();
    let all_filed = |site: &Site, place: &str| {
        let place: Lsn = place.parse().unwrap();
        site.server.until_true("all is filed", || {
            let filed = endpoint(site)["filed"].as_str().and_then(|filed| filed.parse::<Lsn>().ok());
            filed >= Some(place)
        });
    };
    all_filed(&site, &site.place(&main).await);
    let aside = site.store.with_extension("aside");
    std::fs::rename(&site.store, &aside).unwrap();
    std::fs::create_dir(&site.store).unwrap();
    site.run(&main, "insert into t select g, md5(g::text) from generate_series(1001, 2000) g").await;
    site.server.until_true("it says that it cannot be stored, and why", || {
        let endpoint = endpoint(&site);
        let said = endpoint["problem"].as_str().is_some_and(|problem| problem.contains("is not there"));
        said && endpoint["lag_bytes"].as_u64() > Some(0)
    });
    let refused = site.server.ask(&["fsck"]).unwrap_err();
    assert!(refused.text.contains("is not there"), "{refused:?}");
    std::fs::remove_dir(&site.store).expect("nothing was written there");
    std::fs::rename(&aside, &site.store).unwrap();
    site.run(&main, "insert into t select g, md5(g::text) from generate_series(2001, 2010) g").await;
    all_filed(&site, &site.place(&main).await);
    site.server.fsck();
    site.server.kill_9();
    let (mut successor, theirs) = super::recovery::seen_from(&site, &main);
    let client = successor.try_connect(&theirs.dsn).await.unwrap();
    assert_eq!(client.query_one(ROWS, &[]).await.unwrap().get::<_, i64>(0), 2010);
    drop(client);
    assert!(successor.stop().1);
}

/// The metadata belongs to one store, wherever that is; with any other place nothing starts and nothing is made.
#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_server_starts_with_its_own_store_only() {
    let (mut site, mut stranger) = (Site::new(&[]), Site::new(&[]));
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    assert!(site.server.stop().1);
    assert!(stranger.server.stop().1);
    let moved = site.store.with_extension("moved");
    std::fs::rename(&site.store, &moved).unwrap();
    let nothing = site.server.try_start_again(&[]).unwrap_err();
    assert!(nothing.contains("holds no Dormouse store") && !site.store.exists(), "{nothing}");
    std::fs::create_dir(&site.store).unwrap();
    let empty = site.server.try_start_again(&[]).unwrap_err();
    assert!(empty.contains("mount it, or check the address"), "{empty}");
    std::fs::remove_dir(&site.store).expect("nothing was begun there");
    std::fs::rename(&stranger.store, &site.store).unwrap();
    let other = site.server.try_start_again(&[]).unwrap_err();
    assert!(other.contains("is the Dormouse store"), "{other}");
    // Moved on purpose, and named.
    let mut server = Server::start_on(site.server.data(), &["--store", &url_of(&moved)]);
    let main = server.default_project();
    server.evict(&main);
    let client = server.try_connect(&main.dsn).await.unwrap();
    assert_eq!(client.query_one(ROWS, &[]).await.unwrap().get::<_, i64>(0), 1000);
    drop(client);
    server.fsck();
    assert!(server.stop().1);
}
