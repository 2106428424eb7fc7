//! How a pooler ends.
//!
//! ```text
//!            SIGINT, SHUTDOWN WAIT_FOR_SERVERS          no server is in use
//!   runs ──┬─────────────────────────────────► drains ───────────────────────┬─► over
//!          │ SIGTERM, SHUTDOWN WAIT_FOR_CLIENTS          nobody is connected │
//!          ├─────────────────────────────────► empties ─────────────────────┤
//!          │ SIGQUIT, SHUTDOWN; a second signal                              │
//!          └─────────────────────────────────────────────────────────────────┘
//! ```
//!
//! While it drains or empties nobody comes in by TCP, so that another process may have the address; Unix sockets stay
//! for the console.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_proxy::upstream::Shutdown;

use super::Pooler;

/// How often it is looked whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Who waits for a server is turned away when the operator who said so has had his answer, as by PgBouncer, which looks
/// after those who wait three times in a second.
const ANSWER_FIRST: Duration = Duration::from_millis(200);

/// Where it stands.
#[derive(Debug, Default)]
pub(super) struct Ending {
    how: Option<Shutdown>,
    /// When those who wait are turned away.
    turns_away: Option<Mono>,
    /// By a signal or the console, and not because another process has taken over.
    told: bool,
}

impl Ending {
    pub(super) fn has_begun(&self) -> bool {
        self.how.is_some()
    }

    pub(super) fn was_told(&self) -> bool {
        self.told
    }

    /// A later wish overrides an earlier one.
    pub(super) fn begin(&mut self, mode: Shutdown, pooler: &Pooler) {
        self.told = true;
        pooler.upstream.begin_to_end();
        self.wait(mode, pooler);
    }

    /// Another process has the addresses. Who has come in already, and is just logging in, is not refused: that one would
    /// not have refused it.
    pub(super) fn replaced(&mut self, pooler: &Pooler) {
        self.wait(Shutdown::WaitForClients, pooler);
    }

    fn wait(&mut self, mode: Shutdown, pooler: &Pooler) {
        self.how = Some(mode);
        pooler.proxy.leave_tcp();
        match mode {
            Shutdown::Immediate => {}
            Shutdown::WaitForServers => {
                tracing::info!("ending when nothing runs any more; no new connections");
                pooler.proxy.drain();
                self.turns_away = Some(Mono::now().plus(ANSWER_FIRST));
            }
            Shutdown::WaitForClients => {
                tracing::info!("ending when nobody is connected any more; no new connections");
            }
        }
    }

    /// Returns when it is over; never before it has begun.
    pub(super) async fn is_over(&self, pooler: &Pooler) {
        loop {
            let over = match self.how {
                None => return std::future::pending().await,
                Some(Shutdown::Immediate) => true,
                Some(Shutdown::WaitForServers) => pooler.proxy.busy_servers() == 0,
                Some(Shutdown::WaitForClients) => {
                    // One that is on the way from the process before to the next one passes here.
                    let moved = if self.told { pooler.moving.out_is_over() } else { pooler.moving.is_over() };
                    moved && pooler.proxy.clients() == 0
                }
            };
            if self.turns_away.is_some_and(|from| over || from <= Mono::now()) {
                pooler.proxy.turn_away();
            }
            if over {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
