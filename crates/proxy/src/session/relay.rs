//! Bytes in both directions, and everything sleep means for a session.
//!
//! The hot path reads and writes whatever is there through one buffer per thread; a session that
//! waits owns no buffer at all. From backend to client only message headers are looked at
//! ([`BackendScan`]), to know when the session is at rest:
//!
//! ```text
//!             client sends, gate open                 gate closed: wake first
//!   at rest ───────────────────────────► working ◄─── waking ◄─────────┐
//!      ▲      enters the gate              │                           │
//!      └── ReadyForQuery, no transaction ──┘        at rest ───────────┘
//!            leaves the gate                         client sends
//! ```
//!
//! A session at rest does not keep its database awake, and survives a pause without noticing. When
//! the compute stops, a session at rest is told so (57P01) at once; a working one when it comes to
//! rest, or when the drain is over.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use dormouse_pgwire::ClientError;
use dormouse_pgwire::backend::TxStatus;
use dormouse_pgwire::scan::BackendScan;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_runtime::gate::{Closing, Connected as Counted, Gate, Pass};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::Sleep;

use super::backend::Connected;
use super::help;
use super::io::Client;
use crate::backend_stream::BackendStream;
use crate::cancel::Entry;
use crate::outbox::Outbox;
use crate::stream::ClientStream;
use crate::traffic::Tally;
use crate::wake::{Compute, WakeTicket};

/// The buffer that all sessions of a thread share. Large enough for a full TLS record and for most
/// result sets in one go.
const BUFFER: usize = 32 << 10;

/// So many reads in a row, then others get their turn.
const MAX_TURNS: usize = 16;

/// Whoever woke an endpoint and asks nothing for this long is not measured to the first row.
const FIRST_ROW_WITHIN: Duration = Duration::from_secs(1);

/// A goodbye in an idle connection: Terminate, whole.
const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];

thread_local! {
    static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    ClientLeft,
    BackendLeft,
    Told,
}

type Waking = Pin<Box<dyn Future<Output = Result<Pass, ClientError>> + Send>>;
type Watching = Pin<Box<dyn Future<Output = (Option<Closing>, watch::Receiver<Option<Closing>>)> + Send>>;

/// A ticket, and when to give up waiting for the first row.
type TimedTicket = (Box<dyn WakeTicket>, Pin<Box<Sleep>>);

/// One session past login; a future that ends with it.
pub(super) struct Relay {
    client: ClientStream,
    backend: BackendStream,
    compute: Arc<dyn Compute>,
    gate: Arc<Gate>,
    /// Whether this session counts as work.
    inside: bool,
    scan: BackendScan,
    /// Read from the one side, not yet taken by the other.
    to_client: Outbox,
    to_backend: Outbox,
    waking: Option<Waking>,
    watching: Watching,
    closing: Option<Closing>,
    ticket: Option<TimedTicket>,
    /// The client is told why, then the session ends.
    farewell: bool,
    backend_gone: bool,
    /// The client's last words were a Terminate: then the end of the backend is no crash.
    terminated: bool,
    cancel: Option<Entry>,
    tally: Tally,
    /// The backend counts as a connection.
    _counted: Counted,
}

impl Relay {
    pub(super) fn new(client: Client, backend: Connected, tally: Tally) -> Self {
        let gate = backend.pass.into_gate();
        let receiver = backend.compute.closing();
        let closing = *receiver.borrow();
        let watching = watch_closing(receiver);
        let mut relay = Self {
            _counted: gate.connected(),
            client: client.stream,
            backend: backend.stream,
            compute: backend.compute,
            gate,
            inside: true,
            scan: BackendScan::after_ready(backend.status),
            to_client: Outbox::default(),
            to_backend: Outbox::default(),
            waking: None,
            watching,
            closing,
            ticket: backend.ticket.map(|ticket| (ticket, Box::pin(tokio::time::sleep(FIRST_ROW_WITHIN)))),
            farewell: false,
            backend_gone: false,
            terminated: false,
            cancel: backend.cancel,
            tally,
        };
        relay.scan.feed(&backend.surplus);
        relay.to_client.add(&backend.surplus);
        relay.to_backend.add(&client.unread);
        relay.tally.up(client.unread.len());
        if relay.to_backend.is_empty() {
            relay.rest_or_work();
        } else {
            relay.scan.client_sent();
        }
        relay
    }

