//! `recv` and `send` straight to the kernel.
//!
//! The C library's own are points where a thread may be cancelled. In a process with threads each call switches that on
//! and off again, by two locked instructions; with the calls around them that is a twentieth of what a small query costs
//! outside of the kernel. Nothing here is ever cancelled so.

use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::{Interest, ReadBuf};
use tokio::net::TcpStream;

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

/// As `poll_read` of a TCP stream.
pub(crate) fn poll_recv(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    loop {
        ready!(stream.poll_read_ready(cx))?;
        let into = buf.initialize_unfilled();
        let mut all = None;
        let received = stream.try_io(Interest::READABLE, || match recv(stream, into)? {
            // That was all: the next call need not ask the system. An end of file is not forgotten so.
            count if 0 < count && count < into.len() => {
                all = Some(count);
                Err(Errno::WOULDBLOCK.into())
            }
            count => Ok(count),
        });
        match (all, received) {
            (Some(count), _) | (None, Ok(count)) => {
                buf.advance(count);
                return Poll::Ready(Ok(()));
            }
            (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            (None, Err(error)) => return Poll::Ready(Err(error)),
        }
    }
}

/// As `poll_write` of a TCP stream.
pub(crate) fn poll_send(stream: &TcpStream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        match stream.try_io(Interest::WRITABLE, || send(stream, bytes)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
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
