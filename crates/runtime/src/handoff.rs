//! Messages with open files, from one process to another on the same machine.
//!
//! One process gives another its listening sockets, connections and locks, so that a new version can go on where
//! the old one stood. A message is a body and some descriptors, on a stream socket of the file system:
//!
//! ```text
//!  "DMH1"  length of the body (u32)   ── with these 8 bytes come the descriptors (SCM_RIGHTS)
//!  body
//! ```
//!
//! Whoever can open the socket's file gets everything, so its file is for its owner only, and both ends make sure
//! that the other one is the same user ([`Channel::peer_is_us`]). What the messages mean is their users' business.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;

/// Descriptors in one message.
pub const MAX_DESCRIPTORS: usize = 16;

/// Bytes in one message. The statements that one client prepared are the largest thing that is ever sent.
pub const MAX_BODY: usize = 64 << 20;

const MAGIC: [u8; 4] = *b"DMH1";
const HEADER: usize = 8;

/// One end of a conversation. Both directions may be used at the same time; a call that is dropped before it is
/// done leaves its direction unusable.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
    sending: Mutex<()>,
    receiving: Mutex<()>,
}

/// A body and its descriptors.
#[derive(Debug)]
pub struct Message {
    /// The bytes.
    pub body: Vec<u8>,
    /// Open files; they are closed in programs that this process starts.
    pub files: Vec<OwnedFd>,
}

impl Channel {
    /// Over a connected socket.
    #[must_use]
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, sending: Mutex::default(), receiving: Mutex::default() }
    }

    /// Connects to a socket of the file system, however long its path is.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(path: &Path) -> io::Result<Self> {
        let (_dir, short) = shortened(path)?;
        UnixStream::connect(short).await.map(Self::new)
    }

    /// Whether the other end is a process of this process's user, or of root.
    #[must_use]
    pub fn peer_is_us(&self) -> bool {
        let uid = self.stream.peer_cred().map(|cred| cred.uid());
        uid.is_ok_and(|uid| uid == rustix::process::geteuid().as_raw() || uid == 0)
    }

    /// Sends one message. The descriptors stay open here, too.
    ///
    /// # Errors
    /// When the other end is gone, or the message is too large.
    pub async fn send(&self, body: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<()> {
        let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_BODY);
        let (Some(length), true) = (length, files.len() <= MAX_DESCRIPTORS) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is too large"));
        };
        let _alone = self.sending.lock().await;
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&MAGIC);
        header[4..].copy_from_slice(&length.to_be_bytes());
        let sent =
            self.stream.async_io(Interest::WRITABLE, || send_with(&self.stream, &header, files)).await?;
        self.write(&header[sent..]).await?;
        self.write(body).await
    }

    /// Receives one message; `None` when the other end has closed in order.
    ///
    /// # Errors
    /// When it is gone in the middle of a message, or speaks another language.
    pub async fn receive(&self) -> io::Result<Option<Message>> {
        let _alone = self.receiving.lock().await;
        let (mut header, mut got, mut files) = ([0; HEADER], 0, Vec::new());
        while got < HEADER {
            let read = || receive_with(&self.stream, &mut header[got..], &mut files);
            match self.stream.async_io(Interest::READABLE, read).await? {
                0 if got == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => got += count,
            }
        }
        let [_, _, _, _, a, b, c, d] = header;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if header[..4] != MAGIC || length > MAX_BODY {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a message of a hand-over"));
        }
        let mut body = vec![0; length];
        let mut filled = 0;
        while filled < length {
            self.stream.readable().await?;
            match self.stream.try_read(&mut body[filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(Message { body, files }))
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn send_with(stream: &UnixStream, bytes: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

fn receive_with(stream: &UnixStream, into: &mut [u8], files: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got =
        rustix::net::recvmsg(stream, &mut [IoSliceMut::new(into)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            files.extend(rights);
        }
    }
    Ok(got.bytes)
}

/// Listens on a socket of the file system that only its owner can open. A file that is in its place is replaced:
/// the caller has made sure that nobody else uses it.
///
/// # Errors
/// When it cannot be made.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (_dir, short) = shortened(path)?;
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM.nonblocking(), None)?;
    // The file is made with the mode that the socket has, so it is never open to others.
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600))?;
    socket.bind(&socket2::SockAddr::unix(short)?)?;
    socket.listen(BACKLOG)?;
    UnixListener::from_std(socket.into())
}

/// Those who may wait to be accepted: there is one successor at a time.
const BACKLOG: i32 = 4;

/// A short name of a path, because the address of a socket has room for 107 bytes only. It is good as long as the
/// directory is open.
fn shortened(path: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let dir = rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd())).join(name);
    Ok((dir, short))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn bodies_and_open_files_arrive_together_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a".repeat(100)).join("b".repeat(100));
        fs::create_dir_all(&deep).unwrap();
        let path = deep.join("socket");
        drop(listen(&path).unwrap());
        let listener = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (one, accepted) = tokio::join!(Channel::connect(&path), listener.accept());
        let (one, two) = (one.unwrap(), Channel::new(accepted.unwrap().0));
        assert!(one.peer_is_us() && two.peer_is_us());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"hello").unwrap();
        let large = vec![7; 3 << 20];
        let send = async {
            one.send(b"first", &[file.as_fd()]).await.unwrap();
            one.send(&large, &[]).await.unwrap();
            one.send(b"", &[file.as_fd(), file.as_fd()]).await.unwrap();
        };
        let receive = async {
            let first = two.receive().await.unwrap().unwrap();
            assert_eq!((first.body.as_slice(), first.files.len()), (&b"first"[..], 1));
            let mut theirs = fs::File::from(first.files.into_iter().next().unwrap());
            let mut text = String::new();
            theirs.rewind().unwrap();
            theirs.read_to_string(&mut text).unwrap();
            assert_eq!(text, "hello");
            assert_eq!(two.receive().await.unwrap().unwrap().body, large);
            assert_eq!(two.receive().await.unwrap().unwrap().files.len(), 2);
        };
        tokio::join!(send, receive);
        drop(one);
        assert!(two.receive().await.unwrap().is_none());
    }
}
