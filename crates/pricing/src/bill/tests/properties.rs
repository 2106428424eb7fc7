//! What holds for every sheet and every usage.

use proptest::prelude::*;

use crate::estimate::Estimate;
use crate::money::Money;
use crate::sheet::{Sheet, builtin};
use crate::usage::{Database, Period, Project, Usage};

/// A sheet that uses every field, and whose numbers are odd.
const ODD: &str = r#"
id = "odd"
provider = "Odd"
plan = "all fields"
dated = "2026-01-31"
source = "here"
currency = "EUR"
region = "nowhere"
[fees]
monthly = 1.111111111
minimum = 3.3
compute_credit = 2.5
[compute]
unit = "thing-hour"
price = 0.123456789
units_per_cu = 1.7
minimum_units = 0.3
sleeps = true
billed_by_seconds = 60
minimum_seconds_per_wake = 100
extra_seconds_per_wake = 7
[storage]
unit = "GiB"
price = [{ up_to = 3, price = 0.5 }, { up_to = 10, price = 0.9 }, { price = 0.1 }]
minimum_per_database = 1.5
sizes = [1, 2, 3, 5, 8, 13]
included_per_database = 0.7
[history]
# Not more than storage: else a byte of data could bring more free history than it costs.
price = [{ up_to = 1, price = 0.08 }, { price = 0.09 }]
included_up_to_storage = true
[egress]
price = [{ up_to = 7, price = 0 }, { price = 0.01 }]
[io]
price_per_million = 0.07
[branches]
included_per_project = 1
price = 0.4
"#;

fn sheets() -> Vec<Sheet> {
    let odd = Sheet::read("odd.toml", ODD).expect("a sheet");
    builtin::all().into_iter().chain([odd]).collect()
}

prop_compose! {
    fn database()(
        exists in 0_u64..3_000_000, active in 0_u64..3_000_000, cu in 0_u64..64_000, peak in proptest::option::of(0_u64..64_000),
        storage in 0_u128..=1 << 45, history in 0_u128..=1 << 45, egress in 0_u64..=1 << 50,
        io in proptest::option::of(0_u64..=1 << 50), wakes in 0_u64..100_000,
    ) -> Database {
        Database {
            exists_seconds: exists, active_seconds: active, milli_cu_seconds: u128::from(active) * u128::from(cu),
            peak_milli_cu: peak, storage_byte_seconds: storage * u128::from(exists),
            history_byte_seconds: history * u128::from(exists), egress_bytes: egress, io_requests: io, wakes,
        }
    }
}

fn usage() -> impl Strategy<Value = Usage> {
    let project = proptest::collection::vec(database(), 0..4).prop_map(|databases| Project { databases });
    (proptest::collection::vec(project, 0..4), 1_u64..2_678_400).prop_map(|(projects, seconds)| Usage {
        period: Period { seconds, month_seconds: 2_678_400 },
        projects,
    })
}

prop_compose! {
    fn estimate()(
        active in 0.0..=730.0, average in 0.0..=70.0, more in 0.0..=70.0, storage in 0.0..=3e4, history in 0.0..=3e4,
        io in 0.0..=1e5, egress in 0.0..=2e5, wakes in 0_u64..50_000,
    ) -> Estimate {
        Estimate {
            hours_active: active, hours_in_month: 730.0, average_cu: average, peak_cu: average + more,
            storage_gb: storage, history_gb: history, io_million: io, egress_gb: egress, wakes,
        }
    }
}

/// One quantity of an estimate that grows, and nothing else.
fn grown(estimate: Estimate, which: usize, by: f64) -> Estimate {
    let mut more = estimate;
    match which {
        0 => more.hours_active = (more.hours_active + by).min(730.0),
        1 => {
            more.average_cu += by;
            more.peak_cu = more.peak_cu.max(more.average_cu);
        }
        2 => more.peak_cu += by,
        3 => more.storage_gb += by,
        4 => more.history_gb += by,
        5 => more.io_million += by,
        6 => more.egress_gb += by,
        _ => more.wakes += by.abs().round() as u64,
    }
    more
}

/// Quantities of an estimate: see [`grown`].
const QUANTITIES: usize = 8;

