//! What the tasks of a thread send in one turn, given to the kernel together.
//!
//! ```text
//!   task A ── post ──┐
//!   task B ── post ──┤  copied here         ┌─ one: send
//!   task C ── post ──┘  until the turn ends ┤
//!        ▲              or MOST are here    └─ more: one call for all (`ring`, io_uring)
//!        └── woken, with what the kernel did not take: `Sender::sent`
//! ```
//!
//! A relay's messages are small and many: a call of `send` each costs more than to find out what to send. The turn ends
//! when the tasks that could run when the first message was posted have run; a task of this module stands behind them in
//! the executor's queue. For who posts, posted is sent: the socket's own buffer could not promise more. What it did not
//! take, or what failed, the poster hears of later and sends again by itself.
//!
//! Only the threads of [`crate::shard`] have it, and only where the kernel has io_uring (Linux 6.1) and nobody forbids it,
//! as many containers do, or [`SWITCH`]: [`post`] says no elsewhere, and who wanted to post sends by itself. So it does
//! while nearly every turn has one message ([`Company`]). Why, and what it brings:
//! [the decision](../../../../docs/decisions/2026-11-27-small-sends-go-out-together.md).

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::task::{Poll, Waker};

mod ring;

use ring::{Outgoing, Ring};

/// So many messages end the turn: the first of them should not wait for more, while its receiver could work.
const MOST: usize = 16;

/// What is longer costs more to copy than the call it saves.
const LONGEST: usize = 4096;

/// `off` in the environment: every send is a call of its own. For who suspects io_uring of something, or ends what uses
/// it instead of refusing.
const SWITCH: &str = "DORMOUSE_IO_URING";

/// After more turns than this in a row with one message nobody is held up for company that does not come ...
const LONELY: u32 = 4;

/// ... for so many messages. Then it is tried again.
const ALONE: u32 = 60;

/// Who posts: a socket, which stays open as long as something of it is here.
pub trait Sender: Send + Sync {
    /// Where the bytes go.
    fn socket(&self) -> BorrowedFd<'_>;

    /// What was posted is over; `left` was not taken. Returns whether the poster has to be woken.
    fn sent(&self, left: &[u8]) -> bool;
}

/// One message.
struct Posted {
    sender: Arc<dyn Sender>,
    bytes: Range<usize>,
    waker: Waker,
}

/// What was posted in this turn.
#[derive(Default)]
struct Post {
    messages: Vec<Posted>,
    bytes: Vec<u8>,
}

/// What a thread has.
struct Turn {
    ring: Ring,
    post: Post,
    /// Wakes the task that ends the turn.
    end: Option<Waker>,
    company: Company,
}

/// Whether there is more than one message in a turn.
#[derive(Default)]
struct Company {
    /// Turns in a row with one message.
    lonely: u32,
    /// So many messages are refused.
    refused: u32,
}

impl Company {
    fn may_post(&mut self) -> bool {
        let may = self.refused == 0;
        self.refused = self.refused.saturating_sub(1);
        may
    }

    fn turn_ends(&mut self, messages: usize) {
        match messages {
            0 => {}
            1 if self.lonely < LONELY => self.lonely += 1,
            1 => self.refused = ALONE,
            _ => self.lonely = 0,
        }
    }
}

thread_local! {
    static TURN: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

/// Does something with this thread's turn, if it has one.
fn with_turn<T>(work: impl FnOnce(&mut Turn) -> Option<T>) -> Option<T> {
    // A thread that ends has none any more.
    TURN.try_with(|turn| turn.borrow_mut().as_mut().and_then(work)).ok().flatten()
}

/// Lets the tasks of this thread post. [`end_turns`] has to run on it from then on.
///
/// # Errors
/// When the kernel has no io_uring, or this process may not use it, or [`SWITCH`] says so.
pub(crate) fn begin() -> io::Result<()> {
    if std::env::var_os(SWITCH).is_some_and(|value| value == "off") {
        return Err(io::Error::new(io::ErrorKind::Unsupported, format!("{SWITCH}=off")));
    }
    let ring = Ring::new(MOST)?;
    TURN.set(Some(Turn { ring, post: Post::default(), end: None, company: Company::default() }));
    Ok(())
}

/// Ends each turn of this thread. Never ready.
pub(crate) async fn end_turns() {
    poll_fn::<(), _>(|cx| {
        let _there_is_one = with_turn(|turn| {
            turn.company.turn_ends(turn.post.messages.len());
            turn.end.replace(cx.waker().clone())
        });
        flush();
        Poll::Pending
    })
    .await;
}

/// Has `bytes` sent in this turn, behind what the thread has posted before. False when that is not possible, and then
/// nothing has been taken. A sender posts again only when it was told of the last one, so that none can overtake another.
pub fn post(sender: Arc<dyn Sender>, bytes: &[u8], waker: &Waker) -> bool {
    let posted = with_turn(|turn| {
        let end = turn.end.as_ref().filter(|_| bytes.len() <= LONGEST && turn.company.may_post())?;
        if turn.post.messages.is_empty() {
            end.wake_by_ref();
        }
        let messages = turn.post.add(sender, bytes, waker);
        if messages == MOST {
            turn.company.turn_ends(messages);
        }
        Some(messages)
    });
    if posted == Some(MOST) {
        flush();
    }
    posted.is_some()
}

/// Sends what this thread has posted, now.
pub fn flush() {
    let sent = with_turn(|turn| {
        let mut post = std::mem::take(&mut turn.post);
        let taken = post.send(&mut turn.ring);
        Some((post, taken))
    });
    let Some((mut post, taken)) = sent else { return };
    // Who is told, or closed, may come back here.
    post.tell(&taken);
    let _kept = with_turn(|turn| {
        if turn.post.messages.is_empty() {
            turn.post = post;
        }
        Some(())
    });
}

impl Post {
    /// Returns how many there are.
    fn add(&mut self, sender: Arc<dyn Sender>, bytes: &[u8], waker: &Waker) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.messages.push(Posted { sender, bytes: start..self.bytes.len(), waker: waker.clone() });
        self.messages.len()
    }

    /// How much of each was taken.
    fn send(&mut self, ring: &mut Ring) -> Vec<usize> {
        let outgoing: Vec<Outgoing<'_>> =
            self.messages.iter().map(|message| (message.sender.socket(), message.bytes.clone())).collect();
        ring.send(&mut self.bytes, &outgoing)
    }

    fn tell(&mut self, taken: &[usize]) {
        for (message, taken) in self.messages.drain(..).zip(taken) {
            let bytes = &self.bytes[message.bytes];
            if message.sender.sent(bytes.get(*taken..).unwrap_or_default()) {
                message.waker.wake();
            }
        }
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests;
