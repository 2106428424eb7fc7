//! Each rule of billing alone, on sheets made for it.

use crate::bill::Bill;
use crate::sheet::Sheet;
use crate::usage::{Database, MONTH_SECONDS, Period, Project, Usage};

const HOUR: u64 = 3600;
const GB_MONTH: u128 = 1_000_000_000 * MONTH_SECONDS as u128;

fn sheet(rest: &str) -> Sheet {
    let head = "id = \"s\"\nprovider = \"P\"\nplan = \"p\"\ndated = 2026-01-01\nsource = \"paper\"\n\
                currency = \"USD\"\nregion = \"r\"\n";
    Sheet::read("s.toml", &format!("{head}{rest}")).expect("a sheet")
}

fn active(hours: u64, milli_cu: u64, wakes: u64) -> Database {
    let active_seconds = hours * HOUR;
    Database {
        exists_seconds: MONTH_SECONDS,
        active_seconds,
        milli_cu_seconds: u128::from(active_seconds * milli_cu),
        wakes,
        ..Database::default()
    }
}

fn bill(sheet: &Sheet, databases: &[Database]) -> Bill {
    sheet
        .bill(&Usage { period: Period::default(), projects: vec![Project { databases: databases.to_vec() }] })
}

fn dollars(sheet: &Sheet, databases: &[Database]) -> f64 {
    bill(sheet, databases).total.to_f64()
}

const SLEEPS: &str = "[compute]\nprice = 1\nsleeps = true\n";

#[test]
fn what_does_not_sleep_is_billed_at_its_minimum_while_nobody_works() {
    let awake = sheet("[compute]\nprice = 1\nminimum_units = 0.25\nsleeps = false");
    // 10 h × 2 + 720 h × 0.25
    assert!((dollars(&awake, &[active(10, 2_000, 1)]) - 200.0).abs() < 1e-9);
    // A database that never worked: 730 h × 0.25.
    assert!((dollars(&awake, &[active(0, 0, 0)]) - 182.5).abs() < 1e-9);
    // Below the minimum: 10 h × 0.25 + 720 h × 0.25.
    assert!((dollars(&awake, &[active(10, 100, 1)]) - 182.5).abs() < 1e-9);
}

#[test]
fn capacity_is_at_least_the_minimum_of_each_database() {
    let sheet = sheet(&format!("{SLEEPS}minimum_units = 0.5\nunits_per_cu = 2"));
    // 0.25 CU are 0.5 units, 0.1 CU are 0.5 as well, 1 CU are 2: 10 h × (0.5 + 0.5 + 2)
    let used = [active(10, 250, 0), active(10, 100, 0), active(10, 1_000, 0)];
    assert!((dollars(&sheet, &used) - 30.0).abs() < 1e-9);
}

#[test]
fn each_wake_is_billed_as_at_least_so_much() {
    let least = sheet(&format!("{SLEEPS}minimum_seconds_per_wake = 600"));
    // 60 wakes × 10 min = 10 h, of which 1 h with work at 1 CU; the rest at the minimum, which is 0 here.
    assert!((dollars(&least, &[active(1, 1_000, 60)]) - 1.0).abs() < 1e-9);
    let least = sheet(&format!("{SLEEPS}minimum_units = 1\nminimum_seconds_per_wake = 600"));
    assert!((dollars(&least, &[active(1, 1_000, 60)]) - 10.0).abs() < 1e-9);
    // Longer than the minimum: nothing is added.
    assert!((dollars(&least, &[active(20, 1_000, 60)]) - 20.0).abs() < 1e-9);
    // A later sleep is added to each wake: 20 h + 60 × 5 min.
    let later = sheet(&format!("{SLEEPS}minimum_units = 1\nextra_seconds_per_wake = 300"));
    assert!((dollars(&later, &[active(20, 1_000, 60)]) - 25.0).abs() < 1e-9);
    // Never more than it exists.
    assert!((dollars(&later, &[active(20, 1_000, 60_000)]) - 730.0).abs() < 1e-9);
}

