//! A directory belongs to its compute: what it may put there must not lead us elsewhere, or be lost silently.

use std::os::unix::fs::symlink;
use std::sync::Arc;

use dormouse_storage::manifest::{Bits, Content};
use dormouse_storage::snapshot::{self, SnapshotError};

use crate::cluster::{Cluster, run};
use crate::lab::{Lab, SqlBackup};

#[tokio::test]
async fn links_pipes_and_tablespaces_are_refused() {
    let lab = Lab::new();
    let Some(mut cluster) = Cluster::new(15, lab.path(), "c") else { return };
    let refused = || async { snapshot::clean(lab.request(&cluster, None)).await.unwrap_err() };
    let data = cluster.data.clone();
    symlink("/etc/passwd", data.join("base/5/99999")).unwrap();
    assert!(
        matches!(refused().await, SnapshotError::Special { path, kind: "a symbolic link" } if path == "base/5/99999")
    );
    std::fs::remove_file(data.join("base/5/99999")).unwrap();
    run(std::process::Command::new("mkfifo").arg(data.join("global/pipe")));
    assert!(matches!(refused().await, SnapshotError::Special { kind: "a pipe", .. }));
    std::fs::remove_file(data.join("global/pipe")).unwrap();
    // The control file itself as a link: not followed.
    std::fs::rename(data.join("global/pg_control"), data.join("global/real")).unwrap();
    symlink("real", data.join("global/pg_control")).unwrap();
    assert!(matches!(refused().await, SnapshotError::File { path, .. } if path == "global/pg_control"));
    std::fs::remove_file(data.join("global/pg_control")).unwrap();
    std::fs::rename(data.join("global/real"), data.join("global/pg_control")).unwrap();
    // A whole directory that is elsewhere.
    std::fs::rename(data.join("pg_xact"), lab.path().join("elsewhere")).unwrap();
    symlink(lab.path().join("elsewhere"), data.join("pg_xact")).unwrap();
    assert!(matches!(refused().await, SnapshotError::Special { path, .. } if path == "pg_xact"));
    std::fs::remove_file(data.join("pg_xact")).unwrap();
    std::fs::rename(lab.path().join("elsewhere"), data.join("pg_xact")).unwrap();
    let space = lab.path().join("space");
    std::fs::create_dir(&space).unwrap();
    crate::cluster::own(&space);
    cluster.start();
    cluster.sql(&format!("create tablespace s location '{}'", space.display()));
    let mut backup = SqlBackup::new(&cluster);
    let error = snapshot::online(lab.request(&cluster, None), &mut backup).await.unwrap_err();
    assert!(matches!(error, SnapshotError::Tablespace { .. }), "{error:?}");
    let error = snapshot::clean(lab.request(&cluster, None)).await.unwrap_err();
    assert!(matches!(error, SnapshotError::NotClean(_)), "{error:?}");
    cluster.stop();
    let error = snapshot::clean(lab.request(&cluster, None)).await.unwrap_err();
    assert!(error.to_string().contains("is a tablespace"), "{error}");
}

#[tokio::test]
async fn a_cancelled_snapshot_leaves_only_packs_and_can_be_tried_again() {
    let lab = Lab::new();
    let Some(mut cluster) = Cluster::new(15, lab.path(), "c") else { return };
    cluster.start();
    cluster.sql("create table t as select g, md5(g::text) from generate_series(1, 400000) g");
    let content = cluster.content();
    cluster.stop();
    let mut request = lab.request(&cluster, None);
    // Cancelled when it has looked at half of the files and read none.
    let (cancel, asked) = (request.cancel.clone(), std::sync::atomic::AtomicU32::new(0));
    request.missing = Some(Arc::new(move |_: &str| {
        if asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 500 {
            cancel.cancel();
        }
        None
    }));
    assert!(snapshot::clean(request).await.unwrap_err().is_cancelled());
    // Cancelled right after it began.
    let request = lab.request(&cluster, None);
    let cancel = request.cancel.clone();
    let soon = async {
        tokio::task::yield_now().await;
        cancel.cancel();
    };
    let (taken, ()) = tokio::join!(snapshot::clean(request), soon);
    assert!(taken.unwrap_err().is_cancelled());
    let before = snapshot::clean({
        let request = lab.request(&cluster, None);
        request.cancel.cancel();
        request
    });
    assert!(before.await.unwrap_err().is_cancelled());
    let there = lab.store.list(&dormouse_storage::key::projects(), None).await.unwrap();
    assert!(there.iter().all(|object| object.key.as_str().ends_with(".pack")), "{there:?}");
    let taken = lab.clean(&cluster, None).await;
    lab.proves(&taken, &cluster, &content).await;
}

#[tokio::test]
async fn absent_chunks_keep_their_reference_and_are_never_read() {
    let lab = Lab::new();
    let Some(mut cluster) = Cluster::new(18, lab.path(), "c") else { return };
    cluster.start();
    cluster.sql("create table t as select g, md5(g::text) from generate_series(1, 40000) g");
    let path = cluster.sql("select pg_relation_filepath('t')").trim().to_owned();
    let content = cluster.content();
    cluster.stop();
    let first = lab.clean(&cluster, None).await;
    let file = first.manifest.file(&path).unwrap().clone();
    let Content::Chunks(_) = &file.content else { panic!("more than 4 MiB") };
    // The whole file absent: holes of the right size, as a lazy restore leaves them.
    let holes = std::fs::File::create(cluster.data.join(&path)).unwrap();
    holes.set_len(file.size).unwrap();
    let mut request = lab.request(&cluster, Some(first.base()));
    (request.state, request.epoch) = (None, dormouse_base::Epoch(2));
    let absent = path.clone();
    let chunks = file.chunks();
    request.missing = Some(Arc::new(move |asked: &str| {
        (asked == absent).then(|| {
            let mut bits = Bits::none(chunks);
            (0..chunks).for_each(|chunk| bits.set(chunk));
            bits
        })
    }));
    let second = snapshot::clean(request.clone()).await.unwrap();
    assert_eq!(second.manifest.file(&path), Some(&file));
    assert_eq!(second.stats.new_chunks, 0);
    lab.proves(&second, &cluster, &content).await;
    // Without a base there is nothing to keep: an error, not zeros.
    (request.base, request.epoch) = (None, dormouse_base::Epoch(3));
    let error = snapshot::clean(request).await.unwrap_err();
    assert!(matches!(error, SnapshotError::Absent { chunk: 0, .. }), "{error:?}");
}
