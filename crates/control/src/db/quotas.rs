//! Table `quota_states`: how limits stood when they were last looked at, so that each change is told once.

use dormouse_api::quota::{Measure, State};
use dormouse_base::{ProjectId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::column::micros;
use crate::model::quota::Plan;

fn name(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Soft => "soft",
        State::Exceeded => "exceeded",
    }
}

/// How a limit stood.
pub fn standing(db: &Connection, project: &ProjectId, measure: Measure) -> Result<State> {
    let known: Option<String> = db
        .prepare_cached("SELECT state FROM quota_states WHERE project_id = ?1 AND measure = ?2")?
        .query_row(params![project.as_str(), measure.name()], |row| row.get(0))
        .optional()?;
    Ok(match known.as_deref() {
        Some("exceeded") => State::Exceeded,
        Some("soft") => State::Soft,
        _ => State::Ok,
    })
}

/// Notes how a limit stands now; a project that is gone meanwhile is no error.
pub fn note(
    db: &Connection,
    project: &ProjectId,
    measure: Measure,
    state: State,
    now: Timestamp,
) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO quota_states (project_id, measure, state, since)
         SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM projects WHERE id = ?1)
         ON CONFLICT (project_id, measure) DO UPDATE SET state = excluded.state, since = excluded.since",
    )?
    .execute(params![project.as_str(), measure.name(), name(state), micros(now)])?;
    Ok(())
}

/// Forgets how limits stood that are not wanted any more.
pub fn keep_only(db: &Connection, project: &ProjectId, plan: &Plan) -> Result<()> {
    for measure in Measure::ALL {
        if !plan.limits.iter().any(|limit| limit.measure == measure) {
            db.prepare_cached("DELETE FROM quota_states WHERE project_id = ?1 AND measure = ?2")?
                .execute(params![project.as_str(), measure.name()])?;
        }
    }
    Ok(())
}
