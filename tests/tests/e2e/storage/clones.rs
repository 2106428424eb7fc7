//! A branch of a stopped parent begins as a clone of the parent's files.

use std::path::PathBuf;
use std::process::Command;

use dormouse_base::clock::Mono;
use dormouse_tests::storage::Branch;
use dormouse_tests::{Project, Server, free_port, note, passable_dir};

use super::{FILL, ROWS, Site};

/// What the log says of a clone.
const CLONED: &str = "cloned the directory of a stopped parent";

/// A file system that can share blocks between files, in an image file.
struct SharingDisk {
    dir: tempfile::TempDir,
}

impl SharingDisk {
    fn mount() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            note("only root can mount a file system that shares blocks");
            return None;
        }
        let dir = passable_dir();
        let (image, place) = (dir.path().join("image"), dir.path().join("disk"));
        std::fs::File::create(&image).unwrap().set_len(2 << 30).unwrap();
        std::fs::create_dir(&place).unwrap();
        let done = |command: &mut Command| command.status().is_ok_and(|status| status.success());
        if !done(Command::new("mkfs.xfs").args(["-q", "-m", "reflink=1"]).arg(&image)) {
            note("there is no mkfs.xfs: scripts/setup --tests installs it");
            return None;
        }
        if !done(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&place)) {
            note("this system does not mount XFS from a file");
            return None;
        }
        Some(Self { dir })
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("disk/data")
    }
}

impl Drop for SharingDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("--lazy").arg(self.dir.path().join("disk")).status();
    }
}

impl Site {
    /// A new branch, its rows, and how many of them were made by clones so far.
    async fn branched(&self, main: &Project, name: &str, words: &[&str]) -> (Branch, i64, usize) {
        let before = Mono::now();
        let branch = self.server.branch(main, name, words);
        let made = before.elapsed();
        let rows = self.number(&branch.at, ROWS).await;
        note(&format!("{name}: made in {made:?}, first row after {:?}", before.elapsed()));
        (branch, rows, self.server.log().matches(CLONED).count())
    }

    async fn clones_are_branches(mut self, how: &str) {
        let main = self.server.default_project();
        self.run(&main, FILL).await;
        assert_eq!(self.server.act(&main, "suspend").0, 200);
        let snapshots = || self.server.log().matches("kind=Clean").count();
        self.server.until_true("it is stored", || snapshots() > 0);
        // Less than what a snapshot is taken for: what the clone has and the snapshot does not.
        self.run(&main, "insert into t select g, md5(g::text) from generate_series(1001, 1010) g").await;
        assert_eq!(self.server.act(&main, "suspend").0, 200);

        let (child, rows, clones) = self.branched(&main, "child", &[]).await;
        assert_eq!((rows, clones), (1010, 1), "{}", self.server.log());
        assert!(self.server.log().contains(&format!("copied={how}")), "{}", self.server.log());
        assert_eq!(self.server.state_of(&main), "stopped");

        self.run(&child.at, "delete from t where n <= 500; create table mine as select 1 as n").await;
        self.run(&main, "insert into t values (0, md5('0'))").await;
        self.run(&main, "vacuum t").await;
        assert_eq!(self.number(&child.at, ROWS).await, 510);
        assert_eq!(self.number(&main, ROWS).await, 1011, "the parent does not notice");
        assert!(self.open(&main).await.batch_execute("select * from mine").await.is_err());

        // A clone of a clone, and one of a branch that never ran.
        assert_eq!(self.server.act(&child.at, "suspend").0, 200);
        let (grandchild, rows, clones) = self.branched(&main, "grandchild", &["--parent", "child"]).await;
        assert_eq!((rows, clones), (510, 2), "{}", self.server.log());
        self.server.branch(&main, "unborn", &["--parent", "child"]);
        let (last, rows, clones) = self.branched(&main, "last", &["--parent", "unborn"]).await;
        assert_eq!((rows, clones), (510, 3), "{}", self.server.log());

        // The store alone has the same, whoever is asked first.
        for at in [&grandchild.at, &child.at, &main, &last.at] {
            self.only_in_the_store(at);
        }
        for (at, rows) in [(&last.at, 510), (&main, 1011), (&child.at, 510), (&grandchild.at, 510)] {
            assert_eq!(self.number(at, ROWS).await, rows);
        }
        assert!(self.server.stop().1);
    }
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_clone_shares_the_blocks_of_its_stopped_parent() {
    let Some(disk) = SharingDisk::mount() else { return };
    let (pg, http) = (free_port().to_string(), free_port().to_string());
    let server = Server::start_on(&disk.data(), &["--pg-port", &pg, "--http-port", &http]);
    let (store, dir) = (disk.data().join("store"), passable_dir());
    Site { server, store, dir }.clones_are_branches("Shared").await;
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_clone_may_copy_bytes() {
    Site::new(&["--local-clone", "always"]).clones_are_branches("Bytes").await;
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_branch_that_must_not_be_a_clone_comes_from_the_store() {
    let mut site = Site::new(&["--local-clone", "never"]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    assert_eq!(site.server.act(&main, "suspend").0, 200);
    let (_, rows, clones) = site.branched(&main, "child", &[]).await;
    assert_eq!((rows, clones), (1000, 0));
    assert!(site.server.stop().1);
}
