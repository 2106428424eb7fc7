//! A client left its backend in a state that others must not get: open transaction, session of its own.

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pgwire::backend::TxStatus;
use dormouse_pooler::link::{self, Client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::held::Leased;
use super::pool::Pool;

/// A backend that cannot be cleaned within this time is closed instead.
const WITHIN: Duration = Duration::from_secs(5);

/// Read at once.
const CHUNK: usize = 4096;

/// One after the other.
#[derive(Clone, Copy)]
enum Step {
    RollBack,
    Reset,
    Forget,
    Ask,
}

/// Ends the transaction, and with `session` everything else too; then the backend is free for others.
pub(super) async fn retire(pool: Arc<Pool>, leased: Leased, session: Option<String>) {
    let Leased { mut held, receipt, .. } = leased;
    let cleaned = tokio::time::timeout(WITHIN, async {
        for step in [Step::RollBack, Step::Reset, Step::Forget, Step::Ask] {
            let server = &mut held.server;
            let message = match (step, &session) {
                (Step::RollBack, _) if server.status() != TxStatus::Idle => link::roll_back(server),
                (Step::Reset, Some(sql)) if !sql.is_empty() => link::reset(server, sql),
                // Nothing would take away what is there.
                (Step::Reset, Some(_)) if server.is_tainted() => return None,
                // The query did not end the statements to which the client gave their names, or there is none.
                (Step::Forget, _) if server.must_forget() => link::forget(server),
                // What the query has left.
                (Step::Ask, _) if server.must_ask() => link::inspect(&Client::default(), server),
                _ => continue,
            };
            held.stream.write_all(&message).await.ok()?;
            held.stream.flush().await.ok()?;
            let mut chunk = vec![0; CHUNK];
            loop {
                let count = held.stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
                let (mut nobody, mut out) = (Client::default(), Vec::new());
                let got = {
                    let mut inner = pool.lock();
                    link::down(&mut nobody, &mut held.server, &mut inner.common, &chunk[..count], &mut out)
                        .ok()?
                };
                held.note_roles(&got);
                if got.own_ended {
                    held.server.own_error().is_none().then_some(())?;
                    break;
                }
            }
        }
        Some(())
    });
    match cleaned.await {
        Ok(Some(())) if held.server.is_free(&Client::default()) && !held.server.is_spoiled() => {
            pool.checkin(held, receipt, Mono::now());
        }
        _ => pool.discard(held, &receipt),
    }
}
