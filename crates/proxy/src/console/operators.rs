//! Who uses the console now, and what they have done: where ordinary servers are behind it, the console is a database
//! like others, with a pool, clients and counters of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use dormouse_base::Timestamp;
use dormouse_base::clock;
use dormouse_pgwire::tag::frontend::TERMINATE;
use dormouse_pooler::stats::Counters;
use parking_lot::Mutex;
use rustix::net::{RecvFlags, recv};

use super::admit::Admin;
use crate::pooled::Seated;
use crate::session::Shared;
use crate::stream::ClientStream;

/// All of them.
#[derive(Default)]
pub(crate) struct Operators {
    all: Mutex<BTreeMap<u32, Arc<Operator>>>,
    counters: Mutex<Counters>,
}

/// One of them.
pub(super) struct Operator {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) peer: SocketAddr,
    pub(super) process: u32,
    pub(super) tls: String,
    pub(super) application_name: String,
    pub(super) since: Timestamp,
    watcher: Option<OwnedFd>,
    /// Its places among the clients, until it has left.
    seated: Mutex<Option<Seated>>,
}

impl Operator {
    /// Whether it has said goodbye, and that has not been read yet.
    fn has_left(&self) -> bool {
        let mut first = [0];
        let seen = self.watcher.as_ref().map(|socket| {
            recv(socket, &mut first, RecvFlags::PEEK | RecvFlags::DONTWAIT).map(|(count, _)| count)
        });
        matches!(seen, Some(Ok(0))) || matches!(seen, Some(Ok(_))) && first == [TERMINATE]
    }
}

/// One of them, until it leaves.
pub(super) struct Present<'a> {
    shared: &'a Shared,
    pub(super) number: u32,
}

impl Operators {
    /// One comes.
    pub(super) fn enter<'a>(shared: &'a Shared, admin: &mut Admin, stream: &ClientStream) -> Present<'a> {
        let number = if admin.number == 0 { shared.pools.number() } else { admin.number };
        let operator = Operator {
            number,
            name: admin.name.clone(),
            peer: admin.peer,
            process: stream.owner().map_or(0, |(_, process)| process),
            tls: stream.tls_words(),
            application_name: admin.application_name.clone(),
            since: clock::now(),
            watcher: stream.watcher(),
            seated: Mutex::new(admin.seated.take()),
        };
        let this = &shared.operators;
        this.counters.lock().client_login_count += 1;
        this.all.lock().insert(number, Arc::new(operator));
        Present { shared, number }
    }

    /// A command came.
    pub(super) fn commanded(&self) {
        let mut counters = self.counters.lock();
        counters.query_count += 1;
        counters.xact_count += 1;
    }

    pub(super) fn list(&self) -> Vec<Arc<Operator>> {
        self.all.lock().values().filter(|it| !it.has_left()).cloned().collect()
    }

    /// Gives the places of those back who have left, which their tasks do not know yet; false if there are none.
    pub(super) fn free_seats(&self) -> bool {
        let left: Vec<_> = self.all.lock().values().filter(|it| it.has_left()).cloned().collect();
        left.iter().filter(|it| it.seated.lock().take().is_some()).count() > 0
    }

    pub(super) fn counters(&self) -> Counters {
        *self.counters.lock()
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        let left = self.shared.operators.all.lock().remove(&self.number);
        // Somebody may look at it just now.
        drop(left.and_then(|it| it.seated.lock().take()));
    }
}
