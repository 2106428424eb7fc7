//! Lazy restores: what is written, what is left for the hydrator, and that both together are the snapshot.

use std::os::unix::fs::FileExt;
use std::path::Path;

use dormouse_storage::chunk::CHUNK;
use dormouse_storage::manifest::Bits;
use dormouse_storage::restore::{self, Materialised, Mode};
use dormouse_storage::snapshot::{self, SnapshotError, Taken};

use crate::cluster::{Cluster, copy, own};
use crate::lab::{Lab, same_files, template_owner};

/// Fills all holes, as the hydrator does, and makes the directory an ordinary one.
async fn hydrate(dir: &Path, made: &Materialised) {
    for (number, file) in (0..).zip(&made.lazy) {
        let target = std::fs::OpenOptions::new().write(true).open(dir.join(&file.path)).unwrap();
        assert_eq!(target.metadata().unwrap().len(), file.size);
        let mut chunk = 0;
        while chunk < file.present.len() {
            for bytes in made.source.chunks(number, chunk, 64).await.unwrap() {
                if !file.present.get(chunk) {
                    target.write_all_at(&bytes, u64::from(chunk) * CHUNK).unwrap();
                }
                chunk += 1;
            }
        }
        assert_eq!(target.metadata().unwrap().len(), file.size);
        assert!(made.source.chunk(number, chunk).await.is_err());
    }
    if !made.lazy.is_empty() {
        std::fs::rename(dir.join("pg_control.hydrating"), dir.join("global/pg_control")).unwrap();
    }
}

/// A template, and a branch of it with some data.
async fn branch(lab: &mut Lab, major: u16) -> Option<(Taken, Taken, Cluster, Cluster, String)> {
    let pristine = Cluster::new(major, lab.path(), "template")?;
    let own_owner = std::mem::replace(&mut lab.owner, template_owner());
    let template = lab.clean(&pristine, None).await;
    lab.owner = own_owner;
    let dir = lab.path().join("c");
    copy(&pristine.data, &dir);
    own(&dir);
    let mut cluster = Cluster::at(pristine.bin.clone(), dir);
    cluster.start();
    cluster.sql(
        "create table a as select g, md5(g::text) from generate_series(1, 200000) g; create index on a (g);
         create table b (id int primary key); insert into b select generate_series(1, 100); vacuum analyze;",
    );
    let content = cluster.content();
    cluster.stop();
    let taken = snapshot::clean(lab.request(&cluster, Some(template.base()))).await.unwrap();
    Some((template, taken, pristine, cluster, content))
}

async fn lazily(major: u16) {
    let mut lab = Lab::new();
    let Some((template, taken, pristine, cluster, content)) = branch(&mut lab, major).await else { return };
    println!("template {:?}\nbranch {:?}", template.stats, taken.stats);
    assert!(taken.stats.boot_bytes < 400_000, "a boot pack does not repeat the template");
    let (eager, _) = lab.eager(&taken, &cluster.bin).await;
    for with_base in [false, true] {
        let mut order = lab.order(&taken, Mode::Lazy);
        let dir = order.dir.clone();
        if with_base {
            copy(&pristine.data, &dir);
            std::fs::write(dir.join("base/1/junk"), "x").unwrap();
            std::fs::write(dir.join("postmaster.opts"), "x").unwrap();
            order.base = Some(template.manifest.clone());
        }
        let made = restore::materialise(order).await.unwrap();
        println!("{major} base {with_base}: {:?}", made.stats);
        assert!(dir.join("pg_control.hydrating").exists() && !dir.join("global/pg_control").exists());
        assert!(!dir.join("base/1/junk").exists() && !dir.join("postmaster.opts").exists());
        assert!(made.lazy.iter().all(|file| !file.present.is_full()));
        let large = cluster.sql_path(&made, "a");
        assert!(large > 4 * 1024 * 1024, "the table with segment maps is lazy");
        if with_base {
            assert!(
                made.stats.kept_files > 800 && made.stats.requests == 0,
                "one GET is all: {:?}",
                made.stats
            );
        }
        hydrate(&dir, &made).await;
        same_files(&taken.manifest, &eager.data, &dir);
        let mut copy = Cluster::at(cluster.bin.clone(), dir);
        copy.start();
        assert_eq!(copy.content(), content);
        copy.stop();
        copy.check_files();
    }
    // A branch that nobody wrote to: its template's spare as it is.
    let mut order = lab.order(&template, Mode::Lazy);
    copy(&pristine.data, &order.dir);
    own(&order.dir);
    order.base = Some(template.manifest.clone());
    let mut copy = Cluster::at(cluster.bin.clone(), order.dir.clone());
    let made = restore::materialise(order).await.unwrap();
    assert!(made.lazy.is_empty() && made.stats.kept_files >= made.stats.files - 1, "{:?}", made.stats);
    copy.start();
    copy.stop();
}

