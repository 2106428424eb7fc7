//! A question of our own to a pool: one statement with one parameter, and its rows. It takes a backend as a client
//! would, in line with the others, and leaves it as it was.
//!
//! ```text
//!  in line ──► at work ──► rows, and the backend is free again
//!     │           │
//!     │           └ nobody waits for the answer any more, or query_timeout: the backend is closed
//!     └ the same, or query_wait_timeout: the place is given up
//! ```
//!
//! Who asks has proved nothing yet, so nothing may be left of a question whose asker has gone. Dropping the future that asks
//! is enough for that.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use dormouse_base::clock::Mono;
use dormouse_pgwire::backend::{DataRow, ErrorResponse};
use dormouse_pgwire::{ClientError, frame, limit, tag};
use dormouse_pooler::link::{self, Client};
use dormouse_pooler::pool::{Farewell, Lease, WaiterId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::held::{Held, Leased};
use super::open::told;
use super::pool::{CLIENT_LEFT, CRASHED, Pool, Taken};
use super::retire::retire;
use super::slot::Slot;

/// Read at once.
const CHUNK: usize = 4096;

/// Bytes that an answer may have.
const MAX_ANSWER: usize = 1024 * 1024;

/// Backends that may turn out to be gone before one answers.
const MAX_TRIES: usize = 8;

/// Why there are no rows.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// There is no backend to ask.
    NoBackend(ClientError),
    /// It took too long.
    TooLate(ClientError),
    /// The statement failed, or the backend did.
    Failed(ClientError),
}

/// Asks on the pool's own thread.
pub(crate) async fn ask(pool: &Arc<Pool>, sql: &str, parameter: &str) -> Result<Vec<DataRow>, Unanswered> {
    let (mut answer, answered) = oneshot::channel();
    let (here, message) = (Arc::clone(pool), message(sql, parameter));
    pool.home().spawn(async move {
        let rows = tokio::select! {
            rows = run(&here, &message) => rows,
            () = answer.closed() => return,
        };
        // Who has gone in this moment does not need the answer.
        let _gone = answer.send(rows);
    });
    answered.await.unwrap_or_else(|_| Err(Unanswered::Failed(ClientError::connection_lost())))
}

/// A place in line, given up when dropped.
struct InLine<'a> {
    pool: &'a Arc<Pool>,
    id: WaiterId,
    slot: Arc<Slot>,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.pool.abandon(self.id, &self.slot);
    }
}

/// A backend at work. When dropped before it is done, it is closed.
struct AtWork<'a> {
    pool: &'a Arc<Pool>,
    leased: Option<Leased>,
}

impl<'a> AtWork<'a> {
    fn new(pool: &'a Arc<Pool>, lease: Lease<Box<Held>>) -> Self {
        Self { pool, leased: Some(Leased { held: lease.backend, receipt: lease.receipt, check: false }) }
    }

    fn held(&mut self) -> &mut Held {
        &mut self.leased.as_mut().expect("it is taken when it is done").held
    }

    /// Gives it back after what was told to `client`, in whatever state it is.
    fn done(mut self, client: &Client) {
        let Some(leased) = self.leased.take() else { return };
        let (pool, server) = (self.pool, &leased.held.server);
        if server.is_free(client) {
            pool.checkin(leased.held, leased.receipt, Mono::now());
        } else if server.is_at_rest() && !server.is_spoiled() {
            let reset = pool.config().server_reset_query.clone();
            pool.home().spawn(retire(Arc::clone(pool), leased, Some(reset)));
        } else {
            pool.discard(leased.held, &leased.receipt);
        }
    }

    /// It is closed, for this reason.
    fn close(mut self, why: &str) {
        if let Some(leased) = self.leased.take() {
            self.pool.discard_because(leased.held, &leased.receipt, why);
        }
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        if let Some(leased) = self.leased.take() {
            self.pool.discard_because(leased.held, &leased.receipt, CLIENT_LEFT);
        }
    }
}

async fn run(pool: &Arc<Pool>, message: &[u8]) -> Result<Vec<DataRow>, Unanswered> {
    let lost = || Unanswered::Failed(ClientError::connection_lost());
    for _ in 0..MAX_TRIES {
        let lease = lease(pool).await?;
        if !lease.backend.is_fresh() {
            pool.discard(lease.backend, &lease.receipt);
            continue;
        }
        let mut work = AtWork::new(pool, lease);
        let mut client = Client::default();
        if !enter(work.held()).await {
            work.close(CRASHED);
            return Err(lost());
        }
        match within(pool, converse(pool, work.held(), &mut client, message)).await {
            Some(Some(answer)) => {
                work.done(&client);
                return rows(answer).map_err(Unanswered::Failed);
            }
            Some(None) => {
                work.close(CRASHED);
                return Err(lost());
            }
            None => {
                work.close(Farewell::QueryTimeout.message());
                return Err(Unanswered::TooLate(pool.told(Farewell::QueryTimeout)));
            }
        }
    }
    Err(lost())
}

