//! A question of our own to a pool: one statement with one parameter, and its rows. It takes a backend as a client
//! would, in line with the others, and leaves it as it was.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::BytesMut;
use dormouse_base::clock::Mono;
use dormouse_pgwire::backend::{DataRow, ErrorResponse};
use dormouse_pgwire::{ClientError, frame, limit, tag};
use dormouse_pooler::link::{self, Client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::held::{Held, Leased};
use super::open::told;
use super::pool::{Pool, Taken};
use super::retire::retire;

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
    /// The statement failed, or the backend did.
    Failed(ClientError),
}

/// Asks on the pool's own thread.
pub(crate) async fn ask(pool: &Arc<Pool>, sql: &str, parameter: &str) -> Result<Vec<DataRow>, Unanswered> {
    let (answer, answered) = oneshot::channel();
    let (here, message) = (Arc::clone(pool), message(sql, parameter));
    pool.home().spawn(async move {
        // Who has gone meanwhile does not need the answer.
        let _gone = answer.send(run(here, &message).await);
    });
    answered.await.unwrap_or_else(|_| Err(Unanswered::Failed(ClientError::connection_lost())))
}

async fn run(pool: Arc<Pool>, message: &[u8]) -> Result<Vec<DataRow>, Unanswered> {
    for _ in 0..MAX_TRIES {
        let lease = match pool.checkout(Mono::now()).map_err(Unanswered::NoBackend)? {
            Taken::Now(lease) => lease,
            Taken::Later(_, slot) => poll_fn(|cx| slot.poll(cx)).await.map_err(Unanswered::NoBackend)?,
        };
        if !lease.backend.is_fresh() {
            pool.discard(lease.backend, &lease.receipt);
            continue;
        }
        let mut leased = Leased { held: lease.backend, receipt: lease.receipt, check: false };
        let mut client = Client::default();
        let answer = converse(&pool, &mut leased.held, &mut client, message).await;
        let server = &leased.held.server;
        match &answer {
            Some(_) if server.is_free(&client) => pool.checkin(leased.held, leased.receipt, Mono::now()),
            Some(_) if server.is_at_rest() && !server.is_spoiled() => {
                let reset = pool.config().server_reset_query.clone();
                pool.home().spawn(retire(Arc::clone(&pool), leased, Some(reset)));
            }
            _ => pool.discard(leased.held, &leased.receipt),
        }
        let answer = answer.ok_or_else(|| Unanswered::Failed(ClientError::connection_lost()))?;
        return rows(answer).map_err(Unanswered::Failed);
    }
    Err(Unanswered::Failed(ClientError::connection_lost()))
}

/// Settings first, then the statement. `None`: the backend is lost.
async fn converse(pool: &Pool, held: &mut Held, client: &mut Client, message: &[u8]) -> Option<BytesMut> {
    if !held.enter() {
        let pass = Arc::clone(&held.key.compute).reenter().await.ok()?;
        drop(pass.into_gate());
        held.inside = true;
    }
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
    held.stream.write_all(message).await.ok()?;
    held.stream.flush().await.ok()?;
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
