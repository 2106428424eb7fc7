//! Addresses to listen on: TCP, or a Unix socket.
//!
//! An address is taken before the proxy starts, because connection strings need its port and because one that is
//! in use is the most common reason for a start to fail; it answers only when everything behind it is there.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::net::SocketFlags;
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use tokio::net::{TcpStream, UnixStream};

use crate::stream::ClientStream;

/// Connections that may wait in the kernel to be accepted.
const BACKLOG: i32 = 4096;

/// A serverless client that froze leaves a dead connection; the system finds it within 60 + 5 × 10 s.
pub(crate) const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(10), 5);

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
    /// Takes an address; port 0 takes any free one, and `[::]` IPv4's addresses too.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn to(address: SocketAddr) -> io::Result<Self> {
        Self::to_prepared(address, |_| Ok(()))
    }

    /// Takes an address as PgBouncer does: one of IPv6 leaves IPv4 alone, so that `0.0.0.0` can be taken beside `[::]`.
    /// With `shared` other processes of this account that share it too may take the same (`so_reuseport`).
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn to_one_kind(address: SocketAddr, shared: bool) -> io::Result<Self> {
        Self::to_prepared(address, |socket| {
            if address.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            socket.set_reuse_port(shared)
        })
    }

    fn to_prepared(address: SocketAddr, prepare: impl FnOnce(&Socket) -> io::Result<()>) -> io::Result<Self> {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        prepare(&socket)?;
        socket.bind(&address.into())?;
        let address = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Self { socket, place: Place::Tcp(address) })
    }

    /// Takes a Unix socket, whose file gets this mode and, if one is named, this group. A file that a process left
    /// behind is replaced, one that answers is not.
    ///
    /// # Errors
    /// When the path cannot be used, somebody listens there, or the process may not give a file to the group.
    pub fn unix(path: &Path, mode: u32, group: Option<u32>) -> io::Result<Self> {
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            Err(_) => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let file = SocketFile::new(path.to_owned());
        if group.is_some() {
            std::os::unix::fs::chown(path, None, group)?;
        }
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

    /// An address that the service manager has taken and keeps: the file of a Unix socket is not ours to remove.
    ///
    /// # Errors
    /// When it is no socket, or of another kind.
    pub fn lent(socket: OwnedFd) -> io::Result<Self> {
        let bound = Self::given(socket)?;
        if let Place::Unix(file) = &bound.place {
            file.left.store(true, Ordering::Release);
        }
        Ok(bound)
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
        let failed = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.name()));
        self.socket.listen(BACKLOG).map_err(failed)?;
        if let Place::Tcp(_) = self.place
            && let Err(error) = prepare(&self.socket)
        {
            tracing::debug!(%error, "cannot set socket options");
        }
        Ok(Listening { socket: self.socket, place: self.place })
    }
}

/// Options of clients' sockets. Each inherits them from the one that it came by.
fn prepare(listening: &Socket) -> io::Result<()> {
    listening.set_tcp_nodelay(true)?;
    let (idle, interval, retries) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(retries);
    listening.set_tcp_keepalive(&keepalive)
}

/// An address that answers.
#[derive(Debug)]
pub(crate) struct Listening {
    socket: Socket,
    place: Place,
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Listening {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
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
        if let Place::Unix(file) = &self.place {
            file.left.store(true, Ordering::Release);
        }
    }

    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self.place, Place::Tcp(_))
    }

    /// Takes the next client that waits, without handing it to the executor that looks: it may be another's.
    ///
    /// # Errors
    /// `WouldBlock` when nobody waits; when the system has no descriptor left.
    pub(crate) fn take(&self) -> io::Result<(Incoming, SocketAddr)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        match self.place {
            Place::Tcp(address) => {
                let (socket, peer) = rustix::net::acceptfrom_with(&self.socket, flags)?;
                let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok()).map(plain);
                Ok((Incoming::Tcp(socket.into()), peer.unwrap_or(address)))
            }
            Place::Unix(_) => {
                let socket = rustix::net::accept_with(&self.socket, flags)?;
                Ok((Incoming::Unix(socket.into()), UNIX_PEER))
            }
        }
    }
}

/// The address that a client of IPv4 has itself, where a socket for both kinds calls it `::ffff:10.0.0.7`.
fn plain(peer: SocketAddr) -> SocketAddr {
    match peer.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, peer.port()),
        IpAddr::V6(_) => peer,
    }
}

impl Incoming {
    /// Gives it to the executor that runs this.
    pub(crate) fn into_stream(self) -> io::Result<ClientStream> {
        match self {
            Self::Tcp(stream) => TcpStream::from_std(stream).map(ClientStream::plain),
            Self::Unix(stream) => UnixStream::from_std(stream).map(ClientStream::Unix),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use socket2::SockRef;

    use super::*;

    /// Whether this machine has IPv6.
    fn has_v6() -> bool {
        std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
    }

    #[test]
    fn a_client_of_ipv4_is_called_as_it_calls_itself() {
        if !has_v6() {
            return;
        }
        let listening = Bound::to((Ipv6Addr::UNSPECIFIED, 0).into()).unwrap().listen().unwrap();
        let Place::Tcp(address) = listening.place else { panic!("it is TCP") };
        let client = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).unwrap();
        assert_eq!(listening.take().unwrap().1, client.local_addr().unwrap());
    }

    #[test]
    fn both_kinds_can_be_listened_on_and_what_cannot_is_named() {
        if !has_v6() {
            return;
        }
        let four = Bound::to_one_kind((Ipv4Addr::UNSPECIFIED, 0).into(), false).unwrap();
        let port = four.address().unwrap().port();
        let six = Bound::to_one_kind((Ipv6Addr::UNSPECIFIED, port).into(), false).unwrap();
        let again = Bound::to_one_kind((Ipv4Addr::LOCALHOST, port).into(), false).unwrap();
        let (_four, _six) = (four.listen().unwrap(), six.listen().unwrap());
        let told = again.listen().unwrap_err();
        assert_eq!(told.kind(), io::ErrorKind::AddrInUse);
        assert!(told.to_string().starts_with(&format!("127.0.0.1:{port}: ")), "{told}");
    }

    #[test]
    fn clients_get_the_options_of_the_socket_that_they_came_by() {
        let listening = Bound::to((Ipv4Addr::LOCALHOST, 0).into()).unwrap().listen().unwrap();
        assert_eq!(listening.take().err().map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
        let Place::Tcp(address) = listening.place else { panic!("it is TCP") };
        let client = std::net::TcpStream::connect(address).unwrap();
        let (incoming, peer) = listening.take().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        let Incoming::Tcp(stream) = incoming else { panic!("it is TCP") };
        let socket = SockRef::from(&stream);
        assert!(
            socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap() && socket.nonblocking().unwrap()
        );
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE.0);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE.2);
    }
}
