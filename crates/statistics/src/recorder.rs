//! Book and store together: what the rest of the product records into and asks.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use dormouse_api::statistics::Metric;
use dormouse_base::clock;
use parking_lot::Mutex;

use crate::book::{Book, Place};
use crate::query::{Answer, Plan, Question, datapoint};
use crate::store::{KEPT_SERIES, Store, StoreError};
use crate::subject::{Key, Subject};
use crate::summary::Summary;
use crate::tier::TIERS;

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Series that are written into.
    pub open: usize,
    /// Series with something kept.
    pub kept: usize,
    /// Bytes in use in the file.
    pub bytes: u64,
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    book: Mutex<Book>,
    store: Store,
    /// When something was recorded for each series last; not earlier than that.
    lately: Mutex<HashMap<Key, i64>>,
    /// One flush at a time.
    flushing: Mutex<()>,
}

impl Recorder {
    /// On the file of a data directory. Blocks.
    ///
    /// # Errors
    /// When not even a new file can be used.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let store = Store::open(directory)?;
        // Whoever was measured before the restart may be in a period that is not over, or not looked at yet.
        let longest = TIERS[TIERS.len() - 1].seconds;
        let lately = store.lately(clock::now().as_second() - 2 * longest)?;
        let inner =
            Inner { book: Mutex::default(), store, lately: Mutex::new(lately), flushing: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Adds samples of one moment, each with how often. Memory only.
    pub fn record(&self, at: i64, samples: impl IntoIterator<Item = (Key, f64, u64)>) {
        let mut book = self.inner.book.lock();
        let mut lately = self.inner.lately.lock();
        for (key, value, count) in samples {
            if book.record(&key, at, value, count) {
                lately.insert(key, at);
            }
        }
    }

    /// Writes what is new. A crash loses what was recorded since the last call. Blocks.
    ///
    /// # Errors
    /// When the file cannot be used; the next call tries again.
    pub fn flush(&self, now: i64) -> Result<usize, StoreError> {
        let _one_at_a_time = self.inner.flushing.lock();
        let Inner { book, store, .. } = &*self.inner;
        let unknown = book.lock().unknown();
        let rows = store.read(&unknown)?;
        let rows = {
            let mut book = book.lock();
            for (place, row) in unknown.iter().zip(&rows) {
                book.learn(place, row.as_ref());
            }
            book.rows()
        };
        let dropped = store.write(&rows)?;
        book.lock().written(&rows, now);
        if dropped > 0 {
            tracing::warn!(dropped, "too many series of statistics: some are not kept");
        }
        Ok(rows.len())
    }

    /// Removes what is old. Blocks.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn trim(&self, now: i64) -> Result<(), StoreError> {
        let _one_at_a_time = self.inner.flushing.lock();
        self.inner.store.trim(now, KEPT_SERIES)?;
        self.inner.lately.lock().retain(|_, at| *at > now - TIERS[TIERS.len() - 1].kept);
        Ok(())
    }

    /// Answers a question. Blocks for reading; the caller has checked how much that is.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn ask(&self, question: &Question, now: i64) -> Result<Answer, StoreError> {
        let plan = Plan::of(question.period, question.from, question.to, now);
        let mut series = Vec::with_capacity(question.keys.len());
        for key in &question.keys {
            let places: Vec<Place> =
                plan.starts().map(|start| Place { key: key.clone(), tier: plan.tier, start }).collect();
            let rows = self.rows(&places)?;
            let found = places.iter().map(|place| place.start).zip(rows);
            let periods = plan.gather(found.filter_map(|(start, row)| Some((start, row?))));
            let told = periods
                .iter()
                .filter_map(|(start, summary)| datapoint(*start, summary, &question.statistics));
            series.push((key.clone(), told.collect()));
        }
        Ok(Answer { plan, series })
    }

    /// The samples of one period of a tier; `None` when there are none. Blocks for reading, if it must.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn period(&self, key: &Key, tier: usize, start: i64) -> Result<Option<Summary>, StoreError> {
        let lately = self.inner.lately.lock().get(key).copied();
        if lately.is_none_or(|at| at < start) {
            return Ok(None);
        }
        let place = Place { key: key.clone(), tier, start };
        Ok(self.rows(std::slice::from_ref(&place))?.pop().flatten())
    }

    /// Whom this was measured of lately: since `since`, and perhaps some more.
    #[must_use]
    pub fn subjects(&self, metric: Metric, since: i64) -> Vec<Subject> {
        let lately = self.inner.lately.lock();
        let with = lately.iter().filter(|(key, at)| key.metric == metric && **at >= since);
        with.map(|(key, _)| key.subject.clone()).collect()
    }

    /// How much there is.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        let (open, kept) = (self.inner.book.lock().len(), self.inner.store.len());
        Ok(Counts { open, kept, bytes: self.inner.store.bytes()? })
    }

    /// Samples that were dropped since the last call, because there are too many series.
    #[must_use]
    pub fn take_dropped(&self) -> u64 {
        self.inner.book.lock().take_dropped()
    }

    /// Rows of the file with what is in memory.
    fn rows(&self, places: &[Place]) -> Result<Vec<Option<Summary>>, StoreError> {
        // Between the two looks nothing may be written, or a period that an earlier server began would count twice.
        let _no_flush = self.inner.flushing.lock();
        let open: Vec<Option<(Summary, bool)>> = {
            let book = self.inner.book.lock();
            let find = |place: &Place| {
                let mut of = book.of(&place.key, place.tier);
                of.find(|(start, ..)| *start == place.start)
                    .map(|(_, summary, known)| (summary.clone(), known))
            };
            places.iter().map(find).collect()
        };
        let kept = self.inner.store.read(places)?;
        let joined = open.into_iter().zip(kept).map(|pair| match pair {
            (Some((summary, true)), _) => Some(summary),
            (Some((mut summary, false)), Some(row)) => {
                summary.merge(&row);
                Some(summary)
            }
            (Some((summary, false)), None) => Some(summary),
            (None, row) => row,
        });
        Ok(joined.collect())
    }
}

#[cfg(test)]
mod tests;
