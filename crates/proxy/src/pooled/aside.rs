//! A connection to a server that is not shared, and counts as one of the pool's: of a replication client. While the
//! pool is full it waits; a backend that nobody uses makes room for it.

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pgwire::ClientError;
use dormouse_pooler::pool::{Farewell, Receipt};

use super::pool::{Pool, farewell};

/// How often it looks whether there is room.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A place in a pool; given back when dropped.
pub(super) struct Aside {
    pool: Arc<Pool>,
    receipt: Receipt,
}

/// Takes a place, as soon as there is one.
pub(super) async fn aside(pool: &Arc<Pool>) -> Result<Aside, ClientError> {
    let waiting = async {
        loop {
            let (receipt, evicted) = {
                let mut inner = pool.lock();
                if inner.drains {
                    return Err(Farewell::ShuttingDown.client_error());
                }
                let limits = inner.limits;
                inner.books.set_aside(Mono::now(), &limits, &mut pool.gate())
            };
            if let Some(held) = evicted {
                farewell(&held, "evicted");
            }
            if let Some(receipt) = receipt {
                return Ok(Aside { pool: Arc::clone(pool), receipt });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let limit = pool.config().query_wait_timeout;
    if limit.is_zero() {
        return waiting.await;
    }
    let late = |_| Err(Farewell::QueryWaitTimeout.client_error());
    tokio::time::timeout(limit, waiting).await.unwrap_or_else(late)
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.pool.put_back(&self.receipt);
    }
}
