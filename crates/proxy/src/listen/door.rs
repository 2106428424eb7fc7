//! The door: who may come in, and where a client goes that does.
//!
//! ```text
//!  accepted by a socket ─┐                    ┌─ refused: told, in the clear
//!  carried by HTTP ──────┴─► counted, judged ─┴─► session::serve, on the shard whose turn it is,
//!                                                  or where the last ones went
//!  from another process ───► counted ───────────► goes on where it was
//! ```

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_runtime::shard::{Shard, Shards};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::watch::watch;
use crate::arrivals::Arrivals;
use crate::bound::Listening;
use crate::handover::parcel::{self, Content, Parcel, Unfit};
use crate::handshakes::Handshakes;
use crate::pooled;
use crate::session::{self, Shared, help};
use crate::stream::ClientStream;

/// Half-open connections at the same time; see [`crate::handshakes`].
pub const MAX_HANDSHAKES: usize = 2_000;

/// After `accept` failed (no descriptors left, for example).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Clients beyond `max_client_conn` that may log in to be told that there are too many, and operators.
const ROOM_TO_REFUSE: usize = 256;

/// A client that is turned away at the door gets this long to say something first.
const TURNED_AWAY_WITHIN: Duration = Duration::from_secs(1);

/// Who may come in.
pub(crate) struct Door {
    pub(super) shared: Arc<Shared>,
    shards: Arc<Shards>,
    handshakes: Handshakes,
    arrivals: Arrivals,
    clients: Arc<AtomicUsize>,
    max_clients: AtomicUsize,
}

/// One client's place; given back when dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Door {
    pub(super) fn new(shared: Arc<Shared>, shards: Arc<Shards>, max_clients: usize, rate: u32) -> Self {
        let most = max_clients.saturating_add(beyond(&shared));
        Self {
            shared,
            shards,
            handshakes: Handshakes::new(MAX_HANDSHAKES.min(most)),
            arrivals: Arrivals::new(rate),
            clients: Arc::default(),
            max_clients: AtomicUsize::new(max_clients),
        }
    }

    /// How many clients there are, those who are still logging in included.
    pub(super) fn clients(&self) -> usize {
        self.clients.load(Ordering::Acquire)
    }

    /// Another limit, from now on.
    pub(super) fn limit(&self, max_clients: usize) {
        self.max_clients.store(max_clients, Ordering::Relaxed);
    }

    /// Takes clients in, until another shard had better do so: that one is returned. It is `first` unless nearly all
    /// clients go to another. Runs on a shard, as waking one is cheaper than waking the workers of the server's own
    /// executor.
    ///
    /// # Errors
    /// When the executor cannot watch the socket.
    pub(super) async fn accept(
        self: Arc<Self>,
        listening: Arc<Listening>,
        first: Shard,
    ) -> io::Result<Shard> {
        let listening = watch(listening)?;
        loop {
            let mut ready = listening.readable().await?;
            match ready.try_io(|listening| listening.get_ref().take()) {
                Ok(Ok((incoming, peer))) => {
                    self.let_in(move || incoming.into_stream().ok(), peer);
                    // A client that is served where it was accepted wakes one thread less.
                    let wanted = self.shards.habit().unwrap_or(&first);
                    if !wanted.is_here() {
                        return Ok(wanted.clone());
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                Err(_nobody_waits) => {}
            }
        }
    }

    /// Goes on with a client of another process.
    pub(super) fn receive(&self, parcel: Parcel) -> Result<(), Unfit> {
        let Parcel { body, files } = parcel;
        let counted = Box::new(self.count().1);
        let mut files = files.into_iter();
        match (parcel::open(&body)?, files.next(), files.next()) {
            (Content::Pooled(who, baggage), Some(client), None) => {
                pooled::arrive(&self.shared, who, baggage, client, counted)
            }
            (Content::Direct(who), Some(client), Some(backend)) => {
                session::moving::arrive(&self.shared, &self.shards, who, (client, backend), counted)
            }
            _ => Err(Unfit::Unreadable),
        }
    }

    /// One client more: how many there were before, and its place.
    fn count(&self) -> (usize, Counted) {
        let counted = Counted(Arc::clone(&self.clients));
        (self.clients.fetch_add(1, Ordering::AcqRel), counted)
    }

    /// Takes a client in that the gateway carries.
    pub(crate) fn enter(&self, stream: ClientStream, peer: SocketAddr) {
        self.let_in(move || Some(stream), peer);
    }

    /// `stream` is called on the shard that will serve the client.
    fn let_in(&self, stream: impl FnOnce() -> Option<ClientStream> + Send + 'static, peer: SocketAddr) {
        let (before, counted) = self.count();
        let shared = Arc::clone(&self.shared);
        if let Some(error) = self.refusal(before, peer) {
            // Whoever is turned away must not push somebody out who is just logging in.
            return self.shards.spawn(async move {
                let Some(stream) = stream() else { return };
                turn_away(&shared, stream, &error).await;
                drop(counted);
            });
        }
        let place = self.handshakes.enter();
        let (shard, by_turn) = self.shards.choose();
        shard.spawn(async move {
            let Some(stream) = stream() else { return };
            session::serve(shared, stream, peer, (place, by_turn), Box::new(counted)).await;
        });
    }

    /// Why a connection may not even begin.
    fn refusal(&self, clients_before: usize, peer: SocketAddr) -> Option<ClientError> {
        // Pooled clients are counted once more by their pools; the setting can only make more room here.
        let limit = self.max_clients.load(Ordering::Relaxed).max(self.shared.pools.max_client_conn());
        if clients_before >= limit.saturating_add(beyond(&self.shared)) {
            return Some(
                ClientError::too_many_connections()
                    .with_detail(format!("The limit of {limit} clients is reached (max_client_conn)."))
                    .with_hint(help("too-many-connections")),
            );
        }
        self.arrivals.enter(peer.ip(), Mono::now()).err().map(|_wait| {
            let text = "too many new connections from this address in a short time";
            ClientError::fatal(SqlState::TOO_MANY_CONNECTIONS, text)
                .with_hint(format!("Keep connections open, or use a pool. {}", help("connecting-too-fast")))
        })
    }
}

/// In PgBouncer's place operators are not counted, and who is too much is told so after its login: before it, libpq does
/// not show what it is told.
fn beyond(shared: &Shared) -> usize {
    if shared.upstream.is_some() { ROOM_TO_REFUSE } else { 0 }
}

/// Tells a client why it may not come in. Nothing of what it sends is understood, so the error comes in the
/// clear even to a client that would like TLS: a handshake is what a server without room cannot afford.
async fn turn_away(shared: &Shared, mut stream: ClientStream, error: &ClientError) {
    shared.metrics.ended(error.code.as_str());
    let say = async {
        // Bytes that nobody read would turn the goodbye into a reset, and the error would be lost.
        let mut first = [0; 1024];
        let _said = stream.read(&mut first).await?;
        stream.write_all(&error.encode()).await?;
        stream.shutdown().await
    };
    let _unheard = tokio::time::timeout(TURNED_AWAY_WITHIN, say).await;
}