    /// Goes on with a session that rests, and whose compute may be paused.
    pub(super) fn resumed(
        client: ClientStream,
        backend: BackendStream,
        compute: Arc<dyn Compute>,
        cancel: Option<Entry>,
        tally: Tally,
    ) -> Self {
        let receiver = compute.closing();
        let closing = *receiver.borrow();
        let gate = compute.gate();
        Self {
            _counted: gate.connected(),
            client,
            backend,
            gate,
            compute,
            inside: false,
            scan: BackendScan::after_ready(TxStatus::Idle),
            to_client: Outbox::default(),
            to_backend: Outbox::default(),
            waking: None,
            watching: watch_closing(receiver),
            closing,
            ticket: None,
            farewell: false,
            backend_gone: false,
            terminated: false,
            cancel,
            tally,
        }
    }

    /// Whether nothing at all is under way, in either direction.
    pub(super) fn rests(&self) -> bool {
        self.at_rest()
            && !self.inside
            && self.waking.is_none()
            && self.to_client.is_empty()
            && self.to_backend.is_empty()
            && self.closing.is_none()
            && !self.farewell
            && !self.backend_gone
    }

    /// Ends the session with a word of why, if there is room for one. False: it does that already.
    pub(super) fn dismiss(&mut self, error: &ClientError) -> bool {
        if self.farewell || self.backend_gone {
            return false;
        }
        if self.scan.at_boundary() {
            self.say_goodbye(error);
        } else {
            self.farewell = true;
        }
        true
    }

    /// Its two sockets.
    pub(super) fn ends(&self) -> (&ClientStream, &BackendStream) {
        (&self.client, &self.backend)
    }

    pub(super) fn compute(&self) -> &Arc<dyn Compute> {
        &self.compute
    }

    /// What a cancel request of its client says.
    pub(super) fn cancel_key(&self) -> Option<(u32, Vec<u8>)> {
        self.cancel.as_ref().and_then(Entry::key)
    }

    fn at_rest(&self) -> bool {
        self.scan.at_rest() == Some(TxStatus::Idle)
    }

    /// Enters or leaves the gate as the backend's last words demand.
    fn rest_or_work(&mut self) {
        if self.inside && self.at_rest() && self.to_backend.is_empty() {
            self.gate.leave();
            self.inside = false;
        } else if !self.inside && !self.at_rest() && self.gate.try_enter() {
            // A pipelined statement answers after its predecessor brought the session to rest.
            self.inside = true;
        }
    }

