//! A client as small as can be: it waits for nothing that a measurement does not need.
//!
//! A driver's own work (runtimes, pools, type lookups) would be part of every figure. This blocks
//! on a socket, sends what the protocol wants and notes when the first row arrives. No TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use bytes::BytesMut;
use dormouse_base::clock::Mono;
use dormouse_pgwire::auth::scram::SaltedPassword;
use dormouse_pgwire::auth::scram::client::{Exchange, Password};
use dormouse_pgwire::backend::{Authentication, ErrorResponse, Handshake};
use dormouse_pgwire::frontend::{Query, Terminate};
use dormouse_pgwire::limit::MAX_BACKEND_MESSAGE;
use dormouse_pgwire::startup::Startup;
use dormouse_pgwire::tag::backend;
use dormouse_pgwire::{Encode, Frame, frame};

use crate::error::Error;

/// A server that is silent for longer than this is broken. Longer than any storm, and than the copy of a
/// database of 10 GiB.
const SILENCE: Duration = Duration::from_secs(300);

/// What every client asks first.
const FIRST_QUERY: &str = "select 1";

/// Bytes read at once.
const READ_SIZE: usize = 8 * 1024;

/// A connected client.
#[derive(Debug)]
pub(crate) struct Session<S: Read + Write> {
    stream: S,
    buffer: BytesMut,
    /// When the server was satisfied with the password.
    pub(crate) authenticated: Option<Mono>,
}

/// Whom to connect to as whom.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    /// The role.
    pub(crate) user: String,
    /// The database.
    pub(crate) database: String,
    /// The endpoint, where the address alone does not tell.
    pub(crate) endpoint: Option<String>,
    /// The password; none on a trusted socket.
    pub(crate) password: Option<Password>,
}

impl Login {
    pub(crate) fn startup(&self) -> Result<Startup, Error> {
        let unfit = |_| Error::unexpected("a name for the startup packet has a zero byte");
        let startup = Startup::new(&self.user).map_err(unfit)?;
        let startup = startup.with("database", &self.database).map_err(unfit)?;
        match &self.endpoint {
            Some(endpoint) => startup.with("options", format!("endpoint={endpoint}")).map_err(unfit),
            None => Ok(startup),
        }
    }

    /// The same with the PBKDF2 rounds done in advance, as drivers that remember them have it. Asks
    /// the server at `address` for salt and rounds, and leaves before the proof: nothing is woken.
    ///
    /// # Errors
    /// When the server does not ask for SCRAM.
    pub(crate) fn salted(&self, address: SocketAddr, password: &str) -> Result<Self, Error> {
        let mut session = tcp(address)?;
        session.send(&self.startup()?.encode())?;
        let mut exchange = Exchange::new(Password::plain(password), None);
        let challenge = loop {
            match session.authentication()? {
                Some(Authentication::Sasl(offered)) => {
                    let first = exchange.start(&offered).map_err(|e| Error::unexpected(e.to_string()))?;
                    session.send(&first.encode())?;
                }
                Some(Authentication::SaslContinue(challenge)) => break challenge.data,
                _ => return Err(Error::unexpected("the proxy did not ask for SCRAM")),
            }
        };
        let (salt, rounds) =
            salt_and_rounds(&challenge).ok_or_else(|| Error::unexpected("an unreadable SCRAM challenge"))?;
        let password = Password::Salted(SaltedPassword::derive(password, &salt, rounds));
        Ok(Self { password: Some(password), ..self.clone() })
    }
}

/// Reads `r=…,s=<base64>,i=<number>`.
fn salt_and_rounds(challenge: &[u8]) -> Option<(Vec<u8>, u32)> {
    let text = std::str::from_utf8(challenge).ok()?;
    let attribute = |name: &str| text.split(',').find_map(|part| part.strip_prefix(name));
    let salt = base64::engine::general_purpose::STANDARD.decode(attribute("s=")?).ok()?;
    Some((salt, attribute("i=")?.parse().ok()?))
}

