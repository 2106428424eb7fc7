//! `http`: what SQL costs over HTTP and WebSocket, beside the pooled wire protocol.
//!
//! All ways lead to the same pool of the same server in the same run, turn by turn. Clients block on sockets, one
//! thread each, so that no driver's work is in the figures. The other HTTP front is what people write themselves: a
//! small Node.js server with a pool of `pg`; it is left out where Node.js or the drivers of the tests are missing.

mod front;
mod plain;
mod socket;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_runtime::task;

use crate::args::Args;
use crate::error::Error;
use crate::report::{PartReport, Row, Section, Target};
use crate::server::{Place, Server};
use crate::session::{self, Login};
use crate::stats::{Series, median, ratio};
use crate::{stop, talk};

/// Clients at the same time.
const CLIENTS: [usize; 3] = [1, 16, 64];

/// Times that throughput is measured; medians are shown.
const ROUNDS: u32 = 3;

/// Seconds of each run.
const SECONDS: u32 = 3;

/// Queries whose time is taken, one after the other.
const SINGLE: u32 = 2_000;

/// First queries of a WebSocket, and wakes by HTTP.
const FIRST: u32 = 200;
const WAKES: u32 = 20;

/// A single query may cost so much more than over the wire protocol, ms.
const TARGET_P50_MORE: f64 = 0.4;

/// And so much of its throughput is to be left at 64 clients.
const TARGET_SHARE: f64 = 0.6;

/// One statement with a parameter.
const SQL: &str = "select $1::int + 1 as n";

/// Something that runs the statement again and again.
trait Asks: Send {
    fn ask(&mut self) -> Result<(), Error>;
}

/// By which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Wire,
    Http,
    Socket,
    Node,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Wire => "pooled wire protocol",
            Way::Http => "POST /sql",
            Way::Socket => "WebSocket",
            Way::Node => "Node.js with pg",
        }
    }
}

/// What is measured.
struct Stage {
    server: Server,
    place: Place,
    pooled: Login,
    uri: String,
    http: SocketAddr,
    node: Option<front::Front>,
}

/// Measures.
///
/// # Errors
/// When something broke.
pub(crate) fn run(binary: &Path, args: &Args) -> Result<PartReport, Error> {
    let stage = Stage::new(binary)?;
    let (single, first, wakes, rounds) =
        if args.quick { (100, 10, 3, 1) } else { (SINGLE, FIRST, WAKES, ROUNDS) };
    let seconds = Duration::from_secs(u64::from(args.seconds_or(if args.quick { 1 } else { SECONDS })));
    let mut sections = Vec::new();
    let mut targets = Vec::new();

    talk::say("http: one client, one query after the other");
    let singles = stage.singles(single)?;
    let wire = singles[0].1.p50();
    let baseline = (Way::Wire.name(), &singles[0].1);
    let rows =
        singles.iter().map(|(way, series)| series.row(way.name(), (*way != Way::Wire).then_some(baseline)));
    sections.push(Section { title: "one query, keep-alive".into(), rows: rows.collect() });
    let more = singles[1].1.p50() - wire;
    targets.push(Target::at_most("POST /sql: p50 beyond the wire protocol's", more, TARGET_P50_MORE, "ms"));

    let mut rows = Vec::new();
    for clients in CLIENTS {
        talk::say(&format!("http: {clients} clients"));
        let rates = stage.rates(clients, rounds, seconds)?;
        let wire = rates[0].1;
        for (way, rate) in &rates {
            rows.push(Row {
                what: format!("{clients} clients: {}", way.name()),
                unit: "queries/s",
                figures: vec![("rate", *rate)],
                baseline: (*way != Way::Wire).then(|| Way::Wire.name().to_owned()),
                ratio: (*way != Way::Wire).then(|| ratio(*rate, wire)).flatten(),
            });
        }
        if clients == 64 {
            let share = ratio(rates[1].1, wire).unwrap_or_default();
            targets.push(Target::at_least(
                "POST /sql, 64 clients: share of the wire protocol's rate",
                share,
                TARGET_SHARE,
                "×",
            ));
        }
    }
    sections.push(Section { title: format!("throughput, medians of {rounds}"), rows });

    talk::say("http: first rows and wakes");
    sections.push(Section { title: "connect, login, first row".into(), rows: stage.firsts(first)? });
    sections.push(Section { title: "asleep → first row".into(), rows: stage.wakes(wakes)? });
    Ok(PartReport {
        name: "http",
        sections,
        targets,
        notes: vec![
            "all in the clear, on loopback; clients share the processors with the server".into(),
            "wire protocol: Parse, Bind, Describe, Execute, Sync, as /sql sends them".into(),
            "a WebSocket's login is one frame (startup, password, query); the wire protocol's is SCRAM, with the rounds done before".into(),
        ],
    })
}

