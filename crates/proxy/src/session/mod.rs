//! One client connection, from the first byte to the last.
//!
//! ```text
//!  accept ─► negotiate ─► login ─► backend ─► relay ─► end
//!            TLS? HTTP?   route,   wake,      bytes,
//!            cancel?      SCRAM    startup    sleep, goodbye
//! ```
//!
//! Each step is a file; [`serve`] runs them in order. Up to login a connection holds a place among
//! the half-open ones and has only so much time ([`patience`]); a failed step is told to the
//! client as a [`ClientError`] and counted by its SQLSTATE.

mod backend;
pub(crate) mod io;
pub(crate) mod moving;
pub(crate) mod login;
mod negotiate;
pub(crate) mod patience;
mod relay;
pub(crate) mod shown;
mod token;

pub(crate) use backend::not_started;
pub(crate) use relay::{crashed, stopping};

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dormouse_base::EndpointId;
use dormouse_base::clock::Mono;
use dormouse_pgwire::backend::ErrorResponse;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::{ClientError, Encode};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tracing::Instrument;

use crate::bound::Listening;
use crate::cancel::Registry;
use crate::census::Census;
use crate::console::{Admin, Operators};
use crate::handover::Departure;
use crate::handshakes::Place;
use crate::lookups::Lookups;
use crate::metrics::Metrics;
use crate::pooled::{self, Pools};
use crate::proofs::Proofs;
use crate::stream::ClientStream;
use crate::throttle::Throttle;
use crate::tls::Tls;
use crate::upstream::{self, Upstream};
use crate::wake::Wake;
use login::Login;
use patience::Patience;

/// A client that is being refused gets this long to read why.
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);

/// How a connection is counted that did not begin in time.
const HANDSHAKE_TIMEOUT: &str = "handshake_timeout";

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) wake: Arc<dyn Wake>,
    /// Present when this proxy stands in front of ordinary servers.
    pub(crate) upstream: Option<Upstream>,
    pub(crate) tls: Option<Tls>,
    pub(crate) throttle: Throttle,
    pub(crate) lookups: Lookups,
    pub(crate) proofs: Proofs,
    pub(crate) cancels: Registry,
    pub(crate) metrics: Metrics,
    /// What statistics ask.
    pub(crate) census: Census,
    /// Makes the answers for roles that do not exist look real.
    pub(crate) doom_secret: Vec<u8>,
    pub(crate) pools: Arc<Pools>,
    /// Where the proxy listens.
    pub(crate) address: SocketAddr,
    /// When another process takes over.
    pub(crate) departure: Arc<Departure>,
    /// Who uses the console.
    pub(crate) operators: Operators,
    /// What is listened on, as long as it is.
    pub(crate) listening: Mutex<Vec<Weak<Listening>>>,
}

impl Shared {
    /// TLS for a new connection, if it is offered.
    pub(crate) fn tls(&self) -> Option<Tls> {
        match &self.upstream {
            Some(upstream) => upstream.tls(),
            None => self.tls.clone(),
        }
    }

    /// A client that came at `start` is past its login.
    fn logged_in(&self, endpoint: &EndpointId, start: Mono) {
        let took = start.elapsed();
        self.metrics.login.observe(took.as_secs_f64());
        self.census.logged_in(endpoint, took);
    }
}

/// How a step ended a connection before its time.
#[derive(Debug)]
pub(crate) enum End {
    /// The client is told, then closed.
    Refuse(ClientError),
    /// PostgreSQL refused; the client gets its words, then it is closed.
    Passed(ErrorResponse),
    /// Nothing to tell: the client left, or it only wanted to cancel.
    Quiet(&'static str),
}

impl From<ClientError> for End {
    fn from(error: ClientError) -> Self {
        Self::Refuse(error)
    }
}

/// Serves one connection to its end.
/// `counted` is dropped when it ends.
///
/// Every step has its room in this future, which is copied when it is born, and again when it ends. So the large steps
/// that a client of a pool does not come to are in boxes of their own, and so are proofs.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    stream: ClientStream,
    peer: SocketAddr,
    (place, by_turn): (Place, bool),
    counted: Box<dyn Send>,
) {
    let start = Mono::now();
    shared.metrics.handshakes.inc();
    let opened = open(&shared, stream, peer, place, start).await;
    shared.metrics.handshakes.dec();
    match opened {
        None => {}
        Some(Opened::Direct(client, who)) => {
            if !client.stream.is_carried() {
                shared.pools.spread();
            }
            let there = (!by_turn).then(|| shared.pools.by_turn().clone()).filter(|shard| !shard.is_here());
            match there {
                // It stays where it goes now, which must not be where all the others go.
                Some(shard) => shard.spawn(direct(shared, client, who, (start, true), counted)),
                None => Box::pin(direct(shared, client, who, (start, false), counted)).await,
            }
        }
        Some(Opened::Pooled(client, who)) => pool(&shared, client, who, peer, counted).await,
        Some(Opened::Replication(client, who)) => {
            let _counted = counted;
            if let (client, Err(end)) = Box::pin(pooled::replicate(&shared, client, who, peer)).await {
                finish(&shared, client, end).await;
            }
        }
        Some(Opened::Console(client, admin)) => Box::pin(console(&shared, client, admin, counted)).await,
    }
}

