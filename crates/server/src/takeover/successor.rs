//! What the old server asks of the new one while its last clients are still with it.
//!
//! It may use backends that it has, and open others, but it wakes nothing itself any more. Who needs an endpoint gets
//! it from the new server, which keeps it awake until the old one has ended.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dormouse_base::EndpointId;
use dormouse_compute::postgres::admin::Socket;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_proxy::{Backend, BackendStream, Compute};
use dormouse_runtime::gate::{Closing, Gate, Pass};
use dormouse_runtime::handoff::Channel;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::{Say, say, understand};

/// As a client waits for an endpoint.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(60);

type Answer = Result<Socket, ClientError>;

/// The server that has taken over.
pub(crate) struct Successor {
    channel: Arc<Channel>,
    next: AtomicU64,
    questions: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    /// Never said anything: the computes are the new server's.
    closing: watch::Sender<Option<Closing>>,
}

impl std::fmt::Debug for Successor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Successor").finish_non_exhaustive()
    }
}

impl Successor {
    pub(crate) fn new(channel: Arc<Channel>) -> Arc<Self> {
        let closing = watch::Sender::new(None);
        Arc::new(Self { channel, next: AtomicU64::new(0), questions: Mutex::default(), closing })
    }

    /// Passes answers on, until the new server is gone.
    pub(crate) async fn attend(&self) {
        while let Ok(Some(message)) = self.channel.receive().await {
            let (question, answer) = match understand(&message) {
                Ok(Say::Acquired { question, socket_dir, uid }) => {
                    (question, Ok(Socket { dir: socket_dir, uid }))
                }
                Ok(Say::NotAcquired { question, code, message, hint }) => {
                    let mut error = ClientError::fatal(known(&code), message);
                    if let Some(hint) = hint {
                        error = error.with_hint(hint);
                    }
                    (question, Err(error))
                }
                _ => continue,
            };
            if let Some(asked) = self.questions.lock().remove(&question) {
                // It may have stopped waiting.
                let _gone = asked.send(answer);
            }
        }
        tracing::warn!("the server that took over is gone");
        self.questions.lock().clear();
    }

    /// Has an endpoint woken.
    pub(crate) async fn acquire(&self, endpoint: &EndpointId) -> Answer {
        let question = self.next.fetch_add(1, Ordering::Relaxed);
        let (asked, answer) = oneshot::channel();
        self.questions.lock().insert(question, asked);
        let ask = Say::Acquire { question, endpoint: endpoint.to_string() };
        let asking = async {
            say(&self.channel, &ask, &[]).await.ok()?;
            answer.await.ok()
        };
        let answered = tokio::time::timeout(ACQUIRE_WITHIN, asking).await.ok().flatten();
        self.questions.lock().remove(&question);
        answered.unwrap_or_else(|| Err(no_answer()))
    }

    /// The same for a new backend.
    pub(crate) async fn backend(&self, endpoint: &EndpointId) -> Result<Backend, ClientError> {
        let socket = self.acquire(endpoint).await?;
        let gate = Arc::new(Gate::default());
        gate.open();
        let pass = gate.pass().ok_or_else(no_answer)?;
        let compute = Arc::new(Elsewhere { socket, gate, closing: self.closing.subscribe() });
        Ok(Backend { pass, compute, ticket: None })
    }
}

fn known(code: &str) -> SqlState {
    let mut all = SqlState::ALL.iter().map(|(_, code)| *code);
    all.find(|known| known.as_str() == code).unwrap_or(SqlState::CANNOT_CONNECT_NOW)
}

fn no_answer() -> ClientError {
    ClientError::fatal(SqlState::CANNOT_CONNECT_NOW, "another server is taking over, and did not answer")
        .with_hint("Connect again in a moment.")
}

/// A compute that another server looks after.
struct Elsewhere {
    socket: Socket,
    gate: Arc<Gate>,
    closing: watch::Receiver<Option<Closing>>,
}

#[async_trait::async_trait]
impl Compute for Elsewhere {
    async fn connect(&self) -> io::Result<BackendStream> {
        self.socket.connect().await.and_then(BackendStream::unix)
    }

    fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate)
    }

    fn closing(&self) -> watch::Receiver<Option<Closing>> {
        self.closing.clone()
    }

    async fn reenter(self: Arc<Self>) -> Result<Pass, ClientError> {
        self.gate.pass().ok_or_else(no_answer)
    }
}
