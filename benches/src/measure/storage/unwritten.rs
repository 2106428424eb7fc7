//! What a branch takes in the store that nobody wrote to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_api::branch::CreateBranch;
use dormouse_api::branch::NewBranchEndpoint;
use dormouse_api::client;
use dormouse_api::endpoint::{EndpointType, NewEndpointLimits};
use dormouse_base::clock::Mono;

use super::branch::place_of;
use super::served::Served;
use crate::error::Error;
use crate::report::{Row, Target};
use crate::session;

/// The target, KiB.
const LIMIT_KIB: f64 = 64.0;

/// What is written in the background has been written when nothing changed for this long.
const QUIET: Duration = Duration::from_secs(3);

/// Longer than this nothing is waited for.
const QUIET_WITHIN: Duration = Duration::from_secs(60);

/// Bytes in the store.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bytes {
    created: u64,
    used: u64,
}

type Files = BTreeMap<PathBuf, u64>;

/// Measures with a branch of the (then sleeping) database.
///
/// # Errors
/// When something broke.
pub(super) fn measure(served: &Served) -> Result<Bytes, Error> {
    served.server.suspend(&served.place)?;
    let store = served.server.data().join("store");
    let before = quiet(&store);
    let endpoint = NewBranchEndpoint { kind: EndpointType::ReadWrite, limits: NewEndpointLimits::default() };
    let wish = CreateBranch { endpoints: vec![endpoint], ..CreateBranch::default() };
    let created = served.server.call(&client::branch::create(&served.place.project, &wish))?;
    served.server.finish(&created.operations)?;
    let bytes_created = new_bytes(&before, &quiet(&store));
    let place = place_of(served, &created)?;
    let mut session = session::over_tcp(place.address, &place.login)?;
    session.first_row()?;
    session.query("SELECT abalance FROM pgbench_accounts WHERE aid = 1")?;
    drop(session);
    served.server.suspend(&place)?;
    let bytes_used = new_bytes(&before, &quiet(&store));
    served.delete(&created.branch.id)?;
    Ok(Bytes { created: bytes_created, used: bytes_used })
}

/// All files, once they stay the same.
fn quiet(store: &Path) -> Files {
    let start = Mono::now();
    let (mut files, mut since) = (list(store), Mono::now());
    while since.elapsed() < QUIET && start.elapsed() < QUIET_WITHIN {
        std::thread::sleep(Duration::from_millis(200));
        let now = list(store);
        if now != files {
            (files, since) = (now, Mono::now());
        }
    }
    files
}

fn list(dir: &Path) -> Files {
    let mut files = Files::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.filter_map(Result::ok) {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => dirs.push(entry.path()),
                Ok(meta) => drop(files.insert(entry.path(), meta.len())),
                Err(_) => {}
            }
        }
    }
    files
}

fn new_bytes(before: &Files, after: &Files) -> u64 {
    after.iter().filter(|(path, _)| !before.contains_key(*path)).map(|(_, len)| len).sum()
}

impl Bytes {
    /// For the report.
    pub(super) fn report(self) -> (Vec<Row>, Vec<Target>) {
        let kib = |bytes: u64| bytes as f64 / 1024.0;
        let row = |what: &str, bytes| Row {
            what: what.to_owned(),
            unit: "KiB",
            figures: vec![("KiB", kib(bytes))],
            baseline: None,
            ratio: None,
        };
        let rows = vec![
            row("a branch that was created", self.created),
            row("started, read, asleep again", self.used),
        ];
        let targets = vec![
            Target::at_most("branch created, in the store", kib(self.created), LIMIT_KIB, "KiB"),
            Target::at_most("branch used without a write, in the store", kib(self.used), LIMIT_KIB, "KiB"),
        ];
        (rows, targets)
    }
}
