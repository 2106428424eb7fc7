//! What a backend will answer, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use super::stateful::Stateful;
use super::up::Between;
use crate::statement::{Forgotten, Place, Statement};

/// What stands for a text that is too long to be read: it may do anything.
pub(super) const UNREAD: &[u8] = b"do ''";

/// One thing that is expected.
#[derive(Debug)]
pub(super) enum Expect {
    /// A simple query of the client: everything up to ReadyForQuery.
    Query(Asked),
    /// A call of the old fast path: up to ReadyForQuery. What it may leave behind.
    Function(Stateful),
    /// The client's Parse: ParseComplete.
    Parse(Undo),
    /// Our own Parse: ParseComplete, which the client does not see.
    Inject(Arc<Statement>),
    /// Our own Close: CloseComplete, which the client does not see.
    Evict(Place),
    /// BindComplete.
    Bind,
    /// RowDescription or NoData; what is described, if it is a statement of the pool.
    Describe(Option<Described>),
    /// Our own Describe of a statement, which the client does not see: RowDescription or NoData.
    Learn(Arc<Statement>),
    /// Our own Describe behind the client's Parse of a statement of which others were told what it is. The client does not
    /// see it either.
    Compare(Compared),
    /// An error: the client uses a statement that does not return what it was told. It names one that is not there.
    Stale,
    /// Up to CommandComplete, EmptyQueryResponse or PortalSuspended. The statement, if it may leave something
    /// behind.
    Execute(Option<Arc<Statement>>, Option<Forgotten>),
    /// The client's Close of a portal or of a name we do not know: CloseComplete.
    Close,
    /// ReadyForQuery.
    Sync,
    /// The same, or nothing: a backend that waits for COPY data ignores a Sync. If the COPY fails before it reads
    /// that far, it does not.
    Perhaps,
    /// An empty query of our own behind such a Sync: what has not come before its answer does not come. Up to
    /// ReadyForQuery, of which the client sees nothing.
    Mark,
    /// ReadyForQuery of a Sync of our own, in front of such an empty query: without one, a backend that reads on without
    /// doing anything would not answer that. The client does not see it.
    Probe,
    /// ReadyForQuery of a series that is said again: the client does not see it.
    Again,
    /// A query of our own: up to ReadyForQuery, of which the client sees nothing.
    Own,
    /// A statement that the client had on another backend, and gets under its own name here: up to ReadyForQuery, of which
    /// it sees nothing.
    Restore(Arc<Statement>),
    /// Nothing from the backend: this is the place of an answer that we give.
    Answer(Answer),
    /// Nothing: here the client ended its COPY data, before we knew that the backend waits for any.
    CopyEnd,
}

/// A statement of which its client asks what it is.
#[derive(Debug)]
pub(super) struct Described {
    /// The client's name; empty: the unnamed one.
    pub(super) name: Box<[u8]>,
    /// What it means.
    pub(super) statement: Arc<Statement>,
}

/// A statement that a backend has parsed as its client said it.
#[derive(Debug)]
pub(super) struct Compared {
    /// Whose it is.
    pub(super) described: Described,
    /// What its parameters are, as soon as the backend has said it.
    pub(super) types: Box<[u8]>,
}

/// A simple query.
#[derive(Debug)]
pub(super) struct Asked {
    /// What it may do.
    pub(super) stateful: Stateful,
    /// Its text, if it may leave something behind.
    pub(super) text: Option<Box<[u8]>>,
    /// The unnamed statement, which it ended.
    pub(super) unnamed: Option<Arc<Statement>>,
    /// All that have names, if it may end those.
    pub(super) forgotten: Option<Forgotten>,
    /// How many of its statements have ended well so far.
    pub(super) done: u32,
    /// Names that it ends one by one and has not ended yet, if it has ended any.
    pub(super) deallocates: Option<VecDeque<Box<[u8]>>>,
    /// Names that it ends although the backend is not told, and has not ended yet.
    pub(super) between: VecDeque<Between>,
}

/// What to put back when a Parse or Close did not happen after all.
#[derive(Debug)]
pub(super) struct Undo {
    /// The client's name; `None` = the unnamed statement.
    pub(super) name: Option<Box<[u8]>>,
    /// What it meant before.
    pub(super) old: Option<Arc<Statement>>,
    /// The statement that the backend would have under its number.
    pub(super) added: Option<Arc<Statement>>,
}

