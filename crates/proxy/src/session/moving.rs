//! A direct session that may move to another process, with its backend: see [`crate::handover`].

use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use dormouse_base::EndpointId;
use dormouse_runtime::shard::Shards;
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::Shared;
use super::relay::{Ended, Relay};
use crate::backend_stream::BackendStream;
use crate::cancel::DELIVER_WITHIN;
use crate::handover::parcel::{Direct, Parcel, Unfit, incoming};
use crate::handover::{Stage, replaced};

type Roused = Pin<Box<dyn Future<Output = watch::Receiver<()>> + Send>>;

fn next(mut news: watch::Receiver<()>) -> Roused {
    Box::pin(async move {
        if news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        news
    })
}

/// Runs a session to its end here. `None`: it goes on elsewhere.
pub(super) async fn run(shared: &Shared, endpoint: EndpointId, mut relay: Relay) -> Option<Ended> {
    let departure = Arc::clone(&shared.departure);
    let mut roused = next(departure.news());
    let ended = poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = Pin::new(&mut relay).poll(cx) {
                return Poll::Ready(Some(ended));
            }
            match departure.stage() {
                Stage::Stays => {}
                Stage::Leaves => {
                    if relay.rests() && departure.take(|| pack(&relay, &endpoint)) {
                        return Poll::Ready(None);
                    }
                }
                Stage::Ends if relay.dismiss(&replaced()) => continue,
                Stage::Ends => {}
            }
            match roused.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(news) => roused = next(news),
            }
        }
    })
    .await;
    if ended == Some(Ended::ClientLeft)
        && relay.left_a_statement()
        && let Some((pid, secret)) = relay.cancel_key()
    {
        let _ends_by_itself = shared.cancels.cancel(pid, secret, DELIVER_WITHIN).await;
    }
    ended
}

/// Everything that makes the session, if it can move at all.
fn pack(relay: &Relay, endpoint: &EndpointId) -> Option<Parcel> {
    let (client, backend) = relay.ends();
    let (unix, client) = client.movable()?;
    let direct = Direct {
        endpoint: endpoint.clone(),
        run: relay.compute().identity()?,
        unix,
        cancel: relay.cancel_key(),
    };
    Some(Parcel { body: direct.pack(), files: vec![client, backend.movable()?] })
}

/// Goes on with a session of another process. `kept` is dropped when it ends.
pub(crate) fn arrive(
    shared: &Arc<Shared>,
    shards: &Shards,
    who: Direct,
    (client, backend): (OwnedFd, OwnedFd),
    kept: Box<dyn Send>,
) -> Result<(), Unfit> {
    let compute = shared.wake.running(&who.endpoint, &who.run).ok_or(Unfit::Gone)?;
    let shared = Arc::clone(shared);
    // They stay there, and many come at once.
    shards.by_turn().spawn(async move {
        let _kept = kept;
        let sockets = incoming(client, who.unix)
            .into_stream()
            .and_then(|client| Ok((client, BackendStream::unix(UnixStream::from_std(backend.into())?)?)));
        let (client, backend) = match sockets {
            Ok(sockets) => sockets,
            Err(error) => {
                tracing::warn!(%error, "a session that was handed over has lost its sockets");
                return;
            }
        };
        let cancel = who.cancel.map(|(pid, secret)| shared.cancels.add(pid, secret, Arc::clone(&compute)));
        let tally = shared.pools.traffic().session(&who.endpoint);
        let relay = Relay::resumed(client, backend, compute, cancel, tally);
        shared.metrics.sessions.inc();
        let ended = run(&shared, who.endpoint, relay).await;
        shared.metrics.sessions.dec();
        tracing::debug!(?ended, "session ended");
    });
    Ok(())
}
