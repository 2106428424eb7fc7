//! What a statement does to its session, if it succeeds.
//!
//! Names are as PostgreSQL would keep them: folded to lower case unless quoted, cut to 63 bytes. Texts are
//! borrowed from the statement wherever it spells them as they are.

use std::borrow::Cow;

/// One effect of one statement. Several may come from one statement, in the order in which they happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect<'a> {
    /// The next statement of the text begins. Not given before the first, so most texts never see it.
    NextStatement,
    /// `SET name …`, and the spellings that are the same thing: `SET TIME ZONE`, `SET NAMES`, `SET SCHEMA`,
    /// `SET XML OPTION`, `SET SESSION CHARACTERISTICS` (of which each mode is one of these).
    Set {
        /// The setting, as written apart from its case. PostgreSQL compares these without regard to case.
        name: Cow<'a, str>,
        /// What it becomes.
        value: Value<'a>,
        /// Only until the transaction ends.
        local: bool,
    },
    /// `SET ROLE`, `RESET ROLE`.
    SetRole {
        /// The role; "none" is the one that logged in, `None` what the session began with.
        value: Option<Cow<'a, str>>,
        /// Only until the transaction ends.
        local: bool,
    },
    /// `SET SESSION AUTHORIZATION` and its `RESET`. The role of `SET ROLE` is gone after it.
    SetSessionAuthorization {
        /// The role; `None` is the one that logged in.
        value: Option<Cow<'a, str>>,
        /// Only until the transaction ends.
        local: bool,
    },
    /// `RESET name`.
    Reset(Cow<'a, str>),
    /// `RESET ALL`, which leaves role and session authorization alone.
    ResetAll,
    /// `DISCARD ALL`.
    DiscardAll,
    /// `DISCARD` of one kind.
    Discard(Discarded),
    /// `PREPARE name AS …`.
    Prepare(Cow<'a, str>),
    /// What was prepared has effects of its own each time it is executed.
    Latent,
    /// `EXECUTE name`, also inside `EXPLAIN` and `CREATE TABLE … AS`.
    Execute(Cow<'a, str>),
    /// `DEALLOCATE name`.
    Deallocate(Cow<'a, str>),
    /// `DEALLOCATE ALL`.
    DeallocateAll,
    /// `LISTEN channel`.
    Listen(Cow<'a, str>),
    /// `UNLISTEN channel`.
    Unlisten(Cow<'a, str>),
    /// `UNLISTEN *`.
    UnlistenAll,
    /// `NOTIFY`, which leaves nothing behind.
    Notify,
    /// A temporary table, view, sequence, function or type comes into being.
    TempObject,
    /// `DECLARE … WITH HOLD`: a cursor that outlives the transaction.
    HoldCursor,
    /// `FETCH` and `MOVE`: a cursor is read, or a portal of the protocol's, which goes by a name of the same kind.
    Fetch,
    /// `CLOSE name`; `CLOSE ALL` is `None`.
    CloseCursor(Option<Cow<'a, str>>),
    /// A session-level advisory lock is asked for, and perhaps got (`pg_try_…`).
    AdvisoryLock,
    /// One is given back. They count, and this one may not have been held: the last need not be gone.
    AdvisoryUnlock,
    /// All are given back.
    AdvisoryUnlockAll,
    /// A call of `set_config`, or an `UPDATE` of `pg_settings`.
    SetConfig {
        /// The setting, when a literal says it.
        name: Option<Cow<'a, str>>,
        /// The value, when a literal or parameter says it and the call certainly happens once.
        value: Option<Given<'a>>,
        /// Whether it ends with the transaction, when a literal says it.
        local: Option<bool>,
    },
    /// `BEGIN`, `START TRANSACTION`.
    Begin,
    /// `COMMIT`, `END`, `PREPARE TRANSACTION`. In a failed transaction this is a [`Effect::Rollback`].
    Commit,
    /// `ROLLBACK`, `ABORT`.
    Rollback,
    /// `SAVEPOINT name`.
    Savepoint(Cow<'a, str>),
    /// `ROLLBACK TO name`.
    RollbackTo(Cow<'a, str>),
    /// `RELEASE name`.
    Release(Cow<'a, str>),
    /// `COPY … FROM STDIN`, `COPY … TO STDOUT`.
    Copy,
    /// `LOAD`: the backend has this library until it ends.
    Load,
    /// `DO`, or a function whose name is hidden by `U&"…"`: may do anything.
    Do,
    /// `CALL`: may do anything.
    Call,
}

/// What a setting becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// The text that `set_config` would be given for the same thing.
    Plain(Cow<'a, str>),
    /// `DEFAULT`: as `RESET`.
    Default,
    /// Something that could not be read: the statement, as it is.
    Text(Cow<'a, str>),
}

/// The value that `set_config` is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given<'a> {
    /// By a literal.
    Text(Cow<'a, str>),
    /// By a parameter of the statement: its number, from 1.
    Parameter(u16),
}

impl Given<'_> {
    /// What the text itself tells of it.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Parameter(_) => None,
        }
    }
}

/// What `DISCARD` throws away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discarded {
    /// Cached plans.
    Plans,
    /// What sequences have cached.
    Sequences,
    /// All temporary tables.
    Temp,
}

/// What a text is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    /// How many statements there are; 0 is the empty query.
    pub statements: usize,
    /// Whether one of them begins, ends or divides a transaction.
    pub transaction_control: bool,
    /// Whether one of them may change tables, types or the like: whatever is not known to do nothing of that kind.
    pub defines: bool,
}
