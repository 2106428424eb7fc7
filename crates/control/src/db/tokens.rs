//! Table `tokens`: of which roles login tokens are under way, and until when. Not the tokens themselves.
//!
//! The proxy asks a client for its password in the clear only where a token is to be expected.

use dormouse_base::{BranchId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::column::{micros, time};

/// Notes that a token of a role is good until then, and forgets those that nobody needs to know of any more.
pub fn note(db: &Connection, branch: &BranchId, role: &str, until: Timestamp, forget: Timestamp) -> Result<()> {
    db.prepare_cached("DELETE FROM tokens WHERE until < ?1")?.execute([micros(forget)])?;
    db.prepare_cached(
        "INSERT INTO tokens (branch_id, role, until) VALUES (?1, ?2, ?3)
         ON CONFLICT (branch_id, role) DO UPDATE SET until = max(until, excluded.until)",
    )?
    .execute(params![branch.as_str(), role, micros(until)])?;
    Ok(())
}

/// Until when the last token of a role is good.
pub fn until(db: &Connection, branch: &BranchId, role: &str) -> Result<Option<Timestamp>> {
    db.prepare_cached("SELECT until FROM tokens WHERE branch_id = ?1 AND role = ?2")?
        .query_row([branch.as_str(), role], |row| time(row, 0))
        .optional()
}
