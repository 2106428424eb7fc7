//! What an operator does: fsck, gc, the status of the store. Recovery is in [`super::recovery`].

use std::os::unix::fs::FileExt;

use dormouse_tests::storage::objects;
use serde_json::Value;

use super::{FILL, ROWS, Site};

/// Changes one byte of the largest pack; doing it again takes it back.
fn flip_one(site: &Site) {
    let packs = objects(&site.store, ".pack");
    let largest = packs.iter().max_by_key(|pack| pack.metadata().unwrap().len()).unwrap();
    let file = std::fs::File::options().read(true).write(true).open(largest).unwrap();
    let (at, mut byte) = (file.metadata().unwrap().len() / 2, [0]);
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

/// What fsck prints, whether it is content or not.
fn fsck(site: &Site, words: &[&str]) -> (Option<i32>, Value) {
    let output = site.server.cli(&[&["fsck", "--output", "json"], words].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let reply = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{words:?}: {said}"));
    (output.status.code(), reply)
}

/// An index on something that was said to stay the same, and did not.
const ODD: &str = "create function odd(int) returns int immutable language sql as 'select $1'; \
     create index odd on t (odd(n)); \
     create or replace function odd(int) returns int immutable language sql as 'select $1 + 1'";

#[tokio::test]
async fn one_flipped_bit_is_found_and_named() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    site.only_in_the_store(&main);
    let (status, clean) = fsck(&site, &[]);
    assert_eq!((status, &clean["findings"]), (Some(0), &serde_json::json!([])));
    assert!(clean["branches"] == 1 && clean["bytes"].as_u64() > Some(1_000_000), "{clean}");

    flip_one(&site);
    let (status, found) = fsck(&site, &["--branch", "main"]);
    assert_eq!(status, Some(1), "{found}");
    let first = &found["findings"][0];
    assert!(first["branch"] == "main" && first["object"].as_str().unwrap().contains(".pack"), "{first}");
    assert_eq!(fsck(&site, &["--quick"]).0, Some(0), "a quick look does not read data");
    flip_one(&site);
    assert_eq!(fsck(&site, &[]).0, Some(0));
    assert_eq!(site.number(&main, ROWS).await, 1000);
    assert!(site.server.stop().1);
}

#[tokio::test]
async fn garbage_is_counted_before_it_is_collected() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let branch = site.server.branch(&main, "short", &[]);
    site.run(&branch.at, "insert into t select g, md5(g::text) from generate_series(2000, 9000) g").await;
    site.server.evict(&branch.at);
    site.server.branch_verb(&main, "delete", "short", &["--yes"]).unwrap();
    let before = objects(&site.store, "");
    let trial = site.server.ask(&["gc", "--dry-run", "--grace", "0"]).unwrap();
    assert!(trial["dry_run"] == true && trial["deleted"].as_u64() > Some(0), "{trial}");
    assert!(trial["frozen"].is_null() && trial["strange"] == 0, "{trial}");
    assert_eq!(objects(&site.store, ""), before, "a trial changes nothing");
    let refused = site.server.ask(&["gc", "--grace", "1s"]).unwrap_err();
    assert_eq!(refused.status, Some(2), "{refused:?}");
    let done = site.server.gc();
    assert_eq!(done["deleted"], 0, "everything is too young: {done}");
    site.only_in_the_store(&main);
    assert_eq!(site.number(&main, ROWS).await, 1000);
    assert!(site.server.stop().1);
}

#[tokio::test]
async fn the_template_of_a_version_that_nobody_has_asked_for_yet_stays() {
    let mut site = Site::new(&[]);
    let of_16 = serde_json::json!({ "name": "old", "pg_version": 16 });
    let first = site.server.create_project(&of_16);
    assert!(site.server.stop().1);
    // As after its last project has been gone for long.
    std::fs::remove_dir_all(site.store.join("projects").join(&first.id)).unwrap();
    let of_template = || objects(&site.store.join("templates"), "");
    let (stored, long_ago) =
        (of_template(), std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_600_000_000));
    assert!(stored.iter().any(|object| object.to_str().unwrap().contains("/templates/16-")), "{stored:?}");
    for object in &stored {
        std::fs::File::open(object).unwrap().set_modified(long_ago).unwrap();
    }
    site.server.start_again();
    site.server.gc();
    assert_eq!(of_template(), stored);
    let again = site.server.create_project(&serde_json::json!({ "name": "new", "pg_version": 16 }));
    site.run(&again, FILL).await;
    assert_eq!(site.number(&again, ROWS).await, 1000);
    assert!(site.server.stop().1);
}

