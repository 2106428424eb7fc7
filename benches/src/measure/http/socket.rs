//! A WebSocket as the official driver uses it: startup message, password and first query in one frame.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use dormouse_base::Secret;
use dormouse_pgwire::Encode;
use dormouse_pgwire::auth::scram::client::Password;
use dormouse_pgwire::frontend::PasswordMessage;

use super::Asks;
use super::plain::series;
use crate::error::Error;
use crate::session::{Login, Session};

/// Frames around the bytes of a session.
#[derive(Debug)]
pub(super) struct Framed {
    stream: TcpStream,
    unread: Vec<u8>,
    /// Bytes of the frame under way that are still to come.
    left: usize,
}

/// A connection.
pub(super) struct Socket {
    session: Session<Framed>,
    bytes: Vec<u8>,
}

/// Connects, logs in and gets a first row.
pub(super) fn open(address: SocketAddr, login: &Login, password: &str) -> Result<Socket, Error> {
    let failed = || Error::system(format!("connect to {address}"));
    let mut stream = TcpStream::connect(address).map_err(failed())?;
    stream.set_nodelay(true).map_err(failed())?;
    let request = format!(
        "GET /v2 HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(failed())?;
    let mut unread = Vec::new();
    let end = loop {
        let mut chunk = [0; 1024];
        let count = stream.read(&mut chunk).map_err(failed())?;
        unread.extend_from_slice(&chunk[..count]);
        match unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            Some(end) => break end + 4,
            None if count == 0 => return Err(Error::unexpected("the server wants no WebSocket")),
            None => {}
        }
    };
    unread.drain(..end);
    let plain = Login { password: Some(Password::plain(password)), ..login.clone() };
    let mut first = plain.startup()?.encode();
    PasswordMessage { password: Secret::new(password.as_bytes().to_vec()) }.encode_into(&mut first);
    first.extend(series());
    let mut session = Session::of(Framed { stream, unread, left: 0 });
    // The greeting ends with a ReadyForQuery, and so does the first answer.
    session.exchange(&first)?;
    session.exchange(&[])?;
    Ok(Socket { session, bytes: series() })
}

impl Asks for Socket {
    fn ask(&mut self) -> Result<(), Error> {
        self.session.exchange(&self.bytes)
    }
}

impl Read for Framed {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.left == 0
                && let Some((header, len)) = header(&self.unread)
            {
                self.unread.drain(..header);
                self.left = len;
            }
            let count = self.left.min(self.unread.len()).min(buf.len());
            if count > 0 {
                buf[..count].copy_from_slice(&self.unread[..count]);
                self.unread.drain(..count);
                self.left -= count;
                return Ok(count);
            }
            let mut chunk = [0; 8192];
            match self.stream.read(&mut chunk)? {
                0 => return Ok(0),
                count => self.unread.extend_from_slice(&chunk[..count]),
            }
        }
    }
}

/// Length of the header at the start, and of the payload.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes {
        [_, len, ..] if *len < 126 => Some((2, usize::from(*len))),
        [_, 126, a, b, ..] => Some((4, usize::from(u16::from_be_bytes([*a, *b])))),
        [_, 127, rest @ ..] => {
            let len = u64::from_be_bytes(*rest.first_chunk::<8>()?);
            Some((10, usize::try_from(len).ok()?))
        }
        _ => None,
    }
}

impl Write for Framed {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut frame = vec![0x82];
        match u16::try_from(buf.len()) {
            Ok(len) if len < 126 => frame.push(0x80 | len.to_be_bytes()[1]),
            Ok(len) => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&len.to_be_bytes());
            }
            Err(_) => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(buf.len() as u64).to_be_bytes());
            }
        }
        // A mask of zeros, which changes nothing.
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(buf);
        self.stream.write_all(&frame)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
