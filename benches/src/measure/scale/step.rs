//! A load step: nothing, and from one moment on as much as clients can ask for.

use std::path::Path;
use std::time::Duration;

use dormouse_api::client;
use dormouse_base::clock::Mono;

use crate::args::Args;
use crate::error::Error;
use crate::pgbench::{self, Pgbench};
use crate::report::{Row, Target};
use crate::server::{Place, Server};
use crate::stats::{Series, median, ratio};
use crate::{machine, session, stop, talk};

/// Steps; medians are shown.
const ROUNDS: u32 = 5;

/// pgbench's clients.
const CLIENTS: u32 = 8;

/// Seconds of a run in which the compute grows.
const STEP_SECONDS: u32 = 4;

/// The smallest size, compute units.
const SMALL: f64 = 0.25;

/// How often it is looked at the size while it grows. Asking costs the machine something, too.
const LOOK_EVERY: Duration = Duration::from_millis(20);

const TARGET_MS: f64 = 1000.0;
const TARGET_RATIO: f64 = 0.95;

/// What was found.
pub(super) struct Found {
    pub(super) reactions: Vec<Row>,
    pub(super) throughput: Vec<Row>,
    pub(super) targets: Vec<Target>,
    pub(super) notes: Vec<String>,
}

struct Stage {
    server: Server,
    pgbench: Pgbench,
    /// As large as it may become, compute units.
    large: f64,
    seconds: u32,
}

/// When a compute had more, and when it had all it may have.
#[derive(Debug, Default)]
struct Growth {
    first: Option<Duration>,
    all: Option<Duration>,
}

pub(super) fn measure(binary: &Path, args: &Args) -> Result<Found, Error> {
    let server = Server::start(binary, &super::super::STAY_AWAKE)?;
    let large = f64::from(u32::try_from(machine::cpus()).unwrap_or(1));
    let stage = Stage { server, pgbench: pgbench::find()?, large, seconds: args.seconds() };
    let (grows, fixed) = (stage.server.first_place()?, stage.server.new_place("fixed")?);
    for place in [&grows, &fixed] {
        stage.server.resize(place, stage.large, stage.large)?;
        session::over_tcp(place.address, &place.login)?.first_row()?;
        talk::say("scale: filling a database");
        stage.run(
            place,
            &["-i".into(), "-q".into(), format!("-s{}", if args.quick { 1 } else { 10 })],
            &mut || {},
        )?;
    }
    let (mut first, mut all) = (Series::default(), Series::default());
    let (mut grown, mut always) = (Vec::new(), Vec::new());
    let (mut failed, rounds) = (0_u32, if args.quick { 1 } else { ROUNDS });
    for round in 1..=rounds {
        stop::check()?;
        talk::say(&format!("scale: step {round} of {rounds}"));
        stage.begin_small(&grows)?;
        match stage.step(&grows) {
            Ok(growth) => {
                first.extend(growth.first);
                all.extend(growth.all);
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => {
                talk::say(&dormouse_base::with_causes(&error));
                failed += 1;
            }
        }
        // In turn, so that both meet the same neighbours.
        grown.push(stage.tps(&grows)?);
        always.push(stage.tps(&fixed)?);
    }
    Ok(report(&stage, (&first, &all), (&grown, &always), failed))
}

impl Stage {
    fn run(&self, place: &Place, arguments: &[String], watch: &mut dyn FnMut()) -> Result<String, Error> {
        let login = &place.login;
        let environment = [
            ("PGHOST", place.address.ip().to_string()),
            ("PGPORT", place.address.port().to_string()),
            ("PGUSER", login.user.clone()),
            ("PGDATABASE", login.database.clone()),
            ("PGPASSWORD", place.password.clone()),
            ("PGOPTIONS", format!("endpoint={}", place.id)),
            ("PGSSLMODE", "disable".to_owned()),
        ];
        pgbench::run_watched(&self.pgbench, &environment, arguments, watch)
    }

    fn arguments(&self, seconds: u32) -> Vec<String> {
        let words = ["-n", "-S", "-M", "simple", "-j", "2"].map(str::to_owned);
        words.into_iter().chain([format!("-c{CLIENTS}"), format!("-T{seconds}")]).collect()
    }

    fn tps(&self, place: &Place) -> Result<f64, Error> {
        Ok(pgbench::read(&self.run(place, &self.arguments(self.seconds), &mut || {})?)?.tps)
    }

    fn size(&self, place: &Place) -> Option<f64> {
        let shown = self.server.call(&client::endpoint::get(&place.project, &place.id)).ok()?;
        shown.endpoint.live.current_cu
    }

    /// Small, quiet, and allowed to grow.
    fn begin_small(&self, place: &Place) -> Result<(), Error> {
        self.server.resize(place, SMALL, SMALL)?;
        let start = Mono::now();
        while self.size(place) != Some(SMALL) {
            stop::check()?;
            if start.elapsed() > Duration::from_secs(10) {
                return Err(Error::unexpected("the compute does not get small: are there cgroups here?"));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        self.server.resize(place, SMALL, self.large)?;
        // A second without load, as a step begins with.
        std::thread::sleep(Duration::from_secs(1));
        Ok(())
    }

    /// The step. Counted from the start of pgbench, which has to connect first.
    fn step(&self, place: &Place) -> Result<Growth, Error> {
        let mut growth = Growth::default();
        let (start, mut looked) = (Mono::now(), Mono::now());
        let mut watch = || {
            if growth.all.is_some() || looked.elapsed() < LOOK_EVERY {
                return;
            }
            looked = Mono::now();
            let size = self.size(place).unwrap_or(SMALL);
            if size > SMALL {
                growth.first.get_or_insert_with(|| start.elapsed());
            }
            if size >= self.large {
                growth.all = Some(start.elapsed());
            }
        };
        self.run(place, &self.arguments(STEP_SECONDS), &mut watch)?;
        Ok(growth)
    }
}

fn report(
    stage: &Stage,
    (first, all): (&Series, &Series),
    (grown, always): (&[f64], &[f64]),
    failed: u32,
) -> Found {
    let (grown_tps, always_tps) = (median(grown), median(always));
    let row = |what: &str, tps: f64, baseline: Option<f64>| Row {
        what: what.to_owned(),
        unit: "",
        figures: vec![("tps", tps)],
        baseline: baseline.map(|_| "always large".to_owned()),
        ratio: baseline.and_then(|base| ratio(tps, base)),
    };
    Found {
        reactions: vec![
            first.row("load → more CPU", None),
            all.row(&format!("load → all of {} CU", stage.large), None),
        ],
        throughput: vec![
            row(&format!("always {} CU", stage.large), always_tps, None),
            row(&format!("grown from {SMALL} CU"), grown_tps, Some(always_tps)),
        ],
        targets: vec![
            Target::at_most("load step → more CPU, p50", first.p50(), TARGET_MS, "ms"),
            Target::at_least(
                "TPS after the step",
                ratio(grown_tps, always_tps).unwrap_or(0.0),
                TARGET_RATIO,
                "",
            ),
            Target::at_most("runs of pgbench with an error", f64::from(failed), 0.0, ""),
        ],
        notes: vec![format!(
            "{CLIENTS} clients; the step is counted from the start of pgbench, its connecting included"
        )],
    }
}
