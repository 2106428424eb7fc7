//! `pool-instructions`: machine instructions of one transaction's way through the pooler.
//!
//! Valgrind counts them ([`super::walk`] is what it counts), so the figure is the same on a busy machine as
//! on a quiet one and a change of a few per cent shows. What they should be is in `benches/instructions.json`;
//! `--record` writes it after a change that is meant to cost more, or less. Another compiler makes other
//! instructions: the file names its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::walk::EXCHANGES;
use crate::args::Args;
use crate::error::Error;
use crate::report::{PartReport, Row, Section, Target};
use crate::stats::ratio;
use crate::{stop, talk};

/// Rounds of the two runs whose difference counts.
const ROUNDS: [u32; 2] = [1000, 11_000];

/// How much more is a regression, per cent, where nothing is written down yet.
const TOLERANCE_PERCENT: f64 = 3.0;

/// What is written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Written {
    /// How much more is a regression.
    tolerance_percent: f64,
    /// Who compiled it.
    rustc: String,
    /// Instructions of one round of each exchange.
    per_round: BTreeMap<String, f64>,
}

/// Counts.
///
/// # Errors
/// When Valgrind is missing, or this is not an optimised build.
pub(crate) fn run(args: &Args) -> Result<PartReport, Error> {
    let mut per_round = BTreeMap::new();
    for name in EXCHANGES {
        stop::check()?;
        talk::say(&format!("pool-instructions: {name}"));
        let [few, many] = [count(name, ROUNDS[0])?, count(name, ROUNDS[1])?];
        per_round.insert(name.to_owned(), (many - few) / f64::from(ROUNDS[1] - ROUNDS[0]));
    }
    let written = read()?;
    let tolerance_percent = written.as_ref().map_or(TOLERANCE_PERCENT, |written| written.tolerance_percent);
    let now = Written { tolerance_percent, rustc: rustc(), per_round };
    if args.record {
        record(&now)?;
    }
    Ok(report(&now, written.as_ref()))
}

/// Instructions of this program while it walks.
fn count(exchange: &str, rounds: u32) -> Result<f64, Error> {
    let own = std::env::current_exe().map_err(Error::system("find this program"))?;
    let said = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args(["--walk", &format!("{exchange}:{rounds}")])
        .output()
        .map_err(Error::system("run valgrind (scripts/setup --bench installs it)"))?;
    let text = String::from_utf8_lossy(&said.stderr);
    let counted = if said.status.success() { collected(&text) } else { None };
    counted.ok_or_else(|| Error::unexpected(format!("valgrind did not count: {}", text.trim())))
}

/// `==7== Collected : 1234`.
fn collected(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

fn rustc() -> String {
    let said = Command::new("rustc").arg("--version").output();
    said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned()).unwrap_or_default()
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("instructions.json")
}

fn read() -> Result<Option<Written>, Error> {
    match fs::read(file()) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| Error::unexpected(format!("instructions.json cannot be read: {error}"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::system("read instructions.json")(error)),
    }
}

fn record(now: &Written) -> Result<(), Error> {
    if cfg!(debug_assertions) {
        return Err(Error::unexpected("this build is not optimised: its instructions are nobody's"));
    }
    let text = serde_json::to_string_pretty(now).expect("names and finite numbers can be written as JSON");
    fs::write(file(), text + "\n").map_err(Error::system("write instructions.json"))
}

fn report(now: &Written, written: Option<&Written>) -> PartReport {
    let before = |name: &String| written.and_then(|written| written.per_round.get(name)).copied();
    let compared = |name: &String, value: f64| before(name).and_then(|before| ratio(value, before));
    let row = |(name, value): (&String, &f64)| Row {
        what: name.clone(),
        unit: "instructions",
        figures: vec![("per transaction", *value)],
        baseline: before(name).map(|_| "written down".to_owned()),
        ratio: compared(name, *value),
    };
    let limit = 1.0 + now.tolerance_percent / 100.0;
    let target = |(name, value): (&String, &f64)| {
        let got = compared(name, *value)?;
        Some(Target::at_most(&format!("{name}: times what is written down"), got, limit, "×"))
    };
    let mut notes = Vec::new();
    match written {
        None => notes.push("nothing is written down yet: run this with --record".to_owned()),
        Some(written) if written.rustc != now.rustc => {
            notes.push(format!("written down with {}, counted with {}", written.rustc, now.rustc));
        }
        Some(_) => {}
    }
    if cfg!(debug_assertions) {
        notes.push("this build is not optimised: its instructions are nobody's".to_owned());
    }
    PartReport {
        name: "pool-instructions",
        sections: vec![Section {
            title: "one transaction through the pooler, both directions, no sockets".into(),
            rows: now.per_round.iter().map(row).collect(),
        }],
        targets: now.per_round.iter().filter_map(target).collect(),
        notes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(simple: f64) -> Written {
        Written {
            tolerance_percent: 3.0,
            rustc: "rustc 1".to_owned(),
            per_round: BTreeMap::from([("simple".to_owned(), simple)]),
        }
    }

    #[test]
    fn reads_what_valgrind_counts() {
        assert_eq!(collected("==7== Events    : Ir\n==7== Collected : 1234567\n"), Some(1_234_567.0));
        assert_eq!(collected("==7== Events"), None);
    }

    #[test]
    fn four_per_cent_more_are_a_regression() {
        let verdict = |now: f64| {
            let json = serde_json::to_value(report(&written(now), Some(&written(1000.0)))).unwrap();
            json["targets"][0]["met"].as_bool().unwrap()
        };
        assert!(verdict(1029.0) && verdict(500.0));
        assert!(!verdict(1040.0));
        assert!(report(&written(1.0), None).targets.is_empty());
    }
}
