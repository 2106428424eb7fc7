//! A database that sleeps, asked by a client that is connected all the time.

use std::time::Duration;

use dormouse_base::clock::Mono;

use super::stage::{Stage, Way};
use super::{Found, Plan};
use crate::error::Error;
use crate::report::{Section, Target};
use crate::session;
use crate::stats::Series;
use crate::{stop, talk};

/// Target: no more than this above a new connection by the other name.
const MORE_MS: f64 = 1.0;

/// Measures.
///
/// # Errors
/// When something broke.
pub(super) fn measure(stage: &Stage, plan: &Plan) -> Result<Found, Error> {
    let mut found = Found::default();
    if !stage.pools {
        found.notes.push("woken by a pooled query: the pooled name does not pool".into());
        return Ok(found);
    }
    talk::say(&format!("pool: {} wakes by a pooled query, and as many by a new connection", plan.wakes));
    let direct = stage.place.login.salted(stage.place.address, &stage.place.password)?;
    let (mut by_query, mut by_connection) = (Series::default(), Series::default());
    let mut pooled = session::over_tcp(stage.address(Way::Dormouse), &stage.login(Way::Dormouse)?)?;
    pooled.first_row()?;
    for _ in 0..plan.wakes {
        stop::check()?;
        by_query.push(timed(stage, || pooled.first_row())?);
        by_connection.push(timed(stage, || session::over_tcp(stage.place.address, &direct)?.first_row())?);
    }
    let rows = vec![
        by_connection.row("a new connection → row", None),
        by_query.row("a query of an open pooled client → row", Some(("connection", &by_connection))),
    ];
    found.sections.push(Section { title: "woken from sleep".into(), rows });
    let more = by_query.p50() - by_connection.p50();
    found.targets.push(Target::at_most(
        "woken by a pooled query, p50, more than by a connection",
        more,
        MORE_MS,
        "ms",
    ));
    Ok(found)
}

/// From asleep to a row.
fn timed(stage: &Stage, row: impl FnOnce() -> Result<Mono, Error>) -> Result<Duration, Error> {
    stage.server.suspend(&stage.place)?;
    let start = Mono::now();
    Ok(row()?.since(start))
}
