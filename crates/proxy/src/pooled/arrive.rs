//! A pooled client comes from another process, in the middle of its life.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use dormouse_pgwire::ClientError;
use dormouse_pooler::link::{Client, Reader};
use rustix::net::sockopt::socket_peercred;
use socket2::SockRef;

use super::client_info::ClientInfo;
use super::enter::Life;
use super::pools::PoolKey;
use super::session::Session;
use crate::handover::parcel::{Behind, Pooled, Unfit, incoming};
use crate::session::Shared;
use crate::session::io::Client as Connection;
use crate::upstream::journal::Journal;

/// Goes on with a client where it left off. `kept` is dropped when it ends.
pub(crate) fn arrive(
    shared: &Arc<Shared>,
    mut who: Pooled,
    mut baggage: Reader<'_>,
    socket: OwnedFd,
    kept: Box<dyn Send>,
) -> Result<(), Unfit> {
    let name = who.behind.as_ref().map(|behind| behind.name.clone());
    let key = place(shared, &mut who).map_err(|error| refused(&socket, error))?;
    let other = name.as_deref().filter(|name| *name != key.role);
    let (pool, seated) = shared.pools.take_in(key, other);
    let client = Client::unpack(&mut baggage, &mut pool.lock().common)?;
    let (number, (here, process)) = (shared.pools.number(), ends(&socket, who.unix));
    let journal = name.as_deref().map(|name| {
        let here = (process, shared.address.port());
        Box::new(Journal::client(number, (&pool.key.database, name), who.peer, here))
    });
    let info = ClientInfo::new(number, who.peer, who.application)
        .with_key(who.cancel)
        .named(other)
        .between(here, process);
    let info = Arc::new(info.of_role(who.role_oid));
    shared.pools.limit(&pool.key, &info);
    let cancel = shared.cancels.add_pooled(Arc::clone(&info));
    pool.join(&info);
    let (home, sessions) = (pool.home().clone(), shared.metrics.sessions.clone());
    let there = home.clone();
    home.spawn(async move {
        let stream = match incoming(socket, who.unix).into_stream() {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a client that was handed over could not be moved to its pool's thread");
                return pool.part(&info);
            }
        };
        let connection = Connection::new(stream);
        let mut session = Session::new(pool, connection, client, info, cancel);
        session.keep_journal(journal);
        session.arrived(who.no_blocks);
        there.spawn(Life::here(session, sessions, (kept, seated)));
    });
    Ok(())
}

/// The pool that it had, or, where files say which that is, the one that they say now.
fn place(shared: &Shared, who: &mut Pooled) -> Result<PoolKey, ClientError> {
    match (&shared.upstream, who.behind.take()) {
        (Some(upstream), Some(Behind { name, handed })) => {
            upstream.take_in(&who.key.database, &name, &handed)
        }
        (None, None) => Ok(who.key.clone()),
        _ => Err(ClientError::internal("handed-over-by-another")),
    }
}

/// It is told why it cannot go on, if it listens.
fn refused(socket: &OwnedFd, error: ClientError) -> Unfit {
    let told = rustix::io::write(socket, &error.encode());
    tracing::debug!(?told, "a client that was handed over is refused");
    Unfit::Refused(error)
}

/// The two ends of its connection: our address, and the process at the other end of a Unix socket.
fn ends(socket: &OwnedFd, unix: bool) -> (Option<SocketAddr>, u32) {
    let here = || -> Option<SocketAddr> { SockRef::from(socket).local_addr().ok()?.as_socket() };
    let process = || u32::try_from(socket_peercred(socket).ok()?.pid.as_raw_nonzero().get()).ok();
    match unix {
        true => (None, process().unwrap_or_default()),
        false => (here(), 0),
    }
}
