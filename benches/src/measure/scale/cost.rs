//! What sampling and metering cost a server with many endpoints.

use std::path::Path;
use std::time::Duration;

use dormouse_base::clock::Mono;

use crate::error::Error;
use crate::report::{Row, Target};
use crate::server::{Place, Server};
use crate::{cpu, crew, session, stop, talk};

/// Projects made, and endpoints woken, at the same time.
const HANDS: usize = 8;

/// Time for work that follows the last request.
const SETTLE: Duration = Duration::from_secs(5);

const TARGET_PERCENT: f64 = 2.0;

/// How much of it.
struct Extent {
    sleeping: usize,
    active: usize,
    watch: Duration,
}

const WHOLE: Extent = Extent { sleeping: 1000, active: 20, watch: Duration::from_secs(30) };
const QUICK: Extent = Extent { sleeping: 30, active: 5, watch: Duration::from_secs(5) };

/// What was found.
pub(super) struct Found {
    pub(super) title: String,
    pub(super) rows: Vec<Row>,
    pub(super) targets: Vec<Target>,
    pub(super) notes: Vec<String>,
}

pub(super) fn measure(binary: &Path, quick: bool) -> Result<Found, Error> {
    let Extent { sleeping, active, watch } = if quick { QUICK } else { WHOLE };
    let server = Server::start(binary, &super::super::STAY_AWAKE)?;
    talk::say(&format!("scale: making {} projects", sleeping + active));
    let numbers: Vec<usize> = (0..sleeping + active).collect();
    let made = crew::each(&numbers, HANDS, |number| {
        stop::check()?;
        server.new_place(&format!("scale-{number}"))
    });
    let places = made.into_iter().collect::<Result<Vec<_>, Error>>()?;
    talk::say("scale: watching while all sleep");
    let asleep = percent(&server, watch)?;
    let awake = &places[..active];
    // A client each, that stays: a database is seldom awake without one.
    let clients = crew::each(awake, HANDS, |place: &Place| {
        let mut session = session::over_tcp(place.address, &place.login)?;
        session.first_row()?;
        Ok(session)
    });
    let clients = clients.into_iter().collect::<Result<Vec<_>, Error>>()?;
    talk::say(&format!("scale: watching while {active} are awake"));
    let sampled = percent(&server, watch)?;
    drop(clients);
    let row = |what: String, percent: f64| Row {
        what,
        unit: "%",
        figures: vec![("of a core", percent), ("per active, ppm", percent * 10_000.0 / active as f64)],
        baseline: None,
        ratio: None,
    };
    Ok(Found {
        title: format!("the server's own CPU time, over {} s", watch.as_secs()),
        rows: vec![
            row(format!("{} sleeping", sleeping + active), asleep),
            row(format!("{sleeping} sleeping, {active} active"), sampled),
        ],
        targets: vec![Target::at_most("sampling and metering, with all else that it does", sampled, TARGET_PERCENT, "%")],
        notes: vec!["active ones have an idle client each; what the kernel does for the server counts as the server's".to_owned()],
    })
}

/// Processor time of the server, percent of one processor.
fn percent(server: &Server, watch: Duration) -> Result<f64, Error> {
    pass(SETTLE)?;
    let (start, before) = (Mono::now(), cpu::of_process(server.pid()));
    pass(watch)?;
    let used = cpu::of_process(server.pid()).saturating_sub(before);
    Ok(used.as_secs_f64() * 100.0 / start.elapsed().as_secs_f64())
}

fn pass(time: Duration) -> Result<(), Error> {
    let start = Mono::now();
    while start.elapsed() < time {
        stop::check()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
