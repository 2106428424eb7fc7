//! Money: real usage priced by sheets, the calculator, and sheets of one's own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use dormouse_tests::{Server, binary, free_port, passable_dir};
use serde_json::Value;

/// What happened is in the ledger within this time, on a busy machine too.
const BOOKED_WITHIN: Duration = Duration::from_secs(60);

/// A sheet whose prices make a bill of seconds visible.
fn own(id: &str) -> String {
    format!(
        "id = \"{id}\"\nprovider = \"Ours\"\nplan = \"the rack\"\ndated = 2026-01-02\nsource = \"the invoice\"\n\
         currency = \"EUR\"\nregion = \"cellar\"\n[compute]\nprice = 3600\nsleeps = true\n"
    )
}

fn sheet<'a>(told: &'a Value, id: &str) -> &'a Value {
    let sheets = told["sheets"].as_array().unwrap();
    sheets.iter().find(|sheet| sheet["id"] == id).unwrap_or_else(|| panic!("no {id} in {told}"))
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-5 * one.abs().max(1.0)
}

#[tokio::test]
async fn real_usage_becomes_money() {
    let dir = passable_dir();
    let (named, data) = (dir.path().join("rack.toml"), dir.path().join("data"));
    std::fs::write(&named, own("rack")).unwrap();
    // Lying in the data directory: a good one is offered, a bad one keeps nobody from starting.
    let lying = data.join("price-sheets");
    std::fs::create_dir_all(&lying).unwrap();
    std::fs::write(lying.join("a.toml"), own("attic")).unwrap();
    std::fs::write(lying.join("b.toml"), own("bad").replace("3600", "-1")).unwrap();
    let sheet_file = named.to_str().unwrap();
    let server = Server::start_on(
        &data,
        &["--idle-timeout", "1s", "--pause-timeout", "0", "--price-sheet", sheet_file],
    );

    let client = server.connect().await;
    client
        .batch_execute("create table t as select generate_series(1, 1000) n; select pg_sleep(2)")
        .await
        .unwrap();
    drop(client);
    server.until("stopped");
    let begin = dormouse_base::clock::Mono::now();
    let cost = loop {
        let cost = server.cli_json(&["cost"]);
        if cost["usage"]["active_seconds"].as_f64().unwrap() >= 2.0 {
            break cost;
        }
        assert!(begin.elapsed() < BOOKED_WITHIN, "{cost}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    assert_eq!(cost["default_sheet"], "rack");
    let usage = &cost["usage"];
    let cu_seconds = usage["cu_seconds"].as_f64().unwrap();
    // A CU-second costs one euro, and is counted in thousandths.
    let rack = sheet(&cost, "rack");
    assert!((rack["total"].as_f64().unwrap() - cu_seconds).abs() <= 0.001, "{rack} {usage}");
    assert_eq!(rack["total"], sheet(&cost, "attic")["total"]);
    assert_eq!(rack["currency"], "EUR");
    for sheet in cost["sheets"].as_array().unwrap() {
        let sum: f64 =
            sheet["lines"].as_array().unwrap().iter().map(|line| line["amount"].as_f64().unwrap()).sum();
        assert!(close(sum, sheet["total"].as_f64().unwrap()), "{sheet}");
        assert!(sheet["always_on_total"].as_f64() >= sheet["total"].as_f64(), "{sheet}");
        let item =
            |item: &str| sheet["lines"].as_array().unwrap().iter().find(|line| line["item"] == item).cloned();
        // What never sleeps was billed since the project exists, in whole seconds: no less than it worked.
        if let Some(line) = item("compute t4g.micro") {
            let hours = line["quantity"].as_f64().unwrap();
            assert!(hours * 3600.0 + 1.0 >= usage["active_seconds"].as_f64().unwrap(), "{line} {usage}");
        }
    }
    // The one project is all there is: alone it costs the same.
    assert_eq!(cost["projects"][0]["costs"]["rack"], rack["total"]);
    let month = cost["month"].as_str().unwrap();
    let named = server.cli_json(&["cost", "--month", month, "--project", "default", "--sheet", "rack"]);
    assert_eq!(named["sheets"].as_array().unwrap().len(), 1);
    people_can_read_it(&server);

    let warned = server.log();
    assert!(
        warned.contains("b.toml") && warned.contains("compute.price") && warned.contains("negative"),
        "{warned}"
    );
}

fn people_can_read_it(server: &Server) {
    let run = |arguments: &[&str]| {
        let output = server.cli(arguments);
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {err}");
        (String::from_utf8_lossy(&output.stdout).into_owned(), err)
    };
    let (table, _) = run(&["cost"]);
    assert!(table.starts_with("SHEET") && table.contains("neon-launch") && table.contains("EUR"), "{table}");
    let (bill, notes) = run(&["cost", "--sheet", "supabase-pro"]);
    assert!(bill.contains("plan") && bill.contains("25.00 USD") && bill.contains("saved (0 %)"), "{bill}");
    assert!(notes.contains("24/7"), "{notes}");
    // As in `pricing::bill::tests::by_hand`: 10 % of a month.
    let month = ["cost", "estimate", "--hours", "73", "--cu", "0.5", "--peak-cu", "1", "--storage", "10"];
    let rest = ["--history", "2", "--io", "3", "--egress", "20"];
    let (table, _) = run(&[&month[..], &rest[..]].concat());
    let line = table.lines().find(|line| line.starts_with("neon-launch")).unwrap();
    assert!(line.contains("7.77 USD") && line.contains("42.59 USD") && line.contains("81.8 %"), "{line}");
    let (sheets, _) = run(&["cost", "sheets"]);
    assert!(
        sheets.contains("https://neon.com/docs/introduction/plans") && sheets.contains("2026-11-12"),
        "{sheets}"
    );
    let (prices, source) = run(&["cost", "sheets", "--sheet", "aurora-v2"]);
    assert!(
        prices.contains("ACU-hour") && source.contains("us-east-1") || source.contains("aws.amazon.com"),
        "{prices}"
    );
    let wrong = server.cli(&["cost", "estimate", "--hours", "9000", "--cu", "1"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", String::from_utf8_lossy(&wrong.stderr));
    let wrong = server.cli(&["cost", "--sheet", "neon"]);
    assert_eq!(wrong.status.code(), Some(3), "{}", String::from_utf8_lossy(&wrong.stderr));
}

#[test]
fn a_sheet_that_was_named_must_be_good() {
    let dir = passable_dir();
    let refused = |file: &Path| {
        let output = Command::new(binary())
            .args(["up", "--data", dir.path().join("data").to_str().unwrap(), "--price-sheet"])
            .arg(file)
            .args(["--pg-port", &free_port().to_string(), "--http-port", &free_port().to_string()])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let bad = dir.path().join("bad.toml");
    std::fs::write(&bad, own("bad").replace("price = 3600", "prise = 3600")).unwrap();
    let error = refused(&bad);
    assert!(error.contains("bad.toml, line 9, field `compute.prise`"), "{error}");
    let error = refused(&dir.path().join("missing.toml"));
    assert!(error.contains("missing.toml"), "{error}");
}
