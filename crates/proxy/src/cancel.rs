//! Which backend a cancel request means.
//!
//! PostgreSQL's own process ID and secret are passed on to a direct client unchanged (all computes of a
//! node share the system's process IDs, so they are unique), and remembered with the socket of their
//! compute. So `pg_backend_pid()` and the process IDs in notifications mean the same to it as
//! without the proxy. A pooled client has a key of ours, which means whatever backend it has now.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::hash::QuickMap;
use dormouse_pgwire::startup;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::pooled::{Aim, BackendKey, ClientInfo};
use crate::wake::Compute;

/// PostgreSQL closes a cancel connection when it has sent the signal.
pub(crate) const DELIVER_WITHIN: Duration = Duration::from_secs(5);

/// How often a request looks whether its client's statement has begun: a question of ours takes a round trip.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What a limit of zero means.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// Process ID and secret.
type Key = (u32, Vec<u8>);

/// The same, of a pooled client.
pub(crate) type PooledKey = (u32, [u8; 4]);

/// What became of a cancel request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Cancelled {
    /// It has no key of ours.
    Unknown,
    /// Its client has no backend at the moment.
    Idle,
    /// It was passed on to a backend, as far as that was possible.
    Sent,
}

/// The backends of connected clients.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Clients>>);

#[derive(Default)]
struct Clients {
    /// Those with a backend of their own, which has the same key.
    direct: HashMap<Key, Arc<dyn Compute>>,
    /// Those of a pool, by their key, which is ours: the backend they have now, if any, has another. There are many,
    /// so it takes no memory of its own.
    pooled: QuickMap<PooledKey, Arc<ClientInfo>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let clients = self.0.lock();
        write!(f, "Registry({} direct, {} pooled)", clients.direct.len(), clients.pooled.len())
    }
}

/// Forgets its entry when dropped.
#[derive(Debug)]
pub struct Entry {
    registry: Registry,
    whose: Whose,
}

#[derive(Debug)]
enum Whose {
    Direct(Key),
    Pooled(PooledKey),
}

impl Entry {
    /// The key that it is for, if that is a backend's; a pooled client knows its own.
    pub(crate) fn key(&self) -> Option<Key> {
        match &self.whose {
            Whose::Direct(key) => Some(key.clone()),
            Whose::Pooled(_) => None,
        }
    }
}

impl Registry {
    /// Remembers a backend.
    #[must_use]
    pub fn add(&self, pid: u32, secret: Vec<u8>, compute: Arc<dyn Compute>) -> Entry {
        let key = (pid, secret);
        self.0.lock().direct.insert(key.clone(), compute);
        Entry { registry: self.clone(), whose: Whose::Direct(key) }
    }

    /// Remembers a client of a pool, which has a key of ours.
    pub(crate) fn add_pooled(&self, client: Arc<ClientInfo>) -> Entry {
        let key = client.key();
        self.0.lock().pooled.insert(key, client);
        Entry { registry: self.clone(), whose: Whose::Pooled(key) }
    }

    /// Passes a cancel request on. An unknown key is ignored without a word, as PostgreSQL does; so
    /// is one for a sleeping compute, where nothing runs that could be cancelled. It may take so long; zero: for ever.
    pub async fn cancel(&self, pid: u32, secret: Vec<u8>, within: Duration) -> Cancelled {
        let key = (pid, secret);
        let (pooled, direct) = {
            let clients = self.0.lock();
            let ours = key.1.as_slice().try_into().ok().map(|secret: [u8; 4]| (pid, secret));
            (ours.and_then(|key| clients.pooled.get(&key)).cloned(), clients.direct.get(&key).cloned())
        };
        if let Some(client) = pooled {
            let Some(flying) = Flying::begin(client).await else { return Cancelled::Idle };
            let to = &flying.to;
            deliver(&to.compute, to.ends.there, (to.pid, &to.secret), within).await;
        } else if let Some(compute) = direct {
            deliver(&compute, None, (key.0, &key.1), within).await;
        } else {
            return Cancelled::Unknown;
        }
        Cancelled::Sent
    }
}

/// A request on its way to a pooled client's backend, which serves nobody else until it has arrived.
struct Flying {
    client: Arc<ClientInfo>,
    to: Arc<BackendKey>,
}

impl Flying {
    /// A question of ours is not what the client wants to have cancelled: its statement follows, or none.
    async fn begin(client: Arc<ClientInfo>) -> Option<Self> {
        let start = Mono::now();
        loop {
            match client.begin_cancel() {
                Aim::Now(to) => return Some(Self { client, to }),
                Aim::Later if start.elapsed() < DELIVER_WITHIN => tokio::time::sleep(LOOK_EVERY).await,
                Aim::Later | Aim::Nothing => return None,
            }
        }
    }
}

impl Drop for Flying {
    fn drop(&mut self) {
        self.client.end_cancel();
    }
}

/// Passes a request on to the server at the other end of a connection; `there` is what that end is called. Another
/// address of the same name would be another machine.
pub(crate) async fn deliver(
    compute: &Arc<dyn Compute>,
    there: Option<SocketAddr>,
    (pid, secret): (u32, &[u8]),
    within: Duration,
) {
    let message = startup::encode_cancel(pid, secret);
    let gate = compute.gate();
    if gate.is_closed() && gate.look().inside() == 0 {
        return;
    }
    let deliver = async {
        let mut stream = compute.connect_again(there).await?;
        stream.write_all(&message).await?;
        stream.flush().await?;
        stream.read(&mut [0]).await
    };
    let within = if within.is_zero() { FOR_EVER } else { within };
    match tokio::time::timeout(within, deliver).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%error, pid, "cancel request not delivered"),
        Err(_) => tracing::info!(pid, "closing because: cancel_wait_timeout"),
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut clients = self.registry.0.lock();
        match &self.whose {
            Whose::Direct(key) => drop(clients.direct.remove(key)),
            Whose::Pooled(key) => drop(clients.pooled.remove(key)),
        }
    }
}
