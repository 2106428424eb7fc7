//! `idle`: what a server costs that has many endpoints and nothing to do.
//!
//! The baseline is the same server before the endpoints were made.

use std::path::Path;
use std::time::Duration;

use dormouse_base::clock::Mono;

use crate::error::Error;
use crate::report::{PartReport, Row, Section, Target};
use crate::server::Server;
use crate::stats::{Series, ratio};
use crate::{cpu, crew, stop, talk};

/// Registered sleeping endpoints.
const ENDPOINTS: usize = 1000;

/// Projects made at the same time.
const HANDS: usize = 8;

/// How long an idle server is watched.
const WATCH: Duration = Duration::from_secs(30);

/// Time for work that follows the last request (durable operations, template copies).
const SETTLE: Duration = Duration::from_secs(5);

/// Target for memory.
const RSS_MIB: f64 = 80.0 * 1e6 / (1024.0 * 1024.0);

/// "No measurable CPU": a thousandth of one processor, three ticks of the kernel's clock.
const CPU_MS_PER_S: f64 = 1.0;

/// What an idle server costs.
struct Cost {
    rss_mib: f64,
    cpu_ms_per_s: f64,
}

/// Measures.
///
/// # Errors
/// When something broke.
pub(crate) fn run(binary: &Path) -> Result<PartReport, Error> {
    // The usual timeouts: their timers are part of the cost.
    let server = Server::start(binary, &[])?;
    talk::say("idle: watching a server with one endpoint");
    let before = watch(&server)?;
    talk::say(&format!("idle: making {ENDPOINTS} projects"));
    let numbers: Vec<usize> = (1..ENDPOINTS).collect();
    let (start, cpu_before) = (Mono::now(), cpu::of_process(server.pid()));
    let calls = crew::each(&numbers, HANDS, |number| {
        stop::check()?;
        let start = Mono::now();
        server.new_place(&format!("idle-{number}")).map(|_| start.elapsed())
    });
    let took = start.elapsed();
    let cpu_each = (cpu::of_process(server.pid()) - cpu_before).as_secs_f64() * 1000.0 / numbers.len() as f64;
    let mut creations = Series::default();
    creations.extend(calls.into_iter().collect::<Result<Vec<_>, Error>>()?);
    talk::say(&format!("idle: watching a server with {ENDPOINTS} endpoints"));
    let after = watch(&server)?;
    let note = format!(
        "{} projects were made in {:.1} s, {HANDS} at a time: {:.0} a second, {cpu_each:.1} ms of the server's CPU each",
        numbers.len(),
        took.as_secs_f64(),
        numbers.len() as f64 / took.as_secs_f64()
    );
    Ok(report(&before, &after, &creations, note))
}

fn watch(server: &Server) -> Result<Cost, Error> {
    pass(SETTLE)?;
    let before = cpu::of_process(server.pid());
    pass(WATCH)?;
    let used = cpu::of_process(server.pid()).saturating_sub(before);
    let cpu_ms_per_s = used.as_secs_f64() * 1000.0 / WATCH.as_secs_f64();
    Ok(Cost { rss_mib: cpu::resident_mib(server.pid()), cpu_ms_per_s })
}

/// Lets time pass, unless the end is asked for.
fn pass(time: Duration) -> Result<(), Error> {
    let start = Mono::now();
    while start.elapsed() < time {
        stop::check()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn report(before: &Cost, after: &Cost, creations: &Series, note: String) -> PartReport {
    let row = |what: String, cost: &Cost, baseline: Option<&Cost>| Row {
        what,
        unit: "",
        figures: vec![("RSS MiB", cost.rss_mib), ("CPU ms/s", cost.cpu_ms_per_s)],
        baseline: baseline.map(|_| "RSS with one".to_owned()),
        ratio: baseline.and_then(|one| ratio(cost.rss_mib, one.rss_mib)),
    };
    let rows = vec![
        row("server with 1 sleeping endpoint".to_owned(), before, None),
        row(format!("server with {ENDPOINTS}"), after, Some(before)),
    ];
    let creating = vec![creations.row("POST /projects", None)];
    PartReport {
        name: "idle",
        sections: vec![
            Section { title: format!("a server with nothing to do, over {} s", WATCH.as_secs()), rows },
            Section { title: "making the projects".into(), rows: creating },
        ],
        targets: vec![
            Target::at_most("RSS (80 MB)", after.rss_mib, RSS_MIB.round(), "MiB"),
            Target::at_most("CPU", after.cpu_ms_per_s, CPU_MS_PER_S, "ms/s"),
        ],
        notes: vec![note],
    }
}
