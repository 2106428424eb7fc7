//! The new server's part: it asks the one that runs for everything.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::EndpointId;
use dormouse_compute::Fleet;
use dormouse_pgwire::ClientError;
use dormouse_proxy::handover::Parcel;
use dormouse_proxy::{Proxy, Traffic};
use dormouse_runtime::failpoint;
use dormouse_runtime::gate::Pass;
use dormouse_runtime::handoff::{Channel, Message};
use dormouse_runtime::task::Scope;
use parking_lot::Mutex;

use super::{ANSWER_WITHIN, PROTOCOL, Say, TakeoverError, Used, YOURS_WITHIN, hear, path, say, understand};
use crate::config::ServerConfig;

/// The server that runs, and what it has given already.
#[derive(Debug)]
pub(crate) struct Predecessor {
    channel: Arc<Channel>,
    pid: u32,
    /// Where PostgreSQL clients connect.
    pub(crate) pg: OwnedFd,
    /// Where HTTP clients connect.
    pub(crate) http: OwnedFd,
}

/// What came of asking for the turn.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It is this server's, with the lock; clients work with these endpoints.
    Ours(OwnedFd, Vec<EndpointId>),
    /// The other one is gone: whoever gets the lock may start.
    Orphaned,
}

/// Asks the server of a data directory. `None`: none runs there.
pub(crate) async fn ask(config: &ServerConfig, data: &Path) -> Result<Option<Predecessor>, TakeoverError> {
    let channel = match Channel::connect(&path(data)).await {
        Ok(channel) => Arc::new(channel),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(source) => return Err(TakeoverError::Socket { what: "reach", source }),
    };
    if !channel.peer_is_us() {
        return Err(TakeoverError::Refused("it belongs to another user".to_owned()));
    }
    let limit_ms = u64::try_from(config.takeover_limit.as_millis()).unwrap_or(u64::MAX);
    let hello = Say::Hello { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned(), limit_ms };
    say(&channel, &hello, &[]).await.map_err(talk("greet"))?;
    // Another takeover may be under way; then there is no answer before that is over.
    let (told, message) = match hear(&channel, ANSWER_WITHIN).await.map_err(talk("hear"))? {
        Some(heard) => heard,
        None => return Err(TakeoverError::Talk("it hung up".to_owned())),
    };
    let Say::Welcome { protocol: PROTOCOL, version, pid } = told else { return Err(unexpected(told)) };
    let [pg, http] = <[OwnedFd; 2]>::try_from(message.files)
        .map_err(|_| TakeoverError::Talk("it sent no sockets".to_owned()))?;
    let predecessor = Predecessor { channel, pid, pg, http };
    predecessor.check(config)?;
    tracing::info!(pid, version, "a server runs; taking over");
    hit("takeover.ask.welcomed").await?;
    Ok(Some(predecessor))
}

impl Predecessor {
    /// The addresses must be those that this server was told.
    fn check(&self, config: &ServerConfig) -> Result<(), TakeoverError> {
        for (what, socket, wanted) in
            [("PostgreSQL clients", &self.pg, config.pg_listen), ("HTTP", &self.http, config.http_listen)]
        {
            let running = address(socket).map_err(talk("look at the sockets of"))?;
            let same = running.ip() == wanted.ip() && (wanted.port() == 0 || running.port() == wanted.port());
            if !same {
                return Err(TakeoverError::Address { what, running, wanted });
            }
        }
        Ok(())
    }

    /// Everything is prepared: asks for the turn.
    pub(crate) async fn take(&self) -> Result<Turn, TakeoverError> {
        hit("takeover.ask.prepared").await?;
        if let Err(error) = say(&self.channel, &Say::Take, &[]).await {
            tracing::warn!(%error, "the server that ran is gone");
            return Ok(Turn::Orphaned);
        }
        match hear(&self.channel, YOURS_WITHIN).await {
            Ok(Some((Say::Yours { busy }, message))) => {
                let lock = message.files.into_iter().next();
                let lock = lock.ok_or_else(|| TakeoverError::Talk("it sent no lock".to_owned()))?;
                hit("takeover.ask.owner").await?;
                Ok(Turn::Ours(lock, busy.iter().filter_map(|id| id.parse().ok()).collect()))
            }
            Ok(Some((told, _))) => Err(unexpected(told)),
            Ok(None) => Ok(Turn::Orphaned),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Err(TakeoverError::Socket { what: "wait for", source: error })
            }
            Err(error) => {
                tracing::warn!(%error, "the server that ran is gone");
                Ok(Turn::Orphaned)
            }
        }
    }

    /// This server serves. From now on it takes clients in, and wakes what those need that are still with the other.
    pub(crate) async fn serving(
        self,
        proxy: Arc<Proxy>,
        fleet: Fleet,
        held: Vec<Pass>,
        scope: &Scope,
    ) -> Result<(), TakeoverError> {
        hit("takeover.ask.serving").await?;
        if let Err(error) = say(&self.channel, &Say::Serving, &[]).await {
            tracing::warn!(%error, "the server that ran is gone, with its clients");
        }
        let attendant =
            Attendant { channel: self.channel, proxy, fleet, held: Mutex::new(held), pid: self.pid };
        let (token, inner) = (scope.token(), scope.clone());
        scope.spawn("takeover", async move {
            tokio::select! {
                () = Arc::new(attendant).attend(&inner) => {}
                () = token.cancelled() => {}
            }
        });
        Ok(())
    }
}

