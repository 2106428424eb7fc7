//! A pooled client comes from another process, in the middle of its life.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use dormouse_pooler::link::{Client, Reader};

use super::client_info::ClientInfo;
use super::enter::Life;
use super::session::Session;
use crate::handover::parcel::{Pooled, Unfit, incoming};
use crate::session::Shared;
use crate::session::io::Client as Connection;

/// Goes on with a client where it left off. `kept` is dropped when it ends.
pub(crate) fn arrive(
    shared: &Arc<Shared>,
    who: Pooled,
    mut baggage: Reader<'_>,
    socket: OwnedFd,
    kept: Box<dyn Send>,
) -> Result<(), Unfit> {
    let (pool, seated) = shared.pools.enter(who.key, None).map_err(Unfit::Full)?;
    let client = Client::unpack(&mut baggage, &mut pool.lock().common)?;
    let info = ClientInfo::new(shared.pools.number(), who.peer, who.application).with_key(who.cancel);
    let info = Arc::new(info);
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
        session.arrived(who.no_blocks);
        there.spawn(Life::here(session, sessions, (kept, seated)));
    });
    Ok(())
}
