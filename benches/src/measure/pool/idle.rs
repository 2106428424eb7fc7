//! Clients that are logged in and do nothing.

use std::net::TcpStream;
use std::time::Duration;

use dormouse_base::clock::Mono;
use rustix::process::{Resource, getrlimit};

use super::stage::{Stage, Way};
use super::{Found, Plan};
use crate::error::Error;
use crate::report::{Row, Section, Target};
use crate::session::{self, Session};
use crate::stats::ratio;
use crate::{cpu, crew, stop, talk};

/// Clients that log in at the same time.
const HANDS: usize = 4;

/// Files that this process and a pooler have open beside the clients.
const OTHER_FILES: usize = 300;

/// Time for work that follows a login or a query.
const SETTLE: Duration = Duration::from_secs(1);

/// Memory that has not become less for so long is what is needed; not looked at for longer than that.
const STILL: Duration = Duration::from_secs(4);
const REST_WITHIN: Duration = Duration::from_secs(40);
const NOTEWORTHY_MIB: f64 = 0.1;

/// Targets. What a pooler needs once is shared by all: a client's memory is told of this many.
const CROWD: usize = 10_000;
const CLIENT_KB: f64 = 2.0;
const CPU_PERCENT: f64 = 0.5;

/// What they cost.
#[derive(Debug)]
struct Cost {
    way: Way,
    clients: usize,
    /// Memory of the pooler before the first client, MiB.
    empty_mib: f64,
    /// Its memory for each client, kB: logged in, and after a query each.
    logged_in_kb: f64,
    queried_kb: f64,
    /// Its processor time, per cent of one processor.
    cpu_percent: f64,
    /// Logins a second.
    logins: f64,
}

/// Measures all poolers.
///
/// # Errors
/// When a client cannot log in.
pub(super) fn measure(stage: &Stage, plan: &Plan) -> Result<Found, Error> {
    let files = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
    let clients = plan.idle_clients.min(files.unwrap_or(usize::MAX).saturating_sub(OTHER_FILES));
    let mut found = Found::default();
    if clients < plan.idle_clients {
        found
            .notes
            .push(format!("the limit on open files leaves {clients} idle clients of {}", plan.idle_clients));
    }
    let mut ways = vec![Way::Bouncer, Way::InPlace];
    if stage.pools {
        ways.extend([Way::BouncerToo, Way::Dormouse]);
    } else {
        found.notes.push("idle clients of a name that does not pool would be a server process each".into());
    }
    let costs = ways.into_iter().map(|way| cost(stage, way, clients, plan.idle_seconds));
    let costs = costs.collect::<Result<Vec<Cost>, Error>>()?;
    let title = format!("{clients} idle clients, watched for {} s", plan.idle_seconds);
    let row = |cost: &Cost| cost.row(costs.iter().find(|other| Some(other.way) == cost.way.rival()));
    found.sections.push(Section { title, rows: costs.iter().map(row).collect() });
    for ours in costs.iter().filter(|cost| cost.way.rival().is_some()) {
        let name = |figure: &str| format!("{}: {figure}", ours.way.name());
        if ours.clients >= CROWD {
            let each = ours.logged_in_kb;
            found.targets.push(Target::at_most(&name("an idle client"), each, CLIENT_KB, "kB"));
        }
        found.targets.push(Target::at_most(&name("idle CPU"), ours.cpu_percent, CPU_PERCENT, "%"));
    }
    Ok(found)
}

fn cost(stage: &Stage, way: Way, clients: usize, watched: u64) -> Result<Cost, Error> {
    talk::say(&format!("pool: {clients} idle clients of {}", way.name()));
    let pid = stage.pooler(way).ok_or_else(|| Error::unexpected("nobody pools on the direct way"))?;
    let (login, address) = (stage.login(way)?, stage.address(way));
    // What the first client costs, the hundredth does not.
    session::over_tcp(address, &login)?.first_row()?;
    let empty_mib = at_rest(pid)?;
    let each_kb = || (cpu::resident_mib(pid) - empty_mib) * 1024.0 * 1024.0 / 1000.0 / clients as f64;
    let start = Mono::now();
    let numbers: Vec<usize> = (0..clients).collect();
    let open = crew::each(&numbers, HANDS, |_| {
        stop::check()?;
        session::over_tcp(address, &login)
    });
    let mut open = open.into_iter().collect::<Result<Vec<Session<TcpStream>>, Error>>()?;
    let logins = clients as f64 / start.elapsed().as_secs_f64();
    pass(SETTLE)?;
    let logged_in_kb = each_kb();
    let (start, before) = (Mono::now(), cpu::of_process(pid));
    pass(Duration::from_secs(watched))?;
    let used = cpu::of_process(pid).saturating_sub(before);
    let cpu_percent = used.as_secs_f64() * 100.0 / start.elapsed().as_secs_f64();
    for client in &mut open {
        stop::check()?;
        client.first_row()?;
    }
    pass(SETTLE)?;
    let queried_kb = each_kb();
    Ok(Cost { way, clients, empty_mib, logged_in_kb, queried_kb, cpu_percent, logins })
}

/// The memory of a process that does nothing, MiB, when it has given back what it had used before: that takes an
/// allocator some seconds.
fn at_rest(pid: u32) -> Result<f64, Error> {
    let start = Mono::now();
    let (mut least, mut since) = (f64::INFINITY, start);
    while since.elapsed() < STILL && start.elapsed() < REST_WITHIN {
        let now = cpu::resident_mib(pid);
        if now < least - NOTEWORTHY_MIB {
            (least, since) = (now, Mono::now());
        }
        pass(SETTLE / 4)?;
    }
    Ok(least.min(cpu::resident_mib(pid)))
}

/// Lets time pass, unless the end is asked for.
fn pass(time: Duration) -> Result<(), Error> {
    let start = Mono::now();
    while start.elapsed() < time {
        stop::check()?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

impl Cost {
    fn row(&self, rival: Option<&Cost>) -> Row {
        Row {
            what: self.way.name().to_owned(),
            unit: "kB",
            figures: vec![
                ("clients", self.clients as f64),
                ("empty MiB", self.empty_mib),
                ("each, logged in", self.logged_in_kb),
                ("each, after a query", self.queried_kb),
                ("CPU %", self.cpu_percent),
                ("logins/s", self.logins),
            ],
            baseline: rival.map(|rival| rival.way.name().to_owned()),
            ratio: rival.and_then(|rival| ratio(self.logged_in_kb, rival.logged_in_kb)),
        }
    }
}
