//! What the operator sees of a pooled client, and how to end it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::{Timestamp, clock, rand};
use dormouse_pgwire::Encode;
use dormouse_pgwire::backend::BackendKeyData;
use parking_lot::Mutex;

use super::held::Key;
use super::identity::Identity;
use super::replicate::Replication;
use crate::cancel::PooledKey;
use crate::stream::ClientStream;
use crate::upstream::peers;

/// The process numbers of pooled clients begin here, above those of processes.
const FIRST_PID: u32 = 1 << 30;

/// Stands for the limit that its pool has.
const AS_THE_POOL: u64 = u64::MAX;

/// How a client was ended by an operator: by KILL, or because everything ends.
const KILLED: u8 = 1;
const DISMISSED: u8 = 2;

/// What a client is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Doing {
    /// It has no backend and wants none.
    Idle = 0,
    /// It waits for a backend.
    Waiting = 1,
    /// It has one.
    Linked = 2,
}

/// A client of a pool.
#[derive(Debug)]
pub(crate) struct ClientInfo {
    pub(crate) id: u32,
    pid: u32,
    secret: [u8; 4],
    pub(crate) peer: SocketAddr,
    pub(crate) connection: Connection,
    /// As whom it logged in, if not as its pool's role.
    pub(crate) user: Option<Box<str>>,
    /// Which role that was then.
    pub(crate) identity: Identity,
    pub(crate) since: Timestamp,
    /// What it called itself when it came.
    pub(crate) application: String,
    pub(crate) replication: Replication,
    doing: AtomicU8,
    /// [`KILLED`], [`DISMISSED`], or neither.
    ended: AtomicU8,
    /// RECONNECT came, and nobody is to be waited for.
    hurried: AtomicBool,
    /// The compute of its backend begins to end.
    alarmed: AtomicBool,
    waker: Mutex<Option<Waker>>,
    link: Mutex<Link>,
    /// Cancel requests that are being delivered; changed under the lock of `link`. As long as there are any, the
    /// backend serves nobody else: PostgreSQL cancels whatever the process does when the signal comes.
    flying: AtomicU32,
    /// What its backend does is the client's, not a question of ours; becomes false under the lock of `link`.
    shown: AtomicBool,
    /// Prepared statements that it had when it rested last.
    prepared: AtomicUsize,
    /// Its own `client_idle_timeout` in microseconds.
    idle_limit: AtomicU64,
}

/// What is known of a client's connection, beside the address of its other end.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    /// Our end; none on a Unix socket.
    pub(crate) here: Option<SocketAddr>,
    /// The process at the other end of a Unix socket; else zero.
    pub(crate) process: u32,
    /// Version and suite; none without TLS.
    pub(crate) tls: Option<Box<str>>,
}

/// What a cancel request of a client means at the moment.
#[derive(Debug)]
pub(crate) enum Aim {
    /// Nothing: it has no backend.
    Nothing,
    /// Its statement, which is about to be sent, or comes when its backend has answered us.
    Later,
    /// What this backend does. [`ClientInfo::end_cancel`] is owed.
    Now(Arc<Key>),
}

/// Its backend: the one that a cancel request would mean now.
#[derive(Debug)]
struct Link {
    target: Option<Arc<Key>>,
    /// Since when it does what it is doing.
    since: Mono,
}

impl ClientInfo {
    pub(super) fn new(id: u32, peer: SocketAddr, application: String) -> Self {
        Self {
            id,
            pid: FIRST_PID | id,
            secret: rand::bytes(),
            peer,
            connection: Connection::default(),
            user: None,
            identity: Identity::new(None, Mono::now()),
            since: clock::now(),
            application,
            replication: Replication::None,
            doing: AtomicU8::new(0),
            ended: AtomicU8::new(0),
            hurried: AtomicBool::new(false),
            alarmed: AtomicBool::new(false),
            waker: Mutex::new(None),
            link: Mutex::new(Link { target: None, since: Mono::now() }),
            flying: AtomicU32::new(0),
            shown: AtomicBool::new(false),
            prepared: AtomicUsize::new(0),
            idle_limit: AtomicU64::new(AS_THE_POOL),
        }
    }

