//! Clients go on in the process that has taken over.
//!
//! ```text
//!  new                          old
//!  (has the sockets)            serves whom it has; no new clients
//!  "serves" ────────────────►   sends its clients over, each as it comes to rest
//!  ◄──────────────── parcels    …
//!  ◄───────────────── the end   ends when nobody is left
//! ```
//!
//! Both ends are a pair of sockets that nobody else can open. Who cannot move stays with the old process until it leaves:
//! TLS clients, those who listen or keep their server. When the new one is gone nobody moves any more, and whom it has not
//! got goes on here. How clients are packed is the proxy's business ([`dormouse_proxy::handover`]).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dormouse_proxy::Proxy;
use dormouse_proxy::handover::{MAX_PARCELS, Parcel};
use dormouse_proxy::upstream::Upstream;
use dormouse_runtime::handoff::{Channel, Message};
use dormouse_runtime::task::Scope;
use tokio::sync::mpsc;

/// What the new process says when it serves.
const SERVES: &[u8] = b"serves";

/// How long it is waited until those are asked again who could not go: at first, and at most. It is twice as long each time.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Whether anybody is on the way.
#[derive(Debug, Default)]
pub(super) struct Moving {
    /// To the next process.
    out: Arc<AtomicBool>,
    /// From the one before.
    from_before: Arc<AtomicBool>,
}

/// Somebody may be, as long as this is there.
struct UnderWay(Arc<AtomicBool>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Moving {
    /// Whether nobody goes any more.
    pub(super) fn out_is_over(&self) -> bool {
        !self.out.load(Ordering::Acquire)
    }

    /// And nobody comes.
    pub(super) fn is_over(&self) -> bool {
        self.out_is_over() && !self.from_before.load(Ordering::Acquire)
    }

    /// The old process's part.
    pub(super) fn begin(&self, conversation: UnixStream, proxy: &Arc<Proxy>, scope: &Scope) {
        self.out.store(true, Ordering::Release);
        let (under_way, proxy) = (UnderWay(Arc::clone(&self.out)), Arc::clone(proxy));
        let others = Arc::clone(&self.from_before);
        scope.spawn("moving", async move {
            let _under_way = under_way;
            match channel(conversation) {
                Ok(channel) => send(&channel, &proxy, &others).await,
                Err(error) => tracing::warn!(%error, "clients stay here"),
            }
        });
    }
}

fn channel(conversation: UnixStream) -> io::Result<Channel> {
    conversation.set_nonblocking(true)?;
    tokio::net::UnixStream::from_std(conversation).map(Channel::new)
}

/// Sends clients over until nobody is left and no `others` come, or nobody is there who could take them.
async fn send(channel: &Channel, proxy: &Proxy, others: &AtomicBool) {
    if !matches!(channel.receive().await, Ok(Some(Message { body, .. })) if body == SERVES) {
        tracing::warn!("the process that took over is gone before it served; clients stay here");
        return;
    }
    let (sender, mut parcels) = mpsc::channel(MAX_PARCELS);
    proxy.depart(sender);
    let (mut moved, mut pace) = (0_u64, ASK_AGAIN.0);
    let mut gone = pin!(channel.receive());
    // Whose parcel is in the queue is counted until it is there.
    while others.load(Ordering::Acquire) || proxy.clients() > 0 || !parcels.is_empty() {
        tokio::select! {
            Some(parcel) = parcels.recv() => match pass(channel, &parcel).await {
                Ok(()) => moved += 1,
                Err(error) => return stay(proxy, Some(parcel), parcels, &error).await,
            },
            heard = &mut gone => {
                let error = heard.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
                return stay(proxy, None, parcels, &error).await;
            }
            () = tokio::time::sleep(pace) => {
                pace = (pace * 2).min(ASK_AGAIN.1);
                proxy.rouse();
            }
        }
    }
    tracing::info!(moved, "clients went on in the process that took over");
}

async fn pass(channel: &Channel, Parcel { body, files }: &Parcel) -> io::Result<()> {
    let files: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
    channel.send(body, &files).await
}

/// Nobody takes them any more.
async fn stay(proxy: &Proxy, first: Option<Parcel>, mut parcels: mpsc::Receiver<Parcel>, error: &io::Error) {
    proxy.call_off();
    // Nobody is packed from now on, and who is comes out.
    parcels.close();
    first.into_iter().for_each(|parcel| take_in(proxy, parcel));
    while let Some(parcel) = parcels.recv().await {
        take_in(proxy, parcel);
    }
    tracing::warn!(%error, "the process that took over is gone; clients stay here");
}

fn take_in(proxy: &Proxy, parcel: Parcel) {
    if let Err(error) = proxy.receive(parcel) {
        tracing::warn!(error = &error as &dyn std::error::Error, "a client could not go on");
    }
}

/// Has an end when it is dropped.
struct MovingIn(Upstream);

impl Drop for MovingIn {
    fn drop(&mut self) {
        self.0.moves_in(false);
    }
}

/// The new process's part: takes clients in until the other one has ended.
pub(super) fn follow(
    moving: &Moving,
    conversation: UnixStream,
    (proxy, upstream): (&Arc<Proxy>, &Upstream),
    scope: &Scope,
) {
    moving.from_before.store(true, Ordering::Release);
    upstream.moves_in(true);
    let ends = (UnderWay(Arc::clone(&moving.from_before)), MovingIn(upstream.clone()));
    let (proxy, token) = (Arc::clone(proxy), scope.token());
    scope.spawn("moving in", async move {
        let _ends = ends;
        tokio::select! {
            taken = receive(conversation, &proxy) => match taken {
                Ok(moved) => tracing::info!(moved, "the process before sends no more clients"),
                Err(error) => tracing::warn!(%error, "the process before does not send its clients"),
            },
            () = token.cancelled() => {}
        }
    });
}

async fn receive(conversation: UnixStream, proxy: &Proxy) -> io::Result<u64> {
    let channel = channel(conversation)?;
    channel.send(SERVES, &[]).await?;
    let mut moved = 0;
    while let Some(Message { body, files }) = channel.receive().await? {
        take_in(proxy, Parcel { body, files });
        moved += 1;
    }
    Ok(moved)
}
