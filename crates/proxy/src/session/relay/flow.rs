//! The bytes themselves: the hot path of every direct connection.
//!
//! What one side sends is read into the one buffer of the thread, looked at, and written to the other side at once; only what
//! that side does not take now is kept ([`Outbox`](crate::outbox::Outbox)), and then nothing more is read.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::{Ended, Relay};

/// The buffer that all sessions of a thread share. Large enough for a full TLS record and for most
/// result sets in one go.
const BUFFER: usize = 32 << 10;

/// So many reads in a row, then others get their turn.
const MAX_TURNS: usize = 16;

/// A goodbye in an idle connection: Terminate, whole.
pub(super) const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];

thread_local! {
    static SHARED: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
}

impl Relay {
    /// Backend → client.
    pub(super) fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Ended>> {
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

    /// What is under way will not be told any more.
    pub(super) fn scan_ends(&self) {
        if self.scan.may_rename_roles() {
            self.compute.role_changes().renamed();
        } else if self.scan.may_change_roles() {
            self.compute.role_changes().happened();
        }
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
            if self.scan.take_roles_changed() {
                match self.scan.take_roles_renamed() {
                    true => self.compute.role_changes().renamed(),
                    false => self.compute.role_changes().happened(),
                }
            }
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

    /// Client → backend.
    pub(super) fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Ended>> {
        for _ in 0..MAX_TURNS {
            if let Some((waking, said)) = &mut self.waking {
                match ready!(waking.as_mut().poll(cx)) {
                    Ok(pass) => {
                        drop(pass.into_gate());
                        self.inside = true;
                        self.scan.client_sent(*said);
                    }
                    Err(error) => self.say_goodbye(&error),
                }
                self.waking = None;
            }
            if self.farewell {
                return Poll::Pending;
            }
            match ready!(self.to_backend.poll_send(cx, &mut self.backend)) {
                Ok(()) => self.rest(),
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
            let said = self.said.feed(chunk);
            if !self.inside && !self.is_over() {
                if !self.gate.try_enter() {
                    self.to_backend.add(chunk);
                    self.waking = Some((Arc::clone(&self.compute).reenter(), said));
                    return Poll::Ready(Ok(chunk.len()));
                }
                self.inside = true;
            }
            self.scan.client_sent(said);
            self.terminated = chunk.ends_with(&TERMINATE);
            if let Poll::Ready(Err(_)) = self.to_backend.poll_chunk(cx, &mut self.backend, chunk) {
                return Poll::Pending;
            }
            Poll::Ready(Ok(chunk.len()))
        })
    }
}
