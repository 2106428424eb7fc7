//! What the operator orders: PAUSE, RESUME, KILL, RECONNECT, DISABLE and ENABLE.
//!
//! An order holds for pools that are there and for those that come later, so it is remembered; the last one that
//! means a pool wins. A name in an order is a database (at every endpoint), an endpoint (all of its databases),
//! or `database@endpoint`.

use std::sync::{Arc, Weak};

use dormouse_base::clock::Mono;
use dormouse_pooler::pool::{CloseReason, Farewell, State};

use super::pool::{Pool, farewell};
use super::pools::PoolKey;

/// Orders about names that are remembered; the oldest are forgotten first.
const MAX_ORDERS: usize = 1000;

/// Which pools an order means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// All of them.
    All,
    /// Those of this name.
    Named(String),
}

impl Target {
    /// Whether it means this pool.
    pub(crate) fn means(&self, key: &PoolKey) -> bool {
        match self {
            Self::All => true,
            Self::Named(name) => {
                *name == key.database || name == key.endpoint.as_str() || *name == key.place()
            }
        }
    }
}

/// What was ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Let transactions end and start none.
    Pause,
    /// Cut everything.
    Kill,
    /// Go on.
    Resume,
    /// Let transactions end, and refuse whoever wants to begin one: the pooler ends.
    Drain,
}

/// All that still holds.
#[derive(Debug, Default)]
pub(super) struct Orders {
    given: Vec<(Target, Order)>,
    disabled: Vec<Target>,
}

impl Orders {
    pub(super) fn give(&mut self, target: &Target, order: Order) {
        if *target == Target::All {
            self.given.clear();
        }
        self.given.retain(|(known, _)| known != target);
        if self.given.len() >= MAX_ORDERS {
            self.given.remove(0);
        }
        self.given.push((target.clone(), order));
    }

    /// The one that holds for a pool.
    pub(super) fn of(&self, key: &PoolKey) -> Order {
        let last = self.given.iter().rev().find(|(target, _)| target.means(key));
        last.map_or(Order::Resume, |(_, order)| *order)
    }

    /// Whether all pools were stopped.
    pub(super) fn all_stopped(&self) -> bool {
        self.stopped(&Target::All)
    }

    /// Whether these were.
    pub(super) fn stopped(&self, which: &Target) -> bool {
        self.given.iter().any(|(target, order)| target == which && *order != Order::Resume)
    }

    /// Takes no new clients, or takes them again.
    pub(super) fn disable(&mut self, target: &Target, disabled: bool) {
        self.disabled.retain(|known| known != target);
        if self.disabled.len() >= MAX_ORDERS {
            self.disabled.remove(0);
        }
        if disabled {
            self.disabled.push(target.clone());
        }
    }

    pub(super) fn is_disabled(&self, key: &PoolKey) -> bool {
        self.disabled.iter().any(|target| target.means(key))
    }
}

impl Pool {
    /// Does what was ordered; false when it changes nothing.
    pub(super) fn obey(self: &Arc<Self>, order: Order) -> bool {
        match order {
            Order::Pause => {
                let paused = self.pause();
                self.hold_up(true);
                paused
            }
            Order::Kill => self.kill(),
            Order::Resume => self.resume(),
            Order::Drain => self.drain(),
        }
    }

    fn pause(&self) -> bool {
        let closed = self.lock().books.pause(&mut self.gate());
        closed.iter().flatten().for_each(|held| farewell(held, CloseReason::Paused.as_str()));
        closed.is_some()
    }

    /// Whether PAUSE holds: who keeps a backend gives that up when it rests, if it can.
    pub(super) fn is_held_up(&self) -> bool {
        *self.held_up.borrow()
    }

    /// Returns when PAUSE comes.
    pub(super) async fn until_held_up(&self) {
        // It lasts as long as the pool.
        let mut held_up = self.held_up.subscribe();
        let _held_up = held_up.wait_for(|held_up| *held_up).await;
    }

