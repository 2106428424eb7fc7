//! The server is killed in the middle of everything that makes data durable. Each test finds the
//! failpoints of one activity in `docs/reference/failpoints.md` by the beginning of their names, so a
//! new one is killed at from its first day. Names that no visit reached are noted, not failed.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_tests::{Project, checkout, note};

use super::{FILL, ROWS, Site};

/// One test has time for so many deaths; the torture finds the rest.
const DEATHS: usize = 3;

/// Evenly chosen names that begin so.
fn failpoints(areas: &[&str]) -> Vec<String> {
    let list = std::fs::read_to_string(checkout().join("docs/reference/failpoints.md")).unwrap();
    let rows = list.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let names: Vec<String> = rows
        .map(|(name, _)| name.to_owned())
        .filter(|name| areas.iter().any(|area| name.starts_with(area)))
        .collect();
    assert!(!names.is_empty(), "no failpoint begins with any of {areas:?}");
    let step = names.len().div_ceil(DEATHS);
    names.into_iter().step_by(step).collect()
}

/// For each failpoint: a server that dies there while it does `act`, then one that does not.
async fn survives(areas: &[&str], act: impl AsyncFn(&Site, &Project, usize)) {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    for (round, name) in failpoints(areas).iter().enumerate() {
        let rows = 1001 + i64::try_from(round).unwrap();
        site.run(&main, &format!("insert into t values ({rows}, md5('{rows}'))")).await;
        site.server.kill_9();
        let deadly = format!("{name}=kill@1");
        let started = site.server.try_start_again(&[("DORMOUSE_FAILPOINTS", &deadly)]);
        if started.is_ok() {
            act(&site, &main, round).await;
        }
        let died = started.is_err() || died_soon(&mut site);
        note(&format!("{name}: {}", if died { "died there" } else { "not reached" }));
        if !died {
            site.server.kill_9();
        }
        site.server.try_start_again(&[]).unwrap();
        assert_eq!(site.number(&main, ROWS).await, rows, "{name}");
        site.server.fsck();
    }
    site.only_in_the_store(&main);
    assert!(site.number(&main, ROWS).await > 1000);
    assert!(site.server.stop().1);
}

/// The reply may come before the death.
fn died_soon(site: &mut Site) -> bool {
    let start = Mono::now();
    while start.elapsed() < Duration::from_millis(300) {
        if site.server.ended().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_takes_a_snapshot() {
    survives(&["snapshot."], async |site, main, _| {
        let _died = site.server.branch_verb(main, "snapshot", "main", &[]);
    })
    .await;
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_files_wal_and_evicts() {
    survives(&["wal.", "store."], async |site, main, _| {
        let _died = site.server.ask(&["endpoint", "evict", &main.endpoint, "--project", &main.id]);
    })
    .await;
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_makes_a_branch() {
    survives(&["control.", "register.", "branch."], async |site, main, round| {
        let _died = site.server.try_branch(main, &format!("b{round}"), &[]);
    })
    .await;
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_materialises() {
    survives(&["restore.", "hydrate."], async |site, main, round| {
        if let Ok(branch) = site.server.try_branch(main, &format!("b{round}"), &[]) {
            let _died = site.server.try_connect(&branch.at.dsn).await;
        }
    })
    .await;
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_it_collects_garbage() {
    survives(&["gc."], async |site, main, round| {
        let name = format!("b{round}");
        if site.server.try_branch(main, &name, &[]).is_ok() {
            let _died = site.server.branch_verb(main, "delete", &name, &["--yes"]);
        }
        let _died = site.server.ask(&["gc"]);
    })
    .await;
}
