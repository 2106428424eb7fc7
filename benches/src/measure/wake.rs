//! `wake`: from a client's connect to its first row, by what state the database was in.
//!
//! One round measures everything once, in the same order, so that noise hits all alike:
//! ```text
//!  bare:      boot → row · new connection → row · open connection → row · stop
//!  Dormouse:  stopped → row (keys known) · stop · stopped → row (keys derived)
//!             active: second connection, new, open · pause → new · pause → open · stop
//! ```
//! Stopping and pausing are not part of any figure.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use dormouse_api::client;
use dormouse_api::event::EventsQuery;
use dormouse_base::clock::{self, Mono, Timestamp};

use crate::bare::{self, Bare};
use crate::error::Error;
use crate::report::{PartReport, Section, Target};
use crate::server::{Place, Server};
use crate::session::{self, Login};
use crate::stats::{Series, ratio};
use crate::{stop, talk};

/// Rounds before counting begins: page cache, relation caches, template copies.
const WARM_UP: u32 = 3;

/// The phases of a wake as the server records them, in order.
const PHASES: [&str; 7] = ["queue", "materialise", "spawn", "ready", "apply", "connect", "first_row"];

/// How soon an event must be on the list.
const EVENT_WITHIN: Duration = Duration::from_secs(5);

/// Targets, with `bare` = boot of a bare PostgreSQL, median.
const STOPPED_RATIO: f64 = 1.3;
const STOPPED_MORE_MS: f64 = 6.0;
const STOPPED_P99_RATIO: f64 = 4.0;
const PAUSED_NEW_MS: f64 = 5.0;
const PAUSED_OPEN_MS: f64 = 1.5;

/// What an event says.
type Detail = serde_json::Map<String, serde_json::Value>;

#[derive(Debug, Default)]
struct Measured {
    bare_boot: Series,
    bare_new: Series,
    bare_open: Series,
    stopped: Series,
    stopped_deriving: Series,
    active_second: Series,
    active_new: Series,
    active_open: Series,
    paused_new: Series,
    paused_open: Series,
    phases: BTreeMap<&'static str, Series>,
    /// Connect to authenticated, before anything is started.
    login: Series,
    /// What is in neither login nor phases: threads that wait for a processor, the way to the client.
    elsewhere: Series,
    thaw: Series,
}

/// What a round needs.
struct Stage {
    server: Server,
    place: Place,
    /// The login with its keys known.
    login: Login,
    bare: Bare,
    _bare_dir: tempfile::TempDir,
}

/// Measures `rounds` rounds.
///
/// # Errors
/// When something broke.
pub(crate) fn run(binary: &Path, rounds: u32) -> Result<PartReport, Error> {
    let stage = Stage::set(binary)?;
    for _ in 0..WARM_UP {
        stage.round(&mut Measured::default())?;
    }
    let mut measured = Measured::default();
    for round in 1..=rounds {
        stop::check()?;
        stage.round(&mut measured)?;
        if round % 20 == 0 {
            talk::say(&format!("wake: round {round} of {rounds}"));
        }
    }
    Ok(measured.report())
}

/// The time of one thing that ends with a row.
fn timed(series: &mut Series, work: impl FnOnce() -> Result<Mono, Error>) -> Result<Duration, Error> {
    let start = Mono::now();
    let took = work()?.since(start);
    series.push(took);
    Ok(took)
}

impl Stage {
    fn set(binary: &Path) -> Result<Self, Error> {
        let server = Server::start(binary, &super::STAY_AWAKE)?;
        let place = server.first_place()?;
        let login = place.login.salted(place.address, &place.password)?;
        session::over_tcp(place.address, &login)?.first_row()?;
        let bare_dir = super::storm::passable_dir()?;
        let bare = Bare::like(&server.compute(&place)?, bare_dir.path())?;
        server.suspend(&place)?;
        Ok(Self { server, place, login, bare, _bare_dir: bare_dir })
    }

    fn round(&self, measured: &mut Measured) -> Result<(), Error> {
        self.bare_round(measured)?;
        let since = clock::now();
        let wake = self.wake(measured)?;
        self.note_phases(measured, since, wake)?;
        self.server.suspend(&self.place)?;
        self.connect(&self.place.login, &mut measured.stopped_deriving)?;
        self.connect(&self.login, &mut measured.active_second)?;
        self.connect(&self.login, &mut measured.active_new)?;

        let mut open = session::over_tcp(self.place.address, &self.login)?;
        open.first_row()?;
        timed(&mut measured.active_open, || open.first_row())?;
        self.server.pause(&self.place)?;
        self.connect(&self.login, &mut measured.paused_new)?;
        self.server.pause(&self.place)?;
        timed(&mut measured.paused_open, || open.first_row())?;
        drop(open);
        self.note_thaws(measured, since)?;
        self.server.suspend(&self.place)
    }

    fn bare_round(&self, measured: &mut Measured) -> Result<(), Error> {
        let login = bare::login();
        let start = Mono::now();
        let running = self.bare.boot()?;
        let mut first = session::over_unix(running.socket(), &login)?;
        measured.bare_boot.push(first.first_row()?.since(start));
        drop(first);
        timed(&mut measured.bare_new, || session::over_unix(running.socket(), &login)?.first_row())?;
        let mut open = session::over_unix(running.socket(), &login)?;
        open.first_row()?;
        timed(&mut measured.bare_open, || open.first_row())?;
        drop(open);
        running.stop()
    }

