use super::Pricing;
use crate::sheet::Sheet;
use crate::usage::{Database, Period, Usage};

fn own(id: &str, price: &str) -> Sheet {
    let text = format!(
        "id = \"{id}\"\nprovider = \"Ours\"\nplan = \"p\"\ndated = 2026-01-01\nsource = \"us\"\ncurrency = \"EUR\"\n\
         region = \"cellar\"\n[compute]\nprice = {price}\nsleeps = true\n"
    );
    Sheet::read("own.toml", &text).expect("a sheet")
}

#[test]
fn the_built_in_sheets_are_all_different_and_say_where_they_come_from() {
    let pricing = Pricing::default();
    assert_eq!(pricing.sheets().len(), super::builtin::FILES.len());
    for (sheet, (file, _)) in pricing.sheets().iter().zip(super::builtin::FILES) {
        assert_eq!(format!("{}.toml", sheet.id), file);
        assert!(sheet.source.starts_with("https://"), "{}", sheet.id);
        assert!(sheet.dated.year() >= 2025, "{}", sheet.id);
    }
    assert_eq!(pricing.default_sheet().id, "neon-launch");
}

#[test]
fn own_sheets_come_first_and_take_the_place_of_their_name() {
    let pricing = Pricing::new(vec![own("neon-launch", "9"), own("cellar", "2")], Some("cellar"));
    let ids: Vec<&str> = pricing.sheets().iter().map(|sheet| sheet.id.as_str()).collect();
    assert_eq!(ids[..3], ["neon-launch", "cellar", "neon-free"]);
    assert_eq!(ids.len(), super::builtin::FILES.len() + 1);
    assert_eq!(pricing.find("neon-launch").map(|sheet| sheet.provider.as_str()), Some("Ours"));
    assert_eq!(pricing.default_sheet().id, "cellar");
    assert_eq!(Pricing::new(Vec::new(), Some("no-such")).default_sheet().id, "neon-launch");
}

#[test]
fn a_rate_is_what_an_hour_costs_now() {
    let pricing = Pricing::default();
    // 2 CU × 0.106; 0.1 CU is billed as 0.25; asleep it costs storage only: 73 GB × 0.35 / 730 h = 0.035.
    assert_eq!(pricing.per_hour(2_000, 0).micro(), 212_000);
    assert_eq!(pricing.per_hour(100, 0).micro(), 26_500);
    assert_eq!(pricing.per_hour(0, 73_000_000_000).micro(), 35_000);
    // A machine costs the same asleep.
    let vm = pricing.find("vm-always-on").expect("a sheet");
    assert_eq!(vm.per_hour(0, 0).micro(), 8_400);
    assert_eq!(vm.per_hour(1_001, 0).micro(), 81_600);
}

#[test]
fn spend_is_the_total_of_the_default_sheet() {
    let pricing = Pricing::new(vec![own("cellar", "2")], Some("cellar"));
    let database = Database { active_seconds: 7_200, milli_cu_seconds: 7_200 * 500, ..Database::default() };
    // 2 h × 0.5 CU × 2 EUR
    assert_eq!(pricing.spend(&Usage::of(Period::default(), database.clone())).micro(), 2_000_000);
    assert_eq!(pricing.bill(&Usage::of(Period::default(), database)).total.micro(), 2_000_000);
}
