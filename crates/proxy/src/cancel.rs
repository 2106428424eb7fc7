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
pub(crate) const DELIVER_WITHIN: Duration = Duration::from_secs(5);

/// What a limit of zero means.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// Process ID and secret.
type Key = (u32, Vec<u8>);

/// Whose key it is.
#[derive(Clone)]
enum Target {
    /// A client with a backend of its own, which has the same key.
    Direct(Arc<dyn Compute>),
    /// A client of a pool: the backend it has now, if any, has another key.
    Pooled(Arc<ClientInfo>),
}

/// The backends of connected clients.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<HashMap<Key, Target>>>);

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({} backends)", self.0.lock().len())
    }
}

/// Forgets its entry when dropped.
#[derive(Debug)]
pub struct Entry {
    registry: Registry,
    key: Key,
}

impl Registry {
    /// Remembers a backend.
    #[must_use]
    pub fn add(&self, pid: u32, secret: Vec<u8>, compute: Arc<dyn Compute>) -> Entry {
        self.insert((pid, secret), Target::Direct(compute))
    }

    /// Remembers a client of a pool, which has a key of ours.
    pub(crate) fn add_pooled(&self, client: Arc<ClientInfo>) -> Entry {
        self.insert(client.key(), Target::Pooled(client))
    }

    fn insert(&self, key: Key, target: Target) -> Entry {
        self.0.lock().insert(key.clone(), target);
        Entry { registry: self.clone(), key }
    }

    /// Passes a cancel request on. An unknown key is ignored without a word, as PostgreSQL does; so
    /// is one for a sleeping compute, where nothing runs that could be cancelled. False: it is no key of ours.
    pub async fn cancel(&self, pid: u32, secret: Vec<u8>, within: Duration) -> bool {
        let key = (pid, secret);
        let target = self.0.lock().get(&key).cloned();
        match target {
            None => return false,
            Some(Target::Direct(compute)) => deliver(&compute, key.0, &key.1, within).await,
            Some(Target::Pooled(client)) => {
                let Some(flying) = Flying::begin(client) else { return true };
                deliver(&flying.to.compute, flying.to.pid, &flying.to.secret, within).await;
            }
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

pub(crate) async fn deliver(compute: &Arc<dyn Compute>, pid: u32, secret: &[u8], within: Duration) {
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
    let within = if within.is_zero() { FOR_EVER } else { within };
    match tokio::time::timeout(within, deliver).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%error, pid, "cancel request not delivered"),
        Err(_) => tracing::info!(pid, "closing because: cancel_wait_timeout"),
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.0.lock().remove(&self.key);
    }
}
