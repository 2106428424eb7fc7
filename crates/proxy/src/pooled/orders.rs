//! What the operator orders: PAUSE, RESUME, KILL, RECONNECT, DISABLE and ENABLE.
//!
//! An order holds for pools that are there and for those that come later, so it is remembered. A name in an order is
//! a database (at every endpoint), an endpoint (all of its databases), or `database@endpoint`; of orders with a name
//! the last one that means a pool wins. PAUSE without a name stands beside them, as in PgBouncer:
//!
//! ```text
//!   paused (PAUSE, RESUME)  ─┬─ a pool runs when neither of them stops it
//!   given  (PAUSE x, KILL x, ┘
//!           RESUME x, KILL)
//! ```
//!
//! RESUME without a name ends PAUSE and KILL without a name, and nothing that a name stopped.

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
    /// PAUSE without a name.
    paused: bool,
    /// The pooler ends.
    drains: bool,
    given: Vec<(Target, Order)>,
    disabled: Vec<Target>,
}

impl Orders {
    pub(super) fn give(&mut self, target: &Target, order: Order) {
        match (target, order) {
            (Target::All, Order::Pause) => return self.paused = true,
            (Target::All, Order::Drain) => return self.drains = true,
            (Target::All, Order::Resume) => self.paused = false,
            _ => {}
        }
        self.given.retain(|(known, _)| known != target);
        if order == Order::Resume {
            if !self.any_given() {
                self.given.clear();
            }
            if *target == Target::All || self.given.is_empty() {
                return;
            }
        }
        if self.given.len() >= MAX_ORDERS {
            self.given.remove(0);
        }
        self.given.push((target.clone(), order));
    }

    /// The one that holds for a pool.
    pub(super) fn of(&self, key: &PoolKey) -> Order {
        match self.given_to(key) {
            _ if self.drains => Order::Drain,
            Order::Resume if self.paused => Order::Pause,
            order => order,
        }
    }

    /// The same, leaving PAUSE without a name out.
    pub(super) fn given_to(&self, key: &PoolKey) -> Order {
        let last = self.given.iter().rev().find(|(target, _)| target.means(key));
        last.map_or(Order::Resume, |(_, order)| *order)
    }

    /// Whether PAUSE without a name holds, or the end has begun.
    pub(super) fn all_paused(&self) -> bool {
        self.paused || self.drains
    }

    /// Whether there is something that RESUME without a name ends.
    pub(super) fn all_stopped(&self) -> bool {
        self.all_paused() || self.stopped(&Target::All)
    }

    /// Whether these were stopped, by their name or by KILL of all.
    pub(super) fn stopped(&self, which: &Target) -> bool {
        let mut last =
            self.given.iter().rev().filter(|(target, _)| target == which || *target == Target::All);
        last.next().is_some_and(|(_, order)| *order != Order::Resume)
    }

