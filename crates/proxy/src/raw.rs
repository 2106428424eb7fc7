//! `recv` and `send` straight to the kernel, and only when there may be something to do.
//!
//! The C library's own are points where a thread may be cancelled. In a process with threads each call switches that on
//! and off again, by two locked instructions; with the calls around them that is a twentieth of what a small query costs
//! outside of the kernel. Nothing here is ever cancelled so.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll, ready};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::has_budget_remaining;

/// Reads what has come.
///
/// # Errors
/// As `recv` has them; a socket that does not block says `WouldBlock` when nothing has.
pub(crate) fn recv(socket: impl AsFd, into: &mut [u8]) -> io::Result<usize> {
    let received = retry_on_intr(|| rustix::net::recv(&socket, &mut *into, RecvFlags::empty()));
    Ok(received.map(|(count, _)| count)?)
}

/// Writes what there is room for.
///
/// # Errors
/// As `send` has them; a socket that does not block says `WouldBlock` when there is no room.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(retry_on_intr(|| rustix::net::send(&socket, bytes, SendFlags::NOSIGNAL))?)
}

/// A socket of which the executor knows whether there is something to read.
pub(crate) trait Watched {
    /// Runs `read` unless nothing is known to have come. When that says `WouldBlock`, nothing has.
    ///
    /// # Errors
    /// Those of `read`, or `WouldBlock`.
    fn try_read<T>(&self, read: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T>;

    /// Whether something is known to have come; else wakes who asks when it does.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Watched for TcpStream {
    fn try_read<T>(&self, read: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
        self.try_io(Interest::READABLE, || read(self.as_fd()))
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }
}

impl Watched for AsyncFd<UnixStream> {
    fn try_read<T>(&self, read: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
        self.try_io(Interest::READABLE, |socket| read(socket.as_fd()))
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx).map_ok(drop)
    }
}

/// As `poll_read` of a stream. What has come is taken before it is asked whether something has: mostly it has, or
/// nobody would have woken who reads.
pub(crate) fn poll_recv<W: Watched>(
    socket: &W,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    loop {
        // Who has had its share of the thread waits its turn below.
        if has_budget_remaining() {
            match recv_known(socket, buf) {
                Ok(Amount::All) => return Poll::Ready(Ok(())),
                Ok(Amount::Some) => {
                    // There may be more, without end: it counts.
                    let _counted = socket.poll_readable(cx)?;
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        ready!(socket.poll_readable(cx))?;
    }
}

/// How much of what had come was read.
enum Amount {
    /// Everything: the next call need not ask the system.
    All,
    /// As much as there was room for, or the end, which is not forgotten.
    Some,
}

fn recv_known(socket: &impl Watched, buf: &mut ReadBuf<'_>) -> io::Result<Amount> {
    let into = buf.initialize_unfilled();
    let wanted = into.len();
    let mut all = 0;
    let received = socket.try_read(|socket| match recv(socket, into)? {
        count if 0 < count && count < wanted => {
            all = count;
            Err(Errno::WOULDBLOCK.into())
        }
        count => Ok(count),
    });
    if all > 0 {
        buf.advance(all);
        return Ok(Amount::All);
    }
    buf.advance(received?);
    Ok(Amount::Some)
}

/// Whether the executor knows of something to read that nobody has taken. No system call, and nobody will be woken.
pub(crate) fn has_come(socket: &impl Watched) -> bool {
    socket.try_read(|_| Ok(())).is_ok()
}

/// As `poll_write` of a TCP stream. Does not count as work, as what is written was mostly read before.
pub(crate) fn poll_send(stream: &TcpStream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    loop {
        match stream.try_io(Interest::WRITABLE, || send(stream, bytes)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
        ready!(stream.poll_write_ready(cx))?;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Not what two sockets hold at once.
    const MUCH: usize = 16 << 20;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (ours, listener.accept().await.unwrap().0)
    }

    async fn read(stream: &TcpStream, most: usize) -> Vec<u8> {
        let mut into = vec![0; most];
        let mut buf = ReadBuf::new(&mut into);
        poll_fn(|cx| poll_recv(stream, cx, &mut buf)).await.unwrap();
        buf.filled().to_vec()
    }

    #[tokio::test]
    async fn everything_is_read_in_time_and_the_end_is_seen() {
        let (ours, mut theirs) = pair().await;
        theirs.write_all(b"one two").await.unwrap();
        assert_eq!(read(&ours, 3).await, b"one", "a full buffer: there may be more");
        assert_eq!(read(&ours, 100).await, b" two", "a short read: that was all");
        let nothing = tokio::time::timeout(Duration::from_millis(20), read(&ours, 100)).await;
        assert!(nothing.is_err(), "and it waits");
        let (said, ()) = tokio::join!(read(&ours, 100), async {
            tokio::task::yield_now().await;
            theirs.write_all(b"three").await.unwrap();
            theirs.shutdown().await.unwrap();
        });
        assert_eq!(said, b"three");
        assert_eq!((read(&ours, 100).await, read(&ours, 100).await), (vec![], vec![]), "the end, and again");
    }

    #[tokio::test]
    async fn a_full_socket_is_waited_for() {
        let (ours, mut theirs) = pair().await;
        let bytes = vec![7; MUCH];
        let reading = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).await.unwrap();
            all
        };
        let writing = async {
            let mut sent = 0;
            while sent < MUCH {
                sent += poll_fn(|cx| poll_send(&ours, cx, &bytes[sent..])).await.unwrap();
            }
            drop(ours);
        };
        assert_eq!(tokio::join!(reading, writing).0, bytes);
    }

    #[tokio::test]
    async fn a_closed_socket_is_an_error_and_not_a_signal() {
        let (ours, theirs) = pair().await;
        drop(theirs);
        let mut failed = None;
        for _ in 0..100 {
            match poll_fn(|cx| poll_send(&ours, cx, &[0; 1000])).await {
                Ok(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => failed = Some(error.kind()),
            }
        }
        assert!(
            matches!(failed, Some(io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)),
            "{failed:?}"
        );
    }
}
