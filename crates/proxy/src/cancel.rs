//! Which backend a cancel request means.
//!
//! PostgreSQL's own process ID and secret are passed on to a direct client unchanged (all computes of a
//! node share the system's process IDs, so they are unique), and remembered with the socket of their
//! compute. So `pg_backend_pid()` and the process IDs in notifications mean the same to it as
//! without the proxy. A pooled client has a key of ours, which means whatever backend it has now.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dormouse_pgwire::startup;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::pooled::{BackendKey, ClientInfo};
use crate::wake::Compute;

/// PostgreSQL closes a cancel connection when it has sent the signal.
const DELIVER_WITHIN: Duration = Duration::from_secs(5);

/// Process ID and secret.
type Key = (u32, Vec<u8>);

/// The backends of connected clients.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Clients>>);

#[derive(Default)]
struct Clients {
    /// Those with a backend of their own, which has the same key.
    direct: HashMap<Key, Arc<dyn Compute>>,
    /// Those of a pool, by the process ID of their key, which is ours: the backend they have now, if any, has
    /// another key. There are many, so no key is kept twice.
    pooled: HashMap<u32, Arc<ClientInfo>>,
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
    Pooled(u32),
}

impl Entry {
    /// The key that it is for.
    pub(crate) fn key(&self) -> Key {
        match &self.whose {
            Whose::Direct(key) => key.clone(),
            Whose::Pooled(pid) => (*pid, Vec::new()),
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
        let pid = client.key().0;
        self.0.lock().pooled.insert(pid, client);
        Entry { registry: self.clone(), whose: Whose::Pooled(pid) }
    }

    /// Passes a cancel request on. An unknown key is ignored without a word, as PostgreSQL does; so
    /// is one for a sleeping compute, where nothing runs that could be cancelled. Tells whether there was a backend.
    pub async fn cancel(&self, pid: u32, secret: Vec<u8>) -> bool {
        let key = (pid, secret);
        let (pooled, direct) = {
            let clients = self.0.lock();
            let pooled = clients.pooled.get(&pid).filter(|client| client.key() == key).cloned();
            (pooled, clients.direct.get(&key).cloned())
        };
        if let Some(flying) = pooled.and_then(Flying::begin) {
            deliver(&flying.to.compute, flying.to.pid, &flying.to.secret).await;
        } else if let Some(compute) = direct {
            deliver(&compute, key.0, &key.1).await;
        } else {
            return false;
        }
        true
    }
}

/// A request on its way to a pooled client's backend, which serves nobody else until it has arrived.
struct Flying {
    client: Arc<ClientInfo>,
    to: Arc<BackendKey>,
}

impl Flying {
    fn begin(client: Arc<ClientInfo>) -> Option<Self> {
        let to = client.begin_cancel()?;
        Some(Self { client, to })
    }
}

impl Drop for Flying {
    fn drop(&mut self) {
        self.client.end_cancel();
    }
}

pub(crate) async fn deliver(compute: &Arc<dyn Compute>, pid: u32, secret: &[u8]) {
    let message = startup::encode_cancel(pid, secret);
    let gate = compute.gate();
    if gate.is_closed() && gate.look().inside() == 0 {
        return;
    }
    let deliver = async {
        let mut stream = compute.connect().await?;
        stream.write_all(&message).await?;
        stream.flush().await?;
        stream.read(&mut [0]).await
    };
    if let Ok(Err(error)) = tokio::time::timeout(DELIVER_WITHIN, deliver).await {
        tracing::debug!(%error, pid, "cancel request not delivered");
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut clients = self.registry.0.lock();
        match &self.whose {
            Whose::Direct(key) => drop(clients.direct.remove(key)),
            Whose::Pooled(pid) => drop(clients.pooled.remove(pid)),
        }
    }
}
