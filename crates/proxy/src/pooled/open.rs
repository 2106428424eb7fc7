//! Opens a backend: wakes the endpoint if it sleeps, and introduces the pool as its role.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use dormouse_base::clock::Mono;
use dormouse_pgwire::backend::{Authentication, DataRow, Handshake, ParameterStatus, TxStatus};
use dormouse_pgwire::frontend::Query;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::startup::Startup;
use dormouse_pgwire::tag::backend::DATA_ROW;
use dormouse_pgwire::{ClientError, Encode, frame, limit};
use dormouse_pooler::link::Server;
use dormouse_pooler::pool::{Opening, Receipt};
use dormouse_pooler::settings::Reported;
use dormouse_runtime::gate::Closing;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::elsewhere;
use super::held::{Held, Key, RoleThen};
use super::identity;
use super::pool::{Pool, Unopened};
use super::prove::{Prover, Unproved};
use super::slot::Slot;
use crate::backend_stream::BackendStream;
use crate::outbox::Outbox;
use crate::session::{help, not_started};
use crate::wake::{Backend, Wake};

/// As for other sessions: PostgreSQL restarts by itself after a crash.
const RETRY_FOR: Duration = Duration::from_secs(20);

/// The page about computes that do not start.
const NOT_STARTED: &str = "compute-did-not-start";

/// Between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(25);

/// After a start that failed, while the next try is not due yet.
const START_AGAIN_PAUSE: Duration = Duration::from_millis(250);

/// How much is read at once.
const CHUNK: usize = 1024;

/// Opens one and gives it to the pool.
pub(super) async fn open(pool: Arc<Pool>, opening: Opening) {
    let made = tokio::select! {
        made = connect(&pool, &*pool.wake, false) => made,
        // As PgBouncer does: whoever pauses it because the server is away does not wait for that.
        () = pool.until_held_up(), if pool.stands_in => Err(Unopened::HeldUp),
    };
    if let Ok(held) = &made {
        watch(&pool, &held.key);
    }
    pool.opened(opening, made);
}

/// Opens one for a client that must be served before others are.
pub(super) async fn reopen(pool: Arc<Pool>, receipt: Receipt, slot: Arc<Slot>) {
    let made = connect(&pool, pool.wake.ungated(), true).await;
    if let Ok(held) = &made {
        watch(&pool, &held.key);
    }
    pool.reopened(receipt, made.map_err(Unopened::into_error), &slot);
}

pub(super) enum Failed {
    /// Perhaps it works in a moment. With the server's words, if it had any.
    Retry(Option<ClientError>),
    Refused(ClientError),
}

