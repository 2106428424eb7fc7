//! Every kind of object missing, cut and flipped: the check must say so and name it.

use std::collections::BTreeSet;
use std::time::Duration;

use dormouse_base::clock;

use super::*;
use crate::gc::tests::lab::{Lab, at, id, later, project};
use crate::key::Key;
use crate::pack::boot::BootPack;
use crate::wal::piece;

async fn checked(lab: &Lab, quick: bool) -> Checked {
    check(&lab.store, &Scope { quick, ..Scope::default() }).await.unwrap()
}

/// The objects that are complained about.
async fn complaints(lab: &Lab, quick: bool) -> BTreeSet<String> {
    checked(lab, quick).await.findings.into_iter().map(|finding| finding.object).collect()
}

async fn flip(lab: &Lab, key: &Key) {
    let mut bytes = lab.store.get(key).await.unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    lab.store.put(key, bytes.into()).await.unwrap();
}

/// Servers run these in tasks.
fn is_send<T: Send>(future: T) -> T {
    future
}

/// The newest version of a register is an object as others are, and can be lost as they can.
#[tokio::test]
async fn a_register_that_lost_its_newest_version_is_found() {
    let lab = Lab::new();
    let (main, _) = lab.family().await;
    // The next writer claims the branch, and writes.
    lab.open(&main, 30).await;
    lab.file(&main, 30, 40, clock::now()).await;
    let about = key::branch_register(&project(), &main).to_string();
    assert_eq!(checked(&lab, true).await.findings, []);
    let versions = lab.store.list(&key::branch_register(&project(), &main), None).await.unwrap();
    lab.store.delete(&versions.into_iter().map(|version| version.key).max().unwrap()).await.unwrap();
    assert!(complaints(&lab, true).await.contains(&about));
    let found = inventory(&lab.store).await.unwrap();
    assert!(found.problems.iter().any(|problem| problem.object == about), "{:?}", found.problems);
    let collected = lab.collector(Duration::ZERO).collect().await.unwrap();
    assert_eq!((collected.deleted, collected.frozen.len()), (0, 1), "what that writer stored is no garbage");
}

#[tokio::test]
async fn a_whole_family_is_whole() {
    let lab = Lab::new();
    lab.family().await;
    drop(is_send(lab.collector(Duration::ZERO).collect()));
    drop(is_send(inventory(&lab.store)));
    drop(is_send(check(&lab.store, &Scope::default())));
    drop(is_send(crate::usage::Usage::new(&lab.store).project(&project())));
    let full = checked(&lab, false).await;
    assert_eq!(full.findings, []);
    // Three snapshots of two objects, two packs, three pieces and the child's.
    assert_eq!((full.branches, full.objects, full.orphans), (2, 12, 0));
    assert!(full.bytes > 1000);
    assert_eq!(checked(&lab, true).await.findings, []);
    let one = Scope { project: Some(project()), branch: Some(id("child")), quick: false };
    let child = check(&lab.store, &one).await.unwrap();
    assert_eq!((child.branches, child.findings.len(), child.objects), (1, 0, 6));
    let orphan = key::pack(&key::packs(&project()), "00000001-x");
    lab.store.put(&orphan, "abc".into()).await.unwrap();
    let full = checked(&lab, false).await;
    assert_eq!((full.orphans, full.orphan_bytes, full.findings.len()), (1, 3, 0));
    let nobody = Scope { project: Some(project()), branch: Some(id("nobody")), quick: true };
    assert_eq!(check(&lab.store, &nobody).await.unwrap().findings.len(), 1);
}

#[tokio::test]
async fn every_object_that_is_missing_damaged_or_cut_is_found() {
    let lab = Lab::new();
    lab.family().await;
    let objects = lab.keys("").await;
    let objects: Vec<&Key> = objects.iter().filter(|key| !key.as_str().contains("register")).collect();
    assert_eq!(objects.len(), 12);
    for key in objects {
        let good = lab.store.get(key).await.unwrap();
        let wal = key.name().ends_with(".wal");
        // A missing piece is told of the branch's WAL; missing at the end it is only not there yet.
        let is_last =
            wal && *key == *lab.keys(".wal").await.iter().rfind(|k| k.as_str().contains("br-main")).unwrap();
        let is_last = is_last || key.as_str().contains("br-child/wal");
        let told = if wal {
            key.as_str().split("/wal").next().unwrap().to_owned() + "/wal"
        } else {
            key.to_string()
        };

        flip(&lab, key).await;
        assert!(complaints(&lab, false).await.contains(key.as_str()), "flipped {key}");
        lab.store.put(key, good.slice(..good.len() - 5)).await.unwrap();
        assert!(complaints(&lab, false).await.contains(key.as_str()), "cut {key}");
        if key.name().ends_with(".pack") {
            lab.store.put(key, good.slice(..good.len() / 3)).await.unwrap();
            assert!(complaints(&lab, true).await.contains(key.as_str()), "cut {key}, quick");
        }
        lab.store.delete(key).await.unwrap();
        for quick in [false, true] {
            assert_eq!(complaints(&lab, quick).await.contains(&told), !is_last, "missing {key}, {quick}");
        }
        lab.store.put(key, good).await.unwrap();
    }
    assert_eq!(checked(&lab, false).await.findings, []);
}

