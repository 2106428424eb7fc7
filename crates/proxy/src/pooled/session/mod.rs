//! One pooled client, past login: a future that ends with it.
//!
//! ```text
//!   mod.rs    what it is, and its turns        up.rs     client → backend: checkout, replay, forwarding
//!   leave.rs  giving the backend back          down.rs   backend → client
//!   lost.rs   the backend or compute ends      greet.rs  what a new client is told
//!   times.rs  limits of time, and the counters          depart.rs  it goes on in another process
//!   linger.rs its last words reach it                   ear.rs     which of its sockets are worth reading
//! ```
//!
//! It owns its socket, its share of the link's state, and a backend only while it needs one. It never owns a
//! buffer while nothing is under way. The states are those of the picture in [`super`]; each poll moves bytes as
//! far as they go in both directions, and changes state where the link says that something has ended.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use dormouse_pgwire::ClientError;
use dormouse_pooler::link::{Client, Lost};
use dormouse_pooler::pool::WaiterId;
use dormouse_runtime::gate::Pass;
use tokio::io::AsyncWrite;

use super::client_info::{ClientInfo, Doing};
use super::held::Leased;
use super::listeners::Listening;
use super::pool::Pool;
use super::slot::Slot;
use super::words;
use crate::cancel::Entry;
use crate::outbox::Outbox;
use crate::session::io::Client as Connection;
use crate::stream::ClientStream;
use crate::upstream::journal::{self, Journal};

mod depart;
mod down;
mod ear;
mod greet;
mod leave;
mod linger;
mod lost;
mod own;
mod times;
mod up;

use ear::Ear;

/// So many steps in a row, then others get their turn.
const MAX_TURNS: usize = 32;

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    ClientLeft,
    Told,
    /// It goes on in another process.
    Moved,
}

type Entering = Pin<Box<dyn Future<Output = Result<Pass, ClientError>> + Send>>;

/// What a session is about.
enum Phase {
    /// It waits for its client.
    Idle,
    /// It waits for a backend.
    Waiting(WaiterId, Arc<Slot>),
    /// It waits for a backend of its own, beyond the pool's size: it had one when the compute ended.
    Returning(Arc<Slot>),
    /// It has a backend, which is paused and being woken.
    Entering(Entering),
    /// A query of our own is under way on its backend.
    Own(Purpose),
    /// Bytes go to and fro.
    Linked,
    /// The client is told why, then it ends.
    Farewell,
}

/// What a query of our own is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Is the backend still there?
    Check,
    /// The client's settings and channels, in front of its statement.
    Replay,
    /// What did its transaction leave behind?
    Inspect,
    /// It goes on in a failed transaction, because it lost one with its backend.
    Fail,
}

/// Whether a step moved something, or the session is over.
type Step = Result<bool, Ended>;

/// One client.
pub(super) struct Session {
    pool: Arc<Pool>,
    stream: ClientStream,
    client: Client,
    info: Arc<ClientInfo>,
    phase: Phase,
    /// What the client sent before there was a backend for it.
    input: Vec<u8>,
    outbox: Outbox,
    leased: Option<Leased>,
    lost: Option<Box<Lost>>,
    /// It lost a transaction that it has not ended yet.
    failed: bool,
    /// It has not been greeted yet.
    greet: bool,
    watched: bool,
    /// Its mode is `statement`.
    no_blocks: bool,
    /// It has too much to take along to another process.
    stays: bool,
    /// It could not go on with its backend or give it back, because a cancel request was on its way.
    unsettled: bool,
    /// Its place among those who listen.
    listening: Option<Listening>,
    /// What is logged of it, if anything.
    journal: Option<Box<Journal>>,
    clocks: times::Clocks,
    ears: Ears,
    _cancel: Entry,
}

/// What is known of the sockets that it reads.
#[derive(Debug, Default)]
struct Ears {
    client: Ear,
    backend: Ear,
}

impl Session {
    pub(super) fn new(
        pool: Arc<Pool>,
        connection: Connection,
        client: Client,
        info: Arc<ClientInfo>,
        cancel: Entry,
    ) -> Self {
        Self {
            pool,
            stream: connection.stream,
            client,
            info,
            phase: Phase::Idle,
            input: connection.unread.to_vec(),
            outbox: Outbox::of(connection.unsent),
            leased: None,
            lost: None,
            failed: false,
            greet: true,
            watched: false,
            no_blocks: false,
            stays: false,
            unsettled: false,
            listening: None,
            journal: None,
            clocks: times::Clocks::new(),
            ears: Ears::default(),
            _cancel: cancel,
        }
    }

    /// Its transactions are statements.
    pub(super) fn forbid_blocks(&mut self) {
        self.no_blocks = true;
    }

