//! What clients know: which transactions were acknowledged, refused, or ended without an answer.
//!
//! Time here is a counter, the *tick*. A transaction takes one before its first word is sent and one
//! after its COMMIT was answered; whoever makes a branch takes one before the request and one after
//! the reply. So two orders are certain, and only they are used:
//!
//! ```text
//!  acknowledged before the branch was asked for   → must be in it
//!  begun after the branch was there               → must not be in it
//! ```
//!
//! Acknowledged transactions are also appended to `ledger.txt`, after their COMMIT returned.
//! [`super::history`] says what a branch must hold; here is only what clients saw.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A transaction: which client's, and its how manieth.
pub(crate) type Id = (i32, i32);

/// A place in the order of events.
pub(crate) type Tick = u64;

/// How a transaction ended, as its client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// COMMIT was answered.
    Acknowledged,
    /// It failed before COMMIT was sent.
    Refused,
    /// COMMIT (or PREPARE) was sent and not answered, or it is still under way.
    Unknown,
}

/// One transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Before its first word was sent.
    pub(crate) begun: Tick,
    /// After its end was known; `Tick::MAX` while it is not.
    pub(crate) ended: Tick,
    /// How it ended.
    pub(crate) outcome: Outcome,
}

/// All transactions of a run.
#[derive(Debug)]
pub(crate) struct Ledger {
    tick: AtomicU64,
    entries: Mutex<BTreeMap<Id, Entry>>,
    file: Mutex<File>,
}

impl Ledger {
    /// An empty one, which writes to `ledger.txt` in this directory.
    pub(crate) fn new(dir: &Path) -> Self {
        let file = Mutex::new(File::create(dir.join("ledger.txt")).unwrap());
        Self { tick: AtomicU64::new(1), entries: Mutex::default(), file }
    }

    /// Takes a tick.
    pub(crate) fn tick(&self) -> Tick {
        self.tick.fetch_add(1, Ordering::SeqCst)
    }

    /// A transaction is about to begin.
    pub(crate) fn begin(&self, id: Id) {
        let entry = Entry { begun: self.tick(), ended: Tick::MAX, outcome: Outcome::Unknown };
        self.entries.lock().unwrap().insert(id, entry);
    }

    /// It ended. Called after the client has the answer.
    pub(crate) fn end(&self, id: Id, outcome: Outcome, kind: &str) {
        let ended = self.tick();
        let mut entries = self.entries.lock().unwrap();
        let entry = entries.get_mut(&id).unwrap();
        (entry.ended, entry.outcome) = (ended, outcome);
        let begun = entry.begun;
        drop(entries);
        if outcome == Outcome::Acknowledged {
            let _full = writeln!(self.file.lock().unwrap(), "{} {} {kind} {begun} {ended}", id.0, id.1);
        }
    }

    /// All transactions so far.
    pub(crate) fn entries(&self) -> BTreeMap<Id, Entry> {
        self.entries.lock().unwrap().clone()
    }

    /// How many were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.entries.lock().unwrap().values().filter(|e| e.outcome == Outcome::Acknowledged).count()
    }
}
