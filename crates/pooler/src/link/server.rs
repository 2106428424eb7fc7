//! What is known of a backend.

use std::collections::{BTreeSet, VecDeque};

use dormouse_pgwire::backend::{ErrorResponse, TxStatus};
use dormouse_pgwire::scan::RoleWatch;

use super::again::Series;
use super::client::Client;
use super::down::Explained;
use super::expect::Expect;
use super::inspect::Findings;
use super::naming::Naming;
use super::portal::{Bound, Portals};
use super::resets::Resets;
use super::stateful::Stateful;
use crate::settings::{Reported, Settings, Tracker};
use crate::statement::Prepared;

/// The first version of PostgreSQL that [`Server::breaks_off`] is about.
const LOSES_ITS_PLACE: u32 = 18;

/// Bytes of texts that what is expected may keep in memory or have sent again, the last one apart.
const MAX_HELD: usize = 16 << 20;

/// One backend of a pool.
#[derive(Debug)]
pub struct Server {
    pub(super) prepared: Prepared,
    /// Settings that it has beside its defaults.
    pub(super) applied: Settings,
    pub(super) status: TxStatus,
    pub(super) expect: VecDeque<Expect>,
    /// How many of them define a statement, or take one away.
    pub(super) definitions: usize,
    /// The beginning of a message whose rest has not come.
    pub(super) partial: Vec<u8>,
    /// Bytes to come of a message that is being passed on.
    pub(super) passing: usize,
    /// Of a message that is left out.
    pub(super) dropping: usize,
    /// It waits for COPY data from the client.
    pub(super) copy_in: bool,
    /// After an error it reads nothing up to the next Sync.
    pub(super) skipping: bool,
    /// It was sent something that only a Sync ends.
    pub(super) unsynced: bool,
    /// What this transaction did that outlives it.
    pub(super) touched: Stateful,
    /// An error came since it was idle last.
    pub(super) erred: bool,
    /// What keeps its client on it.
    pub(super) pinned: Stateful,
    /// What must be found out before it can be given to another client.
    pub(super) ask: Stateful,
    /// The answers of our own query.
    pub(super) own: Option<Findings>,
    /// No other client may have it any more.
    pub(super) spoiled: bool,
    /// What it has told of its settings.
    pub(super) reported: Reported,
    pub(super) under_way: UnderWay,
    pub(super) process: Process,
}

/// What is half done.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    /// Before so many bytes of `partial` are there it says nothing.
    pub(super) needs: usize,
    /// It was sent the beginning of a message, whose rest the client has not said yet.
    pub(super) inside: bool,
    /// Those that must be known when they are executed.
    pub(super) portals: Portals,
    /// Statements of portals that SQL's FETCH may have executed in this transaction: what they may leave behind is noted.
    pub(super) fetched: BTreeSet<u64>,
    /// Settings go back to the backend's defaults, which may not be what its client began with: what follows waits
    /// until that is put right.
    pub(super) reset: bool,
    /// What was reset since the last question about settings, or transaction that left none.
    pub(super) resets: Resets,
    /// A transaction block was begun in this series, which the backend has not told in a ReadyForQuery yet.
    pub(super) block: bool,
    /// This transaction has changed tables, types or the like.
    pub(super) defined: bool,
    /// Something that changes tables or the like, or takes that back, may be among what was sent.
    pub(super) defining: bool,
    /// COPY data may have ended, or a Sync among it, of which it is not known whether the backend reads it so.
    pub(super) data: bool,
    /// Only an empty query of our own will tell whether a Sync was ignored: it goes behind what was sent.
    pub(super) mark: bool,
    /// See [`Server::breaks_off`].
    pub(super) astray: bool,
    /// What its client says, in case it must be said again.
    pub(super) series: Series,
    /// Bytes of texts in what is expected, and was since nothing was.
    pub(super) held: usize,
    /// How texts are read on it meanwhile.
    pub(super) reads: Reads,
    /// The role of a client that began with one, as long as a transaction may change it: see [`super::down`].
    pub(super) role: Option<Box<Tracker>>,
    /// What it had reported before any of that changed in this transaction.
    pub(super) reported: Option<Reported>,
    /// What texts told of that.
    pub(super) explained: Explained,
    /// Whether this transaction may change what roles must prove.
    pub(super) roles: RoleWatch,
    /// What its client has bound last in this series, if nobody was told yet what that returns.
    pub(super) bound: Bound,
}

