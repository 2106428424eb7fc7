//! PgBouncer's signals.

use std::io;

use dormouse_proxy::upstream::Shutdown;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
pub(super) enum Wish {
    Reload,
    Pause,
    Resume,
    End(Shutdown),
}

/// All of them.
pub(super) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    pub(super) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.hangup.recv() => Wish::Reload,
            _ = self.interrupt.recv() => Wish::End(Shutdown::WaitForServers),
            _ = self.terminate.recv() => Wish::End(Shutdown::WaitForClients),
            _ = self.quit.recv() => Wish::End(Shutdown::Immediate),
            _ = self.user1.recv() => Wish::Pause,
            _ = self.user2.recv() => Wish::Resume,
        }
    }
}
