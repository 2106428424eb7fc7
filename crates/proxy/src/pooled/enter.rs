//! From login to the life of a pooled client.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use dormouse_pgwire::ClientError;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pooler::config::PoolMode;
use dormouse_pooler::link::Client;
use dormouse_pooler::settings::Startup;
use prometheus_client::metrics::gauge::Gauge;

use super::client_info::ClientInfo;
use super::pools::PoolKey;
use super::seats::Seated;
use super::session::Session;
use crate::route::Pooling;
use crate::session::io::Client as Connection;
use crate::session::login::LoggedIn;
use crate::session::{Shared, help};
use crate::upstream::Upstream;

/// Hands a client that has logged in to its pool. Its session runs on the pool's shard; `kept` is dropped when it
/// ends.
pub(crate) fn enter(
    shared: &Arc<Shared>,
    connection: Connection,
    mut who: LoggedIn,
    peer: SocketAddr,
    kept: Box<dyn Send>,
) -> Result<(), (Box<Connection>, ClientError)> {
    let startup = match Startup::read(&who.startup.params) {
        Ok(startup) => startup,
        Err(error) => return Err((Box::new(connection), refuse(shared, &who, invalid(&error)))),
    };
    let key = PoolKey {
        endpoint: who.endpoint.clone(),
        database: who.startup.params.database().unwrap_or_default().to_owned(),
        role: who.role().to_owned(),
        people: match &shared.upstream {
            Some(_) => Upstream::everybody(),
            None => who.endpoint.clone(),
        },
    };
    let name = who.name.take().filter(|name| *name != key.role);
    let (pool, seated) = match shared.pools.enter(key, name.as_deref()) {
        Ok(entered) => entered,
        Err(error) => return Err((Box::new(connection), refuse(shared, &who, error))),
    };
    let mode = match who.mode {
        Some(Pooling::Mode(mode)) => mode,
        _ => pool.mode(),
    };
    let keeps = mode == PoolMode::Session;
    let number = who.number.unwrap_or_else(|| shared.pools.number());
    let application = who.startup.params.get("application_name").unwrap_or_default().to_owned();
    let tls = connection.stream.tls_words();
    let (encrypted, carried) = (!tls.is_empty(), connection.stream.is_carried());
    let peering = shared.upstream.as_ref().map_or(0, Upstream::peer_id);
    let info = ClientInfo::new(number, peer, application).at_peer(peering).named(name.as_deref()).over(tls);
    let info = info.of_role(who.role_oid);
    let info = Arc::new(info.at(&connection.stream));
    shared.pools.limit(&pool.key, &info);
    let cancel = shared.cancels.add_pooled(Arc::clone(&info));
    pool.join(&info);
    let home = pool.home().clone();
    // A TLS handshake is more than a move, and who is carried by HTTP stays where that is served.
    match &shared.upstream {
        _ if carried => {}
        _ if encrypted => home.prefer_none(),
        Some(_) => home.prefer(),
        None => home.lean(),
    }
    let client = Client::new(startup.settings, Default::default(), keeps).with_pid(info.key().0);
    let mut session = Session::new(pool, connection, client, info, cancel);
    session.keep_journal(who.journal.take());
    if mode == PoolMode::Statement {
        session.forbid_blocks();
    }
    let sessions = shared.metrics.sessions.clone();
    let life = if home.is_here() { Life::here } else { Life::new };
    home.spawn(life(session, sessions, (kept, seated)));
    Ok(())
}

/// A session with what is given back at its end. Not an `async` block: that would have room for the session
/// twice, and there are ten thousand of them.
pub(super) struct Life {
    session: Session,
    /// It has come to its pool's shard.
    here: bool,
    sessions: Gauge,
    _kept: (Box<dyn Send>, Seated),
}

impl Life {
    fn new(session: Session, sessions: Gauge, kept: (Box<dyn Send>, Seated)) -> Self {
        Self { session, here: false, sessions, _kept: kept }
    }

    /// Of one whose socket is its pool's shard's already.
    pub(super) fn here(session: Session, sessions: Gauge, kept: (Box<dyn Send>, Seated)) -> Self {
        sessions.inc();
        Self { session, here: true, sessions, _kept: kept }
    }
}

impl Future for Life {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if !this.here {
            if let Err(error) = this.session.rehome() {
                tracing::warn!(%error, "a client could not be moved to its pool's thread");
                return Poll::Ready(());
            }
            this.here = true;
            this.sessions.inc();
        }
        let ended = ready!(Pin::new(&mut this.session).poll(cx));
        this.sessions.dec();
        tracing::debug!(?ended, "pooled session ended");
        Poll::Ready(())
    }
}

/// A client that has logged in may not come in.
fn refuse(shared: &Shared, who: &LoggedIn, error: ClientError) -> ClientError {
    if let Some(journal) = &who.journal {
        journal.refused(&shared.pools.settings(), &error.message);
    }
    error
}

fn invalid(error: &dyn std::error::Error) -> ClientError {
    ClientError::fatal(SqlState::INVALID_PARAMETER_VALUE, error.to_string())
        .with_hint(help("session-settings"))
}
