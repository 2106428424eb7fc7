//! A backend for an authenticated client: wake the endpoint, connect, pass the startup replies on.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use dormouse_base::clock::Mono;
use dormouse_pgwire::backend::{Authentication, ErrorResponse, Handshake, TxStatus};
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::{ClientError, frame, limit};
use dormouse_runtime::gate::Pass;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::io::Client;
use super::login::LoggedIn;
use super::{End, Shared, help};
use crate::backend_stream::BackendStream;
use crate::cancel::Entry;
use crate::pooled::identity::renamed;
use crate::wake::{Backend, Compute, WakeTicket};

/// PostgreSQL restarts by itself after one of its backends was killed; a connection that comes in
/// that moment is tried again for this long.
const RETRY_FOR: Duration = Duration::from_secs(20);

/// Between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(25);

/// How much is read at once.
const CHUNK: usize = 4096;

/// A client's backend, ready for queries.
pub(super) struct Connected {
    pub(super) stream: BackendStream,
    pub(super) compute: Arc<dyn Compute>,
    pub(super) pass: Pass,
    pub(super) ticket: Option<Box<dyn WakeTicket>>,
    pub(super) status: TxStatus,
    pub(super) cancel: Option<Entry>,
    /// Bytes from the backend that came after its ReadyForQuery.
    pub(super) surplus: BytesMut,
}

/// Why one try failed.
enum Failed {
    /// Worth another try: PostgreSQL is just restarting, or ended while we connected.
    Retry,
    End(End),
}

impl From<End> for Failed {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

/// Wakes the endpoint and opens a backend in the client's name.
pub(super) async fn connect(shared: &Shared, client: &mut Client, who: LoggedIn) -> Result<Connected, End> {
    let start = Mono::now();
    let message = who.startup.encode();
    loop {
        let backend = shared.wake.acquire(&who.endpoint).await?;
        if let Some(oid) = who.role_oid
            && !shared.wake.is_same_role(&who.endpoint, who.role(), oid).await?
        {
            return Err(renamed(who.role()).into());
        }
        match try_once(shared, client, backend, &message).await {
            Ok(connected) => return Ok(connected),
            Err(Failed::End(end)) => return Err(end),
            Err(Failed::Retry) if start.elapsed() < RETRY_FOR => tokio::time::sleep(RETRY_PAUSE).await,
            Err(Failed::Retry) => return Err(not_started().into()),
        }
    }
}

pub(crate) fn not_started() -> ClientError {
    ClientError::fatal(SqlState::CANNOT_CONNECT_NOW, "the endpoint could not be started: it keeps restarting")
        .with_hint(help("compute-did-not-start"))
}

async fn try_once(
    shared: &Shared,
    client: &mut Client,
    backend: Backend,
    message: &[u8],
) -> Result<Connected, Failed> {
    let Backend { pass, compute, mut ticket } = backend;
    let mut stream = compute.connect().await.map_err(|_| Failed::Retry)?;
    stream.write_all(message).await.map_err(|_| Failed::Retry)?;
    let mut replies = Replies { unread: BytesMut::new(), for_client: Vec::new(), key: None };
    let status = loop {
        if let Some(status) = replies.take_all()? {
            break status;
        }
        replies.unread.reserve(CHUNK);
        match stream.read_buf(&mut replies.unread).await {
            Ok(0) | Err(_) => return Err(Failed::Retry),
            Ok(_) => {}
        }
    };
    let cancel =
        replies.key.take().map(|(pid, secret)| shared.cancels.add(pid, secret, Arc::clone(&compute)));
    client.send(&replies.for_client).await?;
    if let Some(ticket) = &mut ticket {
        ticket.connected();
    }
    Ok(Connected { stream, compute, pass, ticket, status, cancel, surplus: replies.unread })
}

/// The backend's replies to the startup message.
struct Replies {
    unread: BytesMut,
    for_client: Vec<u8>,
    key: Option<(u32, Vec<u8>)>,
}

impl Replies {
    /// Takes whole messages; `Some` when the backend is ready for queries.
    fn take_all(&mut self) -> Result<Option<TxStatus>, Failed> {
        let broken = |what: String| {
            tracing::error!(what, "the backend broke the protocol");
            Failed::End(End::Refuse(ClientError::connection_lost()))
        };
        while let Some(frame) =
            frame::take(&mut self.unread, limit::MAX_BACKEND_MESSAGE).map_err(|e| broken(e.to_string()))?
        {
            let reply = Handshake::decode(frame.tag, &frame.body).map_err(|e| broken(e.to_string()))?;
            match reply {
                // The client has been told already, by us.
                Handshake::AuthOk | Handshake::AuthRequest(Authentication::Ok) => continue,
                Handshake::AuthRequest(_) => return Err(broken("asked for a password".to_owned())),
                Handshake::Error(error) => return Err(refused(error)),
                Handshake::KeyData(ref key) => self.key = Some((key.pid, key.secret.expose().clone())),
                _ => {}
            }
            self.for_client.push(frame.tag);
            let length = u32::try_from(frame.body.len() + 4).expect("bounded by MAX_BACKEND_MESSAGE");
            self.for_client.extend_from_slice(&length.to_be_bytes());
            self.for_client.extend_from_slice(&frame.body);
            if let Handshake::Ready(status) = reply {
                return Ok(Some(status));
            }
        }
        Ok(None)
    }
}

/// PostgreSQL's own refusals go to the client as they are, except that it is (re)starting. Those that
/// we know get a hint where PostgreSQL gives none.
fn refused(error: ErrorResponse) -> Failed {
    let fields = &error.fields;
    if fields.code() == SqlState::CANNOT_CONNECT_NOW.as_str()
        || fields.code() == SqlState::ADMIN_SHUTDOWN.as_str()
    {
        return Failed::Retry;
    }
    let known = SqlState::ALL.iter().map(|(_, code)| *code).find(|code| code.as_str() == fields.code());
    let Some(code) = known else { return Failed::End(End::Passed(error)) };
    let mut told = ClientError::fatal(code, fields.message());
    if let Some(detail) = fields.detail() {
        told = told.with_detail(detail);
    }
    match (fields.hint(), fields.code()) {
        (Some(hint), _) => told = told.with_hint(hint),
        (None, "3D000") => told = told.with_hint(help("unknown-database")),
        (None, "53300") => told = told.with_hint(help("too-many-connections")),
        (None, _) => {}
    }
    Failed::End(End::Refuse(told))
}
