//! Who uses the console now, and what they have done: where ordinary servers are behind it, the console is a database
//! like others, with a pool, clients and counters of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use dormouse_base::Timestamp;
use dormouse_base::clock;
use dormouse_pooler::stats::Counters;
use parking_lot::Mutex;

use super::admit::Admin;
use crate::session::Shared;

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
    pub(super) since: Timestamp,
}

/// One of them, until it leaves.
pub(super) struct Present<'a> {
    shared: &'a Shared,
    number: u32,
}

impl Operators {
    /// One comes.
    pub(super) fn enter<'a>(shared: &'a Shared, admin: &Admin, (process, tls): (u32, String)) -> Present<'a> {
        let number = if admin.number == 0 { shared.pools.number() } else { admin.number };
        let operator = Operator {
            number,
            name: admin.name.clone(),
            peer: admin.peer,
            process,
            tls,
            since: clock::now(),
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
        self.all.lock().values().cloned().collect()
    }

    pub(super) fn counters(&self) -> Counters {
        *self.counters.lock()
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.shared.operators.all.lock().remove(&self.number);
    }
}
