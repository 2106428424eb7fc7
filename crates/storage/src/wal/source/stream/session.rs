//! One replication session: handshake, the slot, the timeline, then the stream.

use std::io;

use bytes::BytesMut;
use dormouse_base::{Lsn, Timeline, clock};
use dormouse_pgwire::backend::{DataRow, ErrorResponse, Handshake, PrimaryKeepalive, XLogData};
use dormouse_pgwire::frontend::{CopyDone, Query, StandbyStatusUpdate};
use dormouse_pgwire::limit::MAX_REPLICATION_MESSAGE;
use dormouse_pgwire::startup::Startup;
use dormouse_pgwire::{Encode, Frame, frame, tag};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::wal::source::tap::SLOT;

/// Seconds from 1970 to 2000, where PostgreSQL's clock begins.
const CLOCK_OFFSET_SECONDS: i64 = 946_684_800;
/// The slot exists already.
const DUPLICATE_OBJECT: &str = "42710";
/// The slot does not exist.
const UNDEFINED_OBJECT: &str = "42704";
/// A segment was removed, or a slot that was lost is used.
const GONE: [&str; 2] = ["58P01", "55000"];

/// A connection that somebody opened for us.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error("the replication connection failed")]
    Io(#[source] io::Error),
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    #[error("the server refused: {code} {message}")]
    Refused { code: String, message: String },
    /// The WAL that was asked for is not there any more.
    #[error("the server has removed the WAL that is needed: {0}")]
    Gone(String),
}

/// What a stream brings.
#[derive(Debug)]
pub(super) enum Event {
    Wal(XLogData),
    Keepalive(PrimaryKeepalive),
    /// The timeline ends; where the next begins.
    NextTimeline(Option<(Timeline, Lsn)>),
}

/// An open session.
pub(super) struct Session {
    stream: Box<dyn Duplex>,
    input: BytesMut,
}

impl Session {
    pub(super) async fn open(stream: Box<dyn Duplex>, user: &str) -> Result<Self, SessionError> {
        let mut session = Self { stream, input: BytesMut::new() };
        let startup = Startup::new(user).and_then(|s| s.with("replication", "true"));
        let startup = startup.and_then(|s| s.with("application_name", SLOT));
        let startup =
            startup.map_err(|_| SessionError::Protocol("a user name with a zero byte".to_owned()))?;
        session.send(&startup.encode()).await?;
        loop {
            let Frame { tag, body } = session.frame().await?;
            let message = Handshake::decode(tag, &body).map_err(|e| SessionError::Protocol(e.to_string()))?;
            match message {
                Handshake::Ready(_) => return Ok(session),
                Handshake::Error(error) => return Err(refused(&error)),
                Handshake::AuthRequest(_) => {
                    return Err(SessionError::Protocol("it asks for a password".to_owned()));
                }
                _ => {}
            }
        }
    }

    /// The timeline that the server writes on.
    pub(super) async fn identify(&mut self) -> Result<(Timeline, Lsn), SessionError> {
        let row = self.command("IDENTIFY_SYSTEM").await?;
        let parsed = row
            .as_ref()
            .and_then(|row| Some((Timeline(row.text(1)?.parse().ok()?), row.text(2)?.parse().ok()?)));
        parsed.ok_or_else(|| SessionError::Protocol("IDENTIFY_SYSTEM has another answer".to_owned()))
    }

    /// Makes the slot unless it is there.
    pub(super) async fn ensure_slot(&mut self) -> Result<(), SessionError> {
        let sql = format!("CREATE_REPLICATION_SLOT \"{SLOT}\" PHYSICAL RESERVE_WAL");
        match self.command(&sql).await {
            Err(SessionError::Refused { code, .. }) if code == DUPLICATE_OBJECT => Ok(()),
            other => other.map(drop),
        }
    }

    /// Where the slot holds the WAL from.
    pub(super) async fn slot_start(&mut self) -> Result<Option<Lsn>, SessionError> {
        let row = self.command(&format!("READ_REPLICATION_SLOT \"{SLOT}\"")).await?;
        Ok(row.and_then(|row| row.text(1)?.parse().ok()))
    }

    /// Removes the slot (it is lost).
    pub(super) async fn drop_slot(&mut self) -> Result<(), SessionError> {
        match self.command(&format!("DROP_REPLICATION_SLOT \"{SLOT}\"")).await {
            Err(SessionError::Refused { code, .. }) if code == UNDEFINED_OBJECT => Ok(()),
            other => other.map(drop),
        }
    }

