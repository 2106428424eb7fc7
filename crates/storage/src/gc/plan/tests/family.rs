//! Single cases, each with its reason.

use dormouse_base::{Epoch, Lsn};

use super::super::*;
use super::world::{World, id, project, seconds};
use crate::branch::record::{Origin, SnapshotKind};
use crate::key::{self, FORMAT_VERSION};

/// main: snapshots at 100 (template), 200, 300, 400, end 450.
fn main() -> (World, BranchId) {
    let mut world = World::new();
    world.limits.thin_bound = 0;
    let main = world.root("main");
    for _ in 0..3 {
        world.write(&main, 50);
        world.write(&main, 50);
        world.snapshot(&main, 10);
    }
    world.write(&main, 50);
    (world, main)
}

fn listed(world: &World, branch: &BranchId) -> Vec<u64> {
    world.branches[branch].record.snapshots.iter().map(|s| s.lsn.0).collect()
}

fn window(world: &mut World, branch: &BranchId, from: u64) {
    world.branches.get_mut(branch).unwrap().keep_from = Some(Lsn(from));
}

fn pieces(world: &World) -> Vec<(u64, u64)> {
    let pieces = world.objects.keys().filter_map(key::PieceName::parse);
    pieces.map(|piece| (piece.start.0, piece.end.0)).collect()
}

#[test]
fn the_base_of_the_window_stays_and_what_is_before_goes_after_the_grace_period() {
    let (mut world, main) = main();
    window(&mut world, &main, 350);
    world.now += 1000;
    let first = world.collect();
    assert_eq!(listed(&world, &main), [300, 400]);
    assert_eq!(world.branches[&main].record.history_start, Lsn(300));
    // Readers of the older register have their time.
    assert!(first.dead.iter().all(|dead| dead.kind > Kind::Pack), "{:?}", first.dead);
    world.now += 99;
    assert!(world.collect().dead.iter().all(|dead| dead.kind > Kind::Pack));
    assert_eq!(world.branches[&main].record.retired.len(), 2);
    world.now += 1;
    world.collect();
    assert_eq!(pieces(&world), [(250, 300), (300, 350), (350, 400), (400, 450)]);
    assert!(world.objects.keys().filter(|key| key.name().ends_with(".manifest")).count() == 2);
    assert!(world.branches[&main].record.retired.is_empty());
}

#[test]
fn a_snapshot_behind_its_writers_end_is_nobodys_base() {
    let (mut world, main) = main();
    world.open(&main);
    world.write(&main, 50);
    // The first writer listed it, and was cut at 450.
    world.publish(&main, SnapshotKind::Online, Lsn(470), Lsn(480));
    world.update(&main, |record| record.snapshots.last_mut().unwrap().epoch = Epoch(1));
    window(&mut world, &main, 490);
    world.settle();
    assert_eq!(listed(&world, &main), [400]);
    world.objects_for(&main, Lsn(500)).unwrap();
}

#[test]
fn without_a_window_nothing_is_retired_whatever_is_pinned() {
    let (mut world, main) = main();
    let (before, start) = (listed(&world, &main), world.branches[&main].record.history_start);
    // A start pins the branch as far as it goes.
    world.pins.push(Pin::Point { branch: main.clone(), lsn: Lsn(u64::MAX) });
    world.now += 1000;
    world.collect();
    world.pins.clear();
    world.settle();
    assert_eq!(world.branches[&main].record.history_start, start);
    assert_eq!(listed(&world, &main), before);
}

#[test]
fn a_child_keeps_of_its_parent_only_what_it_needs_until_it_stands_alone() {
    let (mut world, main) = main();
    let child = world.child("child", &main, Lsn(220));
    window(&mut world, &main, 420);
    world.now += 1000;
    world.settle();
    assert_eq!(listed(&world, &main), [200, 400]);
    assert_eq!(pieces(&world), [(150, 200), (200, 250), (350, 400), (400, 450)]);
    world.write(&child, 30);
    world.snapshot(&child, 0);
    window(&mut world, &child, 240);
    world.settle();
    assert_eq!(listed(&world, &main), [200, 400], "its window still begins in its parent");
    window(&mut world, &child, 250);
    world.settle();
    assert_eq!(listed(&world, &main), [400]);
    assert_eq!(pieces(&world), [(350, 400), (400, 450)], "a clean snapshot at the end needs no WAL");
}