fn tcp(address: SocketAddr) -> Result<Session<TcpStream>, Error> {
    let failed = || Error::system(format!("connect to {address}"));
    let stream = TcpStream::connect(address).map_err(failed())?;
    stream.set_nodelay(true).map_err(failed())?;
    stream.set_read_timeout(Some(SILENCE)).map_err(failed())?;
    Ok(Session { stream, buffer: BytesMut::with_capacity(READ_SIZE), authenticated: None })
}

/// Connects and logs in over TCP.
///
/// # Errors
/// When that fails.
pub(crate) fn over_tcp(address: SocketAddr, login: &Login) -> Result<Session<TcpStream>, Error> {
    let mut session = tcp(address)?;
    session.log_in(login)?;
    Ok(session)
}

/// Connects and logs in over a Unix socket.
///
/// # Errors
/// When that fails.
pub(crate) fn over_unix(socket: &Path, login: &Login) -> Result<Session<UnixStream>, Error> {
    let failed = || Error::system(format!("connect to {}", socket.display()));
    let stream = UnixStream::connect(socket).map_err(failed())?;
    stream.set_read_timeout(Some(SILENCE)).map_err(failed())?;
    let mut session = Session { stream, buffer: BytesMut::with_capacity(READ_SIZE), authenticated: None };
    session.log_in(login)?;
    Ok(session)
}

impl<S: Read + Write> Session<S> {
    /// Over something that is connected.
    pub(crate) fn of(stream: S) -> Self {
        Self { stream, buffer: BytesMut::with_capacity(READ_SIZE), authenticated: None }
    }

