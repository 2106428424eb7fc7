//! An imported directory, when the server dies while it becomes a branch. [`super::super::import`] is the rest.

use dormouse_tests::foreign::Foreign;
use dormouse_tests::note;
use dormouse_tests::storage::objects;
use serde_json::Value;

use super::Site;

/// What the first try stored has no register: its packs are garbage an hour later, before the second try if nobody
/// starts the server for so long.
#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test(flavor = "multi_thread")]
async fn a_second_try_takes_nothing_that_may_be_gone() {
    let Some(mut source) = Foreign::start(15) else { return note("PostgreSQL 15 is not installed") };
    source.sql("postgres", "create table t as select g n, md5(g::text) from generate_series(1, 50000) g");
    source.stop();
    let mut site = Site::with(&[], &[("DORMOUSE_FAILPOINTS", "node.import.stored=kill@1")]);
    let data = source.data();
    let words = ["import", data.to_str().unwrap(), "--name", "shop", "--owner", "postgres"];
    assert!(site.server.ask(&words).is_err());
    let end = dormouse_base::clock::Mono::now();
    while site.server.ended().is_none() {
        assert!(end.elapsed().as_secs() < 30, "the server did not die");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let left = objects(&site.store.join("projects"), ".pack");
    assert!(!left.is_empty(), "the first try stored something");
    left.iter().for_each(|pack| std::fs::remove_file(pack).unwrap());

    site.server.try_start_again(&[]).unwrap();
    let is_ready = |branches: &Value| branches["branches"][0]["current_state"] == "ready";
    site.server.until_true("the import is done", || {
        site.server.ask(&["branch", "list", "--project", "shop"]).is_ok_and(|list| is_ready(&list))
    });
    site.server.ask(&["fsck", "--restore", "--project", "shop"]).unwrap();
    assert!(site.server.stop().1);
}

/// The disk refuses the copy, and the server is killed before the copy is gone: asked again the disk would say yes, but
/// what it refused is not there.
#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test(flavor = "multi_thread")]
async fn what_the_disk_refused_is_copied_again_by_the_next_server() {
    let Some(mut source) = Foreign::start(15) else { return note("PostgreSQL 15 is not installed") };
    source.sql("postgres", "create table t as select g n, md5(g::text) from generate_series(1, 50000) g");
    let file = source.sql("postgres", "select pg_relation_filepath('t')");
    source.stop();
    let armed = "import.place.sync=error@1;import.place.refused=kill@1";
    let mut site = Site::with(&[], &[("DORMOUSE_FAILPOINTS", armed)]);
    let data = source.data();
    let words = ["import", data.to_str().unwrap(), "--name", "shop", "--owner", "postgres"];
    assert!(site.server.ask(&words).is_err());
    let end = dormouse_base::clock::Mono::now();
    while site.server.ended().is_none() {
        assert!(end.elapsed().as_secs() < 30, "the server did not die");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let computes = std::fs::read_dir(site.server.data().join("computes")).unwrap();
    let drafts: Vec<_> = computes.map(|home| home.unwrap().path().join("data.import")).collect();
    let draft = drafts.iter().find(|draft| draft.is_dir()).expect("the copy that was refused");
    std::fs::File::create(draft.join(file.trim())).unwrap();

    site.server.try_start_again(&[]).unwrap();
    let is_ready = |branches: &Value| branches["branches"][0]["current_state"] == "ready";
    site.server.until_true("the import is done", || {
        site.server.ask(&["branch", "list", "--project", "shop"]).is_ok_and(|list| is_ready(&list))
    });
    let cluster = draft.with_file_name("data");
    let bytes = |place: &std::path::Path| std::fs::read(place.join(file.trim())).unwrap().len();
    assert_eq!(bytes(&cluster), bytes(&data), "it is there, and all of it");
    site.server.ask(&["fsck", "--restore", "--project", "shop"]).unwrap();
    assert!(site.server.stop().1);
}