    /// Starts the stream.
    pub(super) async fn start(&mut self, from: Lsn, timeline: Timeline) -> Result<(), SessionError> {
        let sql = format!("START_REPLICATION SLOT \"{SLOT}\" PHYSICAL {from} TIMELINE {timeline}");
        self.send(&Query::new(&sql).encode()).await?;
        loop {
            let Frame { tag, body } = self.frame().await?;
            match tag {
                tag::backend::COPY_BOTH_RESPONSE => return Ok(()),
                tag::backend::ERROR_RESPONSE => return Err(error_of(&body)?),
                tag::backend::COMMAND_COMPLETE | tag::backend::READY_FOR_QUERY => {
                    return Err(SessionError::Protocol("no stream was started".to_owned()));
                }
                _ => {}
            }
        }
    }

    /// Sends a simple command; the first row of the answer.
    async fn command(&mut self, sql: &str) -> Result<Option<DataRow>, SessionError> {
        self.send(&Query::new(sql).encode()).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Option<DataRow>, SessionError> {
        let (mut first, mut error) = (None, None);
        loop {
            let Frame { tag, body } = self.frame().await?;
            match tag {
                tag::backend::DATA_ROW if first.is_none() => {
                    first = Some(DataRow::decode(&body).map_err(|e| SessionError::Protocol(e.to_string()))?);
                }
                tag::backend::ERROR_RESPONSE => error = Some(refused(&decode_error(&body)?)),
                tag::backend::READY_FOR_QUERY => return error.map_or(Ok(first), Err),
                _ => {}
            }
        }
    }

    /// The next event of the stream. Can be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Event, SessionError> {
        loop {
            let Frame { tag, body } = self.frame().await?;
            let protocol = |e: dormouse_pgwire::Malformed| SessionError::Protocol(e.to_string());
            match tag {
                tag::backend::COPY_DATA if body.first() == Some(&XLogData::KIND) => {
                    return XLogData::decode(body).map(Event::Wal).map_err(protocol);
                }
                tag::backend::COPY_DATA if body.first() == Some(&PrimaryKeepalive::KIND) => {
                    return PrimaryKeepalive::decode(&body).map(Event::Keepalive).map_err(protocol);
                }
                tag::backend::COPY_DONE => return self.end_timeline().await.map(Event::NextTimeline),
                tag::backend::ERROR_RESPONSE => return Err(error_of(&body)?),
                _ => {}
            }
        }
    }

    /// Whether the next event is here without waiting for it.
    pub(super) fn has_more(&self) -> bool {
        frame::header(&self.input)
            .is_some_and(|header| header.is_ok_and(|h| self.input.len() >= frame::HEADER_LEN + h.body_len))
    }

    async fn end_timeline(&mut self) -> Result<Option<(Timeline, Lsn)>, SessionError> {
        self.send(&CopyDone.encode()).await?;
        let row = self.answer().await?;
        Ok(row.and_then(|row| Some((Timeline(row.text(0)?.parse().ok()?), row.text(1)?.parse().ok()?))))
    }

    /// Tells how far we are.
    pub(super) async fn report(&mut self, written: Lsn, flushed: Lsn) -> Result<(), SessionError> {
        let clock = clock::now().as_microsecond() - CLOCK_OFFSET_SECONDS * 1_000_000;
        let clock = u64::try_from(clock).unwrap_or_default();
        let update =
            StandbyStatusUpdate { written: written.0, flushed: flushed.0, applied: 0, clock, reply: false };
        self.send(&update.encode()).await
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        self.stream.write_all(bytes).await.map_err(SessionError::Io)
    }

    async fn frame(&mut self) -> Result<Frame, SessionError> {
        loop {
            let taken = frame::take(&mut self.input, MAX_REPLICATION_MESSAGE);
            if let Some(frame) = taken.map_err(|e| SessionError::Protocol(e.to_string()))? {
                return Ok(frame);
            }
            self.input.reserve(256 * 1024);
            if self.stream.read_buf(&mut self.input).await.map_err(SessionError::Io)? == 0 {
                return Err(SessionError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}

fn decode_error(body: &[u8]) -> Result<ErrorResponse, SessionError> {
    ErrorResponse::decode(body).map_err(|e| SessionError::Protocol(e.to_string()))
}

/// The error of a stream, where some codes mean that WAL is missing.
fn error_of(body: &[u8]) -> Result<SessionError, SessionError> {
    Ok(match refused(&decode_error(body)?) {
        SessionError::Refused { code, message } if GONE.contains(&code.as_str()) => {
            SessionError::Gone(message)
        }
        other => other,
    })
}

fn refused(error: &ErrorResponse) -> SessionError {
    SessionError::Refused { code: error.fields.code().to_owned(), message: error.fields.message().to_owned() }
}
