//! Every built-in sheet on paper: three months of 730 hours, with work in 10 %, 5 % and 1 % of them.
//!
//! All three: 0.5 CU on average while active, 1 CU at the peak, 10 GB of data, 2 GB of history, 3 million reads
//! and writes, 20 GB to clients. Only the active hours differ: 73, 36.5 and 7.3. So
//!
//! ```text
//!                        10 %     5 %      1 %    always on
//!  CU-hours  0.5 × h     36.5     18.25    3.65   365
//!  ACU-hours 1.0 × h     73       36.5     7.3    730
//! ```
//!
//! 10 GB are 10⁹ × 10 / 2³⁰ = 9.313225746 GiB, 2 GB are 1.862645149 GiB, 20 GB are 18.626451492 GiB.

use crate::estimate::Estimate;
use crate::sheet::builtin;
use crate::usage::Usage;

/// Totals in millionths: 10 %, 5 %, 1 %, always on; and whether the plan allows it.
type Paper = (&'static str, [i64; 3], i64, bool);

const PAPERS: [Paper; 11] = [
    // Nothing can be bought: 10 GB are more than 0.5 GB, 20 GB to clients more than 5 GB.
    ("neon-free", [0, 0, 0], 0, false),
    // Besides compute: storage 10 × 0.35 = 3.50, history 2 × 0.20 = 0.40, egress within 500 GB: 3.90.
    // 36.5 × 0.106 = 3.869 · 18.25 × 0.106 = 1.9345 · 3.65 × 0.106 = 0.3869 · 365 × 0.106 = 38.69
    ("neon-launch", [7_769_000, 5_834_500, 4_286_900], 42_590_000, true),
    // 36.5 × 0.222 = 8.103 · 18.25 × 0.222 = 4.0515 · 3.65 × 0.222 = 0.8103 · 365 × 0.222 = 81.03; and 3.90.
    ("neon-scale", [12_003_000, 7_951_500, 4_710_300], 84_930_000, true),
    // Free, but neither 1 CU nor 10 GB nor 20 GB to clients are allowed.
    ("supabase-free", [0, 0, 0], 0, false),
    // 24/7, whatever is active. Plan 25, Medium (1 CU) 730 × 0.0822 = 60.006, credit −10,
    // storage (10 − 8) × 0.125 = 0.25, egress within 250 GB: 75.256.
    ("supabase-pro", [75_256_000, 75_256_000, 75_256_000], 75_256_000, true),
    // Besides compute: storage 9.313225746 × 0.10 = 0.931323, history 1.862645149 × 0.021 = 0.039116,
    // I/O 3 × 0.20 = 0.60, egress within 100 GB: 1.570439.
    // 73 × 0.12 = 8.76 · 36.5 × 0.12 = 4.38 · 7.3 × 0.12 = 0.876 · 730 × 0.12 = 87.60
    ("aurora-v2", [10_330_439, 5_950_439, 2_446_439], 89_170_439, true),
    // Storage 9.313225746 × 0.225 = 2.095476, history 0.039116, no I/O: 2.134592.
    // 73 × 0.156 = 11.388 · 36.5 × 0.156 = 5.694 · 7.3 × 0.156 = 1.1388 · 730 × 0.156 = 113.88
    ("aurora-v2-io", [13_522_592, 7_828_592, 3_273_392], 116_014_592, true),
    // Storage 9.313225746 × 0.11 = 1.024455, history 0.039116, I/O 3 × 0.22 = 0.66: 1.723571.
    // 73 × 0.14 = 10.22 · 36.5 × 0.14 = 5.11 · 7.3 × 0.14 = 1.022 · 730 × 0.14 = 102.20
    ("aurora-v2-eu", [11_943_571, 6_833_571, 2_745_571], 103_923_571, true),
    // 24/7. B2s (1 CU) 730 × 0.068 = 49.64, the smallest disk 32 × 0.115 = 3.68, history within the disk's size,
    // egress within 100 GB: 53.32.
    ("azure-flexible", [53_320_000, 53_320_000, 53_320_000], 53_320_000, true),
    // 24/7. 2 vCPU (the smallest) 730 × 0.3519 = 256.887, storage 9.313225746 × 0.338939 = 3.156615,
    // egress 18.626451492 × 0.12 = 2.235174: 262.278789.
    ("alloydb", [262_278_789, 262_278_789, 262_278_789], 262_278_789, true),
    // 24/7. m7g.medium (1 CU) 730 × 0.0408 = 29.784, disk 9.313225746 (more than 8) × 0.08 = 0.745058,
    // egress within 100 GB: 30.529058.
    ("vm-always-on", [30_529_058, 30_529_058, 30_529_058], 30_529_058, true),
];

fn month(hours_active: f64) -> Usage {
    let estimate = Estimate {
        hours_active,
        hours_in_month: 730.0,
        average_cu: 0.5,
        peak_cu: 1.0,
        storage_gb: 10.0,
        history_gb: 2.0,
        io_million: 3.0,
        egress_gb: 20.0,
        wakes: 0,
    };
    estimate.usage().expect("a month that can be")
}

#[test]
fn every_sheet_says_what_paper_says() {
    let sheets = builtin::all();
    let ids: Vec<&str> = sheets.iter().map(|sheet| sheet.id.as_str()).collect();
    assert_eq!(ids, PAPERS.map(|(id, ..)| id), "each sheet is worked out by hand here");
    for (sheet, (id, totals, always_on, fits)) in sheets.iter().zip(PAPERS) {
        for (hours, total) in [73.0, 36.5, 7.3].into_iter().zip(totals) {
            let bill = sheet.bill(&month(hours));
            assert_eq!(bill.total.micro(), total, "{id}, {hours} h: {:#?}", bill.lines);
            assert_eq!(bill.always_on_total.micro(), always_on, "{id}, {hours} h, always on");
            assert_eq!(bill.fits, fits, "{id}, {hours} h: {:?}", bill.notes);
        }
    }
}

#[test]
fn the_saving_is_against_the_same_provider() {
    let sheets = builtin::all();
    let saving = |id: &str, hours| {
        let sheet = sheets.iter().find(|sheet| sheet.id == id).expect("a sheet");
        let bill = sheet.bill(&month(hours));
        (bill.saving().micro(), bill.saving_percent())
    };
    // 42.59 − 7.769 = 34.821, 81.76 % · 42.59 − 4.2869 = 38.3031, 89.93 %
    assert_eq!(saving("neon-launch", 73.0), (34_821_000, 81.8));
    assert_eq!(saving("neon-launch", 7.3), (38_303_100, 89.9));
    assert_eq!(saving("supabase-pro", 7.3), (0, 0.0));
    assert_eq!(saving("neon-free", 7.3), (0, 0.0));
}

#[test]
fn a_bill_shows_what_it_is_made_of() {
    let sheets = builtin::all();
    let sheet = sheets.iter().find(|sheet| sheet.id == "supabase-pro").expect("a sheet");
    let lines: Vec<String> = sheet
        .bill(&month(7.3))
        .lines
        .iter()
        .map(|line| {
            format!("{}: {} {} × {} = {}", line.item, line.quantity, line.unit, line.unit_price, line.amount)
        })
        .collect();
    let expected = [
        "plan: 1 month × 25 = 25.00",
        "compute Medium: 730 hour × 0.0822 = 60.01",
        "compute credit: 1 month × 10 = -10.00",
        "storage, included: 8 GB-month × 0 = 0.00",
        "storage: 2 GB-month × 0.125 = 0.25",
        "egress, included: 20 GB × 0 = 0.00",
    ];
    assert_eq!(lines, expected);
}
