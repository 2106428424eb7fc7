//! Opens a backend on a server that is not a compute of ours: no waking, a password, perhaps a first query.
//!
//! A server that cannot be reached is tried again every `server_login_retry` for as long as a client waits, so that
//! its restart is no more than a delay. In between it counts nowhere: others may have its slot under a cap. One that
//! refuses the pool is not tried again: its words go to the clients, unless the pool has a backend that they can wait
//! for.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use dormouse_pgwire::auth::scram::ChannelBinding;
use dormouse_pgwire::backend::Handshake;
use dormouse_pgwire::frontend::Query;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::startup::Startup;
use dormouse_pgwire::{ClientError, Encode, frame, limit, tag};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::held::{Held, RoleThen};
use super::open::{Failed, Hello, converse};
use super::pool::Pool;
use super::prove::Prover;
use crate::backend_stream::BackendStream;
use crate::upstream::NoAddress;
use crate::upstream::journal::Journal;
use crate::wake::{Backend, Introduction};

/// How much is read at once.
const CHUNK: usize = 4096;

/// Tries to open one.
pub(super) async fn open(
    pool: &Pool,
    number: u32,
    backend: Backend,
    introduction: Introduction,
) -> Result<Box<Held>, Failed> {
    let within = introduction.within;
    let place = introduction.place.clone();
    let journal = Journal::server(number, (&pool.key.database, &introduction.role), &place);
    let reached = AtomicBool::new(false);
    let opening = try_once(number, backend, introduction, (&journal, &reached));
    let opened = if within.is_zero() {
        opening.await
    } else {
        tokio::time::timeout(within, opening).await.unwrap_or_else(|_| {
            journal.closing(too_late(reached.load(Ordering::Relaxed)));
            let error = io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {} s (server_connect_timeout)", within.as_secs()),
            );
            Err(unreachable(&place, &error))
        })
    };
    opened.map(|mut held| {
        match held.key.ends.here {
            Some(here) => journal.say(format_args!("new connection to server (from {here})")),
            None => journal.say("new connection to server"),
        }
        held.journal = Some(Box::new(journal));
        held
    })
}

/// Why a connection that was not ready in time is closed, in PgBouncer's words: they differ by whether the server was
/// reached.
pub(super) fn too_late(reached: bool) -> &'static str {
    if reached { "connect timeout" } else { "connect failed" }
}

async fn try_once(
    number: u32,
    backend: Backend,
    introduction: Introduction,
    (journal, reached): (&Journal, &AtomicBool),
) -> Result<Box<Held>, Failed> {
    let (place, role_then) = (introduction.place.as_str(), RoleThen::now(&*backend.compute));
    let mut stream = backend.compute.connect_noting(reached).await.map_err(|error| {
        // A host without an address is told apart: the operator looks elsewhere then.
        let of_dns = error.get_ref().is_some_and(|inner| inner.is::<NoAddress>());
        if let Some(rustls::Error::InvalidCertificate(why)) =
            error.get_ref().and_then(|inner| inner.downcast_ref())
        {
            journal.warn(format_args!("TLS handshake error: certificate verify failed: {why:?}"));
        }
        journal.closing(if of_dns { "server DNS lookup failed" } else { "connect failed" });
        unreachable(place, &error)
    })?;
    let mut prover = Prover::new(&introduction, binding(&stream));
    let mut hello = Hello::default();
    let startup = startup(&introduction).map_err(Failed::Refused)?;
    match converse(&mut stream, &startup, &mut hello, Some(&mut prover)).await {
        Ok(()) => {}
        Err(Failed::Refused(error)) => {
            journal.warn(format_args!("server login failed: FATAL {}", error.message));
            journal.closing(&error.message);
            return Err(Failed::Refused(error));
        }
        Err(Failed::Retry(Some(error))) => {
            journal.closing(&error.message);
            return Err(Failed::Retry(Some(error)));
        }
        Err(Failed::Retry(None)) => {
            journal.closing("server conn crashed?");
            return Err(unreachable(place, &io::ErrorKind::UnexpectedEof.into()));
        }
    }
    if let Some(sql) = &introduction.first_query {
        run(&mut stream, sql, &mut hello, journal).await.map_err(|error| {
            journal.closing("server conn crashed?");
            unreachable(place, &error)
        })?;
    }
    Ok(hello.into_held(number, stream, backend, role_then))
}

pub(super) fn startup(introduction: &Introduction) -> Result<Vec<u8>, ClientError> {
    let mut startup =
        Startup::new(&introduction.role).and_then(|startup| startup.with("database", &introduction.database));
    for (name, value) in &introduction.parameters {
        startup = startup.and_then(|startup| startup.with(name, value));
    }
    startup.map(|startup| startup.encode()).map_err(|e| ClientError::protocol_violation(e.to_string()))
}

pub(super) fn binding(stream: &BackendStream) -> Option<ChannelBinding> {
    let BackendStream::Tls(tls) = stream else { return None };
    tls.get_ref().1.peer_certificates()?.first().and_then(|first| ChannelBinding::from_certificate(first))
}

/// Runs `connect_query`. What it returns is of no interest, and an error in it is only logged, as PgBouncer does: the
/// server is as good as before. Fails when the connection is lost.
async fn run(stream: &mut BackendStream, sql: &str, hello: &mut Hello, journal: &Journal) -> io::Result<()> {
    let query = Query::new(sql);
    stream.write_all(&query.encode()).await?;
    stream.flush().await?;
    let mut unread = BytesMut::new();
    loop {
        unread.reserve(CHUNK);
        if stream.read_buf(&mut unread).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while let Some(frame) = frame::take(&mut unread, limit::MAX_BACKEND_MESSAGE)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?
        {
            match frame.tag {
                tag::backend::READY_FOR_QUERY => return Ok(()),
                tag::backend::ERROR_RESPONSE | tag::backend::PARAMETER_STATUS => {}
                _ => continue,
            }
            match Handshake::decode(frame.tag, &frame.body) {
                Ok(Handshake::Error(error)) => journal.error(format_args!(
                    "error while executing exec_on_query: {}: {}",
                    error.fields.severity(),
                    error.fields.message()
                )),
                Ok(Handshake::ParameterStatus(parameter)) => {
                    hello.reported.note(&parameter.name, &parameter.value);
                }
                _ => {}
            }
        }
    }
}

pub(super) fn unreachable(place: &str, error: &io::Error) -> Failed {
    tracing::warn!(place, %error, "cannot connect to a server");
    let told = ClientError::fatal(SqlState::CONNECTION_FAILURE, "the pooler cannot connect to its server")
        .with_detail(format!("{place}: {error}"));
    Failed::Retry(Some(told))
}
