//! Proves that the WAL of a line is all there. For fsck.

use dormouse_base::Lsn;
use futures_util::StreamExt;

use super::plan::{Origin, plan};
use super::{Line, ReadError, Supplied, fetch};
use crate::object::Store;
use crate::wal::reader::{Invalid, Reader};

/// Pieces that are read at the same time.
const PARALLEL: usize = 4;

/// What a check found.
#[derive(Debug, Default)]
pub struct Report {
    /// Pieces that were read.
    pub pieces: u64,
    /// Their plain bytes.
    pub bytes: u64,
    /// Records in them.
    pub records: u64,
    /// What is wrong; empty when the WAL is good.
    pub problems: Vec<ReadError>,
}

/// Checks `from` (a record begins there) to `to`: no hole, every piece verifies, every record is valid.
///
/// # Errors
/// When the store cannot be listed. Anything that is wrong with the WAL is in the report.
pub async fn check(store: &Store, line: &Line, (from, to): (Lsn, Lsn)) -> Result<Report, ReadError> {
    let mut report = Report::default();
    let parts = match plan(store, line, (from, to), &[]).await {
        Ok(parts) => parts,
        Err(error @ ReadError::Missing { .. }) => {
            report.problems.push(error);
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    let mut reader = Reader::at(line.major, from);
    let mut invalid: Option<Invalid> = None;
    let keys = parts.into_iter().filter_map(|part| match part.origin.clone() {
        Origin::Piece { key, .. } => Some((part, key)),
        Origin::AtHand(_) => None,
    });
    let mut read = futures_util::stream::iter(keys)
        .map(|(part, key)| async move { (part, fetch::piece(store, &key).await) })
        .buffered(PARALLEL);
    while let Some((part, piece)) = read.next().await {
        report.pieces += 1;
        report.bytes += part.to.since(part.from);
        match piece {
            Ok((header, plain)) if invalid.is_none() => {
                let place = |lsn: Lsn| usize::try_from(lsn.since(header.start)).expect("a piece is small");
                let bytes = &plain[place(part.from)..place(part.to)];
                invalid = reader.push(bytes, |_| report.records += 1).err();
                let supplied = || Supplied::of(&part, &[]);
                report.problems.extend(invalid.map(|source| ReadError::Invalid { part: supplied(), source }));
            }
            Ok(_) => {}
            Err(error) => {
                // Nothing can be said of the records behind it.
                invalid.get_or_insert(Invalid { at: part.from, problem: "a piece is damaged" });
                report.problems.push(error);
            }
        }
    }
    Ok(report)
}
