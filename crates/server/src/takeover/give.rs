//! The old server's part: it offers itself, gives everything away, and empties.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dormouse_base::EndpointId;
use dormouse_base::clock::Mono;
use dormouse_proxy::handover::{MAX_PARCELS, Parcel};
use dormouse_proxy::{Proxy, Traffic};
use dormouse_runtime::failpoint;
use dormouse_runtime::handoff::{self, Channel};
use dormouse_runtime::shutdown::Signals;
use dormouse_runtime::task::Scope;
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use super::successor::Successor;
use super::{ANSWER_WITHIN, PREPARE_WITHIN, PROTOCOL, SERVE_WITHIN, Say, Used, hear, path, say};

/// How often those are asked who could not leave yet.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// After the last word, clients may take so long to read it.
const GOODBYE_WITHIN: Duration = Duration::from_millis(500);

/// A new server may ask for at most this much time for the clients of this one.
const MAX_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// How often the new server hears what clients of this one did.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Endpoints in one such message; each takes some 100 bytes.
const MAX_USED: usize = 10_000;

/// After `accept` failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A new server that is ready to take over.
#[derive(Debug)]
pub(crate) struct Wish {
    channel: Arc<Channel>,
    /// So long clients may stay here.
    limit: Duration,
}

/// What came of giving everything away.
#[derive(Debug)]
pub(crate) enum Given {
    /// The new one serves.
    Away,
    /// It is gone before it did.
    Back(&'static str),
}

/// Offers a takeover for as long as `scope` lives.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) fn offer(
    data: &Path,
    (pg, http): (OwnedFd, OwnedFd),
    scope: &Scope,
) -> io::Result<mpsc::Receiver<Wish>> {
    let listener = handoff::listen(&path(data))?;
    let (wishes, wished) = mpsc::channel(1);
    let token = scope.token();
    scope.spawn("takeover-offer", async move {
        tokio::select! {
            () = listen(listener, [pg, http], wishes) => {}
            () = token.cancelled() => {}
        }
    });
    Ok(wished)
}

async fn listen(listener: UnixListener, sockets: [OwnedFd; 2], wishes: mpsc::Sender<Wish>) {
    loop {
        let channel = match listener.accept().await {
            Ok((stream, _)) => Channel::new(stream),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a successor");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match welcome(channel, &sockets).await {
            Ok(wish) => {
                // Dropped when the server stops.
                let _stops = wishes.send(wish).await;
            }
            Err(error) => tracing::info!(%error, "no takeover; this server goes on"),
        }
    }
}

/// Up to the moment when the new server is prepared. Nothing has changed here by then.
async fn welcome(channel: Channel, [pg, http]: &[OwnedFd; 2]) -> io::Result<Wish> {
    if !channel.peer_is_us() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "another user asks"));
    }
    let hung_up = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let odd = |said: &Say| io::Error::new(io::ErrorKind::InvalidData, format!("a successor said {said:?}"));
    let (said, _) = hear(&channel, ANSWER_WITHIN).await?.ok_or_else(hung_up)?;
    let Say::Hello { protocol, version, limit_ms } = said else { return Err(odd(&said)) };
    if protocol != PROTOCOL {
        let why = format!("it speaks version {PROTOCOL} of the takeover, the new one {protocol}: restart it");
        say(&channel, &Say::Refused { why: why.clone() }, &[]).await?;
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    let mine = env!("CARGO_PKG_VERSION").to_owned();
    let welcome = Say::Welcome { protocol: PROTOCOL, version: mine, pid: std::process::id() };
    say(&channel, &welcome, &[pg.as_fd(), http.as_fd()]).await?;
    tracing::info!(version, "a new server prepares to take over");
    let (said, _) = hear(&channel, PREPARE_WITHIN).await?.ok_or_else(hung_up)?;
    let Say::Take = said else { return Err(odd(&said)) };
    let limit = Duration::from_millis(limit_ms).min(MAX_LIMIT);
    Ok(Wish { channel: Arc::new(channel), limit })
}

