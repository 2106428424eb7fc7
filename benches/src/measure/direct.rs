//! `direct`: what the proxy costs a connection that is open and busy.
//!
//! pgbench runs through the proxy and past it, at the compute's own socket, in turn. Past it, the
//! way is a Unix socket without a password, as the proxy itself has it; through it, TCP as clients
//! have it. So the difference is all that a client pays for having Dormouse in between.

use std::path::Path;
use std::time::Duration;

use crate::cpu;
use crate::error::Error;
use crate::pgbench::{self, Outcome, Pgbench};
use crate::report::{PartReport, Row, Section, Target};
use crate::server::{Compute, Place, Server};
use crate::stats::{median, ratio};
use crate::{session, stop, talk};

/// Times that everything is measured; medians are shown.
const ROUNDS: u32 = 3;

/// pgbench's size: 1,000,000 accounts, 150 MB.
const SCALE: u32 = 10;

/// Threads of pgbench.
const THREADS: u32 = 2;

/// The case that the targets are about.
const TARGET_CASE: &str = "-S prepared, 16 clients";
const TARGET_RATIO: f64 = 0.5;
const TARGET_PROXY_US: f64 = 20.0;

/// One kind of work.
#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    select_only: bool,
    mode: &'static str,
    clients: u32,
}

const fn select(name: &'static str, mode: &'static str, clients: u32) -> Case {
    Case { name, select_only: true, mode, clients }
}

const CASES: [Case; 7] = [
    select("-S prepared, 1 client", "prepared", 1),
    select(TARGET_CASE, "prepared", 16),
    select("-S simple, 1 client", "simple", 1),
    select("-S simple, 16 clients", "simple", 16),
    select("-S extended, 1 client", "extended", 1),
    select("-S extended, 16 clients", "extended", 16),
    Case { name: "tpcb prepared, 16 clients", select_only: false, mode: "prepared", clients: 16 },
];

/// By which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Direct,
    Proxy,
    ProxyTls,
}

/// One run.
#[derive(Debug, Clone, Copy)]
struct Run {
    outcome: Outcome,
    /// Processor time for each transaction, µs.
    proxy_us: f64,
    postgres_us: f64,
}

/// All runs of a case by a way.
#[derive(Debug)]
struct Runs {
    case: Case,
    way: Way,
    runs: Vec<Run>,
}

struct Stage {
    server: Server,
    place: Place,
    compute: Compute,
    pgbench: Pgbench,
    seconds: u32,
}

/// Measures with runs of `seconds`.
///
/// # Errors
/// When something broke.
pub(crate) fn run(binary: &Path, seconds: u32) -> Result<PartReport, Error> {
    let pgbench = pgbench::find()?;
    let server = Server::start(binary, &super::STAY_AWAKE)?;
    let place = server.first_place()?;
    server.give_all(&place)?;
    session::over_tcp(place.address, &place.login)?.first_row()?;
    let compute = server.compute(&place)?;
    let stage = Stage { server, place, compute, pgbench, seconds };
    talk::say(&format!("direct: filling the database (scale {SCALE})"));
    stage.pgbench(Way::Direct, &["-i".into(), "-q".into(), format!("-s{SCALE}")])?;

    let mut all: Vec<Runs> = Vec::new();
    for case in CASES {
        all.extend([Way::Direct, Way::Proxy].map(|way| Runs { case, way, runs: Vec::new() }));
        if case.name == TARGET_CASE && stage.pgbench.speaks_tls {
            all.push(Runs { case, way: Way::ProxyTls, runs: Vec::new() });
        }
    }
    for round in 1..=ROUNDS {
        talk::say(&format!("direct: round {round} of {ROUNDS}, {} runs of {seconds} s", all.len()));
        for runs in &mut all {
            stop::check()?;
            runs.runs.push(stage.measure(runs.case, runs.way)?);
        }
    }
    Ok(report(&all))
}

