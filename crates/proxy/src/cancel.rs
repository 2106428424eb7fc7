//! Which backend a cancel request means.
//!
//! PostgreSQL's own process ID and secret are passed on to the client unchanged (all computes of a
//! node share the system's process IDs, so they are unique), and remembered with the socket of their
//! compute. So `pg_backend_pid()` and the process IDs in notifications mean the same to a client as
//! without the proxy.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dormouse_pgwire::startup;
use dormouse_runtime::gate::Gate;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// PostgreSQL closes a cancel connection when it has sent the signal.
const DELIVER_WITHIN: Duration = Duration::from_secs(5);

/// Process ID and secret.
type Key = (u32, Vec<u8>);

/// The backends of connected clients.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<Mutex<HashMap<Key, Where>>>);

#[derive(Debug, Clone)]
struct Where {
    socket: PathBuf,
    gate: Arc<Gate>,
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
    pub fn add(&self, pid: u32, secret: Vec<u8>, socket: PathBuf, gate: Arc<Gate>) -> Entry {
        let key = (pid, secret);
        self.0.lock().insert(key.clone(), Where { socket, gate });
        Entry { registry: self.clone(), key }
    }

    /// Passes a cancel request on. An unknown key is ignored without a word, as PostgreSQL does; so
    /// is one for a sleeping compute, where nothing runs that could be cancelled.
    pub async fn cancel(&self, pid: u32, secret: Vec<u8>) {
        let message = startup::encode_cancel(pid, &secret);
        let Some(place) = self.0.lock().get(&(pid, secret)).cloned() else { return };
        if place.gate.is_closed() && place.gate.look().inside() == 0 {
            return;
        }
        let deliver = async {
            let mut stream = UnixStream::connect(&place.socket).await?;
            stream.write_all(&message).await?;
            stream.read(&mut [0]).await
        };
        if let Ok(Err(error)) = tokio::time::timeout(DELIVER_WITHIN, deliver).await {
            tracing::debug!(%error, pid, "cancel request not delivered");
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.0.lock().remove(&self.key);
    }
}