#[test]
fn time_is_billed_in_whole_pieces() {
    let hourly = sheet(&format!("{SLEEPS}minimum_units = 1\nbilled_by_seconds = 3600"));
    let seconds = |active_seconds, wakes| Database {
        exists_seconds: MONTH_SECONDS,
        active_seconds,
        milli_cu_seconds: u128::from(active_seconds) * 1_000,
        wakes,
        ..Database::default()
    };
    assert!((dollars(&hourly, &[seconds(3_601, 1)]) - 2.0).abs() < 1e-9);
    assert!((dollars(&hourly, &[seconds(60, 3)]) - 3.0).abs() < 1e-9);
    assert!((dollars(&hourly, &[seconds(0, 0)]) - 0.0).abs() < 1e-9);
    // Each database by itself.
    assert!((dollars(&hourly, &[seconds(60, 1), seconds(60, 1)]) - 2.0).abs() < 1e-9);
}

#[test]
fn the_cheapest_machine_that_is_large_enough() {
    let sheet = sheet(
        "[compute]\nsleeps = false\nsizes = [{name = \"S\", cu = 1, price = 1}, {name = \"odd\", cu = 2, price = 5}, \
         {name = \"L\", cu = 4, price = 3}]",
    );
    let priced = |peak| {
        let database = Database { peak_milli_cu: Some(peak), ..active(1, 100, 0) };
        let bill = bill(&sheet, &[database]);
        (bill.lines[0].item.clone(), bill.total.micro() / 730_000_000, bill.notes.len())
    };
    assert_eq!(priced(1_000), ("compute S".to_owned(), 1, 0));
    assert_eq!(priced(1_001), ("compute L".to_owned(), 3, 0), "the larger one is cheaper");
    assert_eq!(priced(9_000), ("compute L".to_owned(), 9, 1), "three of the largest, and a note");
}

#[test]
fn a_credit_pays_compute_and_nothing_else() {
    let sheet = sheet(&format!("[fees]\nmonthly = 5\ncompute_credit = 10\n[storage]\nprice = 1\n{SLEEPS}"));
    let held = Database { storage_byte_seconds: 3 * GB_MONTH, ..active(4, 1_000, 0) };
    assert!((dollars(&sheet, std::slice::from_ref(&held)) - 8.0).abs() < 1e-9, "5 + 4 − 4 + 3");
    let busy = Database { storage_byte_seconds: 3 * GB_MONTH, ..active(40, 1_000, 0) };
    assert!((dollars(&sheet, &[busy]) - 38.0).abs() < 1e-9, "5 + 40 − 10 + 3");
}

#[test]
fn a_minimum_is_reached_and_not_added() {
    let sheet = sheet(&format!("[fees]\nminimum = 5\n{SLEEPS}"));
    assert!((dollars(&sheet, &[active(2, 1_000, 0)]) - 5.0).abs() < 1e-9);
    assert!((dollars(&sheet, &[active(7, 1_000, 0)]) - 7.0).abs() < 1e-9);
}

#[test]
fn steps_are_marginal() {
    let sheet = sheet(&format!(
        "[egress]\nprice = [{{up_to = 100, price = 0}}, {{up_to = 300, price = 0.1}}, {{price = 0.05}}]\n{SLEEPS}"
    ));
    let sent = |gb: u64| Database { egress_bytes: gb * 1_000_000_000, ..active(0, 0, 0) };
    for (gb, expected) in [(0, 0.0), (100, 0.0), (101, 0.1), (300, 20.0), (400, 25.0)] {
        assert!((dollars(&sheet, &[sent(gb)]) - expected).abs() < 1e-9, "{gb} GB");
    }
    // All databases together, not each by itself.
    assert!((dollars(&sheet, &[sent(60), sent(60)]) - 2.0).abs() < 1e-9);
    let items: Vec<String> = bill(&sheet, &[sent(400)]).lines.iter().map(|line| line.item.clone()).collect();
    assert_eq!(items, ["compute", "egress, included", "egress, beyond 100", "egress, beyond 300"]);
}

