//! The periods that samples still go into, in memory.
//!
//! ```text
//!   record ─► entry of each tier ─► (period over) stays until it is written
//!                │ dirty
//!   flush:  unknown ──read what an earlier server wrote──► known ──write──► clean ──over──► forgotten
//! ```
//!
//! The metadata's rule, that a crash loses nothing, does not hold here: what was sampled since the last flush goes with
//! the process.

use std::collections::HashMap;

use crate::subject::Key;
use crate::summary::Summary;
use crate::tier::{TIERS, start_of};

/// The most series that are written into at a time; samples of more are dropped and counted.
pub const MAX_OPEN: usize = 40_000;

/// Periods of one series and tier that wait to be written, because the file cannot be: the oldest go first.
pub const MAX_UNWRITTEN: usize = 6;

/// A period of a series.
#[derive(Debug, Clone)]
struct Entry {
    start: i64,
    summary: Summary,
    /// What is in the file is part of it.
    known: bool,
    /// Something was added since it was written.
    dirty: bool,
    /// Grows with every sample.
    version: u64,
}

/// One series, by tier; mostly one period each.
#[derive(Debug, Clone, Default)]
struct Open {
    entries: [Vec<Entry>; TIERS.len()],
}

/// Where a row belongs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The series.
    pub key: Key,
    /// An index into [`TIERS`].
    pub tier: usize,
    /// The beginning of its period, seconds since 1970.
    pub start: i64,
}

/// A row to write.
#[derive(Debug, Clone)]
pub struct Row {
    /// Where it belongs.
    pub place: Place,
    /// What it says.
    pub bytes: Vec<u8>,
    version: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Book {
    series: HashMap<Key, Open>,
    dropped: u64,
}

impl Book {
    /// Adds a sample, `count` times. Tells whether there was room for it.
    pub fn record(&mut self, key: &Key, at: i64, value: f64, count: u64) -> bool {
        if count == 0 || !value.is_finite() {
            return false;
        }
        if !self.series.contains_key(key) {
            if self.series.len() >= MAX_OPEN {
                self.dropped += count;
                return false;
            }
            self.series.insert(key.clone(), Open::default());
        }
        let Some(open) = self.series.get_mut(key) else { return false };
        for (tier, entries) in TIERS.iter().zip(&mut open.entries) {
            let start = start_of(at, tier.seconds);
            let index = match entries.iter().rposition(|entry| entry.start == start) {
                Some(index) => index,
                None => {
                    if entries.len() >= MAX_UNWRITTEN {
                        self.dropped += entries.remove(0).summary.count();
                    }
                    let summary = Summary::default();
                    entries.push(Entry { start, summary, known: false, dirty: false, version: 0 });
                    entries.len() - 1
                }
            };
            let entry = &mut entries[index];
            entry.summary.add(value, count);
            entry.dirty = true;
            entry.version += 1;
        }
        true
    }

    /// Periods that may have a row in the file already, from before this process.
    #[must_use]
    pub fn unknown(&self) -> Vec<Place> {
        self.all(|entry| !entry.known).map(|(place, _)| place).collect()
    }

    /// There was no row, or this one.
    pub fn learn(&mut self, place: &Place, row: Option<&Summary>) {
        if let Some(entry) = self.entry(place).filter(|entry| !entry.known) {
            entry.known = true;
            if let Some(row) = row {
                entry.summary.merge(row);
                entry.dirty = true;
            }
        }
    }

    /// What is to be written.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        self.all(|entry| entry.known && entry.dirty)
            .map(|(place, entry)| Row { place, bytes: entry.summary.encode(), version: entry.version })
            .collect()
    }

    /// These are in the file. Forgets periods that are over.
    pub fn written(&mut self, rows: &[Row], now: i64) {
        for row in rows {
            if let Some(entry) = self.entry(&row.place) {
                entry.dirty = entry.version != row.version;
            }
        }
        for open in self.series.values_mut() {
            for (tier, entries) in TIERS.iter().zip(&mut open.entries) {
                entries.retain(|entry| entry.dirty || entry.start + tier.seconds > now);
            }
        }
        self.series.retain(|_, open| open.entries.iter().any(|entries| !entries.is_empty()));
    }

    /// The periods of a series that are in memory: beginning, samples, and whether the file's row is part of them.
    pub fn of<'a>(&'a self, key: &Key, tier: usize) -> impl Iterator<Item = (i64, &'a Summary, bool)> {
        let open = self.series.get(key);
        open.into_iter()
            .flat_map(move |open| &open.entries[tier])
            .map(|entry| (entry.start, &entry.summary, entry.known))
    }

    /// Samples that were dropped since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Series that are written into.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether nothing is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    fn entry(&mut self, place: &Place) -> Option<&mut Entry> {
        let open = self.series.get_mut(&place.key)?;
        open.entries[place.tier].iter_mut().find(|entry| entry.start == place.start)
    }

    fn all(&self, which: impl Fn(&Entry) -> bool + Copy) -> impl Iterator<Item = (Place, &Entry)> {
        self.series.iter().flat_map(move |(key, open)| {
            open.entries.iter().enumerate().flat_map(move |(tier, entries)| {
                entries
                    .iter()
                    .filter(move |entry| which(entry))
                    .map(move |entry| (Place { key: key.clone(), tier, start: entry.start }, entry))
            })
        })
    }
}
