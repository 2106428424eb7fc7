//! One backend of a pool, whoever has it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::task::Context;

use dormouse_base::clock::{self, Mono};
use dormouse_base::{RoleChanges, Timestamp};
use dormouse_pooler::link::{Got, Server, Stateful};
use dormouse_pooler::pool::Receipt;
use dormouse_runtime::gate::{Closing, Gate};

use super::identity::{Identity, Verdict};
use super::replicate::Replication;
use crate::backend_stream::BackendStream;
use crate::outbox::Outbox;
use crate::upstream::journal::Journal;
use crate::wake::{Compute, End, WakeTicket, same_run};
use crate::wire::Line;

/// What can pin a client to its backend, as operators read it.
pub(crate) const PINS: [(Stateful, &str); 5] = [
    (Stateful::ADVISORY, "advisory_lock"),
    (Stateful::LISTEN, "listen"),
    (Stateful::TEMP, "temporary_object"),
    (Stateful::HOLD, "cursor_with_hold"),
    (Stateful::PREPARE, "sql_prepare"),
];

/// When a backend logged in, also by what has happened to roles: since then its role's name may have become another's.
pub(super) struct RoleThen {
    /// What happens to the roles of its compute.
    pub(super) roles: RoleChanges,
    names: u64,
    at: Mono,
    /// Which role that was, where it was asked for.
    pub(super) oid: Option<u32>,
}

impl RoleThen {
    /// It logs in after this.
    pub(super) fn now(compute: &dyn Compute) -> Self {
        let roles = compute.role_changes();
        Self { names: roles.names(), roles, at: Mono::now(), oid: None }
    }

    /// What comes of it when a client gets this.
    pub(super) fn meets(&self, client: &Identity) -> Verdict {
        client.meets(self.oid, self.at)
    }

    /// Whether its role's name may be another role's now.
    fn is_outdated(&self) -> bool {
        self.roles.names() != self.names
    }
}

/// What others need to know of a backend: those who cancel, and those who look.
pub(crate) struct Key {
    /// Its number here.
    pub(crate) number: u32,
    pub(crate) pid: u32,
    pub(crate) secret: Vec<u8>,
    pub(crate) compute: Arc<dyn Compute>,
    pub(super) role_then: RoleThen,
    /// How that run of it ends. Looked at for every transaction, so not asked for each time.
    pub(super) end: End,
    /// When it was opened.
    pub(crate) since: Timestamp,
    /// Where it leads.
    pub(crate) ends: Ends,
    /// What is posted to it.
    line: Option<Arc<Line>>,
    pub(crate) replication: Replication,
    prepared: AtomicUsize,
    /// What pinned its client when it rested last: one bit for each of [`PINS`].
    pins: AtomicU8,
    /// RECONNECT came.
    doomed: AtomicBool,
}

impl Key {
    pub(super) fn new(
        number: u32,
        (pid, secret): (u32, Vec<u8>),
        (compute, role_then): (Arc<dyn Compute>, RoleThen),
        ends: Ends,
    ) -> Self {
        let mut end = compute.closing_at(ends.there);
        if end.borrow().is_some() {
            // So that it is not taken for one that nothing has been heard of.
            end.mark_changed();
        }
        Self {
            number,
            pid,
            secret,
            compute,
            role_then,
            end,
            since: clock::now(),
            ends,
            line: None,
            replication: Replication::None,
            prepared: AtomicUsize::new(0),
            pins: AtomicU8::new(0),
            doomed: AtomicBool::new(false),
        }
    }

    /// The same, of one that sends this log.
    pub(super) fn replicating(self, replication: Replication) -> Self {
        Self { replication, ..self }
    }

    /// The same, of one that is posted to by this.
    pub(super) fn posted_by(self, line: Option<&Arc<Line>>) -> Self {
        Self { line: line.cloned(), ..self }
    }