    /// The same with the key that it was told by another process.
    pub(super) fn with_key(self, (pid, secret): (u32, Vec<u8>)) -> Self {
        let secret = secret.try_into().unwrap_or(self.secret);
        Self { pid, secret, ..self }
    }

    /// The same at the process of this number among its peers; 0: it has none.
    pub(super) fn at_peer(self, peer_id: u32) -> Self {
        Self { pid: peers::mark(FIRST_PID, self.id, peer_id), ..self }
    }

    /// The same, of a role of which this is known.
    pub(super) fn of_role(self, oid: Option<u32>) -> Self {
        Self { identity: Identity::new(oid, self.identity.at()), ..self }
    }

    /// The same, of a client that logged in as somebody else than its pool's role.
    pub(super) fn named(self, user: Option<&str>) -> Self {
        Self { user: user.map(Box::from), ..self }
    }

    /// The same, encrypted in this way, if it is.
    pub(super) fn over(self, tls: String) -> Self {
        let tls = Some(tls).filter(|tls| !tls.is_empty()).map(String::into_boxed_str);
        Self { connection: Connection { tls, ..self.connection }, ..self }
    }

    /// The same, of a client that wants this log.
    pub(super) fn replicating(self, replication: Replication) -> Self {
        Self { replication, ..self }
    }

    /// The same, whose connection has these ends.
    pub(super) fn between(self, here: Option<SocketAddr>, process: u32) -> Self {
        Self { connection: Connection { here, process, ..self.connection }, ..self }
    }

    /// The same, whose connection is this one.
    pub(super) fn at(self, stream: &ClientStream) -> Self {
        let process = stream.owner().map_or(0, |(_, process)| process);
        self.between(stream.here(), process)
    }

    /// Prepared statements that it had when it rested last.
    pub(crate) fn prepared(&self) -> usize {
        self.prepared.load(Ordering::Relaxed)
    }

    /// It rests, with so many prepared statements.
    pub(super) fn rests(&self, prepared: usize) {
        self.prepared.store(prepared, Ordering::Relaxed);
    }

    /// How long it may be idle, if that is not its pool's to say; zero: for ever.
    pub(super) fn idle_limit(&self) -> Option<Duration> {
        let micros = self.idle_limit.load(Ordering::Relaxed);
        (micros != AS_THE_POOL).then(|| Duration::from_micros(micros))
    }

    /// The role that it logged in as says how long it may be idle.
    pub(super) fn limit_idle(&self, limit: Duration) {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(AS_THE_POOL);
        self.idle_limit.store(micros, Ordering::Relaxed);
    }

    /// Its key: what a cancel request of it says.
    pub(crate) fn key(&self) -> PooledKey {
        (self.pid, self.secret)
    }

    /// The same as a message.
    pub(super) fn key_data(&self) -> Vec<u8> {
        let (pid, secret) = self.key();
        BackendKeyData::new(pid, secret.to_vec()).encode()
    }

    /// What it is doing.
    pub(crate) fn doing(&self) -> Doing {
        match self.doing.load(Ordering::Relaxed) {
            1 => Doing::Waiting,
            2 => Doing::Linked,
            _ => Doing::Idle,
        }
    }

    /// For how long it has been doing that.
    pub(crate) fn doing_for(&self) -> Duration {
        self.doing_since().elapsed()
    }

    /// Since when it has been doing that.
    pub(super) fn doing_since(&self) -> Mono {
        self.link.lock().since
    }

    pub(super) fn set(&self, doing: Doing, now: Mono) {
        self.link.lock().since = now;
        self.doing.store(doing as u8, Ordering::Relaxed);
    }

    /// It has this backend now, which is hidden at first.
    pub(super) fn link(&self, key: &Arc<Key>, now: Mono) {
        let mut link = self.link.lock();
        self.shown.store(false, Ordering::Release);
        if !link.target.as_ref().is_some_and(|known| Arc::ptr_eq(known, key)) {
            // What was said of another is not said of this one.
            self.hurried.store(false, Ordering::Release);
        }
        (link.target, link.since) = (Some(Arc::clone(key)), now);
        self.doing.store(Doing::Linked as u8, Ordering::Relaxed);
    }