/// What something that is expected will change about statements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Definition<'a> {
    /// The client's name.
    pub(super) name: Option<&'a [u8]>,
    /// The statement on the backend.
    pub(super) id: Option<u64>,
}

impl Undo {
    pub(super) fn name(&self) -> &[u8] {
        self.name.as_deref().unwrap_or_default()
    }
}

/// An answer that we give in the backend's place.
#[derive(Debug)]
pub(super) enum Answer {
    /// ParseComplete: the backend has the statement already.
    Parsed(Undo),
    /// CloseComplete: only the client's name goes.
    Closed(Undo),
    /// CommandComplete of a `DEALLOCATE` that was executed.
    Deallocated(Undo),
    /// Nothing: what the backend has just done takes the name away.
    Gone(Undo),
    /// CommandComplete and ReadyForQuery for a simple query that only concerns names.
    Command(&'static str),
}

impl Expect {
    /// What it defines or takes away, if it does either.
    pub(super) fn definition(&self) -> Option<Definition<'_>> {
        match self {
            Self::Parse(undo)
            | Self::Answer(
                Answer::Parsed(undo) | Answer::Closed(undo) | Answer::Deallocated(undo) | Answer::Gone(undo),
            ) => {
                Some(Definition { name: Some(undo.name()), id: undo.added.as_ref().map(|added| added.id()) })
            }
            Self::Query(_) | Self::Execute(_, Some(_)) => Some(Definition { name: Some(b""), id: None }),
            // What the name means then.
            Self::Compare(Compared { described: Described { name, statement }, .. }) => {
                Some(Definition { name: Some(name), id: Some(statement.id()) })
            }
            // One of a client's own is what its name is.
            Self::Inject(statement) => {
                let name = statement.is_verbatim().then(|| statement.name());
                Some(Definition { name, id: Some(statement.id()) })
            }
            Self::Evict(place) => Some(Definition { name: None, id: Some(place.id()) }),
            _ => None,
        }
    }

    /// Bytes of texts that are kept until it has come.
    pub(super) fn holds(&self) -> usize {
        let body = |statement: &Option<Arc<Statement>>| statement.as_ref().map_or(0, |s| s.bytes());
        match self {
            Self::Parse(undo)
            | Self::Answer(
                Answer::Parsed(undo) | Answer::Closed(undo) | Answer::Deallocated(undo) | Answer::Gone(undo),
            ) => body(&undo.old),
            Self::Query(asked) => body(&asked.unnamed) + asked.text.as_ref().map_or(0, |text| text.len()),
            Self::Execute(statement, _) => body(statement),
            // Sent once more each time, whatever its client said for that.
            Self::Inject(statement) => statement.bytes(),
            Self::Describe(Some(described)) => described.name.len() + described.statement.bytes(),
            _ => 0,
        }
    }

    /// What it may do, if that is more than nothing.
    pub(super) fn stateful(&self) -> Stateful {
        match self {
            Self::Query(asked) => asked.stateful,
            Self::Execute(Some(statement), _) => statement.stateful(),
            _ => Stateful::default(),
        }
    }

    /// Whether it may end the meaning of every name.
    pub(super) fn forgets(&self) -> bool {
        matches!(self, Self::Query(Asked { forgotten: Some(_), .. }) | Self::Execute(_, Some(_)))
    }

    /// Whether a new series begins behind it: an error before it does not reach what follows.
    pub(super) fn is_boundary(&self) -> bool {
        matches!(
            self,
            Self::Sync
                | Self::Perhaps
                | Self::Mark
                | Self::Probe
                | Self::Again
                | Self::Query(_)
                | Self::Function(_)
        )
    }

    /// Whether the backend does not say it, or may not say it.
    pub(super) fn is_ours_to_say(&self) -> bool {
        matches!(self, Self::Answer(_) | Self::CopyEnd | Self::Perhaps)
    }

    /// Whether it is answered as part of a series that an error cuts short up to Sync.
    pub(super) fn is_extended(&self) -> bool {
        matches!(
            self,
            Self::Parse(_)
                | Self::Inject(_)
                | Self::Evict(_)
                | Self::Bind
                | Self::Describe(_)
                | Self::Learn(_)
                | Self::Compare(_)
                | Self::Stale
                | Self::Execute(..)
                | Self::Close
        )
    }
}
