//! Finds equal statements of one pool.
//!
//! ```text
//!  text and types ──► read in Berlin ──► Statement 7
//!                 └─► read in Tokyo  ──► Statement 9
//!
//!  tables changed ──► the same text is another statement, for those who prepare it from now on
//!
//!  not found again: texts over 64 KiB, and those that say 'now': each Parse of one is a statement of its own
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Reading, Statement};
use crate::link::Stateful;
use crate::sql::is_of_the_moment;

/// Statements that nobody holds are forgotten when the registry has grown by so many since the last time.
const SWEEP_AFTER: usize = 1024;

/// The same in bytes of their texts.
const SWEEP_AFTER_BYTES: usize = 8 << 20;

/// Statements with longer text are not looked for: finding them would cost more than parsing them again.
const MAX_SHARED: usize = 64 * 1024;

/// Bytes of texts longer than that which the clients of one pool may have together.
const MAX_LONG: usize = 512 << 20;

/// Text, types and reading → statement.
#[derive(Debug, Default)]
pub struct Registry {
    known: HashMap<Arc<[u8]>, Text>,
    /// How many statements that is, and bytes of texts and types.
    len: usize,
    bytes: usize,
    next: u64,
    /// How often tables changed.
    generation: u64,
    sweep_at: usize,
    sweep_at_bytes: usize,
    long: Arc<AtomicUsize>,
}

/// The statements with one text.
#[derive(Debug)]
struct Text {
    /// Nearly always there is only this one.
    first: Arc<Statement>,
    others: BTreeMap<Reading, Arc<Statement>>,
    /// The registry's when they were prepared first.
    generation: u64,
}

impl Text {
    fn read_as(&self, reading: Reading) -> Option<&Arc<Statement>> {
        if self.first.reading() == reading { Some(&self.first) } else { self.others.get(&reading) }
    }

    /// Bytes of the text, and of the types of each.
    fn bytes(&self) -> usize {
        self.first.bytes() + self.others.len() * self.first.room
    }

    /// Forgets what nobody holds; false when nothing is left.
    fn sweep(&mut self) -> bool {
        // What a client or a backend holds stays: there each has a limit.
        let held =
            |statement: &Arc<Statement>| Arc::strong_count(statement) > 1 || Arc::weak_count(statement) > 0;
        self.others.retain(|_, statement| held(statement));
        if held(&self.first) {
            return true;
        }
        match self.others.pop_first() {
            Some((_, next)) => self.first = next,
            None => return false,
        }
        true
    }
}

impl Registry {
    /// The statement with this body (of a Parse message, behind the name) wherever it does not matter how it is read.
    pub fn intern(&mut self, body: &[u8], look: impl FnOnce(&[u8]) -> Stateful) -> Arc<Statement> {
        self.intern_as(body, Reading::default(), look)
    }

    /// The statement with this body (of a Parse message, behind the name) and reading; `look` tells what executing a
    /// new one may do.
    pub fn intern_as(
        &mut self,
        body: &[u8],
        reading: Reading,
        look: impl FnOnce(&[u8]) -> Stateful,
    ) -> Arc<Statement> {
        let Some(text) = self.known.get(body) else {
            return self.add(body, reading, look(super::text_of(body)));
        };
        if !text.first.is_shared() {
            let new = Statement::like(&text.first, self.next, reading);
            self.next += 1;
            return Arc::new(new);
        }
        if text.generation != self.generation {
            return self.renew(body, reading);
        }
        if let Some(known) = text.read_as(reading) {
            known.note_again();
            return Arc::clone(known);
        }
        let new = Arc::new(Statement::like(&text.first, self.next, reading));
        self.next += 1;
        self.len += 1;
        self.bytes += new.room;
        if let Some(text) = self.known.get_mut(body) {
            text.others.insert(reading, Arc::clone(&new));
        }
        self.sweep();
        new
    }

    /// A statement like one that is known, which nobody else gets.
    pub(crate) fn apart(&mut self, known: &Statement) -> Arc<Statement> {
        let mut new =
            Statement::new(self.next, Arc::clone(known.shared_body()), known.reading(), known.stateful());
        self.next += 1;
        if known.counted.is_some() {
            new = new.counted_in(&self.long);
        }
        Arc::new(new)
    }

    /// A statement of a client that names its statements itself. Texts are known all the same, so that what they may do
    /// is looked at once.
    pub(crate) fn verbatim(
        &mut self,
        name: &[u8],
        body: &[u8],
        look: impl FnOnce(&[u8]) -> Stateful,
    ) -> Arc<Statement> {
        let known = self.intern(body, look);
        let new = Statement::under(name, &known, self.unique());
        Arc::new(if known.counted.is_some() { new.counted_in(&self.long) } else { new })
    }

    /// Tables have changed, or may have: who prepares a text now gets what it means now. Who prepared it before keeps
    /// the statement of that time, and PostgreSQL tells if it cannot be had any more.
    pub fn outdate(&mut self) {
        self.generation += 1;
    }

    fn renew(&mut self, body: &[u8], reading: Reading) -> Arc<Statement> {
        let Some(text) = self.known.get_mut(body) else { unreachable!("its caller has found it") };
        let new = Arc::new(Statement::like(&text.first, self.next, reading));
        new.note_again();
        self.next += 1;
        self.len -= text.others.len();
        self.bytes -= text.others.len() * new.room;
        *text = Text { first: Arc::clone(&new), others: BTreeMap::new(), generation: self.generation };
        new
    }

    /// Whether a client may have one more statement with a text of so many bytes.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        bytes <= MAX_SHARED || self.long.load(Ordering::Relaxed).saturating_add(bytes) <= MAX_LONG
    }

    /// A number that no statement has, nor will have.
    pub(crate) fn unique(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of all their texts, and of their parameters' types.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn add(&mut self, body: &[u8], reading: Reading, stateful: Stateful) -> Arc<Statement> {
        let mut new = Statement::new(self.next, body.into(), reading, stateful);
        self.next += 1;
        if body.len() > MAX_SHARED {
            return Arc::new(new.counted_in(&self.long));
        }
        let passing = is_of_the_moment(super::text_of(body));
        new = if passing { new } else { new.shared() };
        let new = Arc::new(new);
        let text = Text { first: Arc::clone(&new), others: BTreeMap::new(), generation: self.generation };
        self.known.insert(Arc::clone(new.shared_body()), text);
        self.len += 1;
        self.bytes += new.bytes();
        let given = if passing { self.intern_as(body, reading, |_| stateful) } else { new };
        self.sweep();
        given
    }

    fn sweep(&mut self) {
        if self.len <= self.sweep_at.max(SWEEP_AFTER)
            && self.bytes <= self.sweep_at_bytes.max(SWEEP_AFTER_BYTES)
        {
            return;
        }
        self.known.retain(|_, text| text.sweep());
        self.len = self.known.values().map(|text| 1 + text.others.len()).sum();
        self.bytes = self.known.values().map(Text::bytes).sum();
        self.sweep_at = self.len + SWEEP_AFTER;
        self.sweep_at_bytes = self.bytes + SWEEP_AFTER_BYTES;
    }
}

#[cfg(test)]
mod tests;
