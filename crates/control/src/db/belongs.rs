//! Which object store the metadata belongs to.
//!
//! The metadata knows projects whose data is in one store. With another one, or with the empty place where
//! nothing is mounted, a server would begin a new store and file WAL that belongs to objects elsewhere. So the
//! ID in the store's marker is remembered here at the first start with it, and asked for *before* a store is
//! opened: also by a new server while the old one still runs, so that its takeover fails before anything has changed.

use std::path::Path;

use dormouse_storage::object::Expected;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{BUSY_TIMEOUT, Db, DbError, FILE, OpenError, settings};

/// What a store must be that is to be used with a data directory. Blocks.
///
/// # Errors
/// When there is a metadata file that cannot be read.
pub fn expected(directory: &Path) -> Result<Expected, OpenError> {
    let path = directory.join(FILE);
    if !path.exists() {
        return Ok(Expected::Any);
    }
    match look(&path) {
        // Older versions remembered nothing; but whoever made the metadata had opened a store before.
        Ok(None) => Ok(Expected::Existing),
        Ok(Some(id)) => Ok(Expected::This(id)),
        Err(source) => Err(OpenError::Open { path, source }),
    }
}

/// Changes nothing, whatever the schema: it may be another server's.
fn look(path: &Path) -> rusqlite::Result<Option<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    let table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'settings'";
    match db.query_row(table, [], |_| Ok(())).optional()? {
        None => Ok(None),
        Some(()) => settings::get(&db, settings::STORE),
    }
}

/// Remembers the store, unless one is remembered already. Blocks.
///
/// # Errors
/// When the metadata cannot be written.
pub fn remember(db: &Db, id: &str) -> Result<(), DbError> {
    if db.read("read which store it is", |db| settings::get(db, settings::STORE))?.is_some() {
        return Ok(());
    }
    db.write_now("remember which store it is", |db| settings::put(db, settings::STORE, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_remembered_once_and_read_beside_a_server() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(expected(dir.path()).unwrap(), Expected::Any);
        assert!(!dir.path().join(FILE).exists(), "looking makes nothing");
        let db = Db::open(dir.path()).unwrap();
        assert_eq!(expected(dir.path()).unwrap(), Expected::Existing, "of an older version");
        remember(&db, "one").unwrap();
        remember(&db, "two").unwrap();
        assert_eq!(expected(dir.path()).unwrap(), Expected::This("one".to_owned()));
        drop(db);
        assert_eq!(expected(dir.path()).unwrap(), Expected::This("one".to_owned()));
        // A crash while the file was being made.
        let empty = tempfile::tempdir().unwrap();
        std::fs::write(empty.path().join(FILE), b"").unwrap();
        assert_eq!(expected(empty.path()).unwrap(), Expected::Existing);
        std::fs::write(empty.path().join(FILE), [7; 4096]).unwrap();
        assert!(matches!(expected(empty.path()), Err(OpenError::Open { .. })));
    }
}
