//! What is kept, in a SQLite file of its own beside the metadata.
//!
//! Statistics are worth less than the metadata: a transaction is not forced to the disk at once, and a file that cannot
//! be read is put aside and begun anew. Rows of one moment stand together (`tier, start, series`), so that a flush
//! touches few pages and the end of what is kept is one range.

use std::collections::HashMap;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_api::statistics::Metric;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};

use crate::book::{Place, Row};
use crate::subject::Key;
use crate::summary::Summary;
use crate::tier::TIERS;

/// The file name in the data directory.
pub const FILE: &str = "statistics.sqlite";
/// Series with rows; samples of more are dropped and counted.
pub const MAX_SERIES: usize = 50_000;
/// Series that are left when the file is tidied: room for those that come until the next time.
pub const KEPT_SERIES: usize = MAX_SERIES / 10 * 9;
/// The size of the file at which the shortest periods are given up early, bytes.
pub const MAX_BYTES: u64 = 512 << 20;
/// How long one connection waits for the other.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Written into the file; another number is another format.
const FORMAT: u32 = 1;

const SCHEMA: &str = "
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    subject TEXT NOT NULL,
    metric TEXT NOT NULL,
    UNIQUE (subject, metric)
) STRICT;
CREATE TABLE samples (
    tier INTEGER NOT NULL,
    start INTEGER NOT NULL,
    series INTEGER NOT NULL,
    summary BLOB NOT NULL,
    PRIMARY KEY (tier, start, series)
) STRICT, WITHOUT ROWID;
";

/// The statistics could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("statistics: cannot {what}")]
pub struct StoreError {
    what: &'static str,
    #[source]
    source: rusqlite::Error,
}

fn failed(what: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError {
    move |source| StoreError { what, source }
}

/// See the module.
#[derive(Debug)]
pub struct Store {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    /// The row of each series.
    ids: Mutex<HashMap<Key, i64>>,
}

impl Store {
    /// Opens the file in a data directory; makes it if it is not there. One that cannot be used is renamed.
    ///
    /// # Errors
    /// When not even a new file can be used.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        Self::open_file(&path).or_else(|error| {
            let aside = PathBuf::from(format!("{}.unreadable", path.display()));
            tracing::warn!(error = &error as &dyn std::error::Error, aside = %aside.display(),
                "the statistics cannot be read and begin anew");
            for suffix in ["-wal", "-shm"] {
                let _absent = std::fs::remove_file(format!("{}{suffix}", path.display()));
            }
            if let Err(error) = std::fs::rename(&path, &aside) {
                tracing::warn!(%error, "cannot put the old statistics aside");
            }
            Self::open_file(&path)
        })
    }

    fn open_file(path: &Path) -> Result<Self, StoreError> {
        // Made before SQLite does, so that it is never readable by others. What fails here fails below, too.
        let _known_below = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        let connect = || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.set_prepared_statement_cache_capacity(16);
            Ok(connection)
        };
        let mut writer = connect().map_err(failed("open the file"))?;
        prepare(&mut writer).map_err(failed("prepare the file"))?;
        let reader = connect().map_err(failed("open the file"))?;
        let ids = read_ids(&reader).map_err(failed("list the series"))?;
        Ok(Self { writer: Mutex::new(writer), reader: Mutex::new(reader), ids: Mutex::new(ids) })
    }

    /// What is in the file at each of these places.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, places: &[Place]) -> Result<Vec<Option<Summary>>, StoreError> {
        let reader = self.reader.lock();
        places.iter().map(|place| self.at(&reader, place)).collect::<Result<_, _>>().map_err(failed("read"))
    }

    fn at(&self, reader: &Connection, place: &Place) -> rusqlite::Result<Option<Summary>> {
        let Some(id) = self.ids.lock().get(&place.key).copied() else { return Ok(None) };
        let mut find = reader
            .prepare_cached("SELECT summary FROM samples WHERE tier = ?1 AND start = ?2 AND series = ?3")?;
        let at = params![i64::try_from(place.tier).unwrap_or(0), place.start, id];
        let found = find.query_row(at, |row| Ok(Summary::decode(row.get_ref(0)?.as_blob()?)));
        // One that is damaged is as good as none.
        Ok(found.optional()?.flatten())
    }

    /// Writes rows, in the place of what was there. Tells how many were dropped because there are too many series.
    ///
    /// # Errors
    /// When they cannot be written; then none is.
    pub fn write(&self, rows: &[Row]) -> Result<usize, StoreError> {
        let mut writer = self.writer.lock();
        let mut ids = self.ids.lock().clone();
        let dropped = put(&mut writer, &mut ids, rows).map_err(failed("write"))?;
        *self.ids.lock() = ids;
        Ok(dropped)
    }

    /// Removes what is older than it is kept for, the shortest periods earlier when the file is full, and series
    /// without rows. Of more than `most` series those go that were measured longest ago: where endpoints come and go, the
    /// dead ones of two weeks must not keep the living out.
    ///
    /// # Errors
    /// When it cannot be done.
    pub fn trim(&self, now: i64, most: usize) -> Result<(), StoreError> {
        let writer = self.writer.lock();
        let run = || {
            for (number, tier) in TIERS.iter().enumerate() {
                delete(&writer, number, tier.kept_from(now))?;
            }
            // What an early end makes free is used again; the file does not become smaller.
            for (number, tier) in TIERS.iter().enumerate() {
                if used_bytes(&writer)? <= MAX_BYTES {
                    break;
                }
                delete(&writer, number, now - tier.kept / 4)?;
            }
            crowd_out(&writer, most)?;
            writer.execute(
                "DELETE FROM series WHERE id NOT IN (SELECT series FROM samples WHERE tier = ?1)",
                [i64::try_from(TIERS.len() - 1).unwrap_or(0)],
            )?;
            read_ids(&writer)
        };
        let ids = run().map_err(failed("remove what is old"))?;
        *self.ids.lock() = ids;
        Ok(())
    }

    /// Series with samples since `since`, and until when there may be some of each.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn lately(&self, since: i64) -> Result<HashMap<Key, i64>, StoreError> {
        let (tier, longest) = (TIERS.len() - 1, TIERS[TIERS.len() - 1].seconds);
        let ids: HashMap<i64, Key> = self.ids.lock().iter().map(|(key, id)| (*id, key.clone())).collect();
        let reader = self.reader.lock();
        let run = || {
            let mut rows = reader.prepare_cached(
                "SELECT series, max(start) FROM samples WHERE tier = ?1 AND start >= ?2 GROUP BY series",
            )?;
            let of = params![i64::try_from(tier).unwrap_or(0), since - longest];
            let rows = rows.query_map(of, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let found = run().map_err(failed("look for series"))?;
        let end = |(id, start): (i64, i64)| Some((ids.get(&id)?.clone(), start + longest - 1));
        Ok(found.into_iter().filter_map(end).collect())
    }

    /// How many series there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.lock().len()
    }

    /// Whether nothing was kept yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.lock().is_empty()
    }

    /// Bytes in use in the file.
    ///
    /// # Errors
    /// When SQLite does not say.
    pub fn bytes(&self) -> Result<u64, StoreError> {
        used_bytes(&self.reader.lock()).map_err(failed("measure the file"))
    }
}

