//! `storage-branch`: a branch of a running database, and what one costs in the store.
//!
//! ```text
//!  each round, parent quiet:    branch · branch with an endpoint → connect → row
//!  each round, parent writing:  a few MiB of WAL · branch with an endpoint → connect → row
//!  beside it, on the same data without Dormouse:  CREATE DATABASE … TEMPLATE → row · pg_basebackup → row
//! ```

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use dormouse_api::branch::{CreateBranch, CreatedBranch, NewBranchEndpoint};
use dormouse_api::client;
use dormouse_api::endpoint::{EndpointType, NewEndpointLimits};
use dormouse_base::clock::{self, Mono};

use super::cluster::{self, Cluster};
use super::phases::Phases;
use super::served::Served;
use super::size::{Size, rounds};
use super::unwritten;
use crate::args::Args;
use crate::bare::{self, Bare};
use crate::error::Error;
use crate::report::{PartReport, Row, Section, Target};
use crate::server::Place;
use crate::session;
use crate::stats::{Series, median};
use crate::{stop, talk, tool};

/// Targets, ms.
const CREATE_MS: f64 = 10.0;
const FIRST_ROW_MS: f64 = 250.0;
/// Bytes of a tail at most, MiB: snapshots see to that.
const TAIL_MIB: f64 = 64.0;

/// Transactions that make a tail of some MiB.
const TAIL: [&str; 4] = ["-n", "-c4", "-t250", "-Mprepared"];

/// How long a new branch or a write may go on happening in the background before the next measurement.
const SETTLE: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
struct Measured {
    create: Series,
    quiet: Series,
    quiet_whole: Series,
    busy: Series,
    busy_whole: Series,
    tails: Vec<f64>,
    quiet_phases: Phases,
    busy_phases: Phases,
}

/// What there is without Dormouse.
#[derive(Debug, Default)]
struct Copies {
    template: Series,
    basebackup: Series,
}

/// Measures.
///
/// # Errors
/// When something broke.
pub(crate) fn run(binary: &Path, args: &Args) -> Result<PartReport, Error> {
    let rounds = rounds(args, 4, 15);
    let copies = copies(args)?;
    let mut all = Vec::new();
    let mut store = None;
    for size in Size::all(args) {
        let served = Served::start(binary, size, Duration::ZERO)?;
        talk::say(&format!("storage-branch: {}, {rounds} rounds", size.name));
        served.connect()?;
        served.complete()?;
        let mut measured = Measured::default();
        round(&served, &mut Measured::default())?;
        for _ in 0..rounds {
            stop::check()?;
            round(&served, &mut measured)?;
        }
        if store.is_none() {
            store = Some(unwritten::measure(&served)?);
        }
        all.push((size, measured));
    }
    let store = store.unwrap_or_default();
    Ok(report(&all, &copies, store))
}

fn wish(endpoint: bool) -> CreateBranch {
    let endpoint = endpoint
        .then(|| NewBranchEndpoint { kind: EndpointType::ReadWrite, limits: NewEndpointLimits::default() });
    CreateBranch { endpoints: endpoint.into_iter().collect(), ..CreateBranch::default() }
}

fn round(served: &Served, to: &mut Measured) -> Result<(), Error> {
    let project = &served.place.project;
    let start = Mono::now();
    let created = served.server.call(&client::branch::create(project, &wish(false)))?;
    served.server.finish(&created.operations)?;
    to.create.push(start.elapsed());
    served.delete(&created.branch.id)?;

    served.server.call(&client::branch::store(project, &created.branch.parent_id.ok_or_else(no_parent)?))?;
    let from = lsn(served)?;
    branch(served, &mut to.quiet, &mut to.quiet_whole, &mut to.quiet_phases)?;
    served.bench(&TAIL)?;
    to.tails.push((lsn(served)? - from) / 1024.0 / 1024.0);
    branch(served, &mut to.busy, &mut to.busy_whole, &mut to.busy_phases)
}

fn no_parent() -> Error {
    Error::unexpected("a new branch has no parent")
}

/// The end of the parent's WAL, bytes.
fn lsn(served: &Served) -> Result<f64, Error> {
    let text = served.sql("SELECT (pg_current_wal_lsn() - '0/0')::text")?;
    text.and_then(|text| text.parse().ok()).ok_or_else(|| Error::unexpected("the compute tells no position"))
}

/// Makes a branch with an endpoint, gets a row of it, deletes it. `row` from the connect, `whole` from the wish.
fn branch(served: &Served, row: &mut Series, whole: &mut Series, phases: &mut Phases) -> Result<(), Error> {
    let (since, begun) = (clock::now(), Mono::now());
    let created = served.server.call(&client::branch::create(&served.place.project, &wish(true)))?;
    let place = place_of(served, &created)?;
    // The keys were derived for the parent: the branch has its roles.
    let login = session::Login { password: served.login.password.clone(), ..place.login.clone() };
    let start = Mono::now();
    let mut session = session::over_tcp(place.address, &login)?;
    let arrived = session.first_row()?;
    row.push(arrived.since(start));
    whole.push(arrived.since(begun));
    let (found, _) = session.query("SELECT 1 FROM pgbench_accounts WHERE aid = 1")?;
    found.ok_or_else(|| Error::unexpected("the branch lacks an account"))?;
    phases.note(&served.server, &place, since)?;
    drop(session);
    served.delete(&created.branch.id)?;
    std::thread::sleep(SETTLE);
    Ok(())
}

