//! When endpoints became active and stopped being so, from their events.

use dormouse_base::{EndpointId, ProjectId, Timestamp};
use rusqlite::{Connection, Result, params};

use super::column::{id, time};
use super::events::KEPT_PER_ENDPOINT;

/// What one endpoint did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// The moments at which it became active (true) or stopped being so, oldest first.
    pub turns: Vec<(Timestamp, bool)>,
    /// There were more events than are kept, so the oldest are missing.
    pub is_trimmed: bool,
}

/// Kinds of events after which an endpoint is active.
const BEGINNINGS: [&str; 3] = ["woke", "thawed", "adopted"];
/// Kinds after which it is not.
const ENDS: [&str; 3] = ["paused", "stopped", "crashed"];

/// What the endpoints of a project did.
pub fn of_project(db: &Connection, project: &ProjectId) -> Result<Vec<Activity>> {
    let rows: Vec<(EndpointId, Timestamp, String)> = db
        .prepare_cached(
            "SELECT v.endpoint_id, v.at, json_extract(v.happening, '$.kind') FROM endpoint_events v
             JOIN endpoints e ON e.id = v.endpoint_id WHERE e.project_id = ?1 ORDER BY v.endpoint_id, v.id",
        )?
        .query_map(params![project.as_str()], |row| Ok((id(row, 0)?, time(row, 1)?, row.get(2)?)))?
        .collect::<Result<_>>()?;
    let of_one = rows.chunk_by(|one, next| one.0 == next.0).map(|events| {
        let turns = events.iter().filter_map(|(_, at, kind)| {
            let begins = BEGINNINGS.contains(&kind.as_str());
            (begins || ENDS.contains(&kind.as_str())).then_some((*at, begins))
        });
        Activity { turns: turns.collect(), is_trimmed: events.len() >= KEPT_PER_ENDPOINT }
    });
    Ok(of_one.collect())
}
