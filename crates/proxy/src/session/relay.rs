//! Bytes in both directions, and everything sleep means for a session.
//!
//! The hot path ([`flow`]) reads and writes whatever is there through one buffer per thread; a session that
//! waits owns no buffer at all. Only message headers are looked at ([`BackendScan`], [`ClientScan`]), to know when the
//! session is at rest:
//!
//! ```text
//!             client sends, gate open                 gate closed: wake first
//!   at rest ───────────────────────────► working ◄─── waking ◄─────────┐
//!      ▲      enters the gate              │                           │
//!      └── ReadyForQuery, no transaction ──┘        at rest ───────────┘
//!            leaves the gate                         client sends
//! ```
//!
//! What is left of COPY data after the COPY has failed is never answered, and so is no work: the session leaves the gate
//! when it has gone through.
//!
//! A session at rest does not keep its database awake, and survives a pause without noticing. When
//! the compute stops, a session at rest is told so (57P01) at once; a working one when it comes to
//! rest, or when the drain is over ([`farewell`]). A client that does not read may not hold the next run of the compute
//! awake: the gate is the endpoint's.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use dormouse_pgwire::ClientError;
use dormouse_pgwire::backend::TxStatus;
use dormouse_pgwire::scan::{BackendScan, ClientScan, Said};
use dormouse_runtime::gate::{Closing, Gate, Pass};
use tokio::io::AsyncWrite;
use tokio::sync::watch;
use tokio::time::Sleep;

use super::backend::Connected;
use super::io::Client;
use crate::backend_stream::BackendStream;
use crate::cancel::Entry;
use crate::outbox::Outbox;
use crate::stream::ClientStream;
use crate::traffic::Tally;
use crate::wake::{Compute, WakeTicket};
use farewell::watch_closing;

mod flow;
mod farewell;

pub(crate) use farewell::{crashed, stopping};

/// Whoever woke an endpoint and asks nothing for this long is not measured to the first row.
const FIRST_ROW_WITHIN: Duration = Duration::from_secs(1);

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
    said: ClientScan,
    /// Read from the one side, not yet taken by the other.
    to_client: Outbox,
    to_backend: Outbox,
    /// With what the client has said to be woken.
    waking: Option<(Waking, Said)>,
    watching: Watching,
    closing: Option<Closing>,
    ticket: Option<TimedTicket>,
    /// The client is told why, then the session ends.
    farewell: bool,
    /// When a farewell, or work with what has ended, has taken long enough.
    limit: Option<Pin<Box<Sleep>>>,
    backend_gone: bool,
    /// The client's last words were a Terminate: then the end of the backend is no crash.
    terminated: bool,
    cancel: Option<Entry>,
    tally: Tally,
}

impl Relay {
    pub(super) fn new(client: Client, backend: Connected, tally: Tally) -> Self {
        let gate = backend.pass.into_gate();
        let receiver = backend.compute.closing();
        let closing = *receiver.borrow();
        let watching = watch_closing(receiver);
        let mut relay = Self {
            client: client.stream,
            backend: backend.stream,
            compute: backend.compute,
            gate,
            inside: true,
            scan: BackendScan::after_ready(backend.status),
            said: ClientScan::default(),
            to_client: Outbox::default(),
            to_backend: Outbox::default(),
            waking: None,
            watching,
            closing,
            ticket: backend.ticket.map(|ticket| (ticket, Box::pin(tokio::time::sleep(FIRST_ROW_WITHIN)))),
            farewell: false,
            limit: None,
            backend_gone: false,
            // Everything may have come at once, from the first word to the last.
            terminated: client.unread.ends_with(&flow::TERMINATE),
            cancel: backend.cancel,
            tally,
        };
        relay.scan.feed(&backend.surplus);
        relay.to_client.add(&backend.surplus);
        relay.to_backend.add(&client.unread);
        relay.tally.up(client.unread.len());
        if !relay.to_backend.is_empty() {
            let said = relay.said.feed(&client.unread);
            relay.scan.client_sent(said);
        }
        relay.rest_or_work();
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
            client,
            backend,
            gate,
            compute,
            inside: false,
            scan: BackendScan::after_ready(TxStatus::Idle),
            said: ClientScan::default(),
            to_client: Outbox::default(),
            to_backend: Outbox::default(),
            waking: None,
            watching: watch_closing(receiver),
            closing,
            ticket: None,
            farewell: false,
            limit: None,
            backend_gone: false,
            terminated: false,
            cancel,
            tally,
        }
    }

    /// Whether nothing at all is under way, in either direction.
    pub(super) fn rests(&self) -> bool {
        self.at_rest()
            && self.said.at_boundary()
            && !self.inside
            && self.waking.is_none()
            && self.to_client.is_empty()
            && self.to_backend.is_empty()
            && self.closing.is_none()
            && !self.farewell
            && !self.backend_gone
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

    /// Whether a client that has just gone from its WebSocket left a statement behind. Nobody will read what it brings, and
    /// clients that have no TCP do not leave work for later; those of PostgreSQL's own protocol may, as ever.
    pub(super) fn left_a_statement(&self) -> bool {
        matches!(self.client, ClientStream::Carried(_)) && !self.terminated && self.scan.at_rest().is_none()
    }

    fn at_rest(&self) -> bool {
        self.scan.at_rest() == Some(TxStatus::Idle)
    }

    /// Enters or leaves the gate as the backend's last words demand.
    fn rest_or_work(&mut self) {
        self.rest();
        if !self.inside && !self.at_rest() && !self.is_over() && self.gate.try_enter() {
            // A pipelined statement answers after its predecessor brought the session to rest.
            self.inside = true;
        }
    }

    /// Leaves the gate if nothing is under way.
    fn rest(&mut self) {
        if self.inside && self.at_rest() && self.to_backend.is_empty() {
            self.gate.leave();
            self.inside = false;
        }
    }

    fn poll_session(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Ended>> {
        self.poll_closing(cx);
        let polled = self.poll_both(cx);
        if polled.is_pending() && self.poll_limit(cx).is_ready() && self.farewell {
            return Poll::Ready(Ok(Ended::Told));
        }
        polled
    }

    fn poll_both(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Ended>> {
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
        self.scan_ends();
        if self.inside {
            self.gate.leave();
        }
    }
}

#[cfg(test)]
mod tests;