/// Serves the old server.
struct Attendant {
    channel: Arc<Channel>,
    proxy: Arc<Proxy>,
    fleet: Fleet,
    /// Keeps awake what clients of the old server work with.
    held: Mutex<Vec<Pass>>,
    pid: u32,
}

impl Attendant {
    async fn attend(self: Arc<Self>, scope: &Scope) {
        let mut moved = 0_u64;
        while let Ok(Some(message)) = self.channel.receive().await {
            if message.body.first() != Some(&b'{') {
                moved += u64::from(self.take_in(message));
                continue;
            }
            match understand(&message) {
                Ok(Say::Acquire { question, endpoint }) => {
                    let this = Arc::clone(&self);
                    scope.spawn("takeover-acquire", async move { this.answer(question, &endpoint).await });
                }
                Ok(Say::Used { traffic }) => traffic.iter().for_each(|used| self.count(used)),
                _ => {}
            }
        }
        self.held.lock().clear();
        tracing::info!(pid = self.pid, moved, "the server that ran has ended");
    }

    fn count(&self, used: &Used) {
        if let Ok(endpoint) = used.endpoint.parse::<EndpointId>() {
            let Used { egress, ingress, queries, .. } = *used;
            self.proxy.add_traffic(&endpoint, Traffic { egress, ingress, queries });
        }
    }

    fn take_in(&self, Message { body, files }: Message) -> bool {
        let taken = self.proxy.receive(Parcel { body, files });
        if let Err(error) = &taken {
            tracing::warn!(error = error as &dyn std::error::Error, "a client could not go on");
        }
        taken.is_ok()
    }

    async fn answer(&self, question: u64, endpoint: &str) {
        let answer = match self.acquire(endpoint).await {
            Ok((socket_dir, uid)) => Say::Acquired { question, socket_dir, uid },
            Err(error) => Say::NotAcquired {
                question,
                code: error.code.as_str().to_owned(),
                message: error.message,
                hint: error.hint,
            },
        };
        if let Err(error) = say(&self.channel, &answer, &[]).await {
            tracing::debug!(%error, "nobody waits for an endpoint any more");
        }
    }

    async fn acquire(&self, endpoint: &str) -> Result<(std::path::PathBuf, u32), ClientError> {
        let id: EndpointId = endpoint.parse().map_err(|_| ClientError::internal("takeover"))?;
        // Those who listen come first, as for everybody.
        let backend = self.proxy.acquire(&id).await?;
        let run = self.fleet.get(&id).and_then(|endpoint| endpoint.running());
        let socket = run.ok_or_else(ClientError::connection_lost)?.socket().clone();
        self.held.lock().push(backend.pass);
        Ok((socket.dir, socket.uid))
    }
}

fn address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    TcpListener::from(socket.try_clone()?).local_addr()
}

/// Why the other one does not play along.
fn unexpected(told: Say) -> TakeoverError {
    match told {
        Say::Refused { why } => TakeoverError::Refused(why),
        other => TakeoverError::Talk(format!("it said {other:?}")),
    }
}

fn talk(what: &'static str) -> impl FnOnce(io::Error) -> TakeoverError {
    move |source| TakeoverError::Socket { what, source }
}

async fn hit(name: &'static str) -> Result<(), TakeoverError> {
    failpoint::hit(name).await.map_err(talk("go on with"))
}

/// A server whose process was killed keeps its lock for a moment.
pub(crate) const LOCK_WITHIN: Duration = Duration::from_secs(5);