impl Cluster {
    /// The size of the largest lazy file, which is table `_name`.
    fn sql_path(&self, made: &Materialised, _name: &str) -> u64 {
        made.lazy.iter().map(|file| file.size).max().unwrap_or_default()
    }
}

#[tokio::test]
async fn a_lazy_restore_with_and_without_a_spare_is_the_snapshot() {
    for major in [15, 18] {
        lazily(major).await;
    }
}

#[tokio::test]
async fn recorded_chunks_come_with_the_boot_pack() {
    let mut lab = Lab::new();
    let Some((template, _, _, mut cluster, _)) = branch(&mut lab, 18).await else { return };
    let path = {
        cluster.start();
        let path = cluster.sql("select pg_relation_filepath('a')").trim().to_owned();
        cluster.stop();
        path
    };
    let mut request = lab.request(&cluster, Some(template.base()));
    request.hot = vec![(path.clone(), 3), (path.clone(), 0), ("gone".to_owned(), 9)];
    let taken = snapshot::clean(request).await.unwrap();
    let made = restore::materialise(lab.order(&taken, Mode::Lazy)).await.unwrap();
    let file = made.lazy.iter().find(|file| file.path == path).unwrap();
    assert!(file.present.get(0) && file.present.get(3) && file.present.count() == 2);
}

#[tokio::test]
async fn a_directory_that_was_just_made_is_compared_without_reading_all() {
    let mut lab = Lab::new();
    let Some((_, taken, _, cluster, _)) = branch(&mut lab, 18).await else { return };
    let (mut copy, _) = lab.eager(&taken, &cluster.bin).await;
    let state = lab.path().join("r-state");
    snapshot::remember(&copy.data, &taken.record.manifest, &state).await.unwrap();
    copy.start();
    copy.sql("insert into b values (1000)");
    let content = copy.content();
    copy.stop();
    let mut request = lab.request(&copy, Some(taken.base()));
    (request.state, request.epoch) = (Some(state), dormouse_base::Epoch(2));
    let next = snapshot::clean(request).await.unwrap();
    assert!(next.stats.read_bytes < 6_000_000, "{:?}", next.stats);
    assert!(next.stats.new_chunks < 20, "{:?}", next.stats);
    lab.proves(&next, &copy, &content).await;
}

#[tokio::test]
async fn holes_that_nobody_tells_of_are_not_taken_for_zeros() {
    let mut lab = Lab::new();
    let Some((_, taken, _, cluster, _)) = branch(&mut lab, 18).await else { return };
    let order = lab.order(&taken, Mode::Lazy);
    let lazy = Cluster::at(cluster.bin.clone(), order.dir.clone());
    let made = restore::materialise(order).await.unwrap();
    assert!(!made.lazy.is_empty());
    let mut request = lab.request(&lazy, Some(taken.base()));
    request.epoch = dormouse_base::Epoch(2);
    let refused = snapshot::clean(request.clone()).await;
    assert!(matches!(refused, Err(SnapshotError::Incomplete)), "{refused:?}");
    // Whoever tells which chunks are absent gets them by reference.
    let absent = made.lazy.clone();
    request.missing = Some(std::sync::Arc::new(move |path| {
        let file = absent.iter().find(|file| file.path == path)?;
        let mut missing = Bits::none(file.present.len());
        (0..missing.len()).filter(|chunk| !file.present.get(*chunk)).for_each(|chunk| missing.set(chunk));
        Some(missing)
    }));
    let next = snapshot::clean(request).await.unwrap();
    hydrate(&lazy.data, &made).await;
    same_files(&next.manifest, &lazy.data, &cluster.data);
}
