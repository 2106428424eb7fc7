//! A replication client of an ordinary server: it gets a connection of its own, which counts in its pool, and its
//! startup parameters go to the server as they are. Nothing is looked at on the way ([`stretch`](super::stretch) counts
//! bytes), but operators see it and end it as any other client of the pool.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dormouse_base::clock::Mono;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::startup::Startup;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use super::aside::aside;
use super::client_info::{ClientInfo, Doing};
use super::elsewhere::{binding, too_late, unreachable};
use super::held::{Key, RoleThen};
use super::open::{Failed, Hello, converse};
use super::pool::Pool;
use super::pools::PoolKey;
use super::prove::Prover;
use super::stretch::Stretch;
use super::words;
use crate::backend_stream::BackendStream;
use crate::session::io::Client;
use crate::session::login::LoggedIn;
use crate::session::{End, Shared};
use crate::upstream::Upstream;
use crate::upstream::journal::Journal;
use crate::wake::{Backend, Compute, Introduction};

/// Read at once, in either direction, in bytes: the log of changes comes in long runs.
const CHUNK: usize = 32 << 10;

/// Bytes that a client may say before it has been greeted; behind more it is not noticed when it leaves.
const MAX_EARLY: usize = 64 << 10;

/// Which log of changes a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Replication {
    /// None: it runs statements.
    #[default]
    None,
    /// That of one database, decoded.
    Logical,
    /// That of the whole server.
    Physical,
}

impl Replication {
    /// As SHOW CLIENTS has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Logical => "logical",
            Self::Physical => "physical",
        }
    }
}

/// Serves one until it, or its server, leaves, or an operator ends it.
pub(crate) async fn replicate(
    shared: &Arc<Shared>,
    mut client: Client,
    mut who: LoggedIn,
    peer: SocketAddr,
) -> (Option<Client>, Result<(), End>) {
    let journal = who.journal.take();
    match run(shared, &mut client, &who, peer).await {
        Ok(()) => {
            if let Some(journal) = &journal {
                journal.closing("client close request");
            }
        }
        Err(End::Refuse(error)) => {
            if let Some(journal) = &journal {
                journal.refused(&shared.pools.settings(), &error.message);
            }
            return (Some(client), Err(End::Refuse(error)));
        }
        Err(end) => return (Some(client), Err(end)),
    }
    (None, Ok(()))
}

async fn run(shared: &Arc<Shared>, client: &mut Client, who: &LoggedIn, peer: SocketAddr) -> Result<(), End> {
    let key = PoolKey {
        endpoint: who.endpoint.clone(),
        database: who.startup.params.database().unwrap_or_default().to_owned(),
        role: who.role().to_owned(),
        people: Upstream::everybody(),
    };
    let name = who.name.as_deref().filter(|name| *name != key.role);
    let (pool, _seated) = shared.pools.enter(key, name)?;
    let present = Present::enter(&pool, describe(shared, client, who, (peer, name)));
    client.send(&[]).await?;
    let (mut open, greeting) = tokio::select! {
        opened = open(shared, who, &present) => opened?,
        () = present.info.until_killed() => return Err(words::killed(pool.stands_in, &present.info).into()),
        () = client.left(MAX_EARLY) => return Err(End::Quiet("client_left")),
    };
    client.send(&greeting).await?;
    let unread = client.unread.split();
    let mut stretch = Stretch::new(&mut client.stream, &pool, unread.len());
    let mut killed = false;
    if open.stream.write_all(&unread).await.is_ok() {
        tokio::select! {
            () = relay(&mut stretch, &mut open.stream) => {}
            () = present.info.until_killed() => killed = true,
        }
    }
    open.journal.closing("replication client was closed");
    match killed {
        false => Ok(()),
        true if stretch.is_between() => Err(words::killed(pool.stands_in, &present.info).into()),
        // What it would be told would be taken for the rest of a message.
        true => Err(End::Quiet("killed")),
    }
}

/// Until one of them ends. The other then learns of it by the end of its connection: a server that hangs must not keep
/// the places of a client that has left.
async fn relay(client: impl AsyncRead + AsyncWrite, server: impl AsyncRead + AsyncWrite) {
    let ((from_client, to_client), (from_server, to_server)) =
        (tokio::io::split(client), tokio::io::split(server));
    tokio::select! {
        () = carry(from_client, to_server) => {}
        () = carry(from_server, to_client) => {}
    }
}

/// One direction, up to its end.
async fn carry(from: impl AsyncRead, to: impl AsyncWrite) {
    let (mut from, mut to) = (pin!(BufReader::with_capacity(CHUNK, from)), pin!(to));
    let _ended = tokio::io::copy_buf(&mut from, &mut to).await;
}