impl Wish {
    /// It cannot be now. Gives the reason back.
    pub(crate) async fn refuse(&self, why: &'static str) -> &'static str {
        tracing::warn!(why, "a takeover is refused");
        if let Err(error) = say(&self.channel, &Say::Refused { why: why.to_owned() }, &[]).await {
            tracing::debug!(%error, "the new server is gone");
        }
        why
    }

    /// This server does nothing any more: it is the new one's turn.
    pub(crate) async fn give(&self, lock: BorrowedFd<'_>, busy: Vec<String>) -> Given {
        if failpoint::hit("takeover.give.quiet").await.is_err() {
            return Given::Back("a failpoint");
        }
        if say(&self.channel, &Say::Yours { busy }, &[lock]).await.is_err() {
            return Given::Back("the new server is gone");
        }
        if failpoint::hit("takeover.give.given").await.is_err() {
            tracing::warn!("failpoint takeover.give.given");
        }
        match hear(&self.channel, SERVE_WITHIN).await {
            Ok(Some((Say::Serving, _))) => Given::Away,
            Ok(Some(_) | None) => Given::Back("the new server is gone"),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                tracing::error!("the new server does not serve, but it lives: everything is left to it");
                Given::Away
            }
            Err(_) => Given::Back("the new server is gone"),
        }
    }

    pub(crate) fn successor(&self) -> Arc<Successor> {
        Successor::new(Arc::clone(&self.channel))
    }

    /// Sends the clients over, each as soon as it rests. Ends when nobody is left, or it has been long enough.
    pub(crate) async fn empty(self, proxy: &Proxy, successor: &Successor, signals: &mut Signals) {
        let start = Mono::now();
        let (sender, parcels) = mpsc::channel(MAX_PARCELS);
        let before = proxy.clients();
        proxy.depart(sender.clone());
        let sending = AtomicBool::new(false);
        let emptied = async {
            // Who is counted no more is in the queue, or on the way out of it.
            while proxy.clients() > 0 || sender.capacity() < MAX_PARCELS || sending.load(Ordering::Relaxed) {
                proxy.rouse();
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let sent = tokio::select! {
            _ = tokio::time::timeout(self.limit, emptied) => None,
            () = successor.attend() => Some("the new server is gone"),
            never = send(&self.channel, parcels, &sending) => Some(never),
            never = count(&self.channel, proxy) => Some(never),
            signal = signals.next() => Some(signal),
        };
        let left = proxy.clients();
        if left > 0 {
            tracing::warn!(
                left,
                reason = sent.unwrap_or("the time is up"),
                "some clients end with this server"
            );
            proxy.dismiss();
            tokio::time::sleep(GOODBYE_WITHIN).await;
        }
        tell_used(&self.channel, proxy).await;
        let took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(clients = before, left, took_ms, "another server has taken over");
    }
}

/// Carries clients over, for ever.
async fn send(channel: &Channel, mut parcels: mpsc::Receiver<Parcel>, sending: &AtomicBool) -> &'static str {
    while let Some(Parcel { body, files }) = parcels.recv().await {
        sending.store(true, Ordering::Relaxed);
        let files: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        if let Err(error) = channel.send(&body, &files).await {
            tracing::warn!(%error, "a client could not be handed over");
            return "the new server is gone";
        }
        sending.store(false, Ordering::Relaxed);
    }
    std::future::pending().await
}

/// Tells what clients do that are still here, for ever.
async fn count(channel: &Channel, proxy: &Proxy) -> &'static str {
    loop {
        tokio::time::sleep(COUNT_EVERY).await;
        tell_used(channel, proxy).await;
    }
}

async fn tell_used(channel: &Channel, proxy: &Proxy) {
    let used = |(endpoint, traffic): &(EndpointId, Traffic)| Used {
        endpoint: endpoint.to_string(),
        egress: traffic.egress,
        ingress: traffic.ingress,
        queries: traffic.queries,
    };
    for some in proxy.take_traffic().chunks(MAX_USED) {
        let told = Say::Used { traffic: some.iter().map(used).collect() };
        if let Err(error) = say(channel, &told, &[]).await {
            tracing::debug!(%error, "nobody counts any more");
        }
    }
}