#[test]
fn disks_have_sizes_and_history_may_be_free_up_to_them() {
    let sheet = sheet(&format!(
        "[storage]\nprice = 1\nsizes = [32, 64]\n[history]\nprice = 1\nincluded_up_to_storage = true\n{SLEEPS}"
    ));
    let held = |gb, history| Database {
        storage_byte_seconds: gb * GB_MONTH,
        history_byte_seconds: history * GB_MONTH,
        ..active(0, 0, 0)
    };
    for (gb, history, expected) in
        [(0, 0, 32.0), (32, 32, 32.0), (33, 0, 64.0), (65, 0, 128.0), (10, 40, 40.0), (40, 40, 64.0)]
    {
        assert!((dollars(&sheet, &[held(gb, history)]) - expected).abs() < 1e-9, "{gb} GB, {history} GB");
    }
    // A database of half a month pays half a disk.
    let half = Database { exists_seconds: MONTH_SECONDS / 2, ..held(5, 0) };
    assert!((dollars(&sheet, &[half]) - 16.0).abs() < 1e-9);
}

#[test]
fn branches_beyond_those_included_are_billed_by_time() {
    let sheet = sheet(&format!("[branches]\nincluded_per_project = 2\nprice = 1.5\n{SLEEPS}"));
    let all = [active(0, 0, 0), active(0, 0, 0), active(0, 0, 0)];
    assert!((dollars(&sheet, &all[..2]) - 0.0).abs() < 1e-9);
    assert!((dollars(&sheet, &all) - 1.5).abs() < 1e-9);
    // Two projects of two: each has its own allowance.
    let two = Project { databases: all[..2].to_vec() };
    let usage = Usage { period: Period::default(), projects: vec![two.clone(), two] };
    assert!((sheet.total(&usage).to_f64() - 0.0).abs() < 1e-9);
}

#[test]
fn what_is_not_measured_is_said() {
    let sheet = sheet(&format!("[io]\nprice_per_million = 0.2\n{SLEEPS}"));
    let measured = Database { io_requests: Some(5_000_000), ..active(0, 0, 0) };
    let told = bill(&sheet, std::slice::from_ref(&measured));
    assert_eq!((told.total.micro(), told.notes.len()), (1_000_000, 0));
    let untold = bill(&sheet, &[measured, active(0, 0, 0)]);
    assert!(untold.notes[0].contains("not measured"), "{:?}", untold.notes);
}

#[test]
fn limits_are_said_and_not_billed() {
    let sheet = sheet(&format!(
        "[limits]\nmax_cu = 2\ncompute_per_project = 100\nstorage_per_project = 0.5\negress = 5\nprojects = 1\n{SLEEPS}"
    ));
    let good =
        Database { storage_byte_seconds: GB_MONTH / 2, egress_bytes: 5_000_000_000, ..active(50, 2_000, 0) };
    let told = bill(&sheet, std::slice::from_ref(&good));
    assert!(told.fits && told.notes.is_empty(), "exactly at each limit: {:?}", told.notes);
    let bad = Database {
        storage_byte_seconds: GB_MONTH,
        egress_bytes: 6_000_000_000,
        peak_milli_cu: Some(2_500),
        ..active(51, 2_000, 0)
    };
    let projects = vec![Project { databases: vec![bad] }, Project::default()];
    let told = sheet.bill(&Usage { period: Period::default(), projects });
    let expected = [
        "Beyond the plan: a size of 2.5 CU, of 2.",
        "Beyond the plan: 102 CU-hour in a project, of 100.",
        "Beyond the plan: 1 GB of data in a project, of 0.5.",
        "Beyond the plan: 6 GB to clients, of 5.",
        "Beyond the plan: 2 projects, of 1.",
    ];
    assert_eq!((told.fits, told.notes), (false, expected.map(str::to_owned).to_vec()));
}
