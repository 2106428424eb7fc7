//! Client → backend: a client that says something gets a backend, in its settings, and then its bytes go there.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use dormouse_pgwire::ClientError;
use dormouse_pooler::link::{self, Sent, Violation};
use dormouse_pooler::pool::{Farewell, Lease};
use dormouse_runtime::gate::Pass;
use tokio::io::{AsyncRead, ReadBuf};

use super::{Ear, Ended, Phase, Purpose, Session, Step};
use crate::pooled::client_info::Doing;
use crate::pooled::held::{Held, Leased};
use crate::pooled::identity::{self, Verdict};
use crate::pooled::io::with_buffers;
use crate::pooled::pool::Taken;
use crate::pooled::slot::Given;
use crate::pooled::words;
use crate::session::help;

/// What came of looking at a backend.
enum Vetted {
    Good(Lease<Box<Held>>),
    /// It was another role's, and is closed.
    Another,
    /// The client's role has lost its name: it was told, and ends.
    Ended,
}

/// A goodbye in an idle connection: Terminate, whole.
const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];

impl Session {
    /// Client → backend.
    pub(super) fn up(&mut self, cx: &mut Context<'_>) -> Step {
        if self.must_hold() {
            // What it has said already is what the request means.
            return self.flush_backend(cx);
        }
        match &mut self.phase {
            Phase::Waiting(_, slot) | Phase::Returning(slot) => match slot.poll(cx) {
                Poll::Pending if slot.take_reminder() => {
                    self.outbox.add(&words::you_wait(&self.pool.key.database));
                    Ok(true)
                }
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
                // Who takes no answers is not listened to, or what we answer ourselves would pile up.
                if !self.outbox.is_empty() {
                    return Ok(false);
                }
                // First of all: what a stalled client waits for may not have been sent.
                if self.flush_backend(cx)?
                    || self.client.is_stalled()
                    || self.leased.as_ref().is_some_and(|l| !l.held.outbox.is_empty())
                {
                    let gone = self.clocks.misses(&self.stream, cx);
                    return if gone { self.has_gone() } else { Ok(false) };
                }
                self.read(cx)
            }
        }
    }

    /// The client has gone without a goodbye.
    pub(super) fn has_gone(&mut self) -> Step {
        self.log_end("client unexpected eof");
        Err(Ended::ClientLeft)
    }

    /// Sends what the backend has not taken yet. True when that is not over... and something moved.
    fn flush_backend(&mut self, cx: &mut Context<'_>) -> Step {
        let Some(Leased { held, .. }) = &mut self.leased else { return Ok(false) };
        if held.outbox.is_empty() {
            return Ok(false);
        }
        let sent = held.outbox.poll_send(cx, &mut held.stream);
        if let Poll::Ready(Ok(())) = sent {
            // What was answered before all of it was taken has waited for this.
            self.settle(cx);
        }
        // When the backend is gone the other direction reads its last words.
        Ok(matches!(sent, Poll::Ready(Err(_))))
    }