/// What others are told of it.
fn describe(
    shared: &Shared,
    client: &Client,
    who: &LoggedIn,
    (peer, name): (SocketAddr, Option<&str>),
) -> ClientInfo {
    let parameters = &who.startup.params;
    let kind = if parameters.replication() == Some("database") {
        Replication::Logical
    } else {
        Replication::Physical
    };
    let number = who.number.unwrap_or_else(|| shared.pools.number());
    let application = parameters.get("application_name").unwrap_or_default().to_owned();
    let peering = shared.upstream.as_ref().map_or(0, Upstream::peer_id);
    let info = ClientInfo::new(number, peer, application).at_peer(peering).named(name);
    info.over(client.stream.tls_words()).replicating(kind)
}

/// One of its pool's clients; no more when dropped.
struct Present {
    pool: Arc<Pool>,
    info: Arc<ClientInfo>,
}

impl Present {
    fn enter(pool: &Arc<Pool>, info: ClientInfo) -> Self {
        let info = Arc::new(info);
        pool.join(&info);
        Self { pool: Arc::clone(pool), info }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.pool.part(&self.info);
    }
}

/// Its connection, and what is given back with it.
struct Open {
    stream: BackendStream,
    journal: Journal,
    _kept: Box<dyn Send>,
}

/// Gets a connection for the client, and the words to greet it with.
async fn open(shared: &Arc<Shared>, who: &LoggedIn, present: &Present) -> Result<(Open, Vec<u8>), End> {
    let Present { pool, info } = present;
    info.set(Doing::Waiting, Mono::now());
    let place = aside(pool).await?;
    let Backend { pass, compute, .. } = shared.wake.acquire(&who.endpoint).await?;
    let Some(introduction) = compute.introduction(&pool.key.database, &pool.key.role) else {
        return Err(ClientError::internal("no-introduction").into());
    };
    let number = pool.number();
    let names = (pool.key.database.as_str(), introduction.role.as_str());
    let journal = Journal::server(number, names, &introduction.place);
    let role_then = RoleThen::now(&*compute);
    let opened = connect(&*compute, &introduction, &who.startup, &journal).await;
    let (stream, hello) = opened.map_err(|failed| refused(failed, &journal))?;
    journal.say("new connection to server");
    let key =
        Key::new(number, hello.key(), (compute, role_then), stream.ends()).replicating(info.replication);
    let key = Arc::new(key);
    pool.lock().remember(&key);
    info.link(&key, Mono::now());
    // All that runs there is the client's own.
    info.show();
    let cancel = shared.cancels.add_pooled(Arc::clone(info));
    let mut greeting = hello.parameters();
    greeting.extend(info.key_data());
    greeting.extend_from_slice(&[b'Z', 0, 0, 0, 5, b'I']);
    Ok((Open { stream, journal, _kept: Box::new((cancel, key, pass, place)) }, greeting))
}

async fn connect(
    compute: &dyn Compute,
    introduction: &Introduction,
    asked: &Startup,
    journal: &Journal,
) -> Result<(BackendStream, Hello), Failed> {
    let place = introduction.place.as_str();
    let reached = AtomicBool::new(false);
    let opening = async {
        let mut stream =
            compute.connect_noting(&reached).await.map_err(|error| unreachable(place, &error))?;
        let mut prover = Prover::new(introduction, binding(&stream));
        let mut hello = Hello::default();
        let startup = startup(introduction, asked).map_err(Failed::Refused)?;
        converse(&mut stream, &startup, &mut hello, Some(&mut prover)).await?;
        Ok((stream, hello))
    };
    if introduction.within.is_zero() {
        return opening.await;
    }
    tokio::time::timeout(introduction.within, opening).await.unwrap_or_else(|_| {
        journal.closing(too_late(reached.load(Ordering::Relaxed)));
        Err(Failed::Retry(None))
    })
}

/// What the client said, with the server's names, and what the entry says about backends where it said nothing.
fn startup(introduction: &Introduction, asked: &Startup) -> Result<Vec<u8>, ClientError> {
    let mut startup = asked.clone();
    let mut set = |name: &str, value: &str| {
        startup.params.set(name, value).map_err(|error| ClientError::protocol_violation(error.to_string()))
    };
    set("user", &introduction.role)?;
    set("database", &introduction.database)?;
    for (name, value) in &introduction.parameters {
        if asked.params.get_bytes(name).is_none() {
            set(name, value)?;
        }
    }
    startup.version_minor = 0;
    Ok(startup.encode())
}

/// The server's words are for the log, as whoever has no right to the log of changes need not know more.
fn refused(failed: Failed, journal: &Journal) -> End {
    let told = match failed {
        Failed::Refused(error) | Failed::Retry(Some(error)) => error,
        Failed::Retry(None) => ClientError::connection_lost(),
    };
    journal.warn(format_args!("server login failed: FATAL {}", told.message));
    journal.closing("login failed");
    ClientError::fatal(SqlState::CONNECTION_REJECTED, "login failed")
        .with_detail(format!("The server says: {}", told.message))
        .into()
}
