//! The server's own account of its wakes, read from an endpoint's event list.

use std::collections::BTreeMap;
use std::time::Duration;

use dormouse_api::client;
use dormouse_api::event::EventsQuery;
use dormouse_base::clock::{Mono, Timestamp};

use crate::error::Error;
use crate::report::Row;
use crate::server::{Place, Server};
use crate::stats::Series;

/// The phases of a wake, in order.
const PHASES: [&str; 7] = ["queue", "materialise", "spawn", "ready", "apply", "connect", "first_row"];

/// How soon an event must be on the list.
const EVENT_WITHIN: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Phases(BTreeMap<&'static str, Series>);

impl Phases {
    /// Adds the wake that happened since a moment.
    ///
    /// # Errors
    /// When the server does not tell of one.
    pub(super) fn note(&mut self, server: &Server, place: &Place, since: Timestamp) -> Result<(), Error> {
        let query = EventsQuery { limit: Some(8) };
        let call = client::endpoint::events(&place.project, &place.id, &query);
        let start = Mono::now();
        while start.elapsed() < EVENT_WITHIN {
            let mut events = server.call(&call)?.events.into_iter();
            let Some(woke) = events.find(|event| event.kind == "woke" && event.at >= since) else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            for phase in PHASES {
                let phases = woke.detail.get("phases");
                let us = phases.and_then(|phases| phases.get(format!("{phase}_us"))?.as_u64());
                self.0.entry(phase).or_default().push(Duration::from_micros(us.unwrap_or_default()));
            }
            return Ok(());
        }
        Err(Error::unexpected("the event `woke` did not come"))
    }

    /// One row: the medians of all phases, ms.
    pub(super) fn row(&self, what: &str) -> Row {
        let p50 = |phase: &&'static str| (*phase, self.0.get(phase).map_or(0.0, Series::p50));
        Row {
            what: what.to_owned(),
            unit: "ms",
            figures: PHASES.iter().map(p50).collect(),
            baseline: None,
            ratio: None,
        }
    }
}