impl Stage {
    fn pgbench(&self, way: Way, arguments: &[String]) -> Result<String, Error> {
        let login = &self.place.login;
        let socket_dir = self.compute.socket_dir().map(|dir| dir.display().to_string());
        let socket_dir = socket_dir.ok_or_else(|| Error::unexpected("the compute has no socket"))?;
        let (host, port) = match way {
            Way::Direct => (socket_dir, 5432),
            Way::Proxy | Way::ProxyTls => (self.place.address.ip().to_string(), self.place.address.port()),
        };
        let tls = if way == Way::ProxyTls { "require" } else { "disable" };
        let environment = [
            ("PGHOST", host),
            ("PGPORT", port.to_string()),
            ("PGUSER", login.user.clone()),
            ("PGDATABASE", login.database.clone()),
            ("PGPASSWORD", self.place.password.clone()),
            ("PGSSLMODE", tls.to_owned()),
        ];
        pgbench::run(&self.pgbench, &environment, arguments)
    }

    fn measure(&self, case: Case, way: Way) -> Result<Run, Error> {
        let mut arguments = vec!["-n".to_owned(), format!("-M{}", case.mode), format!("-T{}", self.seconds)];
        arguments.extend([format!("-c{}", case.clients), format!("-j{}", THREADS.min(case.clients))]);
        if case.select_only {
            arguments.push("-S".to_owned());
        }
        let data = self.compute.data().ok_or_else(|| Error::unexpected("the compute has no directory"))?;
        let now = || (cpu::of_process(self.server.pid()), cpu::of_compute(self.compute.pid, data));
        let (proxy, postgres) = now();
        let outcome = pgbench::read(&self.pgbench(way, &arguments)?)?;
        // The last backends are still ending; then their time is on the postmaster's account.
        std::thread::sleep(Duration::from_millis(100));
        let (proxy_after, postgres_after) = now();
        let each = |time: Duration| time.as_secs_f64() * 1e6 / outcome.transactions.max(1.0);
        Ok(Run {
            outcome,
            proxy_us: each(proxy_after.saturating_sub(proxy)),
            postgres_us: each(postgres_after.saturating_sub(postgres)),
        })
    }
}

impl Runs {
    fn median(&self, figure: impl Fn(&Run) -> f64) -> f64 {
        median(&self.runs.iter().map(figure).collect::<Vec<_>>())
    }

    fn tps(&self) -> f64 {
        self.median(|run| run.outcome.tps)
    }

    fn row(&self, direct: Option<&Runs>) -> Row {
        let way = match self.way {
            Way::Direct => "direct",
            Way::Proxy => "through the proxy",
            Way::ProxyTls => "through the proxy, TLS",
        };
        Row {
            what: format!("{}: {way}", self.case.name),
            unit: "tps",
            figures: vec![
                ("tps", self.tps()),
                ("lowest", self.runs.iter().map(|run| run.outcome.tps).fold(f64::INFINITY, f64::min)),
                ("latency ms", self.median(|run| run.outcome.latency_ms)),
                ("proxy CPU µs", self.median(|run| run.proxy_us)),
                ("postgres CPU µs", self.median(|run| run.postgres_us)),
            ],
            baseline: direct.map(|_| "direct".to_owned()),
            ratio: direct.and_then(|direct| ratio(self.tps(), direct.tps())),
        }
    }
}

fn report(all: &[Runs]) -> PartReport {
    let find = |name: &str, way: Way| all.iter().find(|r| r.case.name == name && r.way == way);
    let direct_of =
        |runs: &Runs| if runs.way == Way::Direct { None } else { find(runs.case.name, Way::Direct) };
    let rows = all.iter().map(|runs| runs.row(direct_of(runs))).collect();
    let mut targets = Vec::new();
    if let (Some(proxy), Some(direct)) = (find(TARGET_CASE, Way::Proxy), find(TARGET_CASE, Way::Direct)) {
        let share = ratio(proxy.tps(), direct.tps()).unwrap_or_default();
        let figure = format!("{TARGET_CASE}: share of direct tps");
        targets.push(Target::at_least(&figure, share, TARGET_RATIO, "×"));
        let figure = format!("{TARGET_CASE}: proxy CPU per query");
        targets.push(Target::at_most(&figure, proxy.median(|run| run.proxy_us), TARGET_PROXY_US, "µs"));
    }
    PartReport {
        name: "direct",
        sections: vec![Section { title: format!("pgbench, scale {SCALE}, medians of {ROUNDS}"), rows }],
        targets,
        notes: vec![
            "direct: Unix socket, trust; proxy: TCP, SCRAM. pgbench shares the processors with both".into(),
            "CPU is per transaction, connecting included".into(),
        ],
    }
}