#[test]
fn leaving_the_parent_leaves_the_wal_in_between_for_the_grace_period() {
    let (mut world, main) = main();
    let child = world.child("child", &main, Lsn(220));
    world.write(&child, 30);
    world.snapshot(&child, 0);
    window(&mut world, &child, 250);
    world.now += 1000;
    // Somebody planned (main's 200, WAL to 240) a moment ago.
    world.collect();
    assert!(world.objects.keys().any(|key| key.as_str().contains("br-child/wal")));
    world.now += 100;
    world.collect();
    assert!(!world.objects.keys().any(|key| key.as_str().contains("br-child/wal")));
}

#[test]
fn a_branch_made_between_two_looks_gets_its_base_back() {
    let (mut world, main) = main();
    window(&mut world, &main, 420);
    world.now += 1000;
    let plan = world.plan();
    // The maker of the child looked before these changes are written: it is in time.
    let child = world.child("child", &main, Lsn(220));
    world.apply(&plan);
    assert_eq!(listed(&world, &main), [400]);
    let again = world.collect();
    assert!(again.dead.iter().all(|dead| dead.kind > Kind::Pack));
    assert_eq!(listed(&world, &main), [200, 400]);
    world.settle();
    assert!(world.objects_for(&child, Lsn(220)).is_ok());
}

#[test]
fn pins_hold_points_snapshots_and_uploads() {
    let (mut world, main) = main();
    window(&mut world, &main, 420);
    world.pins = vec![Pin::Point { branch: main.clone(), lsn: Lsn(220) }];
    world.now += 1000;
    world.settle();
    assert_eq!(listed(&world, &main), [100, 200, 300, 400], "all that could make the point, and its future");
    let manifest = world.branches[&main].record.snapshots[1].manifest.clone();
    world.pins = vec![Pin::Snapshot { branch: main.clone(), manifest: manifest.clone() }];
    world.settle();
    assert!(world.objects.contains_key(&manifest));
    assert!(pieces(&world).contains(&(200, 250)));
    assert!(!pieces(&world).contains(&(100, 150)));
    world.pins.clear();
    world.settle();
    assert!(!world.objects.contains_key(&manifest), "no longer pinned");
    let pack = key::pack(&key::packs(&project()), "1-x");
    world.pins = vec![Pin::Upload { branch: main.clone(), since: seconds(world.now) }];
    world.put(pack.clone());
    world.settle();
    let now = seconds(world.now);
    assert_eq!(packs(&world.look(), &Live::default(), &world.limits, now).waiting.len(), 1);
    let orphan = key::boot(&project(), &main, Lsn(1), dormouse_base::Epoch(1));
    world.put(orphan.clone());
    world.now += 5000;
    assert!(world.plan().unlisted.contains(&orphan), "a second try may find it");
    world.pins.clear();
    assert!(world.plan().dead.iter().any(|dead| dead.key == orphan));
    assert_eq!(packs(&world.look(), &Live::default(), &world.limits, now).dead.len(), 1);
}

#[test]
fn old_snapshots_are_thinned_where_replay_stays_short() {
    let mut world = World::new();
    let main = world.root("main");
    for _ in 0..20 {
        world.write(&main, 10);
        world.snapshot(&main, 0);
    }
    world.now += 1000;
    world.settle();
    // At most 40 bytes from one to the next; the two newest are left alone.
    assert_eq!(listed(&world, &main), [100, 140, 180, 220, 260, 290, 300]);
    for at in 100..=300 {
        world.objects_for(&main, Lsn(at)).unwrap();
    }
}

#[test]
fn a_deleted_branch_goes_and_its_register_last() {
    let (mut world, main) = main();
    let child = world.child("child", &main, Lsn(220));
    world.write(&child, 30);
    world.now += 1000;
    world.delete(&main);
    world.settle();
    let manifests = world.objects.keys().filter(|key| key.name().ends_with(".manifest")).count();
    assert_eq!(manifests, 1, "its child still needs one");
    world.objects_for(&child, Lsn(250)).unwrap();
    world.snapshot(&child, 0);
    window(&mut world, &child, 250);
    world.collect();
    world.now += 99;
    world.collect();
    let manifests = world.objects.keys().filter(|key| key.name().ends_with(".manifest")).count();
    assert_eq!(manifests, 2, "there may be a reader of the child's old window");
    world.settle();
    let left: Vec<&Key> = world.objects.keys().filter(|key| key.as_str().contains("br-main")).collect();
    assert!(left.iter().all(|key| key.as_str().contains("register")), "{left:?}");
    assert!(!left.is_empty(), "the child's line goes through it");
    world.delete(&child);
    world.settle();
    assert!(world.objects.is_empty(), "{:?}", world.objects.keys());
}

