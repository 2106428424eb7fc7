//! Table `tokens`: on which branches login tokens are under way, and until when. Not the tokens themselves.
//!
//! The proxy asks a client for its password in the clear only where a token is to be expected. It goes by the
//! branch and not by the role, so that the question does not tell which roles there are.

use dormouse_base::{BranchId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::column::{micros, time};

/// Notes that a token is good until then, and forgets those that nobody needs to know of any more.
pub fn note(db: &Connection, branch: &BranchId, until: Timestamp, forget: Timestamp) -> Result<()> {
    db.prepare_cached("DELETE FROM tokens WHERE until < ?1")?.execute([micros(forget)])?;
    db.prepare_cached(
        "INSERT INTO tokens (branch_id, until) VALUES (?1, ?2)
         ON CONFLICT (branch_id) DO UPDATE SET until = max(until, excluded.until)",
    )?
    .execute(params![branch.as_str(), micros(until)])?;
    Ok(())
}

/// Until when the last token of a branch is good.
pub fn until(db: &Connection, branch: &BranchId) -> Result<Option<Timestamp>> {
    db.prepare_cached("SELECT until FROM tokens WHERE branch_id = ?1")?
        .query_row([branch.as_str()], |row| time(row, 0))
        .optional()
}