    /// Stopped → row; returns the time from login to row, which is the server's phases and little more.
    fn wake(&self, measured: &mut Measured) -> Result<Duration, Error> {
        let start = Mono::now();
        let mut session = session::over_tcp(self.place.address, &self.login)?;
        let row = session.first_row()?;
        let authenticated = session.authenticated.unwrap_or(start);
        measured.stopped.push(row.since(start));
        measured.login.push(authenticated.since(start));
        Ok(row.since(authenticated))
    }

    fn connect(&self, login: &Login, series: &mut Series) -> Result<Duration, Error> {
        timed(series, || session::over_tcp(self.place.address, login)?.first_row())
    }

    /// The details of `count` events of a kind since a moment; they are written soon after the row.
    fn events(&self, kind: &str, count: usize, since: Timestamp) -> Result<Vec<Detail>, Error> {
        let query = EventsQuery { limit: Some(8) };
        let call = client::endpoint::events(&self.place.project, &self.place.id, &query);
        let start = Mono::now();
        loop {
            let events = self.server.call(&call)?.events.into_iter();
            let found = events.filter(|event| event.kind == kind && event.at >= since);
            let found: Vec<Detail> = found.map(|event| event.detail).collect();
            if found.len() >= count {
                return Ok(found);
            }
            stop::check()?;
            if start.elapsed() > EVENT_WITHIN {
                return Err(Error::unexpected(format!("the event `{kind}` did not come")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The server's own account of the last wake, which took the client `wake` after its login.
    fn note_phases(&self, measured: &mut Measured, since: Timestamp, wake: Duration) -> Result<(), Error> {
        for detail in self.events("woke", 1, since)? {
            let mut rest = wake;
            for phase in PHASES {
                let us = detail.get("phases").and_then(|phases| phases.get(format!("{phase}_us"))?.as_u64());
                let took = Duration::from_micros(us.unwrap_or_default());
                measured.phases.entry(phase).or_default().push(took);
                rest = rest.saturating_sub(took);
            }
            measured.elsewhere.push(rest);
        }
        Ok(())
    }

    fn note_thaws(&self, measured: &mut Measured, since: Timestamp) -> Result<(), Error> {
        let details = self.events("thawed", 2, since)?;
        let thaws = details.iter().filter_map(|detail| detail.get("thaw_us")?.as_u64());
        measured.thaw.extend(thaws.map(Duration::from_micros));
        Ok(())
    }
}

impl Measured {
    fn report(&self) -> PartReport {
        let boot = Some(("bare boot", &self.bare_boot));
        let new = Some(("active new", &self.active_new));
        let rows = vec![
            self.bare_boot.row("bare: spawn → row", None),
            self.stopped.row("stopped → row", boot),
            self.stopped_deriving.row("stopped → row, client derives keys", boot),
            self.bare_new.row("bare: new connection → row", None),
            self.active_second
                .row("active: second connection after a wake → row", Some(("bare new", &self.bare_new))),
            self.active_new.row("active: new connection → row", Some(("bare new", &self.bare_new))),
            self.paused_new.row("paused: new connection → row", new),
            self.bare_open.row("bare: open connection → row", None),
            self.active_open.row("active: open connection → row", Some(("bare open", &self.bare_open))),
            self.paused_open.row("paused: open connection → row", Some(("active open", &self.active_open))),
        ];
        let nothing = Series::default();
        let mut phases: Vec<_> =
            PHASES.iter().map(|phase| self.phases.get(phase).unwrap_or(&nothing).row(phase, None)).collect();
        phases.insert(0, self.login.row("login, as the client saw it", None));
        phases.push(self.elsewhere.row("in neither", None));
        phases.push(self.thaw.row("thaw (of a pause)", None));
        PartReport {
            name: "wake",
            sections: vec![
                Section { title: "client's connect to first row".into(), rows },
                Section { title: "phases of stopped → row, as the server recorded them".into(), rows: phases },
            ],
            targets: self.targets(),
            notes: vec![
                "bare: the same arguments and binary, trust over the Unix socket; Dormouse: TCP, SCRAM, no TLS"
                    .into(),
            ],
        }
    }

    fn targets(&self) -> Vec<Target> {
        let (bare, stopped) = (self.bare_boot.p50(), self.stopped.p50());
        let times = |value: f64| ratio(value, bare).unwrap_or_default();
        let p99 = times(self.stopped.p99());
        vec![
            Target::at_most("stopped → row, p50, times bare p50", times(stopped), STOPPED_RATIO, "×"),
            Target::at_most("stopped → row, p50, more than bare p50", stopped - bare, STOPPED_MORE_MS, "ms"),
            Target::at_most("stopped → row, p99, times bare p50", p99, STOPPED_P99_RATIO, "×"),
            Target::at_most("paused → row, new connection, p50", self.paused_new.p50(), PAUSED_NEW_MS, "ms"),
            Target::at_most(
                "paused → row, open connection, p50",
                self.paused_open.p50(),
                PAUSED_OPEN_MS,
                "ms",
            ),
        ]
    }
}
