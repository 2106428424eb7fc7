//! What a backend will answer, in order.

use std::sync::Arc;

use crate::statement::Statement;

/// One thing that is expected.
#[derive(Debug)]
pub(super) enum Expect {
    /// A simple query of the client: everything up to ReadyForQuery. The text, if it may leave something behind.
    Query(Option<Box<[u8]>>),
    /// A call of the old fast path: up to ReadyForQuery.
    Function,
    /// The client's Parse: ParseComplete.
    Parse(Undo),
    /// Our own Parse: ParseComplete, which the client does not see.
    Inject(Arc<Statement>),
    /// Our own Close: CloseComplete, which the client does not see.
    Evict(Arc<Statement>),
    /// BindComplete.
    Bind,
    /// RowDescription or NoData.
    Describe,
    /// Up to CommandComplete, EmptyQueryResponse or PortalSuspended. The statement, if it may leave something
    /// behind.
    Execute(Option<Arc<Statement>>),
    /// The client's Close of a portal or of a name we do not know: CloseComplete.
    Close,
    /// ReadyForQuery.
    Sync,
    /// A query of our own: up to ReadyForQuery, of which the client sees nothing.
    Own,
    /// Nothing from the backend: this is the place of an answer that we give.
    Answer(Answer),
    /// Nothing: here the client ended its COPY data, before we knew that the backend waits for any.
    CopyEnd,
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
    /// CommandComplete and ReadyForQuery for a simple query that only concerns names.
    Command(&'static str),
}

impl Expect {
    /// Whether it is answered as part of a series that an error cuts short up to Sync.
    pub(super) fn is_extended(&self) -> bool {
        matches!(self, Self::Parse(_) | Self::Inject(_) | Self::Evict(_) | Self::Bind | Self::Describe | Self::Execute(_) | Self::Close)
    }
}