    /// Whether something is about to be sent to it, which has to arrive before a request to cancel it.
    pub(super) fn is_awaited(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.is_posted())
    }

    /// Whether whoever comes now gets another: RECONNECT came, or its entry or name leads elsewhere.
    pub(super) fn is_replaced(&self) -> bool {
        self.doomed.load(Ordering::Relaxed) || self.leads_elsewhere()
    }

    fn leads_elsewhere(&self) -> bool {
        *self.end.borrow() == Some(Closing::Replaced)
    }

    /// Whether it is closed when it is free: it is to be replaced, or leads to what is there no more.
    pub(crate) fn is_doomed(&self) -> bool {
        self.doomed.load(Ordering::Relaxed) || self.end.borrow().is_some()
    }

    /// It is to be replaced.
    pub(super) fn doom(&self) {
        self.doomed.store(true, Ordering::Relaxed);
    }

    /// Prepared statements that it had when it rested last.
    pub(crate) fn prepared(&self) -> usize {
        self.prepared.load(Ordering::Relaxed)
    }

    /// What pins its client.
    pub(crate) fn pins(&self) -> impl Iterator<Item = &'static str> {
        let bits = self.pins.load(Ordering::Relaxed);
        PINS.into_iter().enumerate().filter(move |(bit, _)| bits & (1 << bit) != 0).map(|(_, (_, name))| name)
    }

    fn rests(&self, pinned: Stateful) {
        let bits = PINS.iter().enumerate().filter(|(_, (pin, _))| pinned.any(*pin));
        self.pins.store(bits.fold(0, |all, (bit, _)| all | 1 << bit), Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// The two ends of a connection to a server that is no compute of ours.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ends {
    /// Theirs; none on a Unix socket.
    pub(crate) there: Option<SocketAddr>,
    /// Ours.
    pub(crate) here: Option<SocketAddr>,
    /// Version and suite; empty without TLS.
    pub(crate) tls: String,
}

/// A backend.
pub(crate) struct Held {
    pub(super) stream: BackendStream,
    pub(super) server: Server,
    pub(super) gate: Arc<Gate>,
    /// Whether it counts as work.
    pub(super) inside: bool,
    /// Not yet taken by it.
    pub(super) outbox: Outbox,
    /// Its client broke off in the middle of a message: whatever followed would be taken for the rest.
    pub(super) half_told: bool,
    /// What a cancel request for it says.
    pub(super) key: Arc<Key>,
    /// What is logged of it, if anything.
    pub(super) journal: Option<Box<Journal>>,
    /// Present when the wake of its compute is being measured and no row has come.
    pub(super) ticket: Option<Box<dyn WakeTicket>>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("key", &self.key).field("server", &self.server).finish_non_exhaustive()
    }
}

impl Held {
    /// Whether it still waits for a command, as one that nobody uses should, and is of the role that its name means. Costs
    /// no system call while nothing has come from it.
    pub(super) fn is_fresh(&self) -> bool {
        // Mostly nothing has been heard of its end, and seeing that needs no lock.
        let heard = !matches!(self.key.end.has_changed(), Ok(false));
        if heard && self.key.end.borrow().is_some_and(|closing| closing != Closing::Draining) {
            return false;
        }
        !self.key.role_then.is_outdated() && self.stream.is_silent()
    }

    /// Whether who comes now gets another.
    pub(super) fn leads_elsewhere(&self) -> bool {
        self.key.leads_elsewhere()
    }

    /// What it calls itself, as far as PostgreSQL has told.
    pub(super) fn application(&self) -> String {
        self.server.reported().get("application_name").unwrap_or_default().to_owned()
    }

    /// Sends bytes to it, and keeps what cannot be sent now. Whether it is still there is told by reading.
    pub(super) fn say(&mut self, cx: &mut Context<'_>, bytes: &[u8]) {
        if self.outbox.is_empty() && self.stream.post(cx, bytes) {
            return;
        }
        let _told_by_reading = self.outbox.poll_chunk(cx, &mut self.stream, bytes);
    }

    /// What was posted and could not be sent waits for room in front of everything else.
    pub(super) fn take_left(&mut self) {
        if let Some(left) = self.stream.line().and_then(|line| line.take_left()) {
            self.outbox.put_first(left);
        }
    }

    /// Begins to count as work, if the compute is awake.
    pub(super) fn enter(&mut self) -> bool {
        self.inside = self.inside || self.gate.try_enter();
        self.inside
    }

    /// Before anybody is told what came of it.
    pub(super) fn note_roles(&mut self, got: &Got) {
        if got.roles_changed {
            match self.server.take_roles_renamed() {
                true => self.key.role_then.roles.renamed(),
                false => self.key.role_then.roles.happened(),
            }
        }
    }

    /// Its connection ends: nobody will tell what became of what is under way.
    pub(super) fn note_loss(&self) {
        if self.server.may_rename_roles() {
            self.key.role_then.roles.renamed();
        } else if self.server.may_change_roles() {
            self.key.role_then.roles.happened();
        }
    }

    /// Does not count as work any more.
    pub(super) fn leave(&mut self) {
        self.key.rests(self.server.pinned());
        self.key.prepared.store(self.server.prepared(), Ordering::Relaxed);
        if std::mem::take(&mut self.inside) {
            self.gate.leave();
        }
    }

    /// Whether it is of this run of a compute.
    pub(super) fn is_of(&self, run: &End) -> bool {
        same_run(&self.key.end, run)
    }
}

/// A backend that is lent to a client.
#[derive(Debug)]
pub(super) struct Leased {
    pub(super) held: Box<Held>,
    pub(super) receipt: Receipt,
    /// It was idle for long: it is asked whether it is still there before it gets a statement.
    pub(super) check: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.note_loss();
        self.leave();
    }
}
