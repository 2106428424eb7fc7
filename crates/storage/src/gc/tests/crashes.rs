//! The collector dies at every step, and a branch is made at every step; then a run ends the work.

use std::time::Duration;

use dormouse_base::BranchId;

use super::super::*;
use super::lab::{Lab, at, later, project};
use super::trap::{self, Action};
use crate::branch::line::{self, Records};
use crate::branch::record::Origin;

const HOUR: Duration = Duration::from_secs(3600);

const STEPS: [&str; 7] = [
    "gc.look.after",
    "gc.register.before",
    "gc.register.after",
    "gc.references.after",
    "gc.delete.before",
    "gc.delete.after",
    "gc.delete.version",
];

/// Everything that a living branch needs to make `n` is there.
async fn check(lab: &Lab, branches: &[&BranchId], branch: &BranchId, n: u64) {
    let mut records = Records::new();
    for id in branches {
        records.insert((*id).clone(), lab.record(id).await);
    }
    let plan = line::plan(&records, branch, at(n)).unwrap();
    lab.read(&plan.snapshot.manifest).await;
    assert!(lab.store.exists(&plan.snapshot.boot).await.unwrap());
    let report = crate::wal::read::check(
        &lab.store,
        &crate::fsck::wal_line(&project(), 18, &plan).unwrap(),
        (plan.snapshot.redo, at(n)),
    )
    .await
    .unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[tokio::test]
async fn a_crash_at_any_step_leaves_every_window_whole_and_no_garbage() {
    let quiet = states(None).await;
    for step in STEPS {
        for visit in 1..4 {
            let crashed = states(Some((step, visit))).await;
            assert_eq!(crashed, quiet, "{step} {visit}");
        }
    }
}

#[tokio::test]
async fn a_branch_made_at_any_step_is_whole_or_refused() {
    for step in ["gc.look.after", "gc.register.before", "gc.register.after", "gc.references.after"] {
        Box::pin(race(step)).await;
    }
}

/// Runs with a crash, then runs without; tells what is left at the end.
async fn states(crash: Option<(&str, u32)>) -> Vec<String> {
    let lab = Lab::new();
    let (main, child) = lab.family().await;
    let doomed = lab.child("doomed", &main, 12).await;
    lab.open(&doomed, 12).await;
    lab.file(&doomed, 12, 14, dormouse_base::clock::now()).await;
    lab.register(&doomed).delete(|_| Ok::<_, GcError>(())).await.unwrap();
    let collector = lab.collector(HOUR);
    for hours in [2, 4, 30, 32] {
        if let Some((step, visit)) = crash {
            trap::set(step, visit, Action::Fail);
        }
        let crashed = collector.collect_at(later(hours)).await;
        trap::clear();
        if let Err(error) = crashed {
            assert!(matches!(error, GcError::Interrupted(_)), "{error}");
            check(&lab, &[&main, &child], &child, 18).await;
            check(&lab, &[&main], &main, 30).await;
        }
        collector.collect_at(later(hours)).await.unwrap();
        check(&lab, &[&main, &child], &child, 18).await;
        check(&lab, &[&main], &main, 30).await;
    }
    for hours in [34, 60, 62] {
        collector.collect_at(later(hours)).await.unwrap();
    }
    let left = lab.keys("").await;
    left.iter().filter(|key| !key.as_str().contains("register")).map(|key| shape(key.as_str())).collect()
}

/// A key without what is different each time.
fn shape(key: &str) -> String {
    if key.contains("/packs/") { "pack".to_owned() } else { key.rsplit_once('-').unwrap().0.to_owned() }
}

/// Makes a branch by the rules: look, create, look again.
async fn make(lab: &Lab, main: &BranchId, n: u64) -> Option<BranchId> {
    let before = lab.record(main).await;
    if at(n) < before.history_start {
        return None;
    }
    let origin = Origin::Branch { parent: main.clone(), lsn: at(n), at: None, writer: None };
    let made = lab.create("made", origin, at(n)).await;
    if at(n) < lab.record(main).await.history_start {
        lab.register(&made).delete(|_| Ok::<_, GcError>(())).await.unwrap();
        return None;
    }
    Some(made)
}

/// The collector is held at a step while a branch is made of the oldest point.
async fn race(step: &str) {
    let lab = Lab::new();
    let (main, _) = lab.family().await;
    let collector = lab.collector(HOUR);
    trap::set(step, 1, Action::Wait);
    let run = collector.collect_at(later(2));
    let (ran, made) = tokio::join!(run, async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        make(&lab, &main, 5).await
    });
    assert!(!trap::clear(), "{step} was not reached");
    ran.unwrap();
    let Some(made) = made else {
        let moved = ["gc.register.after", "gc.references.after"].contains(&step);
        assert!(moved, "too late only when the register has moved: {step}");
        return;
    };
    for hours in [4, 6, 8] {
        collector.collect_at(later(hours)).await.unwrap();
    }
    check(&lab, &[&main, &made], &made, 5).await;
}
