//! The two clients that have a socket and nothing else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::{Asks, SQL};
use crate::error::Error;
use crate::session::{self, Login, Session};

/// A connection of the wire protocol.
pub(super) struct Wire {
    session: Session<TcpStream>,
    bytes: Vec<u8>,
}

/// Parse, Bind with one parameter, Describe, Execute, Sync.
pub(super) fn series() -> Vec<u8> {
    let mut out = Vec::new();
    let mut message = |tag: u8, parts: &[&[u8]]| {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        out.push(tag);
        out.extend_from_slice(&u32::try_from(len + 4).unwrap_or(u32::MAX).to_be_bytes());
        parts.iter().for_each(|part| out.extend_from_slice(part));
    };
    message(b'P', &[b"\0", SQL.as_bytes(), b"\0\0\0"]);
    message(b'B', &[b"\0\0\0\0\0\x01\0\0\0\x0241\0\0"]);
    message(b'D', &[b"P\0"]);
    message(b'E', &[b"\0\0\0\0\0"]);
    message(b'S', &[]);
    out
}

impl Wire {
    pub(super) fn open(address: SocketAddr, login: &Login) -> Result<Self, Error> {
        Ok(Self { session: session::over_tcp(address, login)?, bytes: series() })
    }
}

impl Asks for Wire {
    fn ask(&mut self) -> Result<(), Error> {
        self.session.exchange(&self.bytes)
    }
}

/// A connection that is kept alive.
pub(super) struct Http {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Http {
    pub(super) fn open(address: SocketAddr, uri: &str) -> Result<Self, Error> {
        let failed = || Error::system(format!("connect to {address}"));
        let stream = TcpStream::connect(address).map_err(failed())?;
        stream.set_nodelay(true).map_err(failed())?;
        let body = format!(r#"{{"query":"{SQL}","params":["41"]}}"#);
        // The headers that the official driver sends.
        let request = format!(
            "POST /sql HTTP/1.1\r\nhost: {address}\r\nNeon-Connection-String: {uri}\r\nNeon-Raw-Text-Output: true\r\n\
             Neon-Array-Mode: true\r\naccept: */*\r\naccept-encoding: gzip, deflate\r\n\
             content-type: text/plain;charset=UTF-8\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(Self { stream, request: request.into_bytes(), buffer: Vec::new() })
    }

    /// Reads one answer with a length.
    fn answer(&mut self) -> Result<(), Error> {
        self.buffer.clear();
        let mut chunk = [0; 8192];
        loop {
            let count = self.stream.read(&mut chunk).map_err(Error::system("read an answer"))?;
            if count == 0 {
                return Err(Error::unexpected("the server closed the connection"));
            }
            self.buffer.extend_from_slice(&chunk[..count]);
            let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
            let length =
                head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            let length: usize = length.ok_or_else(|| Error::unexpected("an answer without a length"))?;
            if self.buffer.len() >= end + 4 + length {
                let body = &self.buffer[end + 4..];
                let good = head.starts_with("http/1.1 200") && body.windows(2).any(|bytes| bytes == b"42");
                let text = || format!("{head}\n{}", String::from_utf8_lossy(body));
                return if good { Ok(()) } else { Err(Error::unexpected(text())) };
            }
        }
    }
}

impl Asks for Http {
    fn ask(&mut self) -> Result<(), Error> {
        self.stream.write_all(&self.request).map_err(Error::system("send a request"))?;
        self.answer()
    }
}