/// How texts are read on a backend, apart from what it reported and its client wants.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Stands for what statements changed since, whose outcome is not known or that lasts as long as the transaction;
    /// 0 = nothing.
    pub(super) changed: u64,
}

/// The process behind the connection.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// In its name its client's own notifications come; 0 = not known.
    pub(super) pid: u32,
    /// The error with which it ended the connection.
    pub(super) last_words: Option<Box<ErrorResponse>>,
    /// It may have settings that PostgreSQL does not list and whose names nobody knows: all are reset before another
    /// client has it.
    pub(super) unlisted: bool,
    /// SQL may have prepared statements on it that leave something behind when they are executed.
    pub(super) latent: bool,
    /// What every transaction may do now, whatever its text says.
    pub(super) watched: Stateful,
    /// Who names the statements on it.
    pub(super) naming: Naming,
}

impl Server {
    /// A backend that has just become ready, and told this of its settings.
    #[must_use]
    pub fn new(status: TxStatus, reported: Reported) -> Self {
        let mut server = Self {
            prepared: Prepared::default(),
            applied: Settings::default(),
            status,
            expect: VecDeque::new(),
            definitions: 0,
            partial: Vec::new(),
            passing: 0,
            dropping: 0,
            copy_in: false,
            skipping: false,
            unsynced: false,
            touched: Stateful::default(),
            erred: false,
            pinned: Stateful::default(),
            ask: Stateful::default(),
            own: None,
            spoiled: false,
            reported,
            under_way: UnderWay::default(),
            process: Process::default(),
        };
        server.watch_settings();
        server
    }

    /// The same with its process number.
    #[must_use]
    pub fn with_pid(mut self, pid: u32) -> Self {
        self.process.pid = pid;
        self
    }

    /// One more reply is expected.
    pub(super) fn push(&mut self, expect: Expect) {
        self.definitions += usize::from(expect.definition().is_some());
        self.under_way.held += expect.holds();
        self.expect.push_back(expect);
    }

    /// The first of them has come.
    pub(super) fn pop(&mut self) -> Option<Expect> {
        let expect = self.expect.pop_front()?;
        self.definitions -= usize::from(expect.definition().is_some());
        if self.expect.is_empty() {
            self.under_way.held = 0;
            self.under_way.defining = false;
        }
        Some(expect)
    }

    /// Whether this changes tables or the like, or may take back that this transaction has.
    pub(super) fn may_define(&self, stateful: Stateful) -> bool {
        stateful.any(Stateful::DEFINES) || self.under_way.defined && stateful.any(Stateful::TRANSACTION)
    }

    /// Whether something that does may not have happened yet: what the backend has parsed up to now may be older than
    /// its tables when it comes to the next message.
    pub(super) fn is_defining(&mut self) -> bool {
        if self.under_way.defining {
            self.under_way.defining = self.expect.iter().any(|expect| self.may_define(expect.stateful()));
        }
        self.under_way.defining
    }

    /// Whether it is open what the backend does with a statement that is sent now: it may be reading COPY data, or have
    /// given that up and be reading on without doing anything, up to the next Sync.
    pub(super) fn is_among_data(&mut self) -> bool {
        if self.under_way.data {
            let open = |expect: &Expect| matches!(expect, Expect::CopyEnd | Expect::Perhaps);
            self.under_way.data = self.expect.iter().any(open);
        }
        self.under_way.data
    }

    /// The place of what comes behind the first thing that is expected, and what we say behind that.
    pub(super) fn behind_answers(&self) -> usize {
        1 + self.expect.iter().skip(1).take_while(|next| matches!(next, Expect::Answer(_))).count()
    }

    /// Whether what is expected keeps so many texts in memory that a client must wait before it says more of them.
    pub(super) fn holds_much(&self) -> bool {
        self.under_way.held > MAX_HELD && !self.expect.is_empty()
    }

    /// Whether it is open what a name or a statement will be when the backend reads the next message: an earlier
    /// series of messages, whose outcome is not known, is about it too.
    pub(super) fn is_unsure(&self, name: Option<&[u8]>, id: Option<u64>) -> bool {
        if self.definitions == 0 {
            return false;
        }
        let begin = self.expect.iter().rposition(Expect::is_boundary).map_or(0, |at| at + 1);
        let named = |expect: &Expect| name.is_some() && expect.definition().is_some_and(|d| d.name == name);
        let earlier = self.expect.range(..begin);
        if name.is_some() && earlier.clone().any(Expect::forgets) {
            return true;
        }
        let by_name = self.expect.range(begin..).all(|expect| !named(expect)) && earlier.clone().any(named);
        by_name
            || earlier.clone().any(|expect| id.is_some() && expect.definition().is_some_and(|d| d.id == id))
    }

