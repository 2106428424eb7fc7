//! Another file under an old name: file systems such as ext4 give it the inode that was freed last.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cluster::{Cluster, own};
use crate::lab::Lab;
use crate::told::same_as_disk;

/// Files that are made until one gets the inode; others on this machine may want it too.
const TRIES: u32 = 3000;

/// Puts another file into the place of one, with the same inode; `false` = nobody gets it here.
fn replace(path: &Path, content: &[u8]) -> bool {
    let inode = std::fs::metadata(path).unwrap().ino();
    std::fs::remove_file(path).unwrap();
    let made: Vec<_> = (0..TRIES).map(|number| path.with_extension(format!("new{number}"))).collect();
    let has_it = |other: &&PathBuf| {
        std::fs::write(other, content).unwrap();
        std::fs::metadata(other).unwrap().ino() == inode
    };
    let found = made.iter().find(has_it);
    if let Some(other) = found {
        std::fs::rename(other, path).unwrap();
    }
    made.iter().for_each(|other| drop(std::fs::remove_file(other)));
    found.is_some()
}

/// What `CREATE DATABASE … STRATEGY file_copy` with the OID of a dropped database leaves: pages with positions that are
/// older than the last snapshot, and no record that names them.
#[tokio::test]
async fn another_file_with_the_same_inode_is_read() {
    let lab = Lab::new();
    // Not in memory: there inodes are not used again.
    let place = tempfile::tempdir().unwrap();
    own(place.path());
    let Some(mut cluster) = Cluster::new(18, place.path(), "c") else { return };
    cluster.start();
    cluster.sql(
        "create table a as select g, 'old' t from generate_series(1, 20000) g;
         create table b as select g, 'new' t from generate_series(1, 20000) g; vacuum a, b; checkpoint;",
    );
    let [a, b] = ["a", "b"].map(|table| {
        let path = cluster.sql(&format!("select pg_relation_filepath('{table}')"));
        cluster.data.join(path.trim())
    });
    cluster.stop();
    let first = lab.clean(&cluster, None).await;
    cluster.start();
    cluster.sql("create table c (n int)");
    cluster.stop();
    if !replace(&a, &std::fs::read(&b).unwrap()) {
        println!("inodes are not used again here");
        return;
    }
    let second = lab.clean(&cluster, Some(&first)).await;
    same_as_disk(&lab, &second, &cluster, false, "another file").await;
}
