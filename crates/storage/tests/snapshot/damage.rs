//! Damage is noticed, named, and never restored or published.

use std::error::Error;

use dormouse_base::Lsn;
use dormouse_storage::key::Key;
use dormouse_storage::manifest::Manifest;
use dormouse_storage::manifest::verify::verify;
use dormouse_storage::pack::{PackReader, index};
use dormouse_storage::restore::{self, From, Mode};
use dormouse_storage::snapshot::{self, SnapshotError};

use crate::cluster::Cluster;
use crate::lab::Lab;

fn flip(lab: &Lab, key: &Key, at: impl Fn(usize) -> usize) {
    let path = lab.object(key);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

fn whole_text(error: &dyn Error) -> String {
    let mut text = format!("{error}\n");
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!("{cause}\n");
        next = cause.source();
    }
    text
}

#[tokio::test]
async fn a_flipped_bit_of_any_object_is_an_error_with_its_name() {
    let lab = Lab::new();
    let Some(cluster) = Cluster::new(15, lab.path(), "c") else { return };
    let taken = lab.clean(&cluster, None).await;
    let reader = PackReader::new(lab.store.clone());
    let manifest = Manifest::load(&lab.store, &taken.record.manifest).await.unwrap();
    assert_eq!(manifest, *taken.manifest);
    let verified = verify(&manifest, &reader).await;
    assert!(verified.findings.is_empty() && verified.chunks > 200);
    let references = manifest.references(&reader).await.unwrap();
    let packs = references.by_pack();
    let (pack, live) = packs.first_key_value().unwrap();
    assert_eq!(packs.len(), 1);
    let entries = reader.prove(pack).await.unwrap();
    assert_eq!(entries.iter().map(|e| u64::from(e.len)).sum::<u64>(), *live, "all of a first pack is in use");
    assert_eq!(entries.len(), references.extents().count());

    let boot = taken.record.boot.clone();
    for at in [3, 20, 100, 5_000] {
        flip(&lab, &boot, |_| at);
        let error = restore::materialise(lab.order(&taken, Mode::Lazy)).await.unwrap_err();
        assert!(whole_text(&error).contains(boot.as_str()), "{error:?}");
        flip(&lab, &boot, |_| at);
    }
    flip(&lab, &taken.record.manifest, |len| len / 2);
    let error = Manifest::load(&lab.store, &taken.record.manifest).await.unwrap_err();
    assert!(whole_text(&error).contains(taken.record.manifest.as_str()));
    flip(&lab, &taken.record.manifest, |len| len / 2);

    let victim = entries[entries.len() / 2];
    let middle = (victim.offset + victim.len / 2) as usize;
    flip(&lab, pack, |_| middle);
    let mut order = lab.order(&taken, Mode::Eager);
    order.from = From::Manifest(taken.record.manifest.clone());
    let error = restore::materialise(order).await.unwrap_err();
    assert!(whole_text(&error).contains(pack.as_str()), "{error:?}");
    let verified = verify(&manifest, &reader).await;
    assert!(!verified.findings.is_empty() && verified.findings.iter().all(|f| f.object == *pack));
    assert!(index::prove(&lab.store, pack).await.is_err());
    std::fs::remove_file(lab.object(pack)).unwrap();
    let verified = verify(&manifest, &reader).await;
    assert!(verified.findings.iter().all(|f| f.object == *pack && f.error.to_string().contains("read")));
}

#[tokio::test]
async fn a_damaged_page_fails_the_snapshot() {
    for major in [15, 18] {
        let lab = Lab::new();
        let Some(mut cluster) = Cluster::new(major, lab.path(), "c") else { continue };
        cluster.start();
        cluster.sql("create table t as select g from generate_series(1, 20000) g");
        let path = cluster.sql("select pg_relation_filepath('t')").trim().to_owned();
        cluster.stop();
        let file = cluster.data.join(&path);
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[8192 * 40 + 4000] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let error = snapshot::clean(lab.request(&cluster, None)).await.unwrap_err();
        let SnapshotError::DamagedPage { path: found, block: 40, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*found, path);
        cluster.start();
        let mut backup = crate::lab::SqlBackup::new(&cluster);
        let error = snapshot::online(lab.request(&cluster, None), &mut backup).await.unwrap_err();
        assert!(
            matches!(&error, SnapshotError::DamagedPage { block: 40, lsn, .. } if *lsn > Lsn(0)),
            "{error:?}"
        );
        let manifests = lab.store.list(&Key::from_store("projects"), None).await.unwrap();
        assert!(manifests.iter().all(|o| o.key.as_str().ends_with(".pack")), "nothing was published");
    }
}
