//! What a session knows of a socket that it reads: whether asking again can tell anything new.
//!
//! ```text
//!            nothing to read, and it will wake us
//!   Asks ──────────────────────────────▶ Dry ──(next poll)──▶ Waits
//!    ▲  ◀──(next poll)── Spent ◀─────────┐                      │
//!    │     nothing was asked: our share of the thread is used up│
//!    └──────────────────────────────────────────────────────────┘
//!                     the executor knows of something to read
//! ```
//!
//! Each poll of a session has two sockets to read, of which mostly one has woken it. Asking the other costs as much as
//! a tenth of a small query; it promised to wake us, and as long as the executor has seen nothing there it will.

use tokio::task::coop::has_budget_remaining;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Ear {
    /// It has to be read to know.
    #[default]
    Asks,
    /// Nothing had come when it was read, and it will wake us.
    Waits,
    /// The same, in this poll.
    Dry,
    /// It could not be asked in this poll, whose share of the thread is used up.
    Spent,
}

impl Ear {
    /// Another poll begins.
    pub(super) fn next_poll(&mut self) {
        *self = match self {
            Ear::Dry | Ear::Waits => Ear::Waits,
            Ear::Asks | Ear::Spent => Ear::Asks,
        };
    }

    /// Whether reading could bring something; `has_come` tells what the executor knows.
    pub(super) fn is_worth_it(&mut self, has_come: impl FnOnce() -> bool) -> bool {
        if *self == Ear::Waits {
            *self = if has_come() { Ear::Asks } else { Ear::Dry };
        }
        *self == Ear::Asks
    }

    /// There was nothing to read. The reader's waker is kept by its socket, unless the executor has refused to look.
    pub(super) fn was_pending(&mut self) {
        *self = if has_budget_remaining() { Ear::Dry } else { Ear::Spent };
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::raw;

    #[test]
    fn a_socket_that_waits_is_asked_when_something_has_come() {
        let mut ear = Ear::default();
        assert!(ear.is_worth_it(|| unreachable!("it is asked itself")));
        ear.was_pending();
        assert!(!ear.is_worth_it(|| unreachable!("not twice in a poll")));
        ear.next_poll();
        assert!(!ear.is_worth_it(|| false));
        ear.next_poll();
        assert!(ear.is_worth_it(|| true));
        ear.next_poll();
        assert_eq!(ear, Ear::Asks, "what was not read to its end is asked again");
    }

    /// A task whose share is used up is refused without being remembered.
    #[tokio::test]
    async fn who_was_refused_asks_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut ours = listener.accept().await.unwrap().0;
        let (mut ear, mut polls) = (Ear::default(), 0);
        let mut into = [0; 8];
        let read = poll_fn(|cx| {
            polls += 1;
            ear.next_poll();
            if polls == 1 {
                while has_budget_remaining() {
                    let spent = tokio::task::coop::poll_proceed(cx);
                    if let Poll::Ready(spent) = spent {
                        spent.made_progress();
                    }
                }
            }
            if !ear.is_worth_it(|| raw::has_come(&ours)) {
                return Poll::Pending;
            }
            let mut buf = ReadBuf::new(&mut into);
            match std::pin::Pin::new(&mut ours).poll_read(cx, &mut buf) {
                Poll::Pending => {
                    ear.was_pending();
                    assert_eq!(ear == Ear::Spent, polls == 1, "{ear:?} in poll {polls}");
                    Poll::Pending
                }
                Poll::Ready(read) => Poll::Ready(read.map(|()| buf.filled().to_vec())),
            }
        });
        let (read, ()) =
            tokio::join!(tokio::time::timeout(std::time::Duration::from_secs(20), read), async {
                for _ in 0..4 {
                    tokio::task::yield_now().await;
                }
                theirs.write_all(b"hello").await.unwrap();
            });
        assert_eq!(read.unwrap().unwrap(), b"hello");
    }
}
