//! A connection that expects nothing: whatever comes is an answer, also the end.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::BytesMut;
use dormouse_pgwire::Encode;
use dormouse_pgwire::auth::scram::client::{Exchange, Password};
use dormouse_pgwire::backend::{Authentication, Handshake};
use dormouse_pgwire::frame::{self, Frame};
use dormouse_pgwire::tag::backend as tag;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::raw::{PROTOCOL_3_0, startup};

/// A login that takes longer hangs.
const LOGIN_WITHIN: Duration = Duration::from_secs(90);

/// A message with more bytes than this is a lie.
const MAX_MESSAGE: usize = 64 << 20;

/// Logged in.
pub(crate) struct Wire {
    pub(crate) read: Reader,
    pub(crate) write: OwnedWriteHalf,
}

/// Its reading half.
pub(crate) struct Reader {
    half: OwnedReadHalf,
    unread: BytesMut,
    /// The parameters that were reported, as they were last.
    pub(crate) told: BTreeMap<String, String>,
}

/// Why there is no connection.
#[derive(Debug, Clone)]
pub(crate) enum NoLogin {
    /// It was refused, or ended.
    Refused(String),
    /// Nothing came.
    Hung,
}

impl std::fmt::Display for NoLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Hung => write!(f, "no answer within {LOGIN_WITHIN:?}"),
        }
    }
}

impl Wire {
    /// Logs in with these startup parameters.
    pub(crate) async fn login(port: u16, password: &str, params: &[(&str, &str)]) -> Result<Self, NoLogin> {
        let login = tokio::time::timeout(LOGIN_WITHIN, Self::try_login(port, password, params)).await;
        login.map_err(|_| NoLogin::Hung)?.map_err(NoLogin::Refused)
    }

    async fn try_login(port: u16, password: &str, params: &[(&str, &str)]) -> Result<Self, String> {
        let lost = |error: io::Error| error.to_string();
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        let (read, write) = stream.into_split();
        let mut wire =
            Self { read: Reader { half: read, unread: BytesMut::new(), told: BTreeMap::new() }, write };
        wire.write.write_all(&startup(PROTOCOL_3_0, params)).await.map_err(lost)?;
        let mut exchange = Exchange::new(Password::plain(password), None);
        loop {
            let frame = wire.read.next().await.ok_or("closed during the login")?;
            let step = Handshake::decode(frame.tag, &frame.body).map_err(|e| e.to_string())?;
            match step {
                Handshake::AuthRequest(Authentication::Sasl(offered)) => {
                    let first = exchange.start(&offered).map_err(|e| e.to_string())?;
                    wire.write.write_all(&first.encode()).await.map_err(lost)?;
                }
                Handshake::AuthRequest(Authentication::SaslContinue(challenge)) => {
                    let proof = exchange.respond(&challenge).map_err(|e| e.to_string())?;
                    wire.write.write_all(&proof.encode()).await.map_err(lost)?;
                }
                Handshake::AuthRequest(Authentication::SaslFinal(last)) => {
                    exchange.finish(&last).map_err(|e| e.to_string())?;
                }
                Handshake::Error(error) => {
                    return Err(format!("{} {}", error.fields.code(), error.fields.message()));
                }
                Handshake::Ready(_) => return Ok(wire),
                _ => {}
            }
        }
    }
}

impl Reader {
    fn hear(&mut self, body: &[u8]) {
        let mut texts = body.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
        if let (Some(name), Some(value)) = (texts.next(), texts.next()) {
            self.told.insert(name, value);
        }
    }

    /// The next message; `None` at the end, or when what comes is none.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = frame::take(&mut self.unread, MAX_MESSAGE).ok()? {
                if frame.tag == tag::PARAMETER_STATUS {
                    self.hear(&frame.body);
                }
                return Some(frame);
            }
            match self.half.read_buf(&mut self.unread).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}