fn prepare(writer: &mut Connection) -> rusqlite::Result<()> {
    let format: u32 = writer.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match format {
        FORMAT => {
            writer.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)).and_then(|said| {
                let broken = || {
                    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
                    rusqlite::Error::SqliteFailure(code, Some(said.clone()))
                };
                if said == "ok" { Ok(()) } else { Err(broken()) }
            })
        }
        0 => {
            let transaction = writer.transaction()?;
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "user_version", FORMAT)?;
            transaction.commit()
        }
        _ => {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FORMAT);
            Err(rusqlite::Error::SqliteFailure(code, Some(format!("format {format}, this is {FORMAT}"))))
        }
    }
}

fn read_ids(db: &Connection) -> rusqlite::Result<HashMap<Key, i64>> {
    let mut all = db.prepare_cached("SELECT id, subject, metric FROM series")?;
    let rows = all.query_map([], |row| {
        let subject = row.get_ref(1)?.as_str()?.parse().ok();
        let metric = Metric::named(row.get_ref(2)?.as_str()?);
        Ok((subject.zip(metric), row.get(0)?))
    })?;
    let mut ids = HashMap::new();
    for row in rows {
        // A series that only another version knows is left alone until its rows are gone.
        if let (Some((subject, metric)), id) = row? {
            ids.insert(Key { subject, metric }, id);
        }
    }
    Ok(ids)
}

fn put(writer: &mut Connection, ids: &mut HashMap<Key, i64>, rows: &[Row]) -> rusqlite::Result<usize> {
    let transaction = writer.transaction()?;
    let mut dropped = 0;
    {
        let mut add = transaction
            .prepare_cached("INSERT INTO series (subject, metric) VALUES (?1, ?2) RETURNING id")?;
        let mut set = transaction.prepare_cached(
            "INSERT OR REPLACE INTO samples (tier, start, series, summary) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for Row { place, bytes, .. } in rows {
            let id = match ids.get(&place.key) {
                Some(id) => *id,
                None if ids.len() >= MAX_SERIES => {
                    dropped += 1;
                    continue;
                }
                None => {
                    let names = params![place.key.subject.to_string(), place.key.metric.name()];
                    let id = add.query_row(names, |row| row.get(0))?;
                    ids.insert(place.key.clone(), id);
                    id
                }
            };
            set.execute(params![i64::try_from(place.tier).unwrap_or(0), place.start, id, bytes])?;
        }
    }
    transaction.commit()?;
    Ok(dropped)
}

fn delete(db: &Connection, tier: usize, before: i64) -> rusqlite::Result<()> {
    let mut delete = db.prepare_cached("DELETE FROM samples WHERE tier = ?1 AND start < ?2")?;
    delete.execute(params![i64::try_from(tier).unwrap_or(0), before])?;
    Ok(())
}

/// Removes the rows of series beyond `most`, those first that were measured longest ago.
fn crowd_out(db: &Connection, most: usize) -> rusqlite::Result<()> {
    let longest = i64::try_from(TIERS.len() - 1).unwrap_or(0);
    let sql = "SELECT count(DISTINCT series) FROM samples WHERE tier = ?1";
    let series: i64 = db.query_row(sql, [longest], |row| row.get(0))?;
    let more = series - i64::try_from(most).unwrap_or(i64::MAX);
    if more > 0 {
        tracing::info!(series, more, "there are many series of statistics: the oldest are removed");
        db.execute(
            "DELETE FROM samples WHERE series IN (SELECT series FROM samples WHERE tier = ?1
             GROUP BY series ORDER BY max(start), series LIMIT ?2)",
            [longest, more],
        )?;
    }
    Ok(())
}

fn used_bytes(db: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let bytes = (pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}