    /// Backend → client.
    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Ended>> {
        for _ in 0..MAX_TURNS {
            ready!(self.to_client.poll_send(cx, &mut self.client))?;
            if self.farewell {
                return Poll::Ready(Ok(Ended::Told));
            }
            if self.backend_gone {
                return Poll::Ready(Ok(Ended::BackendLeft));
            }
            let count = ready!(self.poll_down_once(cx))?;
            if count == 0 {
                self.backend_ended();
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_down_once(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SHARED.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            match ready!(Pin::new(&mut self.backend).poll_read(cx, &mut read)) {
                Ok(()) => {}
                // A killed backend resets its socket.
                Err(_) => return Poll::Ready(Ok(0)),
            }
            let chunk = read.filled();
            self.scan.feed(chunk);
            self.tally.down(chunk.len(), self.scan.readies());
            self.rest_or_work();
            // What the client does not take now is kept; the caller waits for it before reading on.
            if let Poll::Ready(Err(error)) = self.to_client.poll_chunk(cx, &mut self.client, chunk) {
                return Poll::Ready(Err(error));
            }
            if self.ticket.is_some() && self.scan.take_first_reply() {
                self.ticket.take().iter_mut().for_each(|(ticket, _)| ticket.first_row());
            }
            Poll::Ready(Ok(chunk.len()))
        })
    }

    /// The backend hung up: if it said nothing final itself, the client is told what happened.
    fn backend_ended(&mut self) {
        self.backend_gone = true;
        if self.terminated || self.scan.fatal_seen() || !self.scan.at_boundary() {
            return;
        }
        let error = match self.closing {
            Some(Closing::Draining | Closing::Now) => stopping(),
            Some(Closing::Crashed | Closing::Replaced) | None => crashed(),
        };
        self.to_client.add(&error.encode());
    }

    /// Client → backend.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Ended>> {
        for _ in 0..MAX_TURNS {
            if let Some(waking) = &mut self.waking {
                match ready!(waking.as_mut().poll(cx)) {
                    Ok(pass) => {
                        drop(pass.into_gate());
                        self.inside = true;
                        self.scan.client_sent();
                    }
                    Err(error) => self.say_goodbye(&error),
                }
                self.waking = None;
            }
            if self.farewell {
                return Poll::Pending;
            }
            match ready!(self.to_backend.poll_send(cx, &mut self.backend)) {
                Ok(()) => {}
                // The backend's last words, if any, are read by the other direction.
                Err(_) => return Poll::Pending,
            }
            if ready!(self.poll_up_once(cx))? == 0 {
                return Poll::Ready(Ok(Ended::ClientLeft));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_up_once(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SHARED.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.client).poll_read(cx, &mut read))?;
            let chunk = read.filled();
            if chunk.is_empty() {
                return Poll::Ready(Ok(0));
            }
            if !self.inside && chunk == TERMINATE {
                // Leaving is no work: it neither wakes a database nor keeps it awake.
                return Poll::Ready(Ok(0));
            }
            self.tally.up(chunk.len());
            if !self.inside && !self.gate.try_enter() {
                self.to_backend.add(chunk);
                self.waking = Some(Box::pin(Arc::clone(&self.compute).reenter()));
                return Poll::Ready(Ok(chunk.len()));
            }
            self.inside = true;
            self.scan.client_sent();
            self.terminated = chunk.ends_with(&TERMINATE);
            if let Poll::Ready(Err(_)) = self.to_backend.poll_chunk(cx, &mut self.backend, chunk) {
                return Poll::Pending;
            }
            Poll::Ready(Ok(chunk.len()))
        })
    }

    fn poll_session(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Ended>> {
        self.poll_closing(cx);
        if let Poll::Ready(result) = self.poll_up(cx) {
            return Poll::Ready(result);
        }
        self.leave_if_closing();
        if let Poll::Ready(result) = self.poll_down(cx) {
            return Poll::Ready(result);
        }
        // What just came from the backend may have brought the session to rest.
        self.leave_if_closing();
        self.poll_ticket(cx);
        if self.farewell {
            ready!(self.to_client.poll_send(cx, &mut self.client))?;
            return Poll::Ready(Ok(Ended::Told));
        }
        Poll::Pending
    }

    /// A client that woke the endpoint but asks nothing: the wake is recorded without a first row.
    fn poll_ticket(&mut self, cx: &mut Context<'_>) {
        if let Some((_, timer)) = &mut self.ticket
            && timer.as_mut().poll(cx).is_ready()
        {
            self.ticket = None;
        }
    }

    /// The compute begins to end, or goes further in ending.
    fn poll_closing(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready((closing, receiver)) = self.watching.as_mut().poll(cx) {
            self.watching = watch_closing(receiver);
            self.closing = closing;
        }
    }

    /// Whether it is time to go, given how the compute is ending.
    fn leave_if_closing(&mut self) {
        if self.farewell || self.backend_gone {
            return;
        }
        let resting = self.at_rest() && !self.inside && self.waking.is_none();
        match self.closing {
            Some(Closing::Draining) if resting => self.say_goodbye(&stopping()),
            Some(Closing::Now) if self.scan.at_boundary() => self.say_goodbye(&stopping()),
            // PostgreSQL's own last words are on the way, or its end of the socket is closed.
            Some(_) | None => {}
        }
    }

    fn say_goodbye(&mut self, error: &ClientError) {
        self.farewell = true;
        self.to_client.add(&error.encode());
    }
}

fn watch_closing(mut receiver: watch::Receiver<Option<Closing>>) -> Watching {
    Box::pin(async move {
        // The sender is gone when the run is over; then nothing more will change.
        if receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        let now = *receiver.borrow_and_update();
        (now, receiver)
    })
}

pub(crate) fn stopping() -> ClientError {
    let text = "terminating connection because the endpoint is stopping";
    ClientError::fatal(SqlState::ADMIN_SHUTDOWN, text)
        .with_detail("The database goes to sleep, or was asked to stop. Nothing that was committed is lost.")
        .with_hint(format!(
            "Connect again: the database wakes up by itself. {}",
            help("endpoint-is-stopping")
        ))
}

pub(crate) fn crashed() -> ClientError {
    let text = "terminating connection because PostgreSQL ended unexpectedly";
    ClientError::fatal(SqlState::CRASH_SHUTDOWN, text)
        .with_detail("What was committed is safe; the open transaction, if any, is rolled back.")
        .with_hint(format!("Connect again: the database recovers by itself. {}", help("compute-crashed")))
}

impl Future for Relay {
    type Output = Ended;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let this = self.get_mut();
        let ended = ready!(this.poll_session(cx)).unwrap_or(Ended::ClientLeft);
        if ended != Ended::ClientLeft {
            // So that a TLS client sees an orderly end. Best effort: the socket closes right after.
            let _unsent = Pin::new(&mut this.client).poll_shutdown(cx);
        }
        Poll::Ready(ended)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.inside {
            self.gate.leave();
        }
    }
}