/// Everything that the store says: the files of all snapshots, and the WAL.
async fn meaning(lab: &Lab) -> Option<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for key in lab.keys(".manifest").await {
        let boot =
            Key::from_store(&key.as_str().replace("/snapshots/", "/boot/").replace(".manifest", ".boot"));
        all.extend(lab.read(&key).await.into_values());
        all.push(BootPack::decode(&boot, &lab.store.get(&boot).await.unwrap()).ok()?.manifest.encode());
    }
    for key in lab.keys(".wal").await {
        all.push(piece::decode(&lab.store.get(&key).await.unwrap()).ok()?.1);
    }
    Some(all)
}

/// The beginning, the end and random places in between.
fn places(len: usize, random: &mut u64) -> Vec<usize> {
    let mut next = || {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        usize::try_from(*random % len as u64).unwrap()
    };
    let inside: Vec<usize> = (0..24).map(|_| next()).collect();
    (0..12.min(len)).chain(len.saturating_sub(12)..len).chain(inside).collect()
}

#[tokio::test]
async fn any_byte_that_is_another_one_is_found_or_means_nothing() {
    let lab = Lab::new();
    lab.family().await;
    let expected = meaning(&lab).await;
    let mut objects = vec![key::format()];
    for key in lab.keys("").await {
        // Of a register only the newest version counts.
        match objects.last_mut().filter(|last| {
            let dir = |key: &Key| key.as_str().rsplit_once("/register/").map(|(dir, _)| dir.to_owned());
            dir(&key).is_some() && dir(last) == dir(&key)
        }) {
            Some(older) => *older = key,
            None => objects.push(key),
        }
    }
    assert_eq!(objects.len(), 1 + 12 + 3, "{objects:?}");
    let (mut random, mut found, mut nothing) = (0x9e37_79b9_7f4a_7c15, 0, 0);
    for key in objects {
        let good = lab.store.get(&key).await.unwrap();
        for at in places(good.len(), &mut random) {
            let mut bytes = good.to_vec();
            bytes[at] ^= 1 << (random % 8);
            lab.store.put(&key, bytes.into()).await.unwrap();
            let told = complaints(&lab, false).await;
            if told.contains(key.as_str()) {
                found += 1;
                continue;
            }
            assert_eq!(told, BTreeSet::new(), "byte {at} of {key}");
            // Names and dates in the marker, and bits of the compressed form that nobody reads.
            assert_eq!(meaning(&lab).await, expected, "byte {at} of {key}");
            nothing += usize::from(key != key::format());
        }
        lab.store.put(&key, good).await.unwrap();
    }
    assert!(found > 500 && nothing < 10, "{found} found, {nothing} without a meaning");
    assert_eq!(checked(&lab, false).await.findings, []);
}

#[tokio::test]
async fn what_is_shared_is_told_of_the_parent_and_deleted_branches_are_not_asked() {
    let lab = Lab::new();
    let (main, _) = lab.family().await;
    let snapshot = lab.record(&main).await.snapshots[1].clone();
    lab.store.delete(&snapshot.boot).await.unwrap();
    let findings = checked(&lab, false).await.findings;
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].branch.as_ref(), Some(&main));
    lab.register(&main).delete(|_| Ok::<_, GcError>(())).await.unwrap();
    let findings = checked(&lab, false).await.findings;
    assert_eq!(findings[0].branch, Some(id("child")));
}

#[tokio::test]
async fn damaged_registers_are_findings() {
    let lab = Lab::new();
    let (main, _) = lab.family().await;
    lab.update(&main, |record| record.snapshots.clear()).await;
    let findings = checked(&lab, false).await.findings;
    assert!(findings.iter().any(|f| f.branch.as_ref() == Some(&main) && f.problem.contains("no snapshot")));
    let register = lab.keys("br-main/register").await.pop().unwrap();
    flip(&lab, &register).await;
    let findings = checked(&lab, true).await.findings;
    assert!(findings.iter().any(|f| f.problem.contains("cannot be understood")), "{findings:?}");
    assert!(findings.iter().any(|f| f.branch == Some(id("child"))), "its parent is not known");
}

#[tokio::test]
async fn a_rewritten_and_collected_store_is_whole() {
    let lab = Lab::new();
    lab.family().await;
    let collector = lab.collector(Duration::from_secs(3600));
    for hours in [2, 4, 6, 8] {
        collector.collect_at(later(hours)).await.unwrap();
        assert_eq!(checked(&lab, false).await.findings, []);
    }
}

#[tokio::test]
async fn the_inventory_knows_what_lives_and_how_far_it_is_stored() {
    let lab = Lab::new();
    let (main, child) = lab.family().await;
    let gone = lab.child("gone", &main, 12).await;
    lab.register(&gone).delete(|_| Ok::<_, GcError>(())).await.unwrap();
    // A hole, and something behind it.
    lab.file(&main, 32, 34, clock::now()).await;
    let fresh = lab.child("fresh", &child, 18).await;
    let found = inventory(&lab.store).await.unwrap();
    let ends: Vec<_> =
        found.projects[0].branches.iter().map(|b| (b.record.branch.clone(), b.stored)).collect();
    assert_eq!(ends, [(main.clone(), at(30)), (child, at(20)), (fresh, at(18))]);
    assert!(found.problems.is_empty());
    assert_eq!(found.projects[0].record.project, project());
    for key in lab.keys("br-main/snapshots").await {
        lab.store.delete(&key).await.unwrap();
    }
    lab.update(&main, |record| record.snapshots.clear()).await;
    let found = inventory(&lab.store).await.unwrap();
    assert_eq!(found.problems.len(), 3, "{:?}", found.problems);
}