proptest! {
    #[test]
    fn lines_add_up_and_sleeping_never_costs_more(usage in usage()) {
        for sheet in sheets() {
            let bill = sheet.bill(&usage);
            let sum: Money = bill.lines.iter().map(|line| line.amount).sum();
            prop_assert_eq!(sum, bill.total, "{}", sheet.id);
            prop_assert_eq!(sheet.total(&usage), bill.total, "{}", sheet.id);
            prop_assert!(bill.total >= Money::ZERO, "{}: {:?}", sheet.id, bill.total);
            prop_assert!(bill.always_on_total >= bill.total, "{}", sheet.id);
            prop_assert!(sheet.total(&usage.always_on()) >= bill.total, "{}: {:#?} {:#?}", sheet.id, bill, sheet.bill(&usage.always_on()));
            prop_assert!((0.0..=100.0).contains(&bill.saving_percent()), "{}", sheet.id);
            for line in &bill.lines {
                let credit = line.item == "compute credit";
                prop_assert!(credit == (line.amount < Money::ZERO) , "{}: {:?}", sheet.id, line);
                // A line can be recomputed from what it shows (the minimum's and the credit's are what is left).
                if !credit && line.item != "up to the plan's minimum" {
                    let again = line.quantity * line.unit_price.to_f64();
                    prop_assert!((again - line.amount.to_f64()).abs() <= 1e-6 + again * 1e-9, "{}: {:?}", sheet.id, line);
                }
            }
        }
    }

    #[test]
    fn more_of_anything_never_costs_less(estimate in estimate(), which in 0..QUANTITIES, by in 0.0..1e3) {
        let (less, more) = (estimate.usage().expect("it can be"), grown(estimate, which, by).usage().expect("it can be"));
        for sheet in sheets() {
            prop_assert!(sheet.total(&more) >= sheet.total(&less), "{}, quantity {}", sheet.id, which);
            if which != 0 && which != 7 {
                let always = |usage: &Usage| sheet.bill(usage).always_on_total;
                prop_assert!(always(&more) >= always(&less), "{}, always on, quantity {}", sheet.id, which);
            }
        }
    }

    #[test]
    fn one_more_database_never_makes_it_cheaper(usage in usage(), database in database()) {
        let mut more = usage.clone();
        more.projects.push(Project { databases: vec![database] });
        for sheet in sheets() {
            prop_assert!(sheet.total(&more) >= sheet.total(&usage), "{}", sheet.id);
        }
    }

    #[test]
    fn a_rate_grows_with_size_and_bytes(cu in 0_u64..100_000, more in 0_u64..100_000, bytes in 0_u64..=1 << 50) {
        for sheet in sheets() {
            prop_assert!(sheet.per_hour(cu + more, bytes) >= sheet.per_hour(cu, bytes), "{}", sheet.id);
            prop_assert!(sheet.per_hour(cu, bytes) >= sheet.per_hour(cu, bytes / 2), "{}", sheet.id);
        }
    }
}

#[test]
fn no_usage_costs_the_fees_and_nothing_else() {
    for sheet in sheets() {
        let fees = Money::from(sheet.fees.monthly).max(Money::from(sheet.fees.minimum));
        for usage in [Usage::default(), Usage::of(Period::default(), Database::default())] {
            let bill = sheet.bill(&usage);
            assert_eq!(bill.total, fees, "{}", sheet.id);
            assert_eq!(bill.always_on_total, fees, "{}", sheet.id);
        }
    }
}

#[test]
fn absurd_usage_does_not_panic() {
    let most = Database {
        exists_seconds: u64::MAX,
        active_seconds: u64::MAX,
        milli_cu_seconds: u128::MAX,
        peak_milli_cu: Some(u64::MAX),
        storage_byte_seconds: u128::MAX,
        history_byte_seconds: u128::MAX,
        egress_bytes: u64::MAX,
        io_requests: Some(u64::MAX),
        wakes: u64::MAX,
    };
    for sheet in sheets() {
        let usage = Usage::of(Period { seconds: u64::MAX, month_seconds: 1 }, most.clone());
        assert!(sheet.bill(&usage).total >= Money::ZERO, "{}", sheet.id);
    }
}