/// `for_one` is waited for by somebody who is not in the pool's line.
async fn connect(pool: &Pool, wake: &dyn Wake, for_one: bool) -> Result<Box<Held>, Unopened> {
    let start = Mono::now();
    let number = pool.number();
    let _shown = pool.announce(number);
    let startup = Startup::new(&pool.key.role)
        .and_then(|startup| startup.with("database", &pool.key.database))
        .map_err(|error| ClientError::protocol_violation(error.to_string()))?;
    let startup = [startup.encode(), Query::new(identity::ASK).encode()].concat();
    loop {
        let backend = match wake.acquire(&pool.key.endpoint).await {
            Ok(backend) => backend,
            // Killed while it started, say. Who is connected is not to lose that for it.
            Err(error)
                if did_not_start(&error)
                    && start.elapsed() < RETRY_FOR
                    && (for_one || pool.waiting() > 0) =>
            {
                tokio::time::sleep(START_AGAIN_PAUSE).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if backend.ticket.is_some() {
            pool.lock().stats.wakes += 1;
        }
        if let Some(introduction) = backend.compute.introduction(&pool.key.database, &pool.key.role) {
            return elsewhere::open(pool, number, backend, introduction).await.map_err(
                |failed| match failed {
                    Failed::Refused(error)
                        if error.code == SqlState::TOO_MANY_CONNECTIONS && wake.moves_in() =>
                    {
                        Unopened::Full(error)
                    }
                    Failed::Refused(error) => Unopened::Refused(error),
                    Failed::Retry(error) => {
                        Unopened::Away(error.unwrap_or_else(ClientError::connection_lost))
                    }
                },
            );
        }
        match try_once(number, backend, &startup).await {
            Ok(held) => return Ok(held),
            Err(Failed::Refused(error)) => return Err(error.into()),
            Err(Failed::Retry(_)) if start.elapsed() < RETRY_FOR => tokio::time::sleep(RETRY_PAUSE).await,
            Err(Failed::Retry(_)) => return Err(not_started().into()),
        }
    }
}

/// Whether a compute failed to start, which is tried again: not that it may not, or that the server ends.
fn did_not_start(error: &ClientError) -> bool {
    let page = help(NOT_STARTED);
    error.code == SqlState::CANNOT_CONNECT_NOW
        && error.hint.as_ref().is_some_and(|hint| hint.ends_with(&page))
}

async fn try_once(number: u32, mut backend: Backend, startup: &[u8]) -> Result<Box<Held>, Failed> {
    let mut role_then = RoleThen::now(&*backend.compute);
    let mut stream = backend.compute.connect().await.map_err(|_| Failed::Retry(None))?;
    let mut hello = Hello { asked: true, ..Hello::default() };
    converse(&mut stream, startup, &mut hello, None).await?;
    role_then.oid = hello.role_oid;
    if let Some(ticket) = &mut backend.ticket {
        ticket.connected();
    }
    Ok(hello.into_held(number, stream, backend, role_then))
}

/// Introduces the pool, and listens until the backend is ready.
pub(super) async fn converse(
    stream: &mut BackendStream,
    startup: &[u8],
    hello: &mut Hello,
    mut prover: Option<&mut Prover>,
) -> Result<(), Failed> {
    let lost = |_| Failed::Retry(None);
    let mut answers = startup.to_vec();
    let mut unread = BytesMut::new();
    while hello.status.is_none() {
        if !answers.is_empty() {
            stream.write_all(&answers).await.map_err(lost)?;
            stream.flush().await.map_err(lost)?;
        }
        unread.reserve(CHUNK);
        match stream.read_buf(&mut unread).await {
            Ok(0) | Err(_) => return Err(Failed::Retry(None)),
            Ok(_) => answers = hello.take_all(&mut unread, prover.as_deref_mut())?,
        }
    }
    Ok(())
}

/// What a backend says before it is ready.
#[derive(Default)]
pub(super) struct Hello {
    pub(super) reported: Reported,
    key: (u32, Vec<u8>),
    status: Option<TxStatus>,
    /// It is asked who it is ([`identity::ASK`]), and has not begun to answer.
    asked: bool,
    /// Its answer.
    role_oid: Option<u32>,
}

impl Hello {
    pub(super) fn into_held(
        self,
        number: u32,
        stream: BackendStream,
        backend: Backend,
        role_then: RoleThen,
    ) -> Box<Held> {
        let Backend { pass, compute, ticket } = backend;
        let pid = self.key.0;
        let ends = stream.ends();
        let gate = pass.into_gate();
        let key = Key::new(number, self.key, (compute, role_then), ends).posted_by(stream.line());
        Box::new(Held {
            stream,
            server: Server::new(self.status.unwrap_or(TxStatus::Idle), self.reported).with_pid(pid),
            gate,
            inside: true,
            outbox: Outbox::default(),
            half_told: false,
            key: Arc::new(key),
            journal: None,
            ticket,
        })
    }

    /// The key for cancel requests.
    pub(super) fn key(&self) -> (u32, Vec<u8>) {
        self.key.clone()
    }

    /// What was reported, as messages.
    pub(super) fn parameters(&self) -> Vec<u8> {
        let all = self.reported.iter().map(|(name, value)| ParameterStatus::new(name, value).encode());
        all.collect::<Vec<_>>().concat()
    }

    /// Takes whole messages; gives what is to be answered.
    fn take_all(
        &mut self,
        unread: &mut BytesMut,
        mut prover: Option<&mut Prover>,
    ) -> Result<Vec<u8>, Failed> {
        let mut answers = Vec::new();
        let broken = |what: String| {
            tracing::error!(what, "the backend broke the protocol");
            Failed::Refused(ClientError::connection_lost())
        };
        while let Some(frame) =
            frame::take(unread, limit::MAX_BACKEND_MESSAGE).map_err(|e| broken(e.to_string()))?
        {
            if frame.tag == DATA_ROW {
                self.role_oid = oid(&frame.body);
            }
            match Handshake::decode(frame.tag, &frame.body).map_err(|e| broken(e.to_string()))? {
                Handshake::AuthOk | Handshake::AuthRequest(Authentication::Ok) => {
                    if let Some(prover) = &mut prover {
                        prover.answer(&Authentication::Ok).map_err(|e| unproved(&e))?;
                    }
                }
                Handshake::AuthRequest(asked) => match &mut prover {
                    Some(prover) => {
                        answers.extend(prover.answer(&asked).map_err(|e| unproved(&e))?.unwrap_or_default());
                    }
                    None => return Err(broken("asked for a password".to_owned())),
                },
                Handshake::Error(error) => return Err(refused(&error)),
                Handshake::KeyData(key) => self.key = (key.pid, key.secret.expose().clone()),
                Handshake::ParameterStatus(parameter) => {
                    self.reported.note(&parameter.name, &parameter.value);
                }
                Handshake::Ready(_) if std::mem::take(&mut self.asked) => {}
                Handshake::Ready(status) => self.status = Some(status),
                _ => {}
            }
        }
        Ok(answers)
    }
}

/// What it answers to [`identity::ASK`].
fn oid(body: &[u8]) -> Option<u32> {
    DataRow::decode(body).ok()?.text(0)?.parse().ok()
}

fn unproved(error: &Unproved) -> Failed {
    tracing::error!(%error, "the pooler cannot log in to its server");
    let text = match error {
        Unproved::NoPassword(_) | Unproved::WrongKind { .. } => {
            "the pooler cannot log in to its server: wrong password type"
        }
        _ => "the pooler cannot log in to its server",
    };
    Failed::Refused(ClientError::fatal(SqlState::CONNECTION_REJECTED, text).with_detail(error.to_string()))
}

/// PostgreSQL's own words, with a hint where we have one.
fn refused(error: &dormouse_pgwire::backend::ErrorResponse) -> Failed {
    let passing = [SqlState::CANNOT_CONNECT_NOW, SqlState::ADMIN_SHUTDOWN];
    let passes = passing.iter().any(|state| state.as_str() == error.fields.code());
    let told = told(error);
    if passes { Failed::Retry(Some(told)) } else { Failed::Refused(told) }
}

pub(super) fn told(error: &dormouse_pgwire::backend::ErrorResponse) -> ClientError {
    let fields = &error.fields;
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
    told
}

/// Tells the pool when the compute of a new backend ends. One watcher is enough for all of a run; it goes with the
/// pool, and when the compute has been replaced, which nothing follows.
fn watch(pool: &Arc<Pool>, backend: &Key) {
    let mut closing = backend.compute.closing_at(backend.ends.there);
    if !pool.is_first_of(&closing) {
        return;
    }
    let weak = Arc::downgrade(pool);
    let gone = pool.gone();
    pool.home().spawn(async move {
        loop {
            let over = tokio::select! {
                changed = closing.changed() => changed.is_err(),
                () = gone.cancelled() => return,
            };
            let Some(pool) = weak.upgrade() else { return };
            pool.ends(&closing);
            if over || *closing.borrow() == Some(Closing::Replaced) {
                return pool.close_fast();
            }
        }
    });
}
