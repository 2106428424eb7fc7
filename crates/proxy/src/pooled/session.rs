//! One pooled client, past login: a future that ends with it.
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
use dormouse_pooler::link::{self, Client, Loss, Lost, Sent};
use dormouse_pooler::pool::{Lease, WaiterId};
use dormouse_runtime::gate::{Closing, Pass};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::client_info::{ClientInfo, Doing};
use super::held::Leased;
use super::io::{Outbox, with_buffers};
use super::pool::{Pool, Taken};
use super::retire::retire;
use super::slot::Slot;
use super::words;
use crate::cancel::Entry;
use crate::session::help;
use crate::session::io::Client as Connection;
use crate::stream::ClientStream;

/// So many steps in a row, then others get their turn.
const MAX_TURNS: usize = 32;

/// A goodbye in an idle connection: Terminate, whole.
const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    ClientLeft,
    Told,
}

type Entering = Pin<Box<dyn Future<Output = Result<Pass, ClientError>> + Send>>;

/// What a session is about.
enum Phase {
    /// It waits for its client.
    Idle,
    /// It waits for a backend.
    Waiting(WaiterId, Arc<Slot>),
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
    /// The client's settings, in front of its statement.
    Replay,
    /// What did its transaction leave behind?
    Inspect,
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
    /// It has not been greeted yet.
    greet: bool,
    watched: bool,
    _cancel: Entry,
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
            outbox: Outbox::default(),
            leased: None,
            lost: None,
            greet: true,
            watched: false,
            _cancel: cancel,
        }
    }

    /// Moves its socket to the executor that runs this.
    pub(super) fn rehome(&mut self) -> io::Result<()> {
        self.stream.rehome()
    }

    fn poll_session(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Ended> {
        if !self.watched {
            self.watched = true;
            self.info.watch(cx.waker());
        }
        if self.info.is_killed() && !matches!(self.phase, Phase::Farewell) {
            self.end(&words::killed().encode());
        }
        if self.info.take_alarm() {
            self.compute_ends();
        }
        for _ in 0..MAX_TURNS {
            if !self.outbox.is_empty()
                && self.outbox.poll_send(cx, &mut self.stream).map_err(gone)?.is_ready()
            {
                self.settle(cx);
            }
            if matches!(self.phase, Phase::Farewell) {
                return if self.outbox.is_empty() { Err(Ended::Told) } else { Ok(Poll::Pending) };
            }
            let up = self.up(cx)?;
            let down = self.down(cx)?;
            if !up && !down {
                return Ok(Poll::Pending);
            }
        }
        cx.waker().wake_by_ref();
        Ok(Poll::Pending)
    }

    /// Client → backend.
    fn up(&mut self, cx: &mut Context<'_>) -> Step {
        match &mut self.phase {
            Phase::Waiting(_, slot) => match slot.poll(cx) {
                Poll::Pending => Ok(false),
                Poll::Ready(given) => {
                    self.phase = Phase::Idle;
                    self.given(cx, given)?;
                    Ok(true)
                }
            },
            Phase::Entering(entering) => match entering.as_mut().poll(cx) {
                Poll::Pending => Ok(false),
                Poll::Ready(entered) => self.entered(cx, entered),
            },
            Phase::Own(_) => self.flush_backend(cx),
            Phase::Farewell => Ok(false),
            Phase::Idle | Phase::Linked if self.greet || !self.input.is_empty() => self.resume(cx),
            Phase::Idle | Phase::Linked => {
                if self.client.is_stalled() {
                    return Ok(false);
                }
                if self.flush_backend(cx)? || self.leased.as_ref().is_some_and(|l| !l.held.outbox.is_empty())
                {
                    return Ok(false);
                }
                self.read(cx)
            }
        }
    }

    /// Sends what the backend has not taken yet. True when that is not over... and something moved.
    fn flush_backend(&mut self, cx: &mut Context<'_>) -> Step {
        let Some(Leased { held, .. }) = &mut self.leased else { return Ok(false) };
        if held.outbox.is_empty() {
            return Ok(false);
        }
        // When the backend is gone the other direction reads its last words.
        Ok(matches!(held.outbox.poll_send(cx, &mut held.stream), Poll::Ready(Err(_))))
    }

    /// Goes on with what came before there was a backend.
    fn resume(&mut self, cx: &mut Context<'_>) -> Step {
        let input = std::mem::take(&mut self.input);
        with_buffers(|_, out| self.take(cx, &input, out))
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Step {
        with_buffers(|buffer, out| {
            let mut read = ReadBuf::new(buffer);
            match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Err(_)) => return Err(Ended::ClientLeft),
                Poll::Ready(Ok(())) => {}
            }
            let chunk = read.filled();
            if chunk.is_empty() || (chunk == TERMINATE && self.client.is_between()) {
                return Err(Ended::ClientLeft);
            }
            self.take(cx, chunk, out)
        })
    }

    /// Takes bytes of the client, in whatever state it is.
    fn take(&mut self, cx: &mut Context<'_>, chunk: &[u8], out: &mut Vec<u8>) -> Step {
        if let Some(lost) = &mut self.lost {
            let rest = lost.take(&mut self.client, chunk, out);
            self.send(cx, out)?;
            if let Some(rest) = rest {
                self.lost = None;
                self.input = rest;
            }
            return if self.client.has_left() { Err(Ended::ClientLeft) } else { Ok(true) };
        }
        if self.leased.is_some() {
            return self.link(cx, chunk, out);
        }
        if self.greet && self.greet_from_memory(cx)? && chunk.is_empty() {
            return Ok(true);
        }
        match self.pool.checkout() {
            Ok(Taken::Now(lease)) => self.attach(lease, cx, chunk, out),
            Ok(Taken::Later(id, slot)) => {
                self.input = chunk.to_vec();
                self.info.set(Doing::Waiting);
                self.phase = Phase::Waiting(id, slot);
                Ok(true)
            }
            Err(error) => {
                self.end(&error.encode());
                Ok(true)
            }
        }
    }

    fn given(&mut self, cx: &mut Context<'_>, given: super::slot::Given) -> Result<(), Ended> {
        match given {
            Ok(lease) if !lease.backend.is_fresh() => {
                // It died in this moment: another one.
                self.pool.discard(lease.backend, &lease.receipt);
                self.info.set(Doing::Idle);
            }
            Ok(lease) => {
                let input = std::mem::take(&mut self.input);
                with_buffers(|_, out| self.attach(lease, cx, &input, out))?;
            }
            Err(error) => self.end(&error.encode()),
        }
        Ok(())
    }

    fn attach(
        &mut self,
        lease: Lease<Box<super::held::Held>>,
        cx: &mut Context<'_>,
        chunk: &[u8],
        out: &mut Vec<u8>,
    ) -> Step {
        self.info.link(&lease.backend.key);
        self.leased = Some(Leased { held: lease.backend, receipt: lease.receipt });
        self.phase = Phase::Linked;
        self.link(cx, chunk, out)
    }

    /// The client's bytes go to its backend: awake, with the client's settings, which knows the client's truth.
    fn link(&mut self, cx: &mut Context<'_>, chunk: &[u8], out: &mut Vec<u8>) -> Step {
        let Some(Leased { held, .. }) = &mut self.leased else { return Ok(false) };
        if !held.enter() {
            self.phase = Phase::Entering(Box::pin(Arc::clone(&held.key.compute).reenter()));
            self.input = chunk.to_vec();
            return Ok(true);
        }
        if held.server.is_idle()
            && let Some(sql) = link::replay(&self.client, &mut held.server)
        {
            self.phase = Phase::Own(Purpose::Replay);
            self.input = chunk.to_vec();
            let _told_by_reading = held.outbox.poll_chunk(cx, &mut held.stream, &sql);
            return Ok(true);
        }
        if self.greet {
            self.greet_from_backend();
        } else {
            let mut news = Vec::new();
            link::catch_up(&mut self.client, &mut held.server, &mut news);
            self.outbox.add(&news);
        }
        if !chunk.is_empty() {
            self.forward(cx, chunk, out)?;
        }
        self.settle(cx);
        Ok(true)
    }

    fn forward(&mut self, cx: &mut Context<'_>, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Ended> {
        let Some(Leased { held, .. }) = &mut self.leased else { return Ok(()) };
        let sent = {
            let mut inner = self.pool.lock();
            link::up(&mut self.client, &mut held.server, &mut inner.common, chunk, out)
        };
        let bytes = match sent {
            Ok(Sent::AsItIs) => chunk,
            Ok(Sent::Changed) => out,
            Err(violation) => {
                let error = ClientError::protocol_violation(violation.to_string());
                self.end(&error.with_hint(help("protocol-violation")).encode());
                return Ok(());
            }
        };
        if !bytes.is_empty() {
            let _told_by_reading = held.outbox.poll_chunk(cx, &mut held.stream, bytes);
        }
        let mut answers = Vec::new();
        link::answers(&mut self.client, &mut held.server, &mut answers);
        self.send(cx, &answers)?;
        if self.client.has_left() { Err(Ended::ClientLeft) } else { Ok(()) }
    }

    /// Backend → client.
    fn down(&mut self, cx: &mut Context<'_>) -> Step {
        if self.leased.is_none()
            || !self.outbox.is_empty()
            || matches!(self.phase, Phase::Entering(_) | Phase::Farewell)
        {
            return Ok(false);
        }
        let got = with_buffers(|buffer, out| {
            let Some(Leased { held, .. }) = &mut self.leased else { return Ok(None) };
            let mut read = ReadBuf::new(buffer);
            let alive = match Pin::new(&mut held.stream).poll_read(cx, &mut read) {
                Poll::Pending => return Ok(None),
                Poll::Ready(read) => read.is_ok(),
            };
            let chunk = read.filled();
            if !alive || chunk.is_empty() {
                self.backend_lost();
                return Ok(Some((0, false)));
            }
            let got = {
                let mut inner = self.pool.lock();
                link::down(&mut self.client, &mut held.server, &mut inner.common, chunk, out)
            };
            let got = match got {
                Ok(got) => got,
                Err(broken) => {
                    tracing::error!(error = %broken, pool = ?self.pool.key, "the backend broke the protocol");
                    held.server.spoil();
                    self.end(&ClientError::connection_lost().encode());
                    return Ok(Some((0, false)));
                }
            };
            if got.ready > 0
                && let Some(mut ticket) = held.ticket.take()
            {
                ticket.first_row();
            }
            self.send(cx, if got.as_it_is { chunk } else { out })?;
            Ok(Some((got.ready, got.own_ended)))
        })?;
        let Some((_, own_ended)) = got else { return Ok(false) };
        if own_ended {
            self.own_ended();
        }
        if self.client.is_stalled() {
            with_buffers(|_, out| self.forward(cx, &[], out))?;
        }
        self.settle(cx);
        Ok(true)
    }

    fn send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Result<(), Ended> {
        if bytes.is_empty() {
            return Ok(());
        }
        match self.outbox.poll_chunk(cx, &mut self.stream, bytes) {
            Poll::Ready(Err(_)) => Err(Ended::ClientLeft),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// A query of our own is answered.
    fn own_ended(&mut self) {
        let Phase::Own(purpose) = self.phase else { return };
        let Some(Leased { held, .. }) = &mut self.leased else { return };
        self.phase = Phase::Linked;
        let Some(why) = held.server.own_error().map(str::to_owned) else { return };
        held.server.spoil();
        match purpose {
            Purpose::Replay => self.end(&words::not_restored(&why).encode()),
            Purpose::Inspect => {
                tracing::warn!(why, pool = ?self.pool.key, "cannot look at what a session left behind");
                self.end(&words::not_restored(&why).encode());
            }
        }
    }

    /// Gives the backend back when it is free; asks it first what was left behind, if need be.
    fn settle(&mut self, cx: &mut Context<'_>) {
        if !matches!(self.phase, Phase::Linked) || !self.input.is_empty() {
            return;
        }
        let Some(Leased { held, .. }) = &mut self.leased else { return };
        if !held.outbox.is_empty() {
            return;
        }
        if held.server.must_ask() {
            let question = link::inspect(&self.client, &mut held.server);
            self.phase = Phase::Own(Purpose::Inspect);
            let _told_by_reading = held.outbox.poll_chunk(cx, &mut held.stream, &question);
        } else if held.server.is_free(&self.client) {
            // A cancel request that is on its way must find this client's statement or nothing.
            if self.info.unlink()
                && let Some(Leased { held, receipt }) = self.leased.take()
            {
                self.phase = Phase::Idle;
                if held.server.is_spoiled() {
                    self.pool.discard(held, &receipt);
                } else {
                    self.pool.checkin(held, receipt);
                }
            }
        } else if held.server.is_idle() {
            held.leave();
            self.leave_if_closing();
        }
    }

    /// The backend is awake again, or its compute has ended.
    fn entered(&mut self, cx: &mut Context<'_>, entered: Result<Pass, ClientError>) -> Step {
        self.phase = Phase::Linked;
        let Some(Leased { held, .. }) = &mut self.leased else { return Ok(true) };
        match entered {
            Ok(pass) => {
                drop(pass.into_gate());
                held.inside = true;
                self.resume(cx)
            }
            Err(_) => {
                self.backend_lost();
                Ok(true)
            }
        }
    }

    /// The compute of its backend begins to end, or goes further in ending.
    fn compute_ends(&mut self) {
        if matches!(self.phase, Phase::Linked)
            && self.leased.as_ref().is_some_and(|l| l.held.server.is_idle())
        {
            self.leave_if_closing();
        }
    }

    /// A session that rests with something that only its backend has goes when its compute ends.
    fn leave_if_closing(&mut self) {
        let Some(Leased { held, .. }) = &self.leased else { return };
        let closing = *held.key.compute.closing().borrow();
        if matches!(closing, Some(Closing::Draining | Closing::Now)) && self.client.is_between() {
            let told = words::of_connection(None, closing, held.server.pinned());
            self.end(&told);
        }
    }

    /// The backend is gone. What its client is told depends on what it loses.
    fn backend_lost(&mut self) {
        let Some(Leased { held, receipt }) = self.leased.take() else { return };
        let _flying_or_not = self.info.unlink();
        let closing = *held.key.compute.closing().borrow();
        let last = held.server.last_words();
        let untouched = matches!(self.phase, Phase::Own(Purpose::Replay)) || !self.input.is_empty();
        let loss = if untouched && held.server.pinned().is_empty() {
            // Its statement has not been sent yet: another backend will do.
            Loss::Unnoticed
        } else {
            link::after_loss(&self.client, &held.server, &words::of_statement(last, closing))
        };
        self.phase = Phase::Idle;
        match loss {
            Loss::Unnoticed => {}
            Loss::GoesOn(bytes, lost) => {
                self.outbox.add(&bytes);
                self.lost = lost.map(Box::new);
            }
            Loss::Ends => {
                let told = words::of_connection(last, closing, held.server.pinned());
                self.end(&told);
            }
        }
        self.pool.discard(held, &receipt);
    }

    /// Greets with what earlier clients with the same settings were told; false: nobody was.
    fn greet_from_memory(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        let Some(reported) = self.pool.greeting(self.client.wanted()) else { return Ok(false) };
        let greeting = self.greeting(&reported);
        self.send(cx, &greeting)?;
        Ok(true)
    }

    fn greet_from_backend(&mut self) {
        let Some(Leased { held, .. }) = &self.leased else { return };
        let reported = held.server.reported().clone();
        self.pool.remember(self.client.wanted(), &reported);
        let greeting = self.greeting(&reported);
        self.outbox.add(&greeting);
    }

    fn greeting(&mut self, reported: &dormouse_pooler::settings::Reported) -> Vec<u8> {
        self.greet = false;
        let mut out = Vec::new();
        link::greet(&mut self.client, reported, &mut out);
        out.extend(self.info.key_data());
        out.extend_from_slice(&[b'Z', 0, 0, 0, 5, b'I']);
        out
    }

    /// Says why and goes.
    fn end(&mut self, last_words: &[u8]) {
        self.outbox.add(last_words);
        self.phase = Phase::Farewell;
    }
}

fn gone(_: io::Error) -> Ended {
    Ended::ClientLeft
}

impl Future for Session {
    type Output = Ended;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let this = self.get_mut();
        match this.poll_session(cx) {
            Ok(_) => Poll::Pending,
            Err(ended) => {
                if ended != Ended::ClientLeft {
                    // So that a TLS client sees an orderly end. Best effort: the socket closes right after.
                    let _unsent = Pin::new(&mut this.stream).poll_shutdown(cx);
                }
                Poll::Ready(ended)
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Phase::Waiting(id, slot) = std::mem::replace(&mut self.phase, Phase::Farewell) {
            self.pool.abandon(id, &slot);
        }
        let flying = !self.info.unlink();
        self.pool.part(&self.info);
        let Some(leased) = self.leased.take() else { return };
        let server = &leased.held.server;
        if flying || server.is_spoiled() || !server.is_at_rest() || !leased.held.outbox.is_empty() {
            // PostgreSQL finishes what it was sent, then sees that nobody is there.
            self.pool.discard(leased.held, &leased.receipt);
        } else if server.is_free(&self.client) && self.client.is_between() {
            self.pool.checkin(leased.held, leased.receipt);
        } else {
            let whole =
                (self.client.keeps() || server.is_tainted()).then(|| self.pool.config().server_reset_query);
            self.pool.home().spawn(retire(Arc::clone(&self.pool), leased, whole));
        }
    }
}
