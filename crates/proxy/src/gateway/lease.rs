//! One request's hold on a client in this process. Given up in the middle of a statement, the statement is cancelled,
//! and client and backend are of use to others again.
//!
//! ```text
//!  take ─► run ─► finish ───────────────────────────► rests again, or is closed
//!            └─ dropped (the HTTP client left, or     ─► cancel, read the rest, roll back ─► rests again
//!               the answer is larger than it may be)
//! ```

use std::sync::Arc;
use std::time::Duration;

use dormouse_pgwire::ClientError;
use dormouse_pgwire::backend::TxStatus;
use dormouse_pgwire::startup::Startup;
use dormouse_runtime::shard::Shard;

use super::Visitor;
use super::client::{Broken, Client};
use super::idle::{Idle, Place};
use super::request::messages;
use crate::cancel::{Cancelled, DELIVER_WITHIN};
use crate::session::Shared;
use crate::session::login::LoggedIn;
use crate::session::shown::{self, Entered};

/// A cancelled statement has ended after this long, or its client and backend are closed.
const CANCELLED_WITHIN: Duration = Duration::from_secs(5);

/// Bytes of most places.
const USUAL_PLACE: usize = 256;

/// What all requests share.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) shared: Arc<Shared>,
    pub(crate) idle: Arc<Idle>,
    /// Where what is left over is cleaned up.
    pub(crate) cleaner: Shard,
}

/// See the module.
pub(crate) struct Lease {
    client: Option<Client>,
    place: Place,
    clients: Clients,
    /// Something was sent that has not been answered.
    busy: bool,
}

impl Clients {
    /// A client for the role in `startup`, which was let in.
    pub(crate) fn take(
        &self,
        entered: Entered,
        startup: &Startup,
        visitor: &Visitor,
    ) -> Result<Lease, ClientError> {
        let place = place(&entered, startup);
        let client = match self.idle.take(&place) {
            Some(client) => client,
            None => {
                let Entered { endpoint, role_oid } = entered;
                let who = LoggedIn::new(endpoint, startup.clone(), Some(shown::MODE)).of(role_oid);
                Client::open(&self.shared, who, visitor.peer, visitor.tls)?
            }
        };
        Ok(Lease { client: Some(client), place, clients: self.clone(), busy: false })
    }
}

fn place(entered: &Entered, startup: &Startup) -> Place {
    let mut key = Vec::with_capacity(USUAL_PLACE);
    key.extend_from_slice(entered.endpoint.as_str().as_bytes());
    key.push(0);
    // A name may become another role's.
    key.extend_from_slice(&entered.role_oid.unwrap_or_default().to_be_bytes());
    for (name, value) in startup.params.iter() {
        key.extend_from_slice(name.as_bytes());
        key.push(0);
        key.extend_from_slice(value);
        key.push(0);
    }
    Place(key)
}

impl Lease {
    /// Sends a request.
    pub(crate) fn send(&mut self, bytes: Vec<u8>) {
        self.busy = true;
        self.client().send(bytes);
    }

    /// Waits until the session has begun.
    pub(crate) async fn greet_once(&mut self) -> Result<(), Broken> {
        if self.client().is_greeted() { Ok(()) } else { self.client().greet().await }
    }

    /// The next message of the answer.
    pub(crate) async fn message(&mut self, most: usize) -> Result<dormouse_pgwire::Frame, Broken> {
        self.client().message(most).await
    }

    /// How many bytes the body of the next message has.
    pub(crate) async fn announced(&mut self) -> Result<usize, Broken> {
        self.client().announced().await
    }

    fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("given up by `finish` and `drop` only, which consume it")
    }

    /// The answer is complete. `clean`: nothing was left behind.
    pub(crate) fn finish(mut self, clean: bool) {
        self.busy = false;
        if let Some(client) = self.client.take()
            && clean
        {
            self.clients.idle.put(&self.place, client);
        }
    }

    /// Ends an open transaction, and what else outlives it where there may be something. Tells whether the session is
    /// as new.
    pub(crate) async fn tidy(&mut self, end: TxStatus, stateful: bool) -> bool {
        let mut texts = Vec::new();
        texts.extend((end != TxStatus::Idle).then_some("ROLLBACK"));
        texts.extend(stateful.then_some("DISCARD ALL"));
        for text in texts {
            self.send(messages::query(text));
            let ended = tokio::time::timeout(CANCELLED_WITHIN, until_ready(self.client()));
            if ended.await.ok().flatten() != Some(TxStatus::Idle) {
                return false;
            }
        }
        true
    }

    /// It cannot be used any more, and neither can its backend.
    pub(crate) fn abandon(mut self) {
        self.client = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        if !client.is_greeted() {
            return;
        }
        let (clients, place, busy) = (self.clients.clone(), self.place.clone(), self.busy);
        if !busy {
            return clients.idle.put(&place, client);
        }
        self.clients.cleaner.spawn(async move {
            if let Some(client) = clean_up(&clients, client).await {
                clients.idle.put(&place, client);
            }
        });
    }
}

/// Ends what a client does, and its transaction.
async fn clean_up(clients: &Clients, mut client: Client) -> Option<Client> {
    let (pid, secret) = client.cancel_key()?;
    let ended = async {
        // Without a backend it stands in a line, which it leaves by being closed.
        let cancelled = clients.shared.cancels.cancel(pid, secret, DELIVER_WITHIN).await;
        (cancelled == Cancelled::Sent).then_some(())?;
        if until_ready(&mut client).await? != TxStatus::Idle {
            client.send(messages::query("ROLLBACK"));
            until_ready(&mut client).await.filter(|status| *status == TxStatus::Idle)?;
        }
        Some(())
    };
    tokio::time::timeout(CANCELLED_WITHIN, ended).await.ok().flatten()?;
    // What its text may have set before it was cancelled is unknown.
    client.send(messages::query("DISCARD ALL"));
    tokio::time::timeout(CANCELLED_WITHIN, until_ready(&mut client)).await.ok().flatten()?;
    client.rests().then_some(client)
}

async fn until_ready(client: &mut Client) -> Option<TxStatus> {
    status(&[client.skip_to_ready().await?])
}

/// What a ReadyForQuery says.
pub(crate) fn status(body: &[u8]) -> Option<TxStatus> {
    match body {
        b"I" => Some(TxStatus::Idle),
        b"T" => Some(TxStatus::InTransaction),
        b"E" => Some(TxStatus::Failed),
        _ => None,
    }
}