    /// It has none any more; false while a cancel request is on its way to it.
    pub(super) fn unlink(&self, now: Mono) -> bool {
        let mut link = self.link.lock();
        if self.cancels() > 0 {
            return false;
        }
        (link.target, link.since) = (None, now);
        self.doing.store(Doing::Idle as u8, Ordering::Relaxed);
        true
    }

    /// It has lost the one that it had.
    pub(super) fn lose(&self, now: Mono) {
        let mut link = self.link.lock();
        (link.target, link.since) = (None, now);
        self.doing.store(Doing::Idle as u8, Ordering::Relaxed);
    }

    /// What its backend does now is ours: cancel requests wait. False while one is on its way.
    pub(super) fn hide(&self) -> bool {
        if !self.shown.load(Ordering::Relaxed) {
            return true;
        }
        let _link = self.link.lock();
        let hidden = self.cancels() == 0;
        self.shown.store(!hidden, Ordering::Release);
        hidden
    }

    /// What its backend does now is the client's.
    pub(super) fn show(&self) {
        if !self.shown.load(Ordering::Relaxed) {
            self.shown.store(true, Ordering::Release);
        }
    }

    /// Its backend.
    pub(crate) fn linked(&self) -> Option<Arc<Key>> {
        self.link.lock().target.clone()
    }

    /// Cancel requests of it that are on their way.
    pub(crate) fn cancels(&self) -> u32 {
        self.flying.load(Ordering::Acquire)
    }

    /// Begins to cancel what its backend does.
    pub(crate) fn begin_cancel(&self) -> Aim {
        let link = self.link.lock();
        match &link.target {
            None => Aim::Nothing,
            Some(target) if !self.shown.load(Ordering::Acquire) || target.is_awaited() => Aim::Later,
            Some(target) => {
                self.flying.fetch_add(1, Ordering::AcqRel);
                Aim::Now(Arc::clone(target))
            }
        }
    }

    /// The request has been delivered, or could not be.
    pub(crate) fn end_cancel(&self) {
        {
            let _link = self.link.lock();
            self.flying.fetch_sub(1, Ordering::AcqRel);
        }
        self.wake();
    }

    /// Its backend's compute begins to end.
    pub(super) fn alarm(&self) {
        self.alarmed.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn take_alarm(&self) -> bool {
        self.alarmed.load(Ordering::Relaxed) && self.alarmed.swap(false, Ordering::AcqRel)
    }

    /// Has its session look around.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.lock() {
            waker.wake_by_ref();
        }
    }

    /// Ends its session if it rests and keeps a backend that is to be closed.
    pub(super) fn hurry(&self) {
        self.hurried.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn is_hurried(&self) -> bool {
        self.hurried.load(Ordering::Relaxed)
    }

    pub(super) fn take_hurry(&self) -> bool {
        self.hurried.swap(false, Ordering::AcqRel)
    }

    /// Ends its session, as an administrator's wish.
    pub(crate) fn kill(&self) {
        self.end(KILLED);
    }

    /// The same, because everything ends.
    pub(crate) fn dismiss(&self) {
        self.end(DISMISSED);
    }

    fn end(&self, how: u8) {
        self.ended.store(how, Ordering::Release);
        self.wake();
    }

    pub(super) fn is_dismissed(&self) -> bool {
        self.ended.load(Ordering::Acquire) == DISMISSED
    }

    pub(super) fn is_killed(&self) -> bool {
        self.ended.load(Ordering::Acquire) != 0
    }

    /// Returns when it is killed.
    pub(super) async fn until_killed(&self) {
        std::future::poll_fn(|cx| {
            self.watch(cx.waker());
            if self.is_killed() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Whom to wake when it is killed.
    pub(super) fn watch(&self, waker: &Waker) {
        *self.waker.lock() = Some(waker.clone());
    }
}
