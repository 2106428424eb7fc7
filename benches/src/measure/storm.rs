//! `storm`: many sleeping databases woken at the same moment, by a client each.
//!
//! The baseline boots as many bare clusters with the same limit on boots at once, so what is left
//! of the difference is Dormouse, not the number of processors.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::with_causes;
use dormouse_compute::fleet::BOOTS_PER_CORE;

use crate::bare::{self, Bare, Running};
use crate::crew::{self, Slots};
use crate::error::Error;
use crate::report::{PartReport, Section, Target};
use crate::server::{Place, Server};
use crate::session::{self, Login};
use crate::stats::Series;
use crate::{machine, stop, talk};

/// Databases and clients.
const SIZE: usize = 50;

/// Storms; each is followed by its baseline.
const ROUNDS: usize = 3;

/// Calls of preparation at the same time.
const HANDS: usize = 4;

/// Target: the slowest client waits no longer.
const P99_MS: f64 = 3000.0;

/// Errors that are shown; the rest are only counted.
const SHOWN_ERRORS: usize = 3;

/// A temporary directory that other users may pass through.
///
/// # Errors
/// When it cannot be made.
pub(super) fn passable_dir() -> Result<tempfile::TempDir, Error> {
    let dir = tempfile::tempdir().map_err(Error::system("make a temporary directory"))?;
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711))
        .map_err(Error::system("open a temporary directory"))?;
    Ok(dir)
}

/// Measures.
///
/// # Errors
/// When something broke.
pub(crate) fn run(binary: &Path) -> Result<PartReport, Error> {
    let server = Server::start(binary, &super::STAY_AWAKE)?;
    let sleepers = sleepers(&server)?;
    let dir = passable_dir()?;
    let bares = bares(&server, &sleepers, dir.path())?;
    let (mut stormed, mut baseline) = (Series::default(), Series::default());
    let (mut whole, mut whole_baseline) = (Series::default(), Series::default());
    let mut errors = Vec::new();
    for round in 1..=ROUNDS {
        stop::check()?;
        talk::say(&format!("storm: round {round} of {ROUNDS}"));
        let start = Mono::now();
        let (times, failed) = storm(&sleepers);
        whole.push(start.elapsed());
        stormed.extend(times);
        errors.extend(failed);
        suspend_all(&server, &sleepers)?;
        let start = Mono::now();
        let (times, running) = bare_storm(&bares)?;
        whole_baseline.push(start.elapsed());
        baseline.extend(times);
        running.into_iter().try_for_each(Running::stop)?;
    }
    Ok(report(&stormed, &baseline, (&whole, &whole_baseline), &errors))
}

/// Sleeping endpoints, each of which has run once and so has its directory.
fn sleepers(server: &Server) -> Result<Vec<(Place, Login)>, Error> {
    talk::say(&format!("storm: making {SIZE} databases"));
    let numbers: Vec<usize> = (0..SIZE).collect();
    let made = crew::each(&numbers, HANDS, |number| {
        stop::check()?;
        let place = server.new_place(&format!("storm-{number}"))?;
        let login = place.login.salted(place.address, &place.password)?;
        session::over_tcp(place.address, &login)?.first_row()?;
        Ok((place, login))
    });
    made.into_iter().collect()
}

fn suspend_all(server: &Server, sleepers: &[(Place, Login)]) -> Result<(), Error> {
    crew::each(sleepers, HANDS, |(place, _)| server.suspend(place)).into_iter().collect()
}

/// As many bare clusters as sleepers, which sleep afterwards.
fn bares(server: &Server, sleepers: &[(Place, Login)], dir: &Path) -> Result<Vec<Bare>, Error> {
    let (place, _) = sleepers.first().ok_or_else(|| Error::unexpected("a storm needs databases"))?;
    let compute = server.compute(place)?;
    suspend_all(server, sleepers)?;
    talk::say(&format!("storm: copying {SIZE} bare clusters"));
    let pattern = dir.join("pattern");
    fs::create_dir(&pattern)
        .and_then(|()| fs::set_permissions(&pattern, fs::Permissions::from_mode(0o711)))
        .map_err(Error::system("make a directory"))?;
    let pattern = Bare::like(&compute, &pattern)?;
    let copies = (0..SIZE).map(|number| {
        stop::check()?;
        pattern.copy(&dir.join(number.to_string()))
    });
    let copies = copies.collect();
    // Writing the copies out must not fall into the first storm.
    rustix::fs::sync();
    copies
}

/// One client for each sleeper, all at once: times to the first row, and what went wrong.
fn storm(sleepers: &[(Place, Login)]) -> (Vec<Duration>, Vec<String>) {
    let together = Barrier::new(sleepers.len());
    let results = crew::each(sleepers, sleepers.len(), |(place, login)| {
        together.wait();
        let start = Mono::now();
        let row = session::over_tcp(place.address, login).and_then(|mut session| session.first_row());
        row.map(|arrived| arrived.since(start)).map_err(|error| with_causes(&error))
    });
    let (good, bad): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    (good.into_iter().flatten().collect(), bad.into_iter().filter_map(Result::err).collect())
}

fn bare_storm(bares: &[Bare]) -> Result<(Vec<Duration>, Vec<Running>), Error> {
    let together = Barrier::new(bares.len());
    let slots = Slots::new(boots_at_once());
    let login = bare::login();
    let results = crew::each(bares, bares.len(), |bare| {
        together.wait();
        let start = Mono::now();
        let slot = slots.enter();
        let running = bare.boot()?;
        // Dormouse too lets the next one in before the client connects.
        drop(slot);
        let arrived = session::over_unix(running.socket(), &login)?.first_row()?;
        Ok((arrived.since(start), running))
    });
    Ok(results.into_iter().collect::<Result<Vec<_>, Error>>()?.into_iter().unzip())
}

fn boots_at_once() -> usize {
    BOOTS_PER_CORE * machine::cpus()
}

fn report(
    stormed: &Series,
    baseline: &Series,
    (whole, whole_baseline): (&Series, &Series),
    errors: &[String],
) -> PartReport {
    let rows = vec![
        baseline.row("bare: a client's time to its row", None),
        stormed.row("a client's time to its row", Some(("bare", baseline))),
        whole_baseline.row("bare: until all have their row", None),
        whole.row("until all have their row", Some(("bare", whole_baseline))),
    ];
    let mut notes = vec![format!("at most {} boots at once, on both sides", boots_at_once())];
    notes.extend(errors.iter().take(SHOWN_ERRORS).map(|error| format!("a client failed: {error}")));
    PartReport {
        name: "storm",
        sections: vec![Section { title: format!("{SIZE} databases woken at once"), rows }],
        targets: vec![
            Target::at_most("client errors", errors.len() as f64, 0.0, ""),
            Target::at_most("a client's time to its row, p99", stormed.p99(), P99_MS, "ms"),
        ],
        notes,
    }
}
