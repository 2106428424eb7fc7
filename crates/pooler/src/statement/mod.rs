//! Prepared statements that any backend of a pool can continue.
//!
//! ```text
//!   client A: "a1" ─┐                             ┌─ backend 1 has dormouse_7
//!   client B: "s_9" ┼─► Statement 7 (text, types) ┤
//!   client C: ""   ─┘        in the Registry      └─ backend 2 does not: Parse goes in front of the Bind
//! ```
//!
//! A client's name means something to that client only; a backend knows a statement under its number in the
//! pool. So a statement is parsed once per backend, however many clients prepare it under whatever names, and a
//! client's Bind finds it on whatever backend it gets.
//!
//! A client in session mode has a backend for itself, and names its statements there: those are *verbatim*, and nobody
//! else's.
//!
//! [`Registry`] finds equal statements, [`Names`] is one client's side, [`Prepared`] one backend's. Equal are statements
//! whose text is read in the same way ([`Reading`]).

mod names;
mod prepared;
mod reading;
mod registry;
mod shape;
mod types;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

pub use names::{Forgotten, Names};
pub use prepared::{Fit, Need, Place, Prepared};
pub use reading::Reading;
pub(crate) use reading::{ReadAs, is_read};
pub use registry::Registry;
pub(crate) use shape::Shape;

use crate::link::Stateful;

/// What a pool's statements are called on its backends. Not a name that a client would choose.
const PREFIX: &str = "dormouse_";

/// A name that no backend has a statement under.
pub(crate) const NOBODYS: &[u8] = b"dormouse_none";

/// Whether a name that means nothing to its client could mean something on the backend that is not the client's:
/// the unnamed statement of another client, or one of the pool.
pub(crate) fn is_others(name: &[u8]) -> bool {
    name.is_empty() || name.starts_with(PREFIX.as_bytes())
}

/// What backends call the statement with this number.
fn name_of(id: u64) -> String {
    format!("{PREFIX}{id}")
}

/// A statement that was prepared by at least one client of a pool.
#[derive(Debug)]
pub struct Statement {
    id: u64,
    name: Box<[u8]>,
    body: Arc<[u8]>,
    reading: Reading,
    stateful: Stateful,
    shared: bool,
    /// Its name is its client's.
    verbatim: bool,
    again: AtomicBool,
    /// What its clients were told of its columns: a [`Shape`], or 0.
    told: AtomicU64,
    /// What they were told of its parameters, and how many bytes that may be.
    types: OnceLock<Box<[u8]>>,
    room: usize,
    /// Where its bytes are counted.
    counted: Option<Arc<AtomicUsize>>,
}

impl Statement {
    fn new(id: u64, body: Arc<[u8]>, reading: Reading, stateful: Stateful) -> Self {
        let name = name_of(id).into_bytes().into_boxed_slice();
        let room = types::room(&body);
        Self {
            id,
            name,
            body,
            reading,
            stateful,
            shared: false,
            verbatim: false,
            again: AtomicBool::new(false),
            told: AtomicU64::new(0),
            types: OnceLock::new(),
            room,
            counted: None,
        }
    }

    /// Another with the same text.
    fn like(other: &Self, id: u64, reading: Reading) -> Self {
        let new = Self::new(id, Arc::clone(&other.body), reading, other.stateful);
        if other.shared { new.shared() } else { new }
    }

    /// Another with the same text, which only one client has, under that client's own name.
    fn under(name: &[u8], other: &Self, id: u64) -> Self {
        Self {
            id,
            name: name.into(),
            body: Arc::clone(&other.body),
            reading: other.reading,
            stateful: other.stateful,
            shared: false,
            verbatim: true,
            again: AtomicBool::new(false),
            told: AtomicU64::new(0),
            types: OnceLock::new(),
            room: other.room,
            counted: None,
        }
    }

    /// Every client that prepares the same gets it.
    fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// Its bytes count there as long as it is.
    fn counted_in(mut self, counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(self.bytes(), Ordering::Relaxed);
        self.counted = Some(Arc::clone(counter));
        self
    }

    fn shared_body(&self) -> &Arc<[u8]> {
        &self.body
    }

    /// Its number in the pool; never used for another.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What backends call it.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether that is its client's own name for it.
    #[must_use]
    pub fn is_verbatim(&self) -> bool {
        self.verbatim
    }

    /// The body of its Parse message behind the name: text, zero byte, types of its parameters.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        text_of(&self.body)
    }

    /// How it was read when it was prepared.
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.reading
    }

    /// What executing it may do to its session.
    #[must_use]
    pub fn stateful(&self) -> Stateful {
        self.stateful
    }

    /// Whether others who prepare the same get it as well. Else it is over when its client closes it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether it was prepared more than once: then keeping it on backends is worth it, even when clients
    /// prepare it without a name.
    #[must_use]
    pub fn is_used_again(&self) -> bool {
        self.again.load(Ordering::Relaxed)
    }

    /// What clients know of its columns, if any was told.
    pub(crate) fn shape(&self) -> Option<Shape> {
        Shape::of_number(self.told.load(Ordering::Relaxed))
    }

    /// A client is told this; false when others were told something else.
    pub(crate) fn tell(&self, shape: Shape) -> bool {
        let first = self.told.compare_exchange(0, shape.number(), Ordering::Relaxed, Ordering::Relaxed);
        first.is_ok() || first == Err(shape.number())
    }

    fn note_again(&self) {
        self.again.store(true, Ordering::Relaxed);
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        if let Some(counter) = &self.counted {
            counter.fetch_sub(self.bytes(), Ordering::Relaxed);
        }
    }
}

/// The text in the body of a Parse message behind the name.
pub(crate) fn text_of(body: &[u8]) -> &[u8] {
    let end = memchr::memchr(0, body).unwrap_or(body.len());
    &body[..end]
}