    /// Sends messages and waits until the server is ready again.
    ///
    /// # Errors
    /// When PostgreSQL refuses them.
    pub(crate) fn exchange(&mut self, messages: &[u8]) -> Result<(), Error> {
        if !messages.is_empty() {
            self.send(messages)?;
        }
        let mut failed = None;
        loop {
            let frame = self.receive()?;
            match frame.tag {
                backend::READY_FOR_QUERY => return failed.map_or(Ok(()), Err),
                backend::ERROR_RESPONSE => {
                    let error = ErrorResponse::decode(&frame.body);
                    let error = refused("query", &error.map_err(|e| Error::unexpected(e.to_string()))?);
                    failed = Some(error);
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stream.write_all(bytes).map_err(Error::system("send to the server"))
    }

    fn receive(&mut self) -> Result<Frame, Error> {
        loop {
            let frame = frame::take(&mut self.buffer, MAX_BACKEND_MESSAGE);
            if let Some(frame) = frame.map_err(|e| Error::unexpected(e.to_string()))? {
                return Ok(frame);
            }
            let mut chunk = [0; READ_SIZE];
            match self.stream.read(&mut chunk).map_err(Error::system("receive from the server"))? {
                0 => return Err(Error::unexpected("the server closed the connection")),
                count => self.buffer.extend_from_slice(&chunk[..count]),
            }
        }
    }

    fn reply(&mut self) -> Result<Handshake, Error> {
        let frame = self.receive()?;
        match Handshake::decode(frame.tag, &frame.body) {
            Ok(Handshake::Error(error)) => Err(refused("log in", &error)),
            Ok(reply) => Ok(reply),
            Err(error) => Err(Error::unexpected(error.to_string())),
        }
    }

    /// The next authentication request, `None` when it is something else.
    fn authentication(&mut self) -> Result<Option<Authentication>, Error> {
        Ok(match self.reply()? {
            Handshake::AuthRequest(request) => Some(request),
            _ => None,
        })
    }

    fn log_in(&mut self, login: &Login) -> Result<(), Error> {
        self.send(&login.startup()?.encode())?;
        let mut exchange = login.password.clone().map(|password| Exchange::new(password, None));
        loop {
            match (self.reply()?, exchange.as_mut()) {
                (Handshake::Ready(_), _) => return Ok(()),
                (Handshake::AuthOk, _) => self.authenticated = Some(Mono::now()),
                (Handshake::AuthRequest(request), Some(exchange)) => self.prove(exchange, &request)?,
                (Handshake::AuthRequest(_), None) => {
                    return Err(Error::unexpected("a trusted socket asked for a password"));
                }
                _ => {}
            }
        }
    }

    fn prove(&mut self, exchange: &mut Exchange, request: &Authentication) -> Result<(), Error> {
        let failed = |e: dormouse_pgwire::auth::scram::ScramError| Error::unexpected(e.to_string());
        match request {
            Authentication::Sasl(offered) => {
                let message = exchange.start(offered).map_err(failed)?;
                self.send(&message.encode())
            }
            Authentication::SaslContinue(challenge) => {
                let message = exchange.respond(challenge).map_err(failed)?;
                self.send(&message.encode())
            }
            Authentication::SaslFinal(last) => exchange.finish(last).map_err(failed),
            _ => Err(Error::unexpected("the server asked for something else than SCRAM")),
        }
    }

    /// Asks for a row and tells when it arrived; waits until the server is ready again.
    ///
    /// # Errors
    /// When no row comes.
    pub(crate) fn first_row(&mut self) -> Result<Mono, Error> {
        let (row, _) = self.query(FIRST_QUERY)?;
        row.ok_or_else(|| Error::unexpected("the query gave no row"))
    }

    /// Runs SQL; tells when the last row arrived and what its first column is.
    ///
    /// # Errors
    /// When PostgreSQL refuses it.
    pub(crate) fn query(&mut self, text: &str) -> Result<(Option<Mono>, Option<String>), Error> {
        self.send(&Query::new(text).encode())?;
        let (mut arrived, mut value) = (None, None);
        let mut failed = None;
        loop {
            let frame = self.receive()?;
            match frame.tag {
                backend::DATA_ROW => {
                    arrived = Some(Mono::now());
                    value = first_column(&frame.body);
                }
                backend::ERROR_RESPONSE => {
                    let error = ErrorResponse::decode(&frame.body);
                    let error = error.map_err(|e| Error::unexpected(e.to_string()))?;
                    failed = Some(refused("query", &error));
                }
                backend::READY_FOR_QUERY => return failed.map_or(Ok((arrived, value)), Err),
                _ => {}
            }
        }
    }
}

impl<S: Read + Write> Drop for Session<S> {
    fn drop(&mut self) {
        // The goodbye is a courtesy; the server may be gone.
        let _gone = self.stream.write_all(&Terminate.encode());
    }
}

/// The first column of a data row: the number of columns, then a length and bytes for each.
fn first_column(row: &[u8]) -> Option<String> {
    let length: [u8; 4] = row.get(2..6)?.try_into().ok()?;
    let length = usize::try_from(i32::from_be_bytes(length)).ok()?;
    Some(String::from_utf8_lossy(row.get(6..6 + length)?).into_owned())
}

fn refused(what: &'static str, error: &ErrorResponse) -> Error {
    let fields = &error.fields;
    Error::Postgres { what, code: fields.code().to_owned(), message: fields.message().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_challenge() {
        let (salt, rounds) = salt_and_rounds(b"r=abc,s=AAEC,i=4096").unwrap();
        assert_eq!((salt, rounds), (vec![0, 1, 2], 4096));
        assert!(salt_and_rounds(b"r=abc,s=AAEC").is_none());
    }

    #[test]
    fn reads_the_first_column() {
        assert_eq!(first_column(b"\0\x01\0\0\0\x02ab").as_deref(), Some("ab"));
        assert_eq!(first_column(b"\0\x01\xff\xff\xff\xff"), None);
        assert_eq!(first_column(b"\0\x01\0\0\0\x09ab"), None);
    }
}