/// A client gets a backend of its own, on the shard that runs this; `moved` when it logged in on another.
async fn direct(
    shared: Arc<Shared>,
    mut client: io::Client,
    who: login::LoggedIn,
    (start, moved): (Mono, bool),
    counted: Box<dyn Send>,
) {
    let _counted = counted;
    if moved && let Err(error) = client.stream.rehome() {
        return tracing::warn!(%error, "a client could not be moved to another thread");
    }
    let span = tracing::info_span!("session", endpoint = %who.endpoint, role = who.role());
    let endpoint = who.endpoint.clone();
    shared.metrics.handshakes.inc();
    let connected = Box::pin(backend::connect(&shared, &mut client, who)).instrument(span).await;
    shared.metrics.handshakes.dec();
    let backend = match connected {
        Ok(backend) => backend,
        Err(end) => return finish(&shared, Some(client), end).await,
    };
    shared.metrics.served();
    shared.logged_in(&endpoint, start);
    let tally = shared.pools.traffic().session(&endpoint);
    let relay = relay::Relay::new(client, backend, tally);
    shared.metrics.sessions.inc();
    let ended = Box::pin(moving::run(&shared, endpoint, relay)).await;
    shared.metrics.sessions.dec();
    tracing::debug!(?ended, "session ended");
}

/// A client past its login.
enum Opened {
    /// One that gets a backend of its own.
    Direct(io::Client, login::LoggedIn),
    /// One of many of a pool.
    Pooled(io::Client, login::LoggedIn),
    /// One that wants the write-ahead log of an ordinary server.
    Replication(io::Client, login::LoggedIn),
    /// An operator.
    Console(io::Client, Admin),
}

/// An operator works until it leaves.
async fn console(shared: &Arc<Shared>, mut client: io::Client, admin: Admin, counted: Box<dyn Send>) {
    let _counted = counted;
    if let Err(end) = crate::console::serve(shared, &mut client, admin).await {
        finish(shared, Some(client), end).await;
    }
}

/// The client goes to its pool, and this task ends.
async fn pool(
    shared: &Arc<Shared>,
    client: io::Client,
    who: login::LoggedIn,
    peer: SocketAddr,
    counted: Box<dyn Send>,
) {
    if let Err((client, error)) = pooled::enter(shared, client, who, peer, counted) {
        finish(shared, Some(*client), End::Refuse(error)).await;
    }
}

/// Everything up to the first ReadyForQuery.
async fn open(
    shared: &Arc<Shared>,
    stream: ClientStream,
    peer: SocketAddr,
    place: Place,
    start: Mono,
) -> Option<Opened> {
    let mut client = None;
    let handshake = async {
        let patience = Patience::with(shared, start);
        let begun = negotiate::negotiate(shared, stream, &patience);
        // Who does not begin in time is told so, unless it has begun with something else.
        let within = patience.left_to_begin().saturating_add(GOODBYE_WITHIN);
        let begun = tokio::time::timeout(within, begun).await.unwrap_or(Err(End::Quiet(HANDSHAKE_TIMEOUT)));
        if let (Err(End::Quiet(HANDSHAKE_TIMEOUT)), Some(_)) = (&begun, &shared.upstream) {
            upstream::never_began(shared, peer);
        }
        let (mut io, startup) = begun?;
        io.step = patience.step;
        let logged_in = match &shared.upstream {
            Some(upstream) => upstream::login(shared, upstream, &mut io, startup, (peer, patience)).await,
            None => login::login(shared, &mut io, startup, peer).await,
        };
        client = Some(io);
        logged_in
    };
    let outcome = tokio::select! {
        result = handshake => result,
        () = place.evicted.cancelled() => Err(End::Quiet("evicted")),
    };
    drop(place);
    let logged_in = match outcome {
        Ok(logged_in) => logged_in,
        Err(end) => {
            finish(shared, client, end).await;
            return None;
        }
    };
    let client = client?;
    let logged_in = match logged_in {
        Login::Role(logged_in) => logged_in,
        Login::Replication(logged_in) => {
            shared.metrics.served();
            return Some(Opened::Replication(client, logged_in));
        }
        Login::Console(admin) => {
            shared.metrics.served();
            return Some(Opened::Console(client, admin));
        }
    };
    if logged_in.mode.is_some() {
        shared.metrics.served();
        shared.logged_in(&logged_in.endpoint, start);
        return Some(Opened::Pooled(client, logged_in));
    }
    Some(Opened::Direct(client, logged_in))
}

pub(crate) fn too_slow() -> ClientError {
    ClientError::fatal(SqlState::CONNECTION_FAILURE, "the login was not completed in time")
        .with_hint(help("handshake-timeout"))
}

/// The hint that points to the page in `docs/errors/`.
pub(crate) fn help(code: &str) -> String {
    format!("See docs/errors/{code}.md.")
}

async fn finish(shared: &Shared, client: Option<io::Client>, end: End) {
    match end {
        End::Quiet(what) => shared.metrics.ended(what),
        End::Refuse(error) => {
            shared.metrics.ended(error.code.as_str());
            tracing::debug!(code = error.code.as_str(), message = error.message, "refused");
            Box::pin(say_goodbye(client, error.encode())).await;
        }
        End::Passed(error) => {
            shared.metrics.ended("postgres_refused");
            tracing::debug!(
                code = error.fields.code(),
                message = error.fields.message(),
                "refused by PostgreSQL"
            );
            Box::pin(say_goodbye(client, error.encode())).await;
        }
    }
}

async fn say_goodbye(client: Option<io::Client>, last_words: Vec<u8>) {
    let Some(mut client) = client else { return };
    let say = async {
        client.hold(&last_words);
        client.stream.write_all(&client.unsent).await?;
        client.stream.shutdown().await
    };
    // Who does not read the reason in time does not get it.
    let _unread = tokio::time::timeout(GOODBYE_WITHIN, say).await;
}
