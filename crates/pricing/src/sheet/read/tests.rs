//! What is a sheet, and how it is said what is not: the texts are for the one who wrote the file.

use crate::sheet::{Compute, Giga, Sheet};

const GOOD: &str = r#"id = "cellar"
provider = "Ours"
plan = "the rack"
dated = 2026-02-03
source = "the invoice"
currency = "EUR"
region = "cellar"

[compute]
price = 0.05
sleeps = true

[storage]
unit = "GiB"
price = [{ up_to = 10, price = 0 }, { price = "0.02" }]
"#;

fn refused(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    Sheet::read("/etc/cellar.toml", &GOOD.replacen(from, to, 1)).expect_err(to).to_string()
}

#[test]
fn a_sheet_is_read() {
    let sheet = Sheet::read("cellar.toml", GOOD).expect("a sheet");
    assert_eq!(sheet.dated.to_string(), "2026-02-03");
    let Compute::Capacity(capacity) = &sheet.compute else { panic!("{:?}", sheet.compute) };
    assert_eq!((capacity.unit.as_str(), capacity.units_per_cu.to_string().as_str()), ("CU-hour", "1"));
    let storage = sheet.storage.expect("storage");
    assert_eq!((storage.unit, storage.price.steps().len()), (Giga::Binary, 2));
    let quoted = GOOD.replace("2026-02-03", "\"2026-02-03\"");
    assert_eq!(Sheet::read("cellar.toml", &quoted).expect("a sheet").dated, sheet.dated);
}

#[test]
fn errors_name_file_line_field_and_what_is_wrong() {
    assert_eq!(
        refused("price = 0.05", "price = -0.05"),
        "/etc/cellar.toml, line 10, field `compute.price`: `-0.05` is negative"
    );
    let cases = [
        ("dated = 2026-02-03", "dated = 2026-02-30", "line 4"),
        ("dated = 2026-02-03", "dated = \"soon\"", "line 4, field `dated`: `soon` must be a day"),
        ("dated = 2026-02-03", "dated = 2026-02-03T10:00:00Z", "line 4, field `dated`"),
        ("id = \"cellar\"", "id = \"Our Cellar\"", "line 1, field `id`: `Our Cellar` must be"),
        ("\"EUR\"", "\"euro\"", "line 6, field `currency`: `euro` must be"),
        ("\"the rack\"", "\"\"", "line 3, field `plan`: must be one line"),
        ("price = 0.05", "price = \"cheap\"", "line 10, field `compute.price`: `cheap` is not a decimal"),
        ("price = 0.05", "price = 1e-12", "line 10, field `compute.price`"),
        ("price = 0.05", "prise = 0.05", "line 10, field `compute.prise`: unknown field"),
        ("price = 0.05\n", "", "field `compute`: `price` or `sizes` is missing"),
        ("sleeps = true\n", "", "field `compute`: missing field `sleeps`"),
        ("sleeps = true", "sleeps = \"yes\"", "line 11, field `compute.sleeps`"),
        (
            "sleeps = true",
            "sleeps = true\nbilled_by_seconds = 0",
            "line 12, field `compute.billed_by_seconds`: must be 1",
        ),
        (
            "sleeps = true",
            "sleeps = true\nunits_per_cu = 0",
            "line 12, field `compute.units_per_cu`: must be more than 0",
        ),
        (
            "sleeps = true",
            "sleeps = true\nsizes = [{ name = \"S\", cu = 1, price = 1 }]",
            "field `compute`: `price` and `sizes` exclude each other",
        ),
        (
            "price = 0.05",
            "sizes = [{ name = \"S\", cu = 2, price = 1 }, { name = \"L\", cu = 1, price = 1 }]",
            "line 10, field `compute.sizes`: sizes must be more than 0 and grow",
        ),
        (
            "price = 0.05",
            "minimum_units = 0.25\nsizes = [{ name = \"S\", cu = 2, price = 1 }]",
            "field `compute`: `unit`, `units_per_cu` and `minimum_units` belong to `price`",
        ),
        (
            "price = 0.05",
            "price = 1000001",
            "line 10, field `compute.price`: `1000001` is more than a million",
        ),
        ("price = 0.05", "price = inf", "line 10, field `compute.price`: `inf` is not a decimal number"),
        ("price = 0.05", "price = 99999999999999999999", "line 10"),
        (
            "sleeps = true",
            "sleeps = true\nminimum_seconds_per_wake = -1",
            "line 12, field `compute.minimum_sec",
        ),
        ("\"GiB\"", "\"MB\"", "line 14, field `storage.unit`"),
        (
            "{ price = \"0.02\" }",
            "{ up_to = 20, price = 1 }",
            "line 15, field `storage.price`: the last step",
        ),
        ("up_to = 10, ", "", "line 15, field `storage.price`: each step but the last needs `up_to`"),
        ("up_to = 10", "up_to = 0", "line 15, field `storage.price`: `up_to` must grow"),
        (
            "[{ up_to = 10, price = 0 }, { price = \"0.02\" }]",
            "[]",
            "line 15, field `storage.price`: there is no price",
        ),
        ("price = 0 }", "price = -1 }", "line 15, field `storage.price[0].price`: `-1` is negative"),
        ("[storage]", "[storage", "line 13"),
        ("provider = \"Ours\"\n", "", "missing field `provider`"),
    ];
    for (from, to, expected) in cases {
        let error = refused(from, to);
        assert!(error.starts_with("/etc/cellar.toml, line "), "{error}");
        assert!(error.contains(expected), "{to}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