impl Stage {
    fn new(binary: &Path) -> Result<Self, Error> {
        let server = Server::start(binary, &super::STAY_AWAKE)?;
        let place = server.first_place()?;
        server.give_all(&place)?;
        session::over_tcp(place.address, &place.login)?.first_row()?;
        let endpoint = place.login.endpoint.as_ref().map(|id| format!("{id}-pooler"));
        let pooled = Login { endpoint, ..place.login.clone() }.salted(place.address, &place.password)?;
        let uri = server.uri().replace(&place.id.to_string(), &format!("{}-pooler", place.id));
        let http = server.http_address()?;
        let node = front::Front::start(&uri)?;
        Ok(Self { server, place, pooled, uri, http, node })
    }

    fn ways(&self) -> Vec<Way> {
        let mut ways = vec![Way::Wire, Way::Http, Way::Socket];
        ways.extend(self.node.is_some().then_some(Way::Node));
        ways
    }

    fn client(&self, way: Way) -> Result<Box<dyn Asks>, Error> {
        Ok(match (way, &self.node) {
            (Way::Wire, _) => Box::new(plain::Wire::open(self.place.address, &self.pooled)?),
            (Way::Socket, _) => Box::new(socket::open(self.http, &self.pooled, &self.place.password)?),
            (Way::Node, Some(node)) => Box::new(plain::Http::open(node.address, &self.uri)?),
            (Way::Http | Way::Node, _) => Box::new(plain::Http::open(self.http, &self.uri)?),
        })
    }

    /// All ways in turn, so that what the machine does meanwhile hits all of them.
    fn singles(&self, count: u32) -> Result<Vec<(Way, Series)>, Error> {
        let mut all = Vec::new();
        for way in self.ways() {
            let mut client = self.client(way)?;
            for _ in 0..count / 10 + 1 {
                client.ask()?;
            }
            all.push((way, client, Series::default()));
        }
        for _ in 0..count {
            stop::check()?;
            for (_, client, series) in &mut all {
                let start = Mono::now();
                client.ask()?;
                series.push(start.elapsed());
            }
        }
        Ok(all.into_iter().map(|(way, _, series)| (way, series)).collect())
    }

    fn rates(&self, clients: usize, rounds: u32, length: Duration) -> Result<Vec<(Way, f64)>, Error> {
        let mut rates: Vec<(Way, Vec<f64>)> = self.ways().into_iter().map(|way| (way, Vec::new())).collect();
        for _ in 0..rounds {
            for (way, rates) in &mut rates {
                stop::check()?;
                rates.push(self.rate(*way, clients, length)?);
            }
        }
        Ok(rates.into_iter().map(|(way, rates)| (way, median(&rates))).collect())
    }

    fn rate(&self, way: Way, clients: usize, length: Duration) -> Result<f64, Error> {
        let (over, total) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut threads = Vec::new();
        for n in 0..clients {
            let (mut client, over, total) = (self.client(way)?, Arc::clone(&over), Arc::clone(&total));
            client.ask()?;
            threads.push(task::thread(&format!("client-{n}"), move || {
                let mut count = 0;
                while !over.load(Ordering::Relaxed) && client.ask().is_ok() {
                    count += 1;
                }
                // A client that failed is missed in the sum.
                total.fetch_add(count, Ordering::Relaxed);
            }));
        }
        let start = Mono::now();
        std::thread::sleep(length);
        let elapsed = start.elapsed().as_secs_f64();
        let early = threads.iter().filter(|thread| thread.is_finished()).count();
        over.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().map_err(|_| Error::unexpected("a client panicked"))?;
        }
        if early > 0 {
            return Err(Error::unexpected(format!("{early} clients by way of {} failed", way.name())));
        }
        #[allow(clippy::cast_precision_loss, reason = "a count of seconds' work")]
        Ok(total.load(Ordering::Relaxed) as f64 / elapsed)
    }

    fn firsts(&self, count: u32) -> Result<Vec<Row>, Error> {
        let (mut tcp, mut socket, mut http) = (Series::default(), Series::default(), Series::default());
        for _ in 0..count {
            stop::check()?;
            let start = Mono::now();
            session::over_tcp(self.place.address, &self.pooled)?.first_row()?;
            tcp.push(start.elapsed());
            let start = Mono::now();
            socket::open(self.http, &self.pooled, &self.place.password)?;
            socket.push(start.elapsed());
            let start = Mono::now();
            plain::Http::open(self.http, &self.uri)?.ask()?;
            http.push(start.elapsed());
        }
        let baseline = ("TCP", &tcp);
        Ok(vec![
            tcp.row("TCP", None),
            socket.row("WebSocket", Some(baseline)),
            http.row("POST /sql", Some(baseline)),
        ])
    }

    fn wakes(&self, count: u32) -> Result<Vec<Row>, Error> {
        let (mut tcp, mut http) = (Series::default(), Series::default());
        for _ in 0..count {
            stop::check()?;
            self.server.suspend(&self.place)?;
            let start = Mono::now();
            session::over_tcp(self.place.address, &self.pooled)?.first_row()?;
            tcp.push(start.elapsed());
            self.server.suspend(&self.place)?;
            let start = Mono::now();
            plain::Http::open(self.http, &self.uri)?.ask()?;
            http.push(start.elapsed());
        }
        Ok(vec![tcp.row("TCP, pooled", None), http.row("POST /sql", Some(("TCP, pooled", &tcp)))])
    }
}