#[test]
fn a_deleted_project_goes_as_a_whole() {
    let (mut world, main) = main();
    world.child("child", &main, Lsn(220));
    world.put(key::register_version(&key::project_register(&project()), 1));
    world.deleted_at = Some(seconds(world.now));
    world.settle();
    assert!(world.objects.is_empty(), "{:?}", world.objects.keys());
}

#[test]
fn what_is_not_understood_is_left_alone() {
    let (mut world, main) = main();
    window(&mut world, &main, 420);
    world.now += 1000;
    let strange = [
        "projects/p/x",
        "projects/p/branches/br-main/wal/00000001/x.wal",
        "projects/p/branches/br-gone/boot/x.boot",
        "projects/p/branches/br-main/snapshots/y",
    ];
    for key in strange {
        world.put(Key::from_store(key));
    }
    // A writer that is younger than the register that was read.
    world.put(Key::from_store(
        "projects/p/branches/br-main/wal/00000009/0000000000000001-0000000000000002-0000000000000000.wal",
    ));
    world.settle();
    assert_eq!(world.collect().strange.len(), strange.len());
    assert!(world.objects.keys().any(|key| key.as_str().contains("wal/00000009")));
    let mut look = world.look();
    look.opaque.push(Key::from_store("projects/p/branches/br-new/register/1"));
    let plan = plan(&look, &world.limits, seconds(world.now + 100_000));
    assert!(plan.frozen.is_some() && plan.dead.is_empty() && plan.changes.is_empty());
    look.opaque.clear();
    look.branches.remove(&main);
    look.branches.insert(
        id("lost"),
        Known {
            record: BranchRecord {
                format: FORMAT_VERSION,
                origin: Origin::Branch { parent: id("nobody"), lsn: Lsn(1), at: None, writer: None },
                ..world.branches[&main].record.clone()
            },
            seq: 1,
            deleted_at: None,
            keep_from: None,
        },
    );
    look.branches.get_mut(&id("lost")).unwrap().record.snapshots.clear();
    assert!(super::super::plan(&look, &world.limits, seconds(0)).frozen.is_some());
}

#[test]
fn sparse_packs_are_found_and_shared_parts_count_once() {
    let mut world = World::new();
    let packs_key = key::packs(&project());
    let [full, sparse, dead] = ["1-full", "1-sparse", "1-dead"].map(|name| key::pack(&packs_key, name));
    for key in [&full, &sparse, &dead] {
        world.put(key.clone());
        world.objects.get_mut(key).unwrap().size = 1000;
    }
    world.now += 1000;
    let mut live = Live::default();
    for _ in 0..3 {
        live.add(&full, 0, 440);
        live.add(&sparse, 3, 200);
        live.add(&sparse, 703, 200);
    }
    let found = packs(&world.look(), &live, &world.limits, seconds(world.now));
    assert_eq!(found.sparse, [Sparse { key: sparse, size: 1000, live: 400 }]);
    assert_eq!(found.dead.iter().map(|dead| &dead.key).collect::<Vec<_>>(), [&dead]);
}

#[test]
fn templates_go_when_nobody_uses_them() {
    let (world, main) = main();
    let mut fresh = world.branches[&main].clone();
    let listed = |name: &str| Listed { key: key::template(name), size: 1, modified: seconds(0) };
    let object = |name: &str, rest: &str| {
        let key = Key::from_store(&format!("{}/{rest}", key::template(name)));
        Listed { key, ..listed(name) }
    };
    let objects = [
        object("a", "packs/1.pack"),
        object("a", "manifest"),
        object("t", "manifest"),
        object("w", "manifest"),
    ];
    let mut users = Templates::default();
    users.want("w");
    fresh.record.snapshots.clear();
    users.used_by(&fresh);
    let now = seconds(1_000_000);
    let (dead, strange) = templates(&objects, &users, &world.limits, now);
    assert!(strange.is_empty());
    let keys: Vec<&str> = dead.iter().map(|dead| dead.key.as_str()).collect();
    assert_eq!(keys, ["templates/a/manifest", "templates/a/packs/1.pack"]);
    assert!(templates(&objects, &users, &world.limits, seconds(10)).0.is_empty());
}
