//! A backend's transport: the private Unix socket of a compute, or whatever leads to an ordinary server elsewhere.
//!
//! The first kind is the hot path: what it costs beyond the socket itself is one branch that is always predicted.

mod quiet;

pub use quiet::Quiet;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use crate::pooled::Ends;
use crate::raw;
use crate::wire::{self, Line, Wire};

/// Read from a backend that should be silent.
const SCRAP: usize = 16;

/// A backend's transport.
#[derive(Debug)]
pub enum BackendStream {
    /// A socket of this machine.
    Unix(Quiet),
    /// In the clear.
    Tcp(Wire<TcpStream>),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

impl BackendStream {
    /// A socket of this machine, for the executor that runs this.
    ///
    /// # Errors
    /// When the system cannot watch it.
    pub fn unix(socket: UnixStream) -> io::Result<Self> {
        Quiet::new(socket).map(Self::Unix)
    }

    /// In the clear, over a socket of the executor that runs this.
    pub(crate) fn tcp(socket: TcpStream) -> Self {
        Self::Tcp(Wire::new(socket))
    }

    /// Has `bytes` sent in this turn: see [`crate::wire`]. False when they have to be written, behind what was posted
    /// before; nothing has been taken then.
    pub(crate) fn post(&self, cx: &Context<'_>, bytes: &[u8]) -> bool {
        match self {
            Self::Unix(stream) => stream.post(cx, bytes),
            Self::Tcp(stream) => stream.post(cx, bytes),
            Self::Tls(_) => false,
        }
    }

    /// What stands between a post and the socket, if anything can.
    pub(crate) fn line(&self) -> Option<&Arc<Line>> {
        match self {
            Self::Unix(stream) => Some(stream.line()),
            Self::Tcp(stream) => Some(stream.line()),
            Self::Tls(_) => None,
        }
    }

    /// Whether it is open and nothing has come on it. What had come is lost: then it cannot be used any more.
    /// Costs no system call while nothing has come.
    pub(crate) fn is_silent(&self) -> bool {
        let mut scrap = [0; SCRAP];
        let read = match self {
            Self::Unix(stream) => stream.try_read(&mut scrap),
            Self::Tcp(stream) => stream.try_read(&mut scrap),
            // Not even a record of TLS's own is expected when nobody asked for anything.
            Self::Tls(stream) => stream.get_ref().0.try_read(&mut scrap),
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// False when reading would only wait, as far as the executor knows.
    pub(crate) fn may_have_come(&self) -> bool {
        match self {
            Self::Unix(stream) => stream.has_come(),
            Self::Tcp(stream) => raw::has_come(&**stream),
            Self::Tls(_) => true,
        }
    }

    /// Another handle of its socket, for another process.
    pub(crate) fn movable(&self) -> Option<OwnedFd> {
        match self {
            Self::Unix(stream) => stream.as_fd().try_clone_to_owned().ok(),
            Self::Tcp(_) | Self::Tls(_) => None,
        }
    }

    /// What its two ends are called.
    pub(crate) fn ends(&self) -> Ends {
        let of = |stream: &TcpStream, tls| Ends {
            there: stream.peer_addr().ok(),
            here: stream.local_addr().ok(),
            tls,
        };
        match self {
            Self::Unix(_) => Ends::default(),
            Self::Tcp(stream) => of(stream, String::new()),
            Self::Tls(stream) => {
                let (tcp, tls) = stream.get_ref();
                of(tcp, crate::stream::words(tls))
            }
        }
    }

    /// Writes a few bytes if that is possible at once. What is encrypted is left unsaid.
    pub(crate) fn say_if_possible(&self, bytes: &[u8]) {
        if self.line().is_some_and(|line| !line.settle()) {
            return;
        }
        // Whether it hears that or only sees the socket close makes little difference.
        let _polite = match self {
            Self::Unix(stream) => stream.try_write(bytes),
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Tls(_) => Ok(0),
        };
    }
}

impl AsyncRead for BackendStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tcp(stream) => raw::poll_recv(&**stream, cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for BackendStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tcp(stream) => wire::poll_write(stream, cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(stream) => wire::poll_flush(stream, cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => wire::poll_shutdown(stream, cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
