//! A client that speaks the protocol byte by byte, for what no driver would do or show: messages
//! in odd order, half messages, every field of an error.

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::BytesMut;
use dormouse_pgwire::auth::scram::client::{Exchange, Password};
use dormouse_pgwire::backend::{
    Authentication, BackendKeyData, ErrorResponse, Handshake, NegotiateProtocolVersion,
};
use dormouse_pgwire::frame::{self, Frame};
use dormouse_pgwire::frontend::Query;
use dormouse_pgwire::{Encode, limit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A reply that does not come within this time does not come.
pub const REPLY_WITHIN: Duration = Duration::from_secs(30);

/// `major << 16 | minor` of protocol 3.0.
pub const PROTOCOL_3_0: u32 = 3 << 16;

/// A connection.
#[derive(Debug)]
pub struct Raw {
    /// The socket.
    pub stream: TcpStream,
    unread: BytesMut,
}

/// What the server says at login.
#[derive(Debug, Default)]
pub struct Welcome {
    /// Process ID and secret.
    pub key: Option<BackendKeyData>,
    /// What it answered to a newer protocol.
    pub negotiated: Option<NegotiateProtocolVersion>,
    /// Reported settings.
    pub parameters: Vec<(String, String)>,
}

/// A startup packet for any version.
pub fn startup(version: u32, params: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in params {
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        body.extend_from_slice(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    prefixed(&body)
}

/// `body` after a length word that counts itself.
pub fn prefixed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&length.to_be_bytes(), body].concat()
}

impl Raw {
    /// Connects and says nothing.
    pub async fn open(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        Self { stream, unread: BytesMut::new() }
    }

    /// Sends bytes. The other side may have closed already; then they are lost.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _closed = self.stream.write_all(bytes).await;
    }

    /// The next message; `None` when the server closed the connection.
    pub async fn message(&mut self) -> Option<Frame> {
        tokio::time::timeout(REPLY_WITHIN, async {
            loop {
                if let Some(frame) = frame::take(&mut self.unread, limit::MAX_FRONTEND_MESSAGE).unwrap() {
                    return Some(frame);
                }
                match self.stream.read_buf(&mut self.unread).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        })
        .await
        .expect("the server neither answers nor closes")
    }

    /// Everything up to the end of the connection, which must come within `limit`.
    pub async fn rest(&mut self, limit: Duration) -> Vec<u8> {
        let mut all = self.unread.split().to_vec();
        let end = tokio::time::timeout(limit, self.stream.read_to_end(&mut all)).await;
        // A reset is an end too.
        let _reset = end.expect("the server keeps the connection open");
        all
    }

    /// The next message must be an error.
    pub async fn error(&mut self) -> ErrorResponse {
        let frame = self.message().await.expect("an error, not only the end of the connection");
        assert_eq!(char::from(frame.tag), 'E', "{frame:?}");
        ErrorResponse::decode(&frame.body).unwrap()
    }

    /// Logs in with SCRAM, up to the first ReadyForQuery.
    ///
    /// # Errors
    /// What the server refused it with.
    pub async fn login(&mut self, packet: &[u8], password: &str) -> Result<Welcome, ErrorResponse> {
        self.send(packet).await;
        let mut exchange = Exchange::new(Password::plain(password), None);
        let mut welcome = Welcome::default();
        loop {
            let frame = self.message().await.expect("the server closed during the login");
            match Handshake::decode(frame.tag, &frame.body).unwrap() {
                Handshake::AuthRequest(Authentication::Sasl(offered)) => {
                    self.send(&exchange.start(&offered).unwrap().encode()).await;
                }
                Handshake::AuthRequest(Authentication::SaslContinue(challenge)) => {
                    self.send(&exchange.respond(&challenge).unwrap().encode()).await;
                }
                Handshake::AuthRequest(Authentication::SaslFinal(last)) => exchange.finish(&last).unwrap(),
                Handshake::Error(error) => return Err(error),
                Handshake::KeyData(key) => welcome.key = Some(key),
                Handshake::Negotiate(answer) => welcome.negotiated = Some(answer),
                Handshake::ParameterStatus(status) => welcome.parameters.push((status.name, status.value)),
                Handshake::Ready(_) => return Ok(welcome),
                _ => {}
            }
        }
    }

    /// Sends a simple query without waiting for anything.
    pub async fn query(&mut self, sql: &str) {
        self.send(&Query::new(sql).encode()).await;
    }

    /// Reads up to ReadyForQuery; returns the first column of all rows as text.
    ///
    /// # Errors
    /// The first error on the way.
    pub async fn rows(&mut self) -> Result<Vec<String>, ErrorResponse> {
        let (mut rows, mut failed) = (Vec::new(), None);
        loop {
            let frame = self.message().await.expect("the server closed during a query");
            match frame.tag {
                b'D' => rows.push(first_column(&frame.body)),
                b'E' => {
                    let error = ErrorResponse::decode(&frame.body).unwrap();
                    if error.fields.is_fatal() {
                        return Err(error);
                    }
                    failed = failed.or(Some(error));
                }
                b'Z' => return failed.map_or(Ok(rows), Err),
                _ => {}
            }
        }
    }
}

fn first_column(body: &[u8]) -> String {
    let length = i32::from_be_bytes(body[2..6].try_into().unwrap());
    let length = usize::try_from(length).unwrap_or(0);
    String::from_utf8(body[6..6 + length].to_vec()).unwrap()
}