#[tokio::test]
async fn the_status_tells_what_is_stored() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let place = site.place(&main).await;
    let lsn = |text: &Value| text.as_str().and_then(|text| text.parse::<dormouse_base::Lsn>().ok());
    let wanted: dormouse_base::Lsn = place.parse().unwrap();
    site.server.until_true("all is filed", || {
        let status = site.server.ask(&["storage"]).unwrap();
        lsn(&status["endpoints"][0]["filed"]) >= Some(wanted)
    });
    let status = site.server.ask(&["storage"]).unwrap();
    assert!(
        status["url"].as_str().unwrap().starts_with("file:///") && status["arbitrates"] == true,
        "{status}"
    );
    let endpoint = &status["endpoints"][0];
    assert_eq!((&endpoint["branch"], &endpoint["epoch"]), (&"main".into(), &1.into()), "{endpoint}");
    assert!(endpoint["alarm"].is_null() && endpoint["read_only"] == false, "{endpoint}");
    site.server.evict(&main);
    assert_eq!(site.server.ask(&["storage"]).unwrap()["endpoints"], serde_json::json!([]));
    let metrics = site.server.metrics();
    for name in
        ["dormouse_wal_filed_bytes_total{form=\"stored\"}", "dormouse_snapshots_total{kind=\"clean\"}"]
    {
        assert!(metrics.contains(name), "{name}\n{metrics}");
    }
    assert!(site.server.stop().1);
}

#[tokio::test]
async fn a_branch_is_started_and_looked_at() {
    let mut site = Site::new(&[]);
    let project =
        |version: u16| serde_json::json!({ "name": format!("on-{version}"), "pg_version": version });
    let (with, without) =
        (site.server.create_project(&project(18)), site.server.create_project(&project(16)));
    site.run(&with, FILL).await;
    site.run(&without, FILL).await;
    for (project, has_amcheck) in [(&with, true), (&without, false)] {
        let (status, reply) = fsck(&site, &["--restore", "--project", &project.id]);
        assert_eq!(status, Some(0), "{reply}");
        let restored = &reply["restored"][0];
        assert!(restored["tables"].as_u64() > Some(100), "{restored}");
        assert_eq!(restored["indexes"].as_u64() > Some(100), has_amcheck, "{restored}");
        assert_eq!(restored["note"].as_str().is_some_and(|note| note.contains("no amcheck")), !has_amcheck);
        let listed = site.server.ask(&["branch", "list", "--project", &project.id]).unwrap();
        assert_eq!(listed["branches"].as_array().unwrap().len(), 1, "{listed}");
    }
    // An index that does not say what its table says.
    site.run(&with, ODD).await;
    let (status, reply) = fsck(&site, &["--restore", "--project", &with.id]);
    assert_eq!(status, Some(1), "{reply}");
    let found = reply["findings"].as_array().unwrap();
    assert!(
        found.len() == 1 && found[0]["object"].as_str().unwrap().ends_with("index public.odd"),
        "{reply}"
    );
    assert!(site.server.stop().1);
}

#[tokio::test]
async fn what_is_started_and_looked_at_comes_from_the_store() {
    let mut site = Site::new(&["--local-clone", "always"]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let cloned = || site.server.log().matches("cloned the directory of a stopped parent").count();
    let looked_at = || {
        let (status, reply) = fsck(&site, &["--restore", "--branch", "main"]);
        assert_eq!((status, &reply["findings"]), (Some(0), &serde_json::json!([])), "{reply}");
    };
    // What is acknowledged and perhaps not filed yet comes from the store as well.
    looked_at();
    assert_eq!(site.server.act(&main, "suspend").0, 200);
    site.server.until_true("it is stored", || site.server.log().contains("kind=Clean"));
    looked_at();
    assert_eq!(cloned(), 0, "{}", site.server.log());
    // An ordinary branch would have been a clone.
    let branch = site.server.branch(&main, "child", &[]);
    assert_eq!(site.number(&branch.at, ROWS).await, 1000);
    assert_eq!(cloned(), 1);
    assert!(site.server.stop().1);
}
