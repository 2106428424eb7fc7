//! Costs of a report of usage.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::collections::HashMap;

use dormouse_api::usage::{BranchUsage, ProjectUsage, Report, Totals};
use dormouse_base::{BranchId, Timestamp};
use dormouse_pricing::Pricing;

use super::{Month, usage, usages};
use crate::db::cost::Life;

fn at(text: &str) -> Timestamp {
    format!("2026-{text}Z").parse().unwrap()
}

fn branch(project: &str, id: &str, totals: Totals) -> BranchUsage {
    BranchUsage {
        project_id: project.parse().unwrap(),
        branch_id: id.parse().unwrap(),
        name: "main".to_owned(),
        deleted: false,
        totals,
    }
}

const ONE: &str = "quiet-meadow-k3v9x2ab";
const TWO: &str = "calm-oak-abcd2345";
const MAIN: &str = "br-quiet-meadow-k3v9x2ab";
const DEV: &str = "br-calm-oak-abcd2345";
const OLD: &str = "br-dry-sea-abcd2345";
const DATA: &str = "br-tall-fog-abcd2345";

/// June has 720 hours; asked for on 16 June, 00:00, with a ledger since 6 June: 240 hours are known.
fn report(branches: Vec<BranchUsage>) -> Report {
    let totals = branches.iter().map(|branch| branch.totals).sum();
    let mut projects: Vec<ProjectUsage> = Vec::new();
    for branch in &branches {
        match projects.iter_mut().find(|project| project.project_id == branch.project_id) {
            Some(project) => project.totals += branch.totals,
            None => projects.push(ProjectUsage {
                project_id: branch.project_id.clone(),
                name: "p".to_owned(),
                deleted: false,
                totals: branch.totals,
            }),
        }
    }
    Report {
        from: at("06-01T00:00:00"),
        to: at("06-16T00:00:00"),
        granularity: None,
        known_since: at("06-06T00:00:00"),
        totals,
        projects,
        branches,
        periods: Vec::new(),
    }
}

fn worked(hours: f64, cu: f64, gb: f64, stored_hours: f64) -> Totals {
    Totals {
        active_seconds: hours * 3_600.0,
        cu_seconds: hours * 3_600.0 * cu,
        storage_byte_hours: gb * 1e9 * stored_hours,
        ..Totals::default()
    }
}

#[test]
fn branches_exist_since_they_have_endpoints_and_since_the_ledger_knows() {
    let id = |text: &str| text.parse::<BranchId>().unwrap();
    let report = report(vec![
        branch(ONE, MAIN, worked(24.0, 0.5, 10.0, 240.0)),
        branch(ONE, DEV, worked(6.0, 2.0, 1.0, 48.0)),
        branch(ONE, OLD, worked(1.0, 1.0, 1.0, 5.0)),
        branch(TWO, DATA, worked(0.0, 0.0, 4.0, 240.0)),
    ]);
    let lives = HashMap::from([
        (id(MAIN), Life::Here(vec![at("05-01T00:00:00")])),
        // A writer for two days and a reader for one.
        (id(DEV), Life::Here(vec![at("06-14T00:00:00"), at("06-15T00:00:00")])),
        (id(OLD), Life::Gone(5 * 3_600)),
    ]);
    let month = Month::of(at("06-16T00:00:00"));
    assert_eq!((month.name.as_str(), month.seconds()), ("2026-06", 720 * 3_600));
    let all = usage(&report, &lives, month.seconds());
    assert_eq!((all.period.seconds, all.period.month_seconds), (240 * 3_600, 720 * 3_600));
    let hours: Vec<Vec<u64>> = all
        .projects
        .iter()
        .map(|project| project.databases.iter().map(|database| database.exists_seconds / 3_600).collect())
        .collect();
    // Projects are ordered by ID: `calm…` before `quiet…`; what has no endpoint is data only.
    assert_eq!(hours, [vec![0], vec![240, 72, 5]]);

    // By hand, Neon Launch. Compute: 12 + 12 + 1 = 25 CU-hours × 0.106 = 2.65. Storage:
    // 10 × 240 + 48 + 5 + 4 × 240 = 3413 GB-hours / 720 = 4.740277… GB-months × 0.35 = 1.659097.
    let pricing = Pricing::default();
    let neon = pricing.find("neon-launch").unwrap().bill(&all);
    assert_eq!(neon.total.micro(), 2_650_000 + 1_659_097);
    // 24/7: 240 × 0.5 + 72 × 2 + 5 × 1 = 269 CU-hours × 0.106 = 28.514.
    assert_eq!(neon.always_on_total.micro(), 28_514_000 + 1_659_097);
    // A machine each: 240 h t4g.small 0.0168 = 4.032, 72 h m7g.large 0.0816 = 5.8752, 5 h m7g.medium 0.0408 = 0.204;
    // disks: 10 GB are 9.313 GiB × 240 h, 8 GiB × 72 h, 8 GiB × 5 h, and 4 GB × 240 h of data only:
    // (9.313225746 × 240 + 616 + 3.725290298 × 240) / 720 × 0.08 = 0.416138.
    let vm = pricing.find("vm-always-on").unwrap().bill(&all);
    assert_eq!(vm.total.micro(), 4_032_000 + 5_875_200 + 204_000 + 416_138, "{:#?}", vm.lines);

    let alone = usages(&report, &lives, month.seconds());
    assert_eq!(alone.len(), 2);
    assert_eq!(alone[&TWO.parse().unwrap()].projects[0], all.projects[0]);
}

#[test]
fn months_have_names_and_lengths() {
    assert_eq!(Month::named("2026-02").unwrap().seconds(), 28 * 86_400);
    assert_eq!(Month::named("2024-02").unwrap().seconds(), 29 * 86_400);
    let december = Month::named("2025-12").unwrap();
    assert_eq!((december.to, december.name.as_str()), (at("01-01T00:00:00"), "2025-12"));
    assert_eq!(Month::of(at("01-01T00:00:00")).name, "2026-01");
    for name in ["", "2026", "2026-13", "2026-1", "26-01-1", "2026-00", "2026-06-", "２026-6"] {
        assert_eq!(Month::named(name), None, "{name}");
    }
}
