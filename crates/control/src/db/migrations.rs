//! The list of schema steps. SQLite's `user_version` counts how many were done; each step is one
//! transaction, so a crash between steps loses nothing. To change the schema, add a constant to
//! [`super::schema`] and its name to the end of the list; never change an old one.

use std::path::Path;

use rusqlite::Connection;

use super::{OpenError, schema};

/// All steps, oldest first.
const STEPS: &[&str] = &[
    schema::FIRST,
    schema::BRANCHES,
    schema::AUTH,
    schema::IDENTITY,
    schema::USAGE,
    schema::REPLIES,
    schema::CONSOLE,
    schema::WARM,
    schema::ALERTS,
    schema::SIGNED_IN,
    schema::LOCALES,
    schema::ROLE_OIDS,
];

/// What went wrong, before the path is known.
pub(crate) enum Failure {
    Newer(usize),
    Step(usize, rusqlite::Error),
}

impl Failure {
    pub(super) fn at(self, path: &Path) -> OpenError {
        let path = path.to_owned();
        match self {
            Failure::Newer(found) => OpenError::Newer { path, found, known: STEPS.len() },
            Failure::Step(step, source) => OpenError::Migrate { path, step, source },
        }
    }
}

/// Brings a store up to the newest schema.
pub(crate) fn run(connection: &mut Connection) -> Result<(), Failure> {
    let done: u32 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|source| Failure::Step(0, source))?;
    let done = usize::try_from(done).unwrap_or(usize::MAX);
    if done > STEPS.len() {
        return Err(Failure::Newer(done));
    }
    for (index, sql) in STEPS.iter().enumerate().skip(done) {
        let step = index + 1;
        let go = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            transaction.execute_batch(sql)?;
            transaction.pragma_update(None, "user_version", u32::try_from(step).unwrap_or(u32::MAX))?;
            transaction.commit()
        };
        go(connection).map_err(|source| Failure::Step(step, source))?;
    }
    Ok(())
}
