//! A store that lost or changed something: reading fails loudly, and nothing is ever read as zeros.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use dormouse_tests::Project;
use dormouse_tests::storage::objects;

use super::{ROWS, Site};

/// Rows that need far more than what comes with the boot pack.
const MANY: &str = "create table t(n int, t text); \
     insert into t select g, md5(g::text) from generate_series(1, 60000) g";

const ALL: i64 = 60_000;

/// Every object of this kind, changed by `damage`.
fn damage_all(store: &Path, ending: &str, damage: impl Fn(&Path)) {
    let all = objects(store, ending);
    assert!(!all.is_empty(), "no {ending} in the store");
    all.iter().for_each(|path| damage(path));
}

/// One byte in each 4 KiB is another one: no chunk is spared.
fn flip(path: &Path) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    for at in (64..length).step_by(4096) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
    }
}

/// Waking or reading must fail; an answer must be a right one.
async fn fails_loudly(site: &Site, main: &Project) {
    match site.server.try_connect(&main.dsn).await {
        Err(error) => assert!(error.as_db_error().is_some(), "in words: {error:?}"),
        Ok(client) => {
            let read = client.query_one(ROWS, &[]).await;
            match read {
                Err(error) => {
                    let code = error.code().map(|c| c.code().to_owned());
                    assert!(!matches!(code.as_deref(), Some("XX001" | "XX002")), "not as zeros: {error:?}");
                }
                Ok(row) => assert_eq!(row.get::<_, i64>(0), ALL, "a wrong answer is the worst of all"),
            }
        }
    }
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_changed_chunk_is_noticed_and_can_be_put_back() {
    let site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, MANY).await;
    site.only_in_the_store(&main);
    damage_all(&site.store, ".pack", flip);
    fails_loudly(&site, &main).await;
    let refused = site.server.ask(&["fsck"]).unwrap_err();
    assert_eq!(refused.status, Some(1), "{refused:?}");
    damage_all(&site.store, ".pack", flip);
    site.server.fsck();
    let _stopped = site.server.act(&main, "suspend");
    assert_eq!(site.number(&main, ROWS).await, ALL, "nothing wrong was kept");
}

/// Changes one bit of one byte, somewhere that the clock decides; the same again puts it back.
fn flip_one(path: &Path, place: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let at = place % file.metadata().unwrap().len();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ (1 << (place % 8))], at).unwrap();
}

/// The newest object of each kind: what it is called here, and where it is.
fn one_of_each(site: &Site, branch: &str) -> Vec<(&'static str, PathBuf)> {
    let all = objects(&site.store, "");
    let newest = |part: &str, ending: &str| {
        let of_kind = |path: &&PathBuf| {
            let text = path.to_string_lossy();
            text.contains(part) && text.ends_with(ending)
        };
        all.iter().rfind(of_kind).unwrap_or_else(|| panic!("no {part}…{ending} in {all:?}")).clone()
    };
    let own = format!("/branches/{branch}/");
    let project = all.iter().rfind(|path| {
        let text = path.to_string_lossy();
        text.contains("/register/") && !text.contains("/branches/")
    });
    vec![
        ("the manifest", newest(&own, ".manifest")),
        ("the boot pack", newest(&own, ".boot")),
        ("a piece of WAL", newest(&own, ".wal")),
        ("the register of the branch", newest(&format!("{own}register/"), "")),
        ("the register of the project", project.unwrap().clone()),
        ("a pack", newest("/projects/", ".pack")),
        ("the manifest of the template", newest("/templates/", "manifest")),
        ("a pack of the template", newest("/templates/", ".pack")),
    ]
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn one_changed_bit_of_any_object_is_named_and_never_a_wrong_row() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, MANY).await;
    site.only_in_the_store(&main);
    let branch = site.server.branch_shown(&main, "main")["id"].as_str().unwrap().to_owned();
    let seed = u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos());
    dormouse_tests::note(&format!("places from {seed}"));
    for (place, (kind, path)) in (seed..).step_by(100_003).zip(one_of_each(&site, &branch)) {
        flip_one(&path, place);
        let checked = site.server.cli(&["fsck", "--output", "json"]);
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        let name = path.file_name().unwrap().to_str().unwrap();
        // Some bits of a compressed form mean nothing; then all is as it was.
        let named = checked.status.code() == Some(1) && said.contains(name);
        assert!(named || checked.status.success(), "{kind} at {place}: {said}");
        fails_loudly(&site, &main).await;
        flip_one(&path, place);
        site.server.fsck();
        let _stopped = site.server.act(&main, "suspend");
        assert_eq!(site.number(&main, ROWS).await, ALL, "{kind} at {place}");
        site.only_in_the_store(&main);
    }
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_missing_chunk_is_noticed_and_can_be_put_back() {
    let site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, MANY).await;
    site.only_in_the_store(&main);
    let aside = |path: &Path| path.with_extension("aside");
    let packs = objects(&site.store, ".pack");
    packs.iter().for_each(|pack| std::fs::rename(pack, aside(pack)).unwrap());
    fails_loudly(&site, &main).await;
    assert_eq!(site.server.ask(&["fsck"]).unwrap_err().status, Some(1));
    packs.iter().for_each(|pack| std::fs::rename(aside(pack), pack).unwrap());
    site.server.fsck();
    let _stopped = site.server.act(&main, "suspend");
    assert_eq!(site.number(&main, ROWS).await, ALL);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn without_a_filler_a_read_fails_and_does_not_hang() {
    let mut site = Site::with(&[], &[("DORMOUSE_STORE_FAULTS", "seed=1,latency=150ms")]);
    let main = site.server.default_project();
    site.run(&main, MANY).await;
    site.only_in_the_store(&main);
    let client = site.open(&main).await;
    // The server fills pages; without it, whoever needs one must be told.
    let postmaster = site.server.postmaster_of(&main);
    site.server.kill_9();
    assert!(client.query_one(ROWS, &[]).await.is_err(), "its server died");
    site.server.start_again();
    assert_eq!(site.number(&main, ROWS).await, ALL);
    dormouse_tests::note(&format!("adopted: {}", site.server.postmaster_of(&main) == postmaster));
    assert!(site.server.stop().1);
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn damaged_wal_is_noticed() {
    let site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, "create table t(n int, t text)").await;
    site.server.branch_verb(&main, "snapshot", "main", &[]).unwrap();
    site.run(&main, "insert into t select g, md5(g::text) from generate_series(1, 20000) g").await;
    let place = site.place(&main).await;
    site.run(&main, "insert into t values (0, 'later')").await;
    let branch = site.server.branch(&main, "past", &["--at", &place]);
    damage_all(&site.store, ".wal", flip);
    match site.server.try_connect(&branch.at.dsn).await {
        Err(error) => assert!(error.as_db_error().is_some(), "{error:?}"),
        Ok(client) => {
            let rows: i64 = client.query_one(ROWS, &[]).await.unwrap().get(0);
            assert_eq!(rows, 20_000, "less than was asked for is a wrong answer");
        }
    }
    assert_eq!(site.server.ask(&["fsck"]).unwrap_err().status, Some(1));
}