/// A backend, in line with others.
async fn lease(pool: &Arc<Pool>) -> Result<Lease<Box<Held>>, Unanswered> {
    let (id, slot) = match pool.checkout(Mono::now()).map_err(Unanswered::NoBackend)? {
        Taken::Now(lease) => return Ok(lease),
        Taken::Later(id, slot) => (id, slot),
    };
    let place = InLine { pool, id, slot };
    let given = within(pool, poll_fn(|cx| place.slot.poll(cx))).await;
    let late = || Unanswered::TooLate(pool.told(Farewell::QueryTimeoutWaiting));
    given.ok_or_else(late)?.map_err(Unanswered::NoBackend)
}

/// As long as `query_timeout` allows.
async fn within<T>(pool: &Pool, what: impl Future<Output = T>) -> Option<T> {
    let limit = pool.config().query_timeout;
    let limit = if limit.is_zero() { Duration::MAX } else { limit };
    tokio::time::timeout(limit, what).await.ok()
}

/// Counts as work from now on, as soon as that may begin. False: the backend is lost.
async fn enter(held: &mut Held) -> bool {
    if !held.enter() {
        let Ok(pass) = Arc::clone(&held.key.compute).reenter().await else { return false };
        drop(pass.into_gate());
        held.inside = true;
    }
    true
}

/// Settings first, then the statement. `None`: the backend is lost.
async fn converse(pool: &Pool, held: &mut Held, client: &mut Client, message: &[u8]) -> Option<BytesMut> {
    if let Some(sql) = link::replay(client, &mut held.server) {
        exchange(pool, held, client, &sql).await?;
        held.server.own_error().is_none().then_some(())?;
    }
    let mut out = Vec::new();
    let sent = link::up(client, &mut held.server, &mut pool.lock().common, message, &mut out).ok()?;
    let bytes = if matches!(sent, link::Sent::AsItIs) { message } else { &out };
    let mut answer = BytesMut::new();
    let mut known = Vec::new();
    link::answers(client, &mut held.server, &mut known);
    answer.extend_from_slice(&known);
    answer.extend_from_slice(&exchange(pool, held, client, bytes).await?);
    Some(answer)
}

/// Sends something, and reads until it is answered.
async fn exchange(pool: &Pool, held: &mut Held, client: &mut Client, message: &[u8]) -> Option<BytesMut> {
    // Whoever is lost in between leaves half of it.
    held.half_told = true;
    held.stream.write_all(message).await.ok()?;
    held.stream.flush().await.ok()?;
    held.half_told = false;
    let mut answer = BytesMut::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = held.stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        let mut out = Vec::new();
        let got =
            link::down(client, &mut held.server, &mut pool.lock().common, &chunk[..count], &mut out).ok()?;
        held.note_roles(&got);
        answer.extend_from_slice(if got.as_it_is { &chunk[..count] } else { &out });
        if answer.len() > MAX_ANSWER {
            return None;
        }
        if got.ready > 0 || got.own_ended {
            return Some(answer);
        }
    }
}

fn rows(mut answer: BytesMut) -> Result<Vec<DataRow>, ClientError> {
    let mut rows = Vec::new();
    let broken = |why: &dyn ToString| ClientError::protocol_violation(why.to_string());
    while let Some(frame) = frame::take(&mut answer, limit::MAX_BACKEND_MESSAGE).map_err(|e| broken(&e))? {
        match frame.tag {
            tag::backend::DATA_ROW => rows.push(DataRow::decode(&frame.body).map_err(|e| broken(&e))?),
            tag::backend::ERROR_RESPONSE => {
                return Err(told(&ErrorResponse::decode(&frame.body).map_err(|e| broken(&e))?));
            }
            _ => {}
        }
    }
    Ok(rows)
}

/// Parse, Bind, Execute and Sync of a statement with one parameter that is a text.
fn message(sql: &str, parameter: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut add = |tag: u8, body: &[u8]| {
        out.push(tag);
        let length = u32::try_from(body.len() + 4).expect("a statement of a configuration is short");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(body);
    };
    add(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"].concat());
    let length = u32::try_from(parameter.len()).expect("a role's name is short");
    add(b'B', &[b"\0\0\0\0\0\x01", &length.to_be_bytes()[..], parameter.as_bytes(), b"\0\0"].concat());
    add(b'E', b"\0\0\0\0\0");
    add(b'S', b"");
    out
}