    /// Goes on with what came before there was a backend.
    pub(super) fn resume(&mut self, cx: &mut Context<'_>) -> Step {
        let input = std::mem::take(&mut self.input);
        with_buffers(|_, out| self.take(cx, &input, out))
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Step {
        if !self.ears.client.is_worth_it(|| self.stream.may_have_come()) {
            return Ok(false);
        }
        with_buffers(|buffer, out| {
            let mut read = ReadBuf::new(buffer);
            match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
                Poll::Pending => {
                    self.ears.client.was_pending();
                    return Ok(false);
                }
                Poll::Ready(Err(_)) => return self.has_gone(),
                Poll::Ready(Ok(())) => {}
            }
            self.clocks.speaks();
            let chunk = read.filled();
            if chunk.is_empty() {
                return self.has_gone();
            }
            if chunk == TERMINATE && self.client.is_between() {
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
        if self.listening.is_some() {
            self.input = chunk.to_vec();
            if self.pool.is_held_up() {
                // RESUME wakes it, or whoever waits for it.
                return Ok(false);
            }
            // As for those who wait for it: nobody comes before it.
            self.come_back();
            return Ok(true);
        }
        let now = self.clocks.now();
        loop {
            match self.pool.checkout(now) {
                Ok(Taken::Now(lease)) => match self.vet(lease) {
                    Vetted::Good(lease) => return self.attach(lease, cx, chunk, out),
                    Vetted::Another => {}
                    Vetted::Ended => return Ok(true),
                },
                Ok(Taken::Later(id, slot)) => {
                    self.input = chunk.to_vec();
                    self.info.set(Doing::Waiting, now);
                    self.phase = Phase::Waiting(id, slot);
                    return Ok(true);
                }
                Err(error) => {
                    self.end(&error.encode());
                    return Ok(true);
                }
            }
        }
    }

    /// Looks whether a backend is of the client's role.
    fn vet(&mut self, lease: Lease<Box<Held>>) -> Vetted {
        match lease.backend.key.role_then.meets(&self.info.identity) {
            Verdict::Same => Vetted::Good(lease),
            Verdict::Stranger => {
                self.pool.discard(lease.backend, &lease.receipt);
                Vetted::Another
            }
            Verdict::Renamed => {
                self.pool.checkin(lease.backend, lease.receipt, self.clocks.now());
                self.end(&identity::renamed(&self.pool.key.role).encode());
                Vetted::Ended
            }
        }
    }

    fn given(&mut self, cx: &mut Context<'_>, given: Given) -> Result<(), Ended> {
        match given {
            Ok(lease) if !lease.backend.is_fresh() => {
                // It died in this moment: another one.
                self.pool.discard(lease.backend, &lease.receipt);
                self.wants_another();
            }
            Ok(lease) => match self.vet(lease) {
                Vetted::Good(lease) => {
                    let input = std::mem::take(&mut self.input);
                    with_buffers(|_, out| self.attach(lease, cx, &input, out))?;
                }
                Vetted::Another => self.wants_another(),
                Vetted::Ended => {}
            },
            Err(error) => self.end(&error.encode()),
        }
        Ok(())
    }

    /// What it was given is of no use.
    fn wants_another(&mut self) {
        self.info.set(Doing::Idle, self.clocks.now());
        self.return_if_wanted();
    }

    fn attach(
        &mut self,
        lease: Lease<Box<Held>>,
        cx: &mut Context<'_>,
        chunk: &[u8],
        out: &mut Vec<u8>,
    ) -> Step {
        self.info.link(&lease.backend.key, self.clocks.now());
        self.ears.backend = Ear::default();
        self.leased = Some(Leased { held: lease.backend, receipt: lease.receipt, check: lease.check });
        self.phase = Phase::Linked;
        self.link(cx, chunk, out)
    }

    /// The client's bytes go to its backend: awake, with the client's settings, which knows the client's truth.
    fn link(&mut self, cx: &mut Context<'_>, chunk: &[u8], out: &mut Vec<u8>) -> Step {
        let Some(Leased { held, check, .. }) = &mut self.leased else { return Ok(false) };
        if !held.enter() {
            self.phase = Phase::Entering(Box::pin(Arc::clone(&held.key.compute).reenter()));
            self.input = chunk.to_vec();
            return Ok(true);
        }
        let check = std::mem::take(check);
        if !self.may_ask() {
            self.input = chunk.to_vec();
            return Ok(false);
        }
        let Some(Leased { held, .. }) = &mut self.leased else { return Ok(false) };
        if check && let Some(sql) = self.pool.check_query() {
            let question = link::check(&mut held.server, &sql);
            self.ask(cx, Purpose::Check, &question, chunk);
            return Ok(true);
        }
        if self.replay(cx, chunk) {
            return Ok(true);
        }
        let Some(Leased { held, .. }) = &mut self.leased else { return Ok(false) };
        if self.failed && held.server.is_idle() {
            let sql = link::fail(&mut held.server);
            self.ask(cx, Purpose::Fail, &sql, chunk);
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
        self.info.show();
        self.settle(cx);
        Ok(true)
    }

    /// Gives a backend at rest the client's settings, if it does not have them; `chunk` waits for that. False when
    /// there is nothing to do. After [`Self::may_ask`].
    pub(super) fn replay(&mut self, cx: &mut Context<'_>, chunk: &[u8]) -> bool {
        let Some(Leased { held, .. }) = &mut self.leased else { return false };
        if !held.server.is_idle() {
            return false;
        }
        let Some(sql) = link::replay(&self.client, &mut held.server) else { return false };
        self.ask(cx, Purpose::Replay, &sql, chunk);
        true
    }

    pub(super) fn forward(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Ended> {
        let mut answers = self.forward_once(cx, chunk, out)?;
        // What waited for nothing but an answer of ours will hear of no other.
        while answers && self.client.is_stalled() {
            out.clear();
            answers = self.forward_once(cx, &[], out)?;
        }
        Ok(())
    }

    /// True when the client was given an answer of ours.
    fn forward_once(&mut self, cx: &mut Context<'_>, chunk: &[u8], out: &mut Vec<u8>) -> Result<bool, Ended> {
        let Some(Leased { held, .. }) = &mut self.leased else { return Ok(false) };
        let sent = {
            let mut inner = self.pool.lock();
            inner.common.counters.received += chunk.len() as u64;
            link::up(&mut self.client, &mut held.server, &mut inner.common, chunk, out)
        };
        let bytes = match sent {
            Ok(Sent::AsItIs) => chunk,
            Ok(Sent::Changed) => out,
            Err(Violation::Simple) => {
                self.end(&self.pool.told(Farewell::PqexecDisallowed).encode());
                return Ok(false);
            }
            Err(violation) => {
                let error = ClientError::protocol_violation(violation.to_string());
                self.end(&error.with_hint(help("protocol-violation")).encode());
                return Ok(false);
            }
        };
        if !bytes.is_empty() {
            self.clocks.asked();
            held.say(cx, bytes);
            // A request that waited for this comes after it.
            self.info.show();
        }
        let mut answers = Vec::new();
        link::answers(&mut self.client, &mut held.server, &mut answers);
        self.send(cx, &answers)?;
        if self.client.has_left() { Err(Ended::ClientLeft) } else { Ok(!answers.is_empty()) }
    }

    /// The backend is awake again, or its compute has ended.
    fn entered(&mut self, cx: &mut Context<'_>, entered: Result<Pass, ClientError>) -> Step {
        self.phase = Phase::Linked;
        let Some(Leased { held, .. }) = &mut self.leased else { return Ok(true) };
        match entered {
            // It waited so long that its statement goes to what is there now.
            Ok(_) if held.leads_elsewhere() && !self.client.keeps() && held.server.can_be_rebuilt() => {
                self.backend_lost();
                Ok(true)
            }
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
}
