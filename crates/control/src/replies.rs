//! Requests that carry an `Idempotency-Key`, from the first time they are sent until their reply is forgotten.
//!
//! ```text
//!  new ─► under way ─┬─ it succeeded ───────────────► kept (a day) ─► new
//!           ▲        ├─ it failed, nothing changed ─► new
//!     the same again └─ the server stopped ─────────► cut off (a day): nobody knows what came of it
//!      waits for it
//! ```
//!
//! The row is written before the request is carried out and with its reply afterwards, both durably. Keys and requests
//! are kept as hashes, replies sealed by the machine key, because they may have passwords in them.

use std::collections::HashMap;
use std::sync::Arc;

use dormouse_base::{clock, rand};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::db::replies::{self, Row};
use crate::db::{Db, DbError};
use crate::secrets::Secrets;

/// Requests with a key that are under way at the same time.
const MAX_UNDER_WAY: usize = 512;

/// The largest body of a reply that is kept, bytes.
pub(crate) const MAX_KEPT: usize = 64 << 10;

/// A request with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Hash of who asks and of the key.
    pub(crate) id: [u8; 32],
    /// Hash of what is asked.
    pub(crate) request: [u8; 32],
}

/// What a request with this key may do.
pub(crate) enum Claim {
    /// Be carried out, and say how it ended.
    Ours(Turn),
    /// Be answered with the first reply. `None`: its body was too large to be kept.
    Kept {
        /// The first status.
        status: u16,
        /// The first body.
        body: Option<Vec<u8>>,
    },
    /// Wait for the first one to end, and claim again.
    UnderWay(watch::Receiver<()>),
    /// Nothing: the key belongs to another request.
    Other,
    /// Nothing: the first one was cut off.
    CutOff,
    /// Nothing: too many are under way.
    TooMany,
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Replies {
    inner: Arc<Inner>,
}

/// A request that is being carried out, and who waits for its end.
type UnderWay = (Wanted, watch::Sender<()>);

#[derive(Debug)]
struct Inner {
    db: Db,
    secrets: Arc<Secrets>,
    /// Tells the rows of this run of the server from those of earlier ones.
    run: String,
    under_way: Mutex<HashMap<[u8; 32], UnderWay>>,
}

impl Replies {
    /// For this run of the server.
    pub(crate) fn new(db: Db, secrets: Arc<Secrets>) -> Self {
        let inner = Inner { db, secrets, run: rand::token(20), under_way: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Asks for a request's turn.
    pub(crate) async fn claim(&self, wanted: Wanted) -> Result<Claim, DbError> {
        let turn = {
            let mut under_way = self.inner.under_way.lock();
            if let Some((first, ended)) = under_way.get(&wanted.id) {
                let same = first.request == wanted.request;
                return Ok(if same { Claim::UnderWay(ended.subscribe()) } else { Claim::Other });
            }
            if under_way.len() >= MAX_UNDER_WAY {
                return Ok(Claim::TooMany);
            }
            under_way.insert(wanted.id, (wanted, watch::Sender::new(())));
            Turn { replies: self.clone(), wanted }
        };
        let (now, run) = (clock::now(), self.inner.run.clone());
        let kept = self.inner.db.write("look for a reply", move |db| {
            let kept = replies::get(db, &wanted.id, now)?;
            if kept.is_none() {
                let row = Row { id: wanted.id, request: wanted.request, run, status: None, body: None };
                replies::begin(db, &row, now)?;
            }
            Ok(kept)
        });
        Ok(match kept.await? {
            None => Claim::Ours(turn),
            Some(row) if row.request != wanted.request => Claim::Other,
            Some(Row { status: Some(status), body, .. }) => {
                let open =
                    body.and_then(|body| self.inner.secrets.unseal_in(&context(&wanted.id), &body).ok());
                Claim::Kept { status, body: open }
            }
            Some(row) => {
                tracing::info!(
                    same_run = row.run == self.inner.run,
                    "a request with a key was cut off before"
                );
                Claim::CutOff
            }
        })
    }
}

/// What a reply is sealed with; no branch's ID begins like that.
fn context(id: &[u8; 32]) -> Vec<u8> {
    [&b"reply\0"[..], id].concat()
}

/// The right to carry a request out. Dropped without a word, nobody knows what came of it.
#[derive(Debug)]
pub(crate) struct Turn {
    replies: Replies,
    wanted: Wanted,
}

impl Turn {
    /// It has succeeded, with this reply.
    pub(crate) async fn keep(self, status: u16, body: &[u8]) -> Result<(), DbError> {
        let (inner, id) = (&self.replies.inner, self.wanted.id);
        let sealed = (body.len() <= MAX_KEPT).then(|| inner.secrets.seal_in(&context(&id), body));
        let keep = move |db: &rusqlite::Transaction<'_>| replies::end(db, &id, status, sealed.as_deref());
        inner.db.write("keep a reply", keep).await
    }

    /// It has failed, and changed nothing.
    pub(crate) async fn forget(self) -> Result<(), DbError> {
        let id = self.wanted.id;
        self.replies.inner.db.write("forget a reply", move |db| replies::forget(db, &id)).await
    }
}

impl Drop for Turn {
    /// Those that wait look at the row.
    fn drop(&mut self) {
        self.replies.inner.under_way.lock().remove(&self.wanted.id);
    }
}