    /// Whether anything but PAUSE without a name stops a pool.
    pub(super) fn any_given(&self) -> bool {
        self.given.iter().any(|(_, order)| *order != Order::Resume)
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
    /// Does what was ordered, if it is not so already.
    pub(super) fn obey(self: &Arc<Self>, order: Order) {
        match order {
            Order::Pause => {
                self.pause();
                self.hold_up(true);
            }
            Order::Kill => self.kill(),
            Order::Resume => self.resume(),
            Order::Drain => self.drain(),
        }
    }

    fn pause(&self) {
        let closed = self.lock().books.pause(&mut self.gate());
        closed.iter().flatten().for_each(|held| farewell(held, CloseReason::Paused.as_str()));
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

    fn drain(&self) {
        self.lock().drains = true;
        self.pause();
    }

    /// Tells those who wait that they do so for nothing.
    pub(crate) fn turn_away(&self) {
        let waiting = self.lock().books.refuse_waiters(&mut self.gate());
        for slot in waiting {
            let _gone = slot.give(Err(self.told(Farewell::ShuttingDown)));
        }
    }

    fn resume(self: &Arc<Self>) {
        let mut inner = self.lock();
        let limits = inner.limits;
        let openings = inner.books.resume(Mono::now(), &limits, &mut self.gate());
        drop(inner);
        self.hold_up(false);
        openings.into_iter().flatten().for_each(|opening| self.open(Some(opening)));
    }

    fn kill(&self) {
        let mut inner = self.lock();
        let Some(killed) = inner.books.kill(&mut self.gate()) else { return };
        let clients: Vec<_> = inner.clients.values().cloned().collect();
        drop(inner);
        for slot in killed.refuse {
            let _gone = slot.give(Err(self.told(Farewell::PoolKilled)));
        }
        clients.iter().for_each(|client| client.kill());
        killed.close.iter().for_each(|held| farewell(held, CloseReason::Killed.as_str()));
    }

    /// Has every backend replaced: idle ones now, the others when they are free.
    pub(crate) fn reconnect(&self) {
        let closed = {
            let mut inner = self.lock();
            inner.backends.iter().filter_map(Weak::upgrade).for_each(|key| key.doom());
            inner.books.reconnect(&mut self.gate())
        };
        closed.iter().for_each(|held| farewell(held, CloseReason::Reconnect.as_str()));
        self.close_fast();
    }

    /// Closes what nobody uses, and the others when they are free: another process serves most from now on.
    pub(crate) fn shed(&self) {
        let closed = self.lock().books.reconnect(&mut self.gate());
        closed.iter().for_each(|held| farewell(held, CloseReason::Reconnect.as_str()));
    }

    /// With `server_fast_close` clients that keep a backend which is to be replaced are ended with it, as soon as they do
    /// nothing with it.
    pub(super) fn close_fast(&self) {
        if !self.config().server_fast_close {
            return;
        }
        for client in self.clients() {
            if client.linked().is_some_and(|key| key.is_replaced()) {
                client.hurry();
            }
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
        assert_eq!((orders.of(&app), orders.of(&other)), (Order::Resume, Order::Resume));
        assert!(!orders.all_stopped());
        for n in 0..2 * MAX_ORDERS {
            orders.give(&named(&n.to_string()), Order::Pause);
        }
        assert_eq!(orders.given.len(), MAX_ORDERS);
    }

    #[test]
    fn what_a_name_stopped_and_pause_of_all_stand_beside_each_other() {
        let (app, other) = (key("app", "ep-quiet-oak-0123456789"), key("other", "ep-quiet-oak-0123456789"));
        let mut orders = Orders::default();
        orders.give(&named("app"), Order::Pause);
        orders.give(&Target::All, Order::Pause);
        assert_eq!((orders.of(&app), orders.of(&other)), (Order::Pause, Order::Pause));
        orders.give(&Target::All, Order::Resume);
        assert_eq!((orders.of(&app), orders.of(&other)), (Order::Pause, Order::Resume));
        assert!(!orders.all_stopped() && orders.stopped(&named("app")));
        // And the other way round.
        orders.give(&Target::All, Order::Pause);
        orders.give(&named("app"), Order::Resume);
        assert_eq!((orders.of(&app), orders.given_to(&app)), (Order::Pause, Order::Resume));
        assert!(orders.all_paused() && !orders.any_given() && orders.given.is_empty());
        orders.give(&Target::All, Order::Resume);
        // KILL of all is for each of them, and yet one RESUME ends it.
        orders.give(&named("app"), Order::Kill);
        orders.give(&Target::All, Order::Kill);
        orders.give(&named("other"), Order::Resume);
        assert!(orders.stopped(&named("app")) && !orders.stopped(&named("other")) && !orders.all_paused());
        orders.give(&Target::All, Order::Resume);
        assert_eq!((orders.of(&app), orders.of(&other)), (Order::Kill, Order::Resume));
        // Nothing ends the end.
        orders.give(&Target::All, Order::Drain);
        orders.give(&Target::All, Order::Resume);
        assert_eq!((orders.of(&app), orders.of(&other)), (Order::Drain, Order::Drain));
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