/// How to log in to a new branch.
pub(super) fn place_of(served: &Served, created: &CreatedBranch) -> Result<Place, Error> {
    let endpoint = created.endpoints.first();
    match (endpoint, created.connection_uris.first()) {
        (Some(endpoint), Some(uri)) => {
            let uri = uri.connection_uri.expose();
            served.server.place(served.place.project.clone(), endpoint.id.clone(), uri)
        }
        _ => Err(Error::unexpected("a new branch has no endpoint or no connection string")),
    }
}

/// The same without Dormouse: a second database, and a second cluster.
fn copies(args: &Args) -> Result<Copies, Error> {
    let cluster = Cluster::get(Size::of(args))?;
    let mut copies = Copies::default();
    let running = cluster.bare.boot()?;
    let login = session::Login { database: "postgres".to_owned(), ..bare::superuser() };
    for _ in 0..rounds(args, 2, 3) {
        stop::check()?;
        let mut session = session::over_unix(running.socket(), &login)?;
        let start = Mono::now();
        session.query(&format!("CREATE DATABASE branch TEMPLATE {} STRATEGY file_copy", bare::SEED.1))?;
        let branch = session::Login { database: "branch".to_owned(), ..bare::superuser() };
        copies.template.push(session::over_unix(running.socket(), &branch)?.first_row()?.since(start));
        session.query("DROP DATABASE branch WITH (FORCE)")?;
    }
    let root = super::size::scratch()?;
    for number in 0..rounds(args, 2, 3) {
        stop::check()?;
        let place = root.path().join(number.to_string());
        super::size::passable(&place)?;
        let copy =
            Bare::at(&cluster.install, cluster::arguments(&cluster.install), &place, &root.path().join("s"))?;
        copies.basebackup.push(basebackup(&cluster, &copy)?);
        fs::remove_dir_all(&place).map_err(Error::system("remove a copy"))?;
    }
    running.stop()?;
    Ok(copies)
}

fn basebackup(cluster: &Cluster, copy: &Bare) -> Result<Duration, Error> {
    let start = Mono::now();
    let mut private = fs::DirBuilder::new();
    private
        .mode(0o700)
        .create(copy.data())
        .and_then(|()| copy.identity().own(&copy.data()))
        .map_err(Error::system("make a directory for a copy"))?;
    let mut command = tool::command(&cluster.install.bin.join("pg_basebackup"), cluster.bare.identity());
    command.args(["-Xfetch", "--checkpoint=fast", "-h"]).arg(cluster.bare.socket_dir());
    tool::run(command.args(["-U", dormouse_compute::postgres::SUPERUSER, "-D"]).arg(copy.data()))?;
    if !copy.socket_dir().exists() {
        copy.make_socket_dir()?;
    }
    let running = copy.boot()?;
    let row = session::over_unix(running.socket(), &bare::login())?.first_row()?;
    running.stop()?;
    Ok(row.since(start))
}

fn report(all: &[(Size, Measured)], copies: &Copies, store: unwritten::Bytes) -> PartReport {
    let mut rows: Vec<Row> = vec![
        copies.template.row("CREATE DATABASE … TEMPLATE → row", None),
        copies.basebackup.row("pg_basebackup, start → row", None),
    ];
    let (mut phases, mut targets) = (Vec::new(), Vec::new());
    let (template, basebackup) =
        (("CREATE DATABASE", &copies.template), ("pg_basebackup", &copies.basebackup));
    for (size, m) in all {
        let name = size.name;
        let tail = median(&m.tails);
        rows.push(m.create.row(&format!("{name}: branch created"), Some(template)));
        rows.push(m.quiet_whole.row(&format!("{name}: created → connect → row"), Some(template)));
        rows.push(m.quiet.row(&format!("{name}: connect → row"), Some(basebackup)));
        rows.push(m.busy_whole.row(&format!("{name}: the same behind {tail:.0} MiB of WAL"), Some(template)));
        rows.push(m.busy.row(&format!("{name}: connect → row behind it"), Some(basebackup)));
        phases.push(m.quiet_phases.row(&format!("{name}: no tail")));
        phases.push(m.busy_phases.row(&format!("{name}: tail of {tail:.0} MiB")));
        targets.push(Target::at_most(
            &format!("{name}: branch created, p50"),
            m.create.p50(),
            CREATE_MS,
            "ms",
        ));
        let row = m.quiet_whole.p50();
        targets.push(Target::at_most(
            &format!("{name}: created → row, no tail, p50"),
            row,
            FIRST_ROW_MS,
            "ms",
        ));
        targets.push(Target::at_most(&format!("{name}: tail"), tail, TAIL_MIB, "MiB"));
    }
    let (rows_of_store, target) = store.report();
    targets.extend(target);
    PartReport {
        name: "storage-branch",
        sections: vec![
            Section { title: "a branch of a running database".into(), rows },
            Section { title: "phases as the server recorded them, medians".into(), rows: phases },
            Section { title: "in the store".into(), rows: rows_of_store },
        ],
        targets,
        notes: vec!["copies without Dormouse are of the usual size".into()],
    }
}
