//! Random families: every point of every window can be made after every run, and nothing else is left.

use std::collections::BTreeSet;

use dormouse_base::Lsn;
use proptest::prelude::*;

use super::super::*;
use super::world::{World, id};
use crate::branch::record::Origin;

#[derive(Debug, Clone)]
enum Step {
    Write(usize, u64),
    Open(usize),
    Snapshot(usize, u64),
    Branch(usize, u64),
    Window(usize, u64),
    Delete(usize),
    /// Time passes, then a run.
    Collect(i64),
    /// A plan is made, a branch is created by somebody who looked before, then the plan is written.
    Race(usize, u64),
    /// The collector dies between the first change and the second.
    Die,
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..6_usize;
    prop_oneof![
        4 => (which.clone(), 2..25_u64).prop_map(|(b, n)| Step::Write(b, n)),
        1 => which.clone().prop_map(Step::Open),
        4 => (which.clone(), 0..20_u64).prop_map(|(b, n)| Step::Snapshot(b, n)),
        2 => (which.clone(), 0..100_u64).prop_map(|(b, n)| Step::Branch(b, n)),
        3 => (which.clone(), 0..120_u64).prop_map(|(b, n)| Step::Window(b, n)),
        1 => which.clone().prop_map(Step::Delete),
        4 => (1..200_i64).prop_map(Step::Collect),
        2 => (which, 0..100_u64).prop_map(|(b, n)| Step::Race(b, n)),
        1 => Just(Step::Die),
    ]
}

/// The `n`-th living branch and a point that is so many per cent of the way from its start to its end.
fn pick(world: &World, n: usize, percent: u64) -> Option<(BranchId, Lsn)> {
    let living = world.living();
    let branch = living.get(n % living.len().max(1))?.clone();
    let (start, end) = (world.branches[&branch].record.history_start, world.ends[&branch]);
    Some((branch, start.plus(end.since(start) * percent.min(100) / 100)))
}

/// A child, as the rules for making one demand: the parent still has the point, before and after.
fn branch(world: &mut World, made: &mut usize, parent: &BranchId, lsn: Lsn) {
    if world.living().len() < 6 {
        world.child(&format!("c{made}"), parent, lsn);
        *made += 1;
    }
}

fn act(world: &mut World, made: &mut usize, step: &Step) {
    match *step {
        Step::Write(n, bytes) => {
            if let Some((branch, _)) = pick(world, n, 0) {
                world.write(&branch, bytes);
            }
        }
        Step::Open(n) => {
            if let Some((branch, _)) = pick(world, n, 0) {
                world.open(&branch);
            }
        }
        Step::Snapshot(n, back) => {
            if let Some((branch, _)) = pick(world, n, 0)
                && !world.branches[&branch].record.spans.is_empty()
            {
                world.snapshot(&branch, back);
            }
        }
        Step::Branch(n, percent) => {
            if let Some((parent, lsn)) = pick(world, n, percent) {
                branch(world, made, &parent, lsn);
            }
        }
        Step::Window(n, percent) => {
            if let Some((branch, lsn)) = pick(world, n, percent) {
                let known = world.branches.get_mut(&branch).unwrap();
                known.keep_from = Some(lsn.max(known.keep_from.unwrap_or_default()));
            }
        }
        Step::Delete(n) => {
            if let Some((branch, _)) = pick(world, n, 0)
                && world.living().len() > 1
            {
                world.delete(&branch);
            }
        }
        Step::Collect(pause) => {
            world.now += pause;
            world.collect();
        }
        Step::Race(n, percent) => {
            let plan = world.plan();
            if let Some((parent, lsn)) = pick(world, n, percent) {
                branch(world, made, &parent, lsn);
            }
            world.apply(&plan);
            world.collect();
        }
        Step::Die => {
            let plan = world.plan();
            let some = Plan { changes: plan.changes.into_iter().take(1).collect(), ..Plan::default() };
            world.apply(&some);
            world.now += 1000;
        }
    }
}

/// Every point of every window, and what all of them need together.
fn check_points(world: &World) -> Result<BTreeSet<Key>, TestCaseError> {
    let mut needed = BTreeSet::new();
    for branch in world.living() {
        let known = &world.branches[&branch];
        let (start, end) = (known.record.history_start, world.ends[&branch]);
        prop_assert!(start <= known.keep_from.unwrap_or(start).max(start));
        for at in start.0..=end.0 {
            match world.objects_for(&branch, Lsn(at)) {
                Ok(found) => needed.extend(found),
                Err(error) => prop_assert!(false, "{branch} at {at} of {start}..{end}: {error}"),
            }
        }
    }
    Ok(needed)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_point_of_every_window_stays_and_nothing_else(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        let mut made = 0;
        world.root("main");
        let mut windows: Vec<(BranchId, Lsn)> = Vec::new();
        for step in &steps {
            act(&mut world, &mut made, step);
            for (branch, keep_from) in &windows {
                if let Some(known) = world.branches.get(branch) {
                    let first = known.record.history_start;
                    prop_assert!(first <= *keep_from, "{branch} begins at {first}, promised {keep_from}");
                }
            }
            windows.clear();
            for (id, known) in &world.branches {
                let promised = known.keep_from.unwrap_or_default().max(known.record.history_start);
                windows.push((id.clone(), promised));
            }
            if matches!(step, Step::Collect(_) | Step::Race(..)) {
                check_points(&world)?;
            }
        }
        world.settle();
        let needed = check_points(&world)?;
        // What is left besides registers is needed, or is behind the end of a branch.
        for key in world.objects.keys() {
            let path: Vec<&str> = key.as_str().split('/').collect();
            let parent = path[3];
            let named = |known: &Known| {
                matches!(&known.record.origin, Origin::Branch { parent: p, .. } if p.as_str() == parent)
            };
            let alive = world.living().iter().any(|branch| branch.as_str() == parent);
            let is_parent = world.branches.values().any(named);
            let expected = if path[4] == "register" { alive || is_parent } else { needed.contains(key) };
            prop_assert!(expected, "{key} is left");
        }
        prop_assert!(world.branches.contains_key(&id("main")) || !world.living().is_empty());
    }
}