    /// Has its end logged.
    pub(super) fn keep_journal(&mut self, journal: Option<Box<Journal>>) {
        self.journal = journal;
    }

    /// Moves its socket to the executor that runs this.
    pub(super) fn rehome(&mut self) -> io::Result<()> {
        self.stream.rehome()
    }

    fn poll_session(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        if !self.watched {
            self.watched = true;
            self.info.watch(cx.waker());
        }
        self.clocks.moved();
        self.ears.client.next_poll();
        self.ears.backend.next_poll();
        self.take_left();
        self.settle_again(cx)?;
        self.look_around();
        for _ in 0..MAX_TURNS {
            // What its login has left over goes along with its greeting, if that is known.
            let begins = self.greet && matches!(self.phase, Phase::Idle);
            if !self.outbox.is_empty() && !begins {
                match self.outbox.poll_send(cx, &mut self.stream) {
                    Poll::Ready(Ok(())) => self.settle(cx),
                    Poll::Ready(Err(_)) => return self.has_gone().map(drop),
                    Poll::Pending => {}
                }
            }
            if matches!(self.phase, Phase::Farewell) {
                self.stream.settle();
                self.take_left();
                let over = self.outbox.is_empty() || self.clocks.last_call(cx);
                return if over { Err(Ended::Told) } else { Ok(()) };
            }
            let up = self.up(cx)?;
            let down = self.down(cx)?;
            if !up && !down && !self.out_of_time(cx) {
                return self.depart(cx);
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// What was posted and could not be sent waits for room in front of everything else.
    fn take_left(&mut self) {
        if let Some(left) = self.stream.take_left() {
            self.outbox.put_first(left);
        }
        if let Some(Leased { held, .. }) = &mut self.leased {
            held.take_left();
        }
    }

    /// Takes notice of what others have said about it.
    fn look_around(&mut self) {
        if matches!(self.phase, Phase::Farewell) {
            return;
        }
        if self.info.is_killed() {
            return self.end(&words::killed(self.pool.stands_in, &self.info).encode());
        }
        if self.info.take_alarm() {
            self.compute_ends();
        }
        self.make_way();
        if let Some(listening) = &self.listening {
            if listening.is_late() {
                self.end(&words::not_returned());
            } else {
                self.return_if_wanted();
            }
        }
    }

    /// Whether it has a backend and nothing is under way.
    fn rests(&self) -> bool {
        let idle = self.leased.as_ref().is_some_and(|leased| leased.held.server.is_idle());
        idle && self.input.is_empty() && matches!(self.phase, Phase::Linked)
    }

    /// A listener comes back when somebody waits for that.
    fn return_if_wanted(&mut self) {
        let wanted = self.listening.as_ref().is_some_and(Listening::is_wanted);
        if wanted && self.leased.is_none() && matches!(self.phase, Phase::Idle) {
            self.come_back();
        }
    }

    fn come_back(&mut self) {
        self.info.set(Doing::Waiting, self.clocks.now());
        self.phase = Phase::Returning(self.pool.reopen());
    }

    /// Says why and goes. Without a word when the client has half a message.
    fn end(&mut self, last_words: &[u8]) {
        if self.leased.as_ref().is_none_or(|leased| leased.held.server.is_between()) {
            self.outbox.add(last_words);
        }
        if let Some(journal) = self.journal.take() {
            journal.refused(&self.pool.config(), &journal::words(last_words).unwrap_or_default());
        }
        self.stop_waiting();
        self.clocks.over();
        self.phase = Phase::Farewell;
    }

    /// Once.
    fn log_end(&mut self, why: &str) {
        let Some(journal) = self.journal.take() else { return };
        let config = self.pool.config();
        if config.log_disconnections {
            journal.closing(why);
        }
    }

    /// It wants no backend any more.
    fn stop_waiting(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Waiting(id, slot) => self.pool.abandon(id, &slot),
            Phase::Returning(slot) => {
                if let Some(Ok(lease)) = slot.leave() {
                    self.pool.checkin(lease.backend, lease.receipt, self.clocks.now());
                }
            }
            other => self.phase = other,
        }
    }
}

impl Future for Session {
    type Output = Ended;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let this = self.get_mut();
        match this.poll_session(cx) {
            Ok(()) => Poll::Pending,
            Err(ended) => {
                if ended == Ended::Told {
                    // So that a TLS client sees an orderly end. Best effort: the socket closes right after.
                    let _unsent = Pin::new(&mut this.stream).poll_shutdown(cx);
                    this.linger();
                }
                Poll::Ready(ended)
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.log_end("client close request");
        self.stop_waiting();
        self.pool.part(&self.info);
        self.give_up_backend();
    }
}
