//! Addresses to listen on: TCP, or a Unix socket.
//!
//! An address is taken before the proxy starts, because connection strings need its port and because one that is
//! in use is the most common reason for a start to fail; it answers only when everything behind it is there.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::stream::ClientStream;

/// Connections that may wait in the kernel to be accepted.
const BACKLOG: i32 = 4096;

/// The address that stands for a client of a Unix socket.
pub const UNIX_PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// An address that is taken but does not answer yet.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Tcp(SocketAddr),
    Unix(SocketFile),
}

/// The file of a Unix socket; it goes when nobody listens any more.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Another process has it now.
    left: AtomicBool,
}

impl SocketFile {
    fn new(path: PathBuf) -> Self {
        Self { path, left: AtomicBool::new(false) }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Who comes later sees that nobody listens, with or without the file.
        if !self.left.load(Ordering::Acquire) {
            let _left_behind = fs::remove_file(&self.path);
        }
    }
}

impl Bound {
    /// Takes an address; port 0 takes any free one.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn to(address: SocketAddr) -> io::Result<Self> {
        Self::to_shared(address, false)
    }

    /// The same; with `shared` other processes of this account that share it too may take the same (`so_reuseport`).
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn to_shared(address: SocketAddr, shared: bool) -> io::Result<Self> {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(shared)?;
        socket.bind(&address.into())?;
        let address = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Self { socket, place: Place::Tcp(address) })
    }

    /// Takes a Unix socket. A file that a process left behind is replaced, one that answers is not.
    ///
    /// # Errors
    /// When the path cannot be used, or somebody listens there.
    pub fn unix(path: &Path, mode: u32) -> io::Result<Self> {
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            Err(_) => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let file = SocketFile::new(path.to_owned());
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        Ok(Self { socket, place: Place::Unix(file) })
    }

    /// An address that another process has taken, and gives away.
    ///
    /// # Errors
    /// When it is no socket, or of another kind.
    pub fn given(socket: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(socket);
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let place = match (address.as_socket(), address.as_pathname()) {
            (Some(address), _) => Place::Tcp(address),
            (None, Some(path)) => Place::Unix(SocketFile::new(path.to_owned())),
            (None, None) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        Ok(Self { socket, place })
    }

    /// Another handle of the socket. While any process has one, those who connect wait in line and are not refused.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn share(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    /// What it is called: an address, or the path of a Unix socket.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.place {
            Place::Tcp(address) => address.to_string(),
            Place::Unix(file) => file.path.display().to_string(),
        }
    }

    /// The TCP address, with the real port.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.place {
            Place::Tcp(address) => Some(*address),
            Place::Unix(_) => None,
        }
    }

    pub(crate) fn listen(self) -> io::Result<Listening> {
        self.socket.listen(BACKLOG)?;
        Ok(match self.place {
            Place::Tcp(_) => Listening::Tcp(TcpListener::from_std(self.socket.into())?),
            Place::Unix(file) => Listening::Unix(UnixListener::from_std(self.socket.into())?, file),
        })
    }
}

/// An address that answers.
#[allow(private_interfaces, reason = "the file is only kept")]
pub(crate) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener, #[allow(dead_code, reason = "removed when dropped")] SocketFile),
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener, _) => listener.as_fd(),
        }
    }
}

/// A client's socket that no executor has yet.
pub(crate) enum Incoming {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Listening {
    /// The file of a Unix socket stays: another process listens there now.
    pub(crate) fn leave_file(&self) {
        if let Self::Unix(_, file) = self {
            file.left.store(true, Ordering::Release);
        }
    }

    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    pub(crate) async fn accept(&self) -> io::Result<(Incoming, SocketAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Incoming::Tcp(stream.into_std()?), peer))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Incoming::Unix(stream.into_std()?), UNIX_PEER))
            }
        }
    }
}

impl Incoming {
    /// Gives it to the executor that runs this.
    pub(crate) fn into_stream(self) -> io::Result<ClientStream> {
        match self {
            Self::Tcp(stream) => TcpStream::from_std(stream).map(ClientStream::Plain),
            Self::Unix(stream) => UnixStream::from_std(stream).map(ClientStream::Unix),
        }
    }
}
