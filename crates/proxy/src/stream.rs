//! A client's transport: plain TCP, TLS over it, a Unix socket, or what the gateway carries, behind one type.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use dormouse_pgwire::auth::scram::ChannelBinding;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, CommonState, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::raw;
use crate::wire::{self, Wire};

/// A client's transport.
#[derive(Debug)]
pub enum ClientStream {
    /// In the clear.
    Plain(Wire<TcpStream>),
    /// Encrypted.
    Tls(Box<Encrypted>),
    /// On this machine.
    Unix(UnixStream),
    /// Inside of something else: a WebSocket, or a request over HTTP.
    Carried(Box<Carried>),
}

/// Bytes that come from nowhere that the system knows.
pub(crate) trait Transport: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Unpin> Transport for T {}

/// A transport that the gateway carries.
#[derive(Debug)]
pub struct Carried {
    /// The bytes.
    pub(crate) stream: Box<dyn Transport>,
    /// Whether nobody can listen in.
    pub(crate) tls: bool,
    /// The host name the client asked for.
    pub(crate) server_name: Option<String>,
}

/// An encrypted transport, with what the certificate that was shown on it lets SCRAM bind to.
#[derive(Debug)]
pub struct Encrypted {
    /// The bytes.
    pub stream: TlsStream<TcpStream>,
    /// What SCRAM-SHA-256-PLUS binds to; the certificate may have been replaced since.
    pub binding: Option<ChannelBinding>,
}

fn tcp_again(socket: &TcpStream) -> io::Result<TcpStream> {
    TcpStream::from_std(std::net::TcpStream::from(socket.as_fd().try_clone_to_owned()?))
}

fn unix_again(socket: &UnixStream) -> io::Result<UnixStream> {
    UnixStream::from_std(std::os::unix::net::UnixStream::from(socket.as_fd().try_clone_to_owned()?))
}

impl ClientStream {
    /// In the clear, over a socket of the executor that runs this.
    pub(crate) fn plain(socket: TcpStream) -> Self {
        Self::Plain(Wire::new(socket))
    }

    /// Has `bytes` sent in this turn: see [`crate::wire`]. False when they have to be written, behind what was posted
    /// before; nothing has been taken then.
    pub(crate) fn post(&self, cx: &Context<'_>, bytes: &[u8]) -> bool {
        match self {
            Self::Plain(stream) => stream.post(cx, bytes),
            Self::Unix(_) | Self::Tls(_) | Self::Carried(_) => false,
        }
    }

    /// What was posted and could not be sent: it comes before everything else.
    pub(crate) fn take_left(&self) -> Option<Vec<u8>> {
        match self {
            Self::Plain(stream) => stream.line().take_left(),
            Self::Unix(_) | Self::Tls(_) | Self::Carried(_) => None,
        }
    }