    /// Whether nothing is under way: it waits for the next command.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.expect.is_empty()
            && !self.skipping
            && !self.unsynced
            && !self.copy_in
            && !self.under_way.inside
            && self.partial.is_empty()
            && self.passing == 0
            && self.dropping == 0
    }

    /// Whether its client has got whole messages only, so that another may follow.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.passing == 0
    }

    /// Whether another backend can be made to look like this one to its client: it is idle, and what outlives
    /// the transaction is known and can be had again, as settings, prepared statements and channels can.
    #[must_use]
    pub fn can_be_rebuilt(&self) -> bool {
        self.is_idle() && !self.spoiled && self.unrebuildable().is_empty() && !self.ask.any(Stateful::LASTING)
    }

    /// What its client has on it that no other backend can be given.
    #[must_use]
    pub fn unrebuildable(&self) -> Stateful {
        self.pinned.without(Stateful::LISTEN)
    }

    /// All is answered, outside a transaction: unless something has yet to be asked, texts are read as its settings say.
    pub(super) fn settle(&mut self) {
        let open = Stateful::SETTING.with(Stateful::UNKNOWN_SETTING);
        if self.under_way.reads.changed != 0
            && self.expect.is_empty()
            && self.status == TxStatus::Idle
            && !self.ask.any(open)
        {
            self.under_way.reads.changed = 0;
        }
    }

    /// Whether it is at rest outside a transaction.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.is_at_rest() && self.status == TxStatus::Idle
    }

    /// Whether another client may have it now.
    #[must_use]
    pub fn is_free(&self, client: &Client) -> bool {
        self.is_idle()
            && client.passing == 0
            && client.dropping == 0
            && !client.stalled
            && !client.keeps
            && self.pinned.is_empty()
            && self.ask.is_empty()
            && !self.process.naming.is_clients()
    }

    /// What has to be found out before it is free, if it is idle otherwise: see [`super::inspect`].
    #[must_use]
    pub fn must_ask(&self) -> bool {
        !self.ask.is_empty() && self.is_idle()
    }

    /// The transaction state that it told last.
    #[must_use]
    pub fn status(&self) -> TxStatus {
        self.status
    }

    /// What keeps its client on it.
    #[must_use]
    pub fn pinned(&self) -> Stateful {
        self.pinned
    }

    /// Whether it must be closed instead of being given to another client.
    #[must_use]
    pub fn is_spoiled(&self) -> bool {
        self.spoiled
    }

    /// Whether the session that has it may have left something behind.
    #[must_use]
    pub fn is_tainted(&self) -> bool {
        !self.pinned.is_empty() || !self.ask.is_empty() || !self.touched.with(self.process.watched).is_empty()
    }

    /// A simple query or a call comes in the middle of a series. From 18 on PostgreSQL loses its place then: it refuses the
    /// first command behind the Sync, which is not to be another client's.
    pub(super) fn breaks_off(&mut self) {
        let version = || self.reported.get("server_version")?.split(['.', ' ']).next()?.parse::<u32>().ok();
        if self.unsynced && version().is_some_and(|major| major >= LOSES_ITS_PLACE) {
            (self.spoiled, self.under_way.astray) = (true, true);
        }
        self.unsynced = false;
    }

    /// Whether it had lost its place and has refused a command for that. True once: it is all right now.
    pub fn has_refused(&mut self) -> bool {
        std::mem::take(&mut self.under_way.astray)
    }

    /// It must be closed instead of being given to another client.
    pub fn spoil(&mut self) {
        self.spoiled = true;
    }

    /// Why our own query failed, if the last one did.
    #[must_use]
    pub fn own_error(&self) -> Option<&str> {
        self.own.as_ref().and_then(Findings::error)
    }

    /// How many statements it has.
    #[must_use]
    pub fn prepared(&self) -> usize {
        self.prepared.len()
    }

    /// What it has told of its settings.
    #[must_use]
    pub fn reported(&self) -> &Reported {
        &self.reported
    }

    /// The error with which PostgreSQL ended the connection, if it said one.
    #[must_use]
    pub fn last_words(&self) -> Option<&ErrorResponse> {
        self.process.last_words.as_deref()
    }

    /// Replies that are expected.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.expect.len()
    }
}
