//! A client's transport: plain TCP, TLS over it, or a Unix socket, behind one type.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use dormouse_pgwire::auth::scram::ChannelBinding;
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, CommonState, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// A client's transport.
#[derive(Debug)]
pub enum ClientStream {
    /// In the clear.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<Encrypted>),
    /// On this machine.
    Unix(UnixStream),
}

/// An encrypted transport, with what the certificate that was shown on it lets SCRAM bind to.
#[derive(Debug)]
pub struct Encrypted {
    /// The bytes.
    pub stream: TlsStream<TcpStream>,
    /// What SCRAM-SHA-256-PLUS binds to; the certificate may have been replaced since.
    pub binding: Option<ChannelBinding>,
}

impl ClientStream {
    /// Whether it is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Version and suite, as OpenSSL calls them; empty without TLS.
    #[must_use]
    pub fn tls_words(&self) -> String {
        let Self::Tls(tls) = self else { return String::new() };
        words(tls.stream.get_ref().1)
    }

    /// A second handle of the socket, to look at it from elsewhere; none of an encrypted one, where nothing could be
    /// seen.
    #[must_use]
    pub fn watcher(&self) -> Option<OwnedFd> {
        match self {
            Self::Plain(stream) => stream.as_fd().try_clone_to_owned().ok(),
            Self::Unix(stream) => stream.as_fd().try_clone_to_owned().ok(),
            Self::Tls(_) => None,
        }
    }

    /// The user and process at the other end of a Unix socket, if that can be known.
    #[must_use]
    pub fn owner(&self) -> Option<(u32, u32)> {
        let Self::Unix(stream) = self else { return None };
        let who = stream.peer_cred().ok()?;
        Some((who.uid(), who.pid().and_then(|pid| pid.try_into().ok()).unwrap_or_default()))
    }

    /// The host name the client asked TLS for.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        match self {
            Self::Plain(_) | Self::Unix(_) => None,
            Self::Tls(tls) => tls.stream.get_ref().1.server_name(),
        }
    }

    /// Registers the socket with the executor that runs this, instead of the one that accepted it.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn rehome(&mut self) -> io::Result<()> {
        let socket = match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => tls.stream.get_mut().0,
            Self::Unix(stream) => {
                let again = std::os::unix::net::UnixStream::from(stream.as_fd().try_clone_to_owned()?);
                *stream = UnixStream::from_std(again)?;
                return Ok(());
            }
        };
        let again = std::net::TcpStream::from(socket.as_fd().try_clone_to_owned()?);
        *socket = TcpStream::from_std(again)?;
        Ok(())
    }

    /// The negotiated application protocol.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) | Self::Unix(_) => None,
            Self::Tls(tls) => tls.stream.get_ref().1.alpn_protocol(),
        }
    }

    /// The chain of certificates that the client showed, verified, its own first.
    #[must_use]
    pub fn certificates(&self) -> Option<&[CertificateDer<'static>]> {
        match self {
            Self::Plain(_) | Self::Unix(_) => None,
            Self::Tls(tls) => tls.stream.get_ref().1.peer_certificates(),
        }
    }

    /// What SCRAM can bind to on this transport.
    #[must_use]
    pub fn binding(&self) -> Option<&ChannelBinding> {
        match self {
            Self::Plain(_) | Self::Unix(_) => None,
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
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_shutdown(cx),
        }
    }
}
