//! Opens a backend: wakes the endpoint if it sleeps, and introduces the pool as its role.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use dormouse_base::clock::{self, Mono};
use dormouse_pgwire::backend::{Authentication, Handshake, TxStatus};
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::startup::Startup;
use dormouse_pgwire::{ClientError, frame, limit};
use dormouse_pooler::link::Server;
use dormouse_pooler::pool::Opening;
use dormouse_pooler::settings::Reported;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::held::{Held, Key};
use super::io::Outbox;
use super::pool::Pool;
use super::slot::Slot;
use crate::session::{help, not_started};
use crate::wake::{Backend, Compute, Wake};

/// As for other sessions: PostgreSQL restarts by itself after a crash.
const RETRY_FOR: Duration = Duration::from_secs(20);

/// Between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(25);

/// How much is read at once.
const CHUNK: usize = 1024;

/// Opens one and gives it to the pool.
pub(super) async fn open(pool: Arc<Pool>, opening: Opening) {
    let made = connect(&pool, &*pool.wake).await;
    if let Ok(held) = &made {
        watch(&pool, Arc::clone(&held.key.compute));
    }
    pool.opened(opening, made);
}

/// Opens one for a client that must be served before others are.
pub(super) async fn reopen(pool: Arc<Pool>, opening: Opening, slot: Arc<Slot>) {
    let made = connect(&pool, pool.wake.ungated()).await;
    if let Ok(held) = &made {
        watch(&pool, Arc::clone(&held.key.compute));
    }
    pool.reopened(opening, made, &slot);
}

enum Failed {
    Retry,
    Refused(ClientError),
}

async fn connect(pool: &Pool, wake: &dyn Wake) -> Result<Box<Held>, ClientError> {
    let start = Mono::now();
    let startup = Startup::new(&pool.key.role)
        .and_then(|startup| startup.with("database", &pool.key.database))
        .map_err(|error| ClientError::protocol_violation(error.to_string()))?
        .encode();
    loop {
        let backend = wake.acquire(&pool.key.endpoint).await?;
        if backend.ticket.is_some() {
            pool.lock().stats.wakes += 1;
        }
        match try_once(backend, &startup).await {
            Ok(held) => return Ok(held),
            Err(Failed::Refused(error)) => return Err(error),
            Err(Failed::Retry) if start.elapsed() < RETRY_FOR => tokio::time::sleep(RETRY_PAUSE).await,
            Err(Failed::Retry) => return Err(not_started()),
        }
    }
}

async fn try_once(backend: Backend, startup: &[u8]) -> Result<Box<Held>, Failed> {
    let Backend { pass, compute, mut ticket } = backend;
    let mut stream = compute.connect().await.map_err(|_| Failed::Retry)?;
    stream.write_all(startup).await.map_err(|_| Failed::Retry)?;
    let (mut unread, mut hello) = (BytesMut::new(), Hello::default());
    while hello.status.is_none() {
        unread.reserve(CHUNK);
        match stream.read_buf(&mut unread).await {
            Ok(0) | Err(_) => return Err(Failed::Retry),
            Ok(_) => hello.take_all(&mut unread)?,
        }
    }
    if let Some(ticket) = &mut ticket {
        ticket.connected();
    }
    let (pid, secret) = hello.key;
    let gate = pass.into_gate();
    Ok(Box::new(Held {
        stream,
        server: Server::new(hello.status.unwrap_or(TxStatus::Idle), hello.reported).with_pid(pid),
        gate,
        inside: true,
        outbox: Outbox::default(),
        key: Arc::new(Key::new(pid, secret, compute, clock::now())),
        ticket,
    }))
}

/// What a backend says before it is ready.
#[derive(Default)]
struct Hello {
    reported: Reported,
    key: (u32, Vec<u8>),
    status: Option<TxStatus>,
}

impl Hello {
    fn take_all(&mut self, unread: &mut BytesMut) -> Result<(), Failed> {
        let broken = |what: String| {
            tracing::error!(what, "the backend broke the protocol");
            Failed::Refused(ClientError::connection_lost())
        };
        while let Some(frame) =
            frame::take(unread, limit::MAX_BACKEND_MESSAGE).map_err(|e| broken(e.to_string()))?
        {
            match Handshake::decode(frame.tag, &frame.body).map_err(|e| broken(e.to_string()))? {
                Handshake::AuthOk | Handshake::AuthRequest(Authentication::Ok) => {}
                Handshake::AuthRequest(_) => return Err(broken("asked for a password".to_owned())),
                Handshake::Error(error) => return Err(refused(&error)),
                Handshake::KeyData(key) => self.key = (key.pid, key.secret.expose().clone()),
                Handshake::ParameterStatus(parameter) => {
                    self.reported.note(&parameter.name, &parameter.value);
                }
                Handshake::Ready(status) => self.status = Some(status),
                _ => {}
            }
        }
        Ok(())
    }
}

/// PostgreSQL's own words, with a hint where we have one.
fn refused(error: &dormouse_pgwire::backend::ErrorResponse) -> Failed {
    let fields = &error.fields;
    let passing = [SqlState::CANNOT_CONNECT_NOW, SqlState::ADMIN_SHUTDOWN];
    if passing.iter().any(|state| state.as_str() == fields.code()) {
        return Failed::Retry;
    }
    let known = SqlState::ALL.iter().map(|(_, code)| *code).find(|code| code.as_str() == fields.code());
    let mut told = ClientError::fatal(known.unwrap_or(SqlState::CONNECTION_REJECTED), fields.message());
    if let Some(detail) = fields.detail() {
        told = told.with_detail(detail);
    }
    let page = match fields.code() {
        "3D000" => Some("unknown-database"),
        "53300" => Some("too-many-connections"),
        _ => None,
    };
    if let Some(hint) = fields.hint().map(str::to_owned).or_else(|| page.map(help)) {
        told = told.with_hint(hint);
    }
    Failed::Refused(told)
}

/// Tells the pool when the compute of a new backend ends. One watcher is enough for all of a run.
fn watch(pool: &Arc<Pool>, compute: Arc<dyn Compute>) {
    if !pool.is_first_of(&compute) {
        return;
    }
    let weak = Arc::downgrade(pool);
    let mut closing = compute.closing();
    pool.home().spawn(async move {
        loop {
            let over = closing.changed().await.is_err();
            let Some(pool) = weak.upgrade() else { return };
            pool.ends(&compute);
            if over {
                return;
            }
        }
    });
}
