//! A replication client of an ordinary server: it gets a connection of its own, which counts in its pool, and its
//! startup parameters go to the server as they are. Nothing is looked at on the way.

use std::sync::Arc;

use dormouse_pgwire::backend::BackendKeyData;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::startup::Startup;
use dormouse_pgwire::{ClientError, Encode};
use tokio::io::AsyncWriteExt;

use super::aside::aside;
use super::elsewhere::{binding, unreachable};
use super::open::{Failed, Hello, converse};
use super::pools::PoolKey;
use super::prove::Prover;
use crate::backend_stream::BackendStream;
use crate::session::io::Client;
use crate::session::login::LoggedIn;
use crate::session::{End, Shared};
use crate::upstream::Upstream;
use crate::upstream::journal::Journal;
use crate::wake::{Backend, Compute, Introduction};

/// Serves one until it, or its server, leaves.
pub(crate) async fn replicate(
    shared: &Arc<Shared>,
    mut client: Client,
    mut who: LoggedIn,
) -> (Option<Client>, Result<(), End>) {
    let journal = who.journal.take();
    let say = |why: &str| {
        if let Some(journal) = &journal {
            journal.closing(why);
        }
    };
    match run(shared, &mut client, &who).await {
        Ok(()) => say("client close request"),
        Err(End::Refuse(error)) => {
            say(&error.message);
            return (Some(client), Err(End::Refuse(error)));
        }
        Err(end) => return (Some(client), Err(end)),
    }
    (None, Ok(()))
}

async fn run(shared: &Arc<Shared>, client: &mut Client, who: &LoggedIn) -> Result<(), End> {
    let key = PoolKey {
        endpoint: who.endpoint.clone(),
        database: who.startup.params.database().unwrap_or_default().to_owned(),
        role: who.role().to_owned(),
        people: Upstream::everybody(),
    };
    let name = who.name.as_deref().filter(|name| *name != key.role);
    let (pool, _seated) = shared.pools.enter(key, name)?;
    let _place = aside(&pool).await?;
    let Backend { pass: _pass, compute, .. } = shared.wake.acquire(&who.endpoint).await?;
    let Some(introduction) = compute.introduction(&pool.key.database, &pool.key.role) else {
        return Err(ClientError::internal("no-introduction").into());
    };
    let names = (pool.key.database.as_str(), introduction.role.as_str());
    let journal = Journal::server(pool.number(), names, &introduction.place);
    let opened = open(&*compute, &introduction, &who.startup, &journal).await;
    let (mut stream, hello) = opened.map_err(|failed| refused(failed, &journal))?;
    journal.say("new connection to server");
    let (pid, secret) = hello.key();
    let _cancel = shared.cancels.add(pid, secret.clone(), Arc::clone(&compute));
    let mut greeting = hello.parameters();
    greeting.extend(BackendKeyData::new(pid, secret).encode());
    greeting.extend_from_slice(&[b'Z', 0, 0, 0, 5, b'I']);
    client.send(&greeting).await?;
    let unread = client.unread.split();
    if stream.write_all(&unread).await.is_ok() {
        // Whichever end breaks first, the other learns of it by the end of its connection.
        let _ended = tokio::io::copy_bidirectional(&mut client.stream, &mut stream).await;
    }
    journal.closing("replication client was closed");
    Ok(())
}

async fn open(
    compute: &dyn Compute,
    introduction: &Introduction,
    asked: &Startup,
    journal: &Journal,
) -> Result<(BackendStream, Hello), Failed> {
    let place = introduction.place.as_str();
    let opening = async {
        let mut stream = compute.connect().await.map_err(|error| unreachable(place, &error))?;
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
        journal.closing("connect timeout");
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