    /// Sends what is posted now. False when it could not be.
    pub(crate) fn settle(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.line().settle(),
            Self::Unix(_) | Self::Tls(_) | Self::Carried(_) => true,
        }
    }

    /// Whether it is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        match self {
            Self::Tls(_) => true,
            Self::Carried(carried) => carried.tls,
            Self::Plain(_) | Self::Unix(_) => false,
        }
    }

    /// Whether the bytes come over HTTP: such a client may show its password without being asked.
    pub(crate) fn is_carried(&self) -> bool {
        matches!(self, Self::Carried(_))
    }

    /// Version and suite, as OpenSSL calls them; empty without TLS.
    #[must_use]
    pub fn tls_words(&self) -> String {
        match self {
            Self::Tls(tls) => words(tls.stream.get_ref().1),
            // The gateway's own, of which nothing more is known here.
            Self::Carried(carried) if carried.tls => "TLS".to_owned(),
            Self::Plain(_) | Self::Unix(_) | Self::Carried(_) => String::new(),
        }
    }

    /// A second handle of the socket, to look at it from elsewhere; none of an encrypted one, where nothing could be
    /// seen.
    #[must_use]
    pub fn watcher(&self) -> Option<OwnedFd> {
        match self {
            Self::Plain(stream) => stream.as_fd().try_clone_to_owned().ok(),
            Self::Unix(stream) => stream.as_fd().try_clone_to_owned().ok(),
            Self::Tls(_) | Self::Carried(_) => None,
        }
    }

    /// False when reading would only wait, as far as the executor knows.
    pub(crate) fn may_have_come(&self) -> bool {
        match self {
            Self::Plain(stream) => raw::has_come(&**stream),
            Self::Unix(_) | Self::Tls(_) | Self::Carried(_) => true,
        }
    }

    /// Whether the other end has closed it, without reading: what was said before may wait for its turn. Always false
    /// of what the gateway carries, whose socket is not here. A system call.
    pub(crate) fn is_closed(&self) -> bool {
        let socket = match self {
            Self::Plain(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            Self::Tls(tls) => tls.stream.get_ref().0.as_fd(),
            Self::Carried(_) => return false,
        };
        let closed = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut looked = [PollFd::from_borrowed_fd(socket, PollFlags::RDHUP)];
        poll(&mut looked, Some(&Timespec::default())).is_ok_and(|_| looked[0].revents().intersects(closed))
    }

    /// The user and process at the other end of a Unix socket, if that can be known.
    #[must_use]
    pub fn owner(&self) -> Option<(u32, u32)> {
        let Self::Unix(stream) = self else { return None };
        let who = stream.peer_cred().ok()?;
        Some((who.uid(), who.pid().and_then(|pid| pid.try_into().ok()).unwrap_or_default()))
    }

    /// Our end, as the client reached it; none of a Unix socket.
    pub(crate) fn here(&self) -> Option<SocketAddr> {
        match self {
            Self::Plain(stream) => stream.local_addr().ok(),
            Self::Tls(tls) => tls.stream.get_ref().0.local_addr().ok(),
            Self::Unix(_) | Self::Carried(_) => None,
        }
    }

    /// The host name the client asked TLS for.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        match self {
            Self::Plain(_) | Self::Unix(_) => None,
            Self::Tls(tls) => tls.stream.get_ref().1.server_name(),
            Self::Carried(carried) => carried.server_name.as_deref(),
        }
    }

    /// Registers the socket with the executor that runs this, instead of the one that accepted it.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn rehome(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => *stream = Wire::new(tcp_again(stream)?),
            Self::Tls(tls) => {
                let socket = tls.stream.get_mut().0;
                *socket = tcp_again(socket)?;
            }
            Self::Unix(stream) => *stream = unix_again(stream)?,
            // Its socket stays with the executor that serves HTTP, which wakes whoever waits for it.
            Self::Carried(_) => {}
        }
        Ok(())
    }

    /// The bare socket once more, for the executor that runs this; without the encryption, if it has one. `None` of what
    /// the gateway carries, or when the system has no descriptor left.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Plain(stream) => tcp_again(stream).ok().map(Self::plain),
            Self::Tls(tls) => tcp_again(tls.stream.get_ref().0).ok().map(Self::plain),
            Self::Unix(stream) => unix_again(stream).ok().map(Self::Unix),
            Self::Carried(_) => None,
        }
    }

    /// Another handle of its socket, for another process, and whether it is one of this machine. `None` when it is
    /// encrypted, as the keys cannot go along, or carried by HTTP.
    pub(crate) fn movable(&self) -> Option<(bool, OwnedFd)> {
        match self {
            Self::Plain(stream) => Some((false, stream.as_fd().try_clone_to_owned().ok()?)),
            Self::Unix(stream) => Some((true, stream.as_fd().try_clone_to_owned().ok()?)),
            Self::Tls(_) | Self::Carried(_) => None,
        }
    }

    /// The negotiated application protocol.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) | Self::Unix(_) | Self::Carried(_) => None,
            Self::Tls(tls) => tls.stream.get_ref().1.alpn_protocol(),
        }
    }

    /// The chain of certificates that the client showed, verified, its own first.
    #[must_use]
    pub fn certificates(&self) -> Option<&[CertificateDer<'static>]> {
        match self {
            Self::Plain(_) | Self::Unix(_) | Self::Carried(_) => None,
            Self::Tls(tls) => tls.stream.get_ref().1.peer_certificates(),
        }
    }

    /// What SCRAM can bind to on this transport.
    #[must_use]
    pub fn binding(&self) -> Option<&ChannelBinding> {
        match self {
            Self::Plain(_) | Self::Unix(_) | Self::Carried(_) => None,
            Self::Tls(tls) => tls.binding.as_ref(),
        }
    }
}

/// Version and suite of a connection, as OpenSSL calls them.
pub(crate) fn words(connection: &CommonState) -> String {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLS",
    };
    let suite = connection.negotiated_cipher_suite().map(|suite| suite_name(suite.suite()));
    format!("{version}/{}", suite.unwrap_or_default())
}

/// A suite as OpenSSL calls it, as far as TLS 1.3 goes.
pub(crate) fn suite_name(suite: CipherSuite) -> String {
    suite.as_str().unwrap_or_default().replacen("TLS13_", "TLS_", 1)
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => raw::poll_recv(&**stream, cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_read(cx, buf),
            Self::Carried(carried) => Pin::new(&mut carried.stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => wire::poll_write(stream, cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_write(cx, buf),
            Self::Carried(carried) => Pin::new(&mut carried.stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => wire::poll_flush(stream, cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_flush(cx),
            Self::Carried(carried) => Pin::new(&mut carried.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => wire::poll_shutdown(stream, cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_shutdown(cx),
            Self::Carried(carried) => Pin::new(&mut carried.stream).poll_shutdown(cx),
        }
    }
}