    fn hold_up(&self, held_up: bool) {
        if self.held_up.send_replace(held_up) != held_up {
            self.clients().iter().for_each(|client| client.wake());
        }
    }

    fn drain(&self) -> bool {
        let mut inner = self.lock();
        inner.drains = true;
        let waiting = inner.books.refuse_waiters(&mut self.gate());
        drop(inner);
        for slot in waiting {
            let _gone = slot.give(Err(self.told(Farewell::ShuttingDown)));
        }
        self.pause();
        true
    }

    fn resume(self: &Arc<Self>) -> bool {
        let mut inner = self.lock();
        let limits = inner.limits;
        let openings = inner.books.resume(Mono::now(), &limits, &mut self.gate());
        drop(inner);
        let resumed = openings.is_some();
        self.hold_up(false);
        openings.into_iter().flatten().for_each(|opening| self.open(Some(opening)));
        resumed
    }

    fn kill(&self) -> bool {
        let mut inner = self.lock();
        let Some(killed) = inner.books.kill(&mut self.gate()) else { return false };
        let clients: Vec<_> = inner.clients.values().cloned().collect();
        drop(inner);
        for slot in killed.refuse {
            let _gone = slot.give(Err(self.told(Farewell::PoolKilled)));
        }
        clients.iter().for_each(|client| client.kill());
        killed.close.iter().for_each(|held| farewell(held, CloseReason::Killed.as_str()));
        true
    }

    /// Has every backend replaced: idle ones now, the others when they are free.
    pub(crate) fn reconnect(&self) {
        let closed = {
            let mut inner = self.lock();
            inner.backends.iter().filter_map(Weak::upgrade).for_each(|key| key.doom());
            inner.books.reconnect(&mut self.gate())
        };
        closed.iter().for_each(|held| farewell(held, CloseReason::Reconnect.as_str()));
        if self.config().server_fast_close {
            self.end_resting_clients();
        }
    }

    /// Clients that keep a backend which is to be closed, and do nothing with it, are ended with it.
    fn end_resting_clients(&self) {
        for client in self.clients() {
            client.hurry();
        }
    }

    /// Whether PAUSE has come to its end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().books.state() != State::Pausing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(database: &str, endpoint: &str) -> PoolKey {
        PoolKey {
            endpoint: endpoint.parse().unwrap(),
            database: database.to_owned(),
            role: "anna".to_owned(),
            people: endpoint.parse().unwrap(),
        }
    }

    fn named(name: &str) -> Target {
        Target::Named(name.to_owned())
    }

    #[test]
    fn the_last_order_that_means_a_pool_wins() {
        let (app, other) = (key("app", "ep-quiet-oak-0123456789"), key("other", "ep-quiet-oak-0123456789"));
        let mut orders = Orders::default();
        assert_eq!(orders.of(&app), Order::Resume);
        orders.give(&named("app"), Order::Pause);
        assert_eq!((orders.of(&app), orders.of(&other)), (Order::Pause, Order::Resume));
        orders.give(&Target::All, Order::Kill);
        assert!(orders.all_stopped());
        orders.give(&named("app@ep-quiet-oak-0123456789"), Order::Resume);
        assert_eq!((orders.of(&app), orders.of(&other)), (Order::Resume, Order::Kill));
        orders.give(&Target::All, Order::Resume);
        assert_eq!((orders.of(&other), orders.all_stopped(), orders.given.len()), (Order::Resume, false, 1));
        for n in 0..2 * MAX_ORDERS {
            orders.give(&named(&n.to_string()), Order::Pause);
        }
        assert_eq!(orders.given.len(), MAX_ORDERS);
    }

    #[test]
    fn disabled_by_each_form_of_a_name() {
        let app = key("app", "ep-quiet-oak-0123456789");
        for name in ["app", "ep-quiet-oak-0123456789", "app@ep-quiet-oak-0123456789"] {
            let mut orders = Orders::default();
            orders.disable(&named(name), true);
            assert!(orders.is_disabled(&app), "{name}");
            orders.disable(&named(name), false);
            assert!(!orders.is_disabled(&app), "{name}");
        }
    }
}
