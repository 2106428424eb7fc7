//! What time brings to a pool.

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pooler::pool::{Farewell, State};

use super::{Pool, farewell};
use crate::session::help;

/// Looks at its books at least so often while anybody waits or anything is open.
const LOOK_AT_LEAST: Duration = Duration::from_secs(3600);

impl Pool {
    /// Does what time brings. Tells when to look again.
    pub(super) fn tick(self: &Arc<Self>) -> Mono {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let now = Mono::now();
        let actions = inner.books.tick(now, &inner.limits, &mut self.gate());
        for (backend, reason) in actions.close {
            tracing::trace!(pool = ?self.key, reason = reason.as_str(), "backend closed");
            farewell(&backend, reason.as_str());
        }
        for opening in actions.open {
            self.open(Some(opening));
        }
        for id in actions.notify {
            if let Some(slot) = inner.books.waiter_mut(id) {
                slot.remind();
            }
        }
        let (waited, stopped) = (inner.limits.query_wait_timeout, inner.books.state() != State::Running);
        for slot in actions.refuse {
            // Who waited for a server that cannot be reached is told that; not who waits for RESUME.
            let late = || match (self.stands_in, stopped) {
                (true, false) => Farewell::QueryWaitTimeout.as_pgbouncer(),
                (true, true) => Farewell::StoppedWaitTimeout.as_pgbouncer(),
                (false, _) => waited_too_long(waited, stopped),
            };
            let error = inner.refusal.clone().filter(|_| !stopped).unwrap_or_else(late);
            let _gone = slot.give(Err(error));
        }
        // A backend that is in use now will be idle again by then, without anybody saying so.
        let before = Some(inner.due).filter(|due| *due > now);
        let room = self.room.look_again(self.member, now);
        let next = [actions.next, before, room].into_iter().flatten().min();
        inner.due = next.unwrap_or_else(|| now.plus(LOOK_AT_LEAST));
        inner.due
    }
}

fn waited_too_long(limit: Duration, stopped: bool) -> ClientError {
    let why = if stopped {
        "An operator has paused or killed this pool"
    } else {
        "All backends of this pool were busy"
    };
    ClientError::fatal(SqlState::TOO_MANY_CONNECTIONS, "no backend became free in time")
        .with_detail(format!("{why}; a client waits for {} s (query_wait_timeout).", limit.as_secs()))
        .with_hint(help("query-wait-timeout"))
}
