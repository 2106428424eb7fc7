//! Backend → client.

use std::pin::Pin;
use std::task::{Context, Poll};

use dormouse_pgwire::ClientError;
use dormouse_pgwire::backend::TxStatus;
use dormouse_pooler::link;
use dormouse_pooler::pool::Farewell;
use tokio::io::{AsyncRead, ReadBuf};

use super::{Ended, Phase, Session, Step};
use crate::pooled::held::Leased;
use crate::pooled::io::with_buffers;

/// ReadyForQuery without its status.
const READY: [u8; 5] = [b'Z', 0, 0, 0, 5];

impl Session {
    /// Backend → client.
    pub(super) fn down(&mut self, cx: &mut Context<'_>) -> Step {
        let Some(Leased { held, .. }) = &self.leased else { return Ok(false) };
        if !self.outbox.is_empty()
            || matches!(self.phase, Phase::Entering(_) | Phase::Farewell)
            || !self.ears.backend.is_worth_it(|| held.stream.may_have_come())
        {
            return Ok(false);
        }
        let got = with_buffers(|buffer, out| {
            let Some(Leased { held, .. }) = &mut self.leased else { return Ok(None) };
            let mut read = ReadBuf::new(buffer);
            let alive = match Pin::new(&mut held.stream).poll_read(cx, &mut read) {
                Poll::Pending => {
                    self.ears.backend.was_pending();
                    return Ok(None);
                }
                Poll::Ready(read) => read.is_ok(),
            };
            self.clocks.moved();
            let chunk = read.filled();
            if !alive || chunk.is_empty() {
                self.backend_lost();
                return Ok(Some((0, false)));
            }
            let got = {
                let mut inner = self.pool.lock();
                let got = link::down(&mut self.client, &mut held.server, &mut inner.common, chunk, out);
                if let Ok(got) = &got {
                    held.note_roles(got);
                    let told = if got.as_it_is { chunk.len() } else { out.len() };
                    self.clocks.answered(&mut inner.common.counters, got.ready, told, &held.server);
                }
                got
            };
            let got = match got {
                Ok(got) => got,
                Err(broken) => {
                    tracing::error!(error = %broken, pool = ?self.pool.key, "the backend broke the protocol");
                    held.server.spoil();
                    held.key.role_then.roles.happened();
                    self.end(&ClientError::connection_lost().encode());
                    return Ok(Some((0, false)));
                }
            };
            if got.ready > 0
                && let Some(mut ticket) = held.ticket.take()
            {
                ticket.first_row();
            }
            let blocked = self.no_blocks && got.ready > 0 && held.server.status() != TxStatus::Idle;
            let told: &[u8] = if got.as_it_is { chunk } else { out };
            if blocked {
                self.send(cx, without_ready(told))?;
                self.end(&self.pool.told(Farewell::LongTransaction).encode());
                self.give_up_backend();
                return Ok(Some((got.ready, false)));
            }
            self.send(cx, told)?;
            Ok(Some((got.ready, got.own_ended)))
        })?;
        let Some((_, own_ended)) = got else { return Ok(false) };
        if own_ended {
            self.own_ended();
        }
        if self.client.is_stalled() {
            self.resume_stalled(cx)?;
        }
        self.settle(cx);
        Ok(true)
    }

    /// What waited for an answer goes on; between two transactions with the settings that are the client's now.
    pub(super) fn resume_stalled(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        if self.leased.as_ref().is_some_and(|leased| leased.held.server.must_ask()) {
            self.settle(cx);
        }
        if matches!(self.phase, Phase::Own(_)) || self.unsettled || !self.may_ask() || self.replay(cx, &[]) {
            return Ok(());
        }
        with_buffers(|_, out| self.forward(cx, &[], out))
    }

    pub(super) fn send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Result<(), Ended> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.outbox.is_empty() && self.stream.post(cx, bytes) {
            return Ok(());
        }
        match self.outbox.poll_chunk(cx, &mut self.stream, bytes) {
            Poll::Ready(Err(_)) => self.has_gone().map(drop),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }
}

/// The same without the ReadyForQuery at its end.
fn without_ready(bytes: &[u8]) -> &[u8] {
    match bytes.split_last_chunk::<6>() {
        Some((before, last)) if last.starts_with(&READY) => before,
        _ => bytes,
    }
}
