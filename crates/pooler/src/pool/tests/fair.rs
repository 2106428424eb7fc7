//! Several pools under shared caps: never more than the cap, and nobody starves.

use std::collections::HashMap;
use std::time::Duration;

use dormouse_base::clock::Mono;
use proptest::prelude::*;

use super::super::*;
use crate::config::Limits;

/// What a transaction takes, and what opening a backend takes, in steps of a millisecond.
const TRANSACTION: u64 = 3;
const OPEN: u64 = 5;

/// Pools in a closed loop: each client asks again as soon as it was served.
struct World {
    caps: Caps<&'static str>,
    pools: Vec<(MemberId, Books<u32, u32>)>,
    limits: Limits,
    now: Mono,
    /// At which step: a transaction that ends (pool, client, lease), a backend that is open (pool, opening).
    ends: Vec<(u64, usize, u32, Lease<u32>)>,
    opens: Vec<(u64, usize, Opening)>,
    step: u64,
    next: u32,
    served: HashMap<usize, u32>,
    longest: HashMap<usize, Duration>,
    opened: u32,
}

impl World {
    fn new(pools: &[&[&'static str]], caps: &[(&'static str, u32)]) -> Self {
        let mut world = Self {
            caps: Caps::default(),
            pools: vec![],
            limits: Limits::default(),
            now: Mono::now(),
            ends: vec![],
            opens: vec![],
            step: 0,
            next: 0,
            served: HashMap::new(),
            longest: HashMap::new(),
            opened: 0,
        };
        for (key, limit) in caps {
            world.caps.set_limit(key, *limit);
        }
        world.pools = pools.iter().map(|keys| (world.caps.join(keys), Books::default())).collect();
        world
    }

    fn serve(&mut self, pool: usize, client: u32, lease: Lease<u32>, waited: Duration) {
        *self.served.entry(pool).or_default() += 1;
        let longest = self.longest.entry(pool).or_default();
        *longest = waited.max(*longest);
        self.ends.push((self.step + TRANSACTION, pool, client, lease));
    }

    fn open(&mut self, pool: usize, opening: impl IntoIterator<Item = Opening>) {
        self.opens.extend(opening.into_iter().map(|opening| (self.step + OPEN, pool, opening)));
    }

    fn ask(&mut self, pool: usize, client: u32) {
        let (id, books) = &mut self.pools[pool];
        match books.checkout(self.now, &self.limits, &mut self.caps.gate(*id)) {
            Checkout::Ready(lease) => self.serve(pool, client, lease, Duration::ZERO),
            Checkout::Open(opening) => {
                books.wait(client, self.now);
                self.open(pool, [opening]);
            }
            Checkout::Wait => {
                books.wait(client, self.now);
                for holder in self.caps.holders(*id) {
                    let other = self.pools.iter_mut().find(|(id, _)| *id == holder).unwrap();
                    if other.1.evict(&mut self.caps.gate(holder)).is_some() {
                        break;
                    }
                }
            }
            Checkout::Refuse(_) => panic!("nothing fails here"),
        }
        self.turns();
    }

    fn settle(&mut self, pool: usize, outcome: Checkin<u32, u32>) {
        match outcome {
            Checkin::Handed { waiter, since, lease } => {
                self.serve(pool, waiter, lease, self.now.since(since))
            }
            Checkin::Kept => {}
            Checkin::Close { open, .. } => self.open(pool, open),
        }
        self.turns();
    }

    fn turns(&mut self) {
        for id in self.caps.take_turns() {
            let pool = self.pools.iter().position(|(other, _)| *other == id).unwrap();
            let actions = self.pools[pool].1.tick(self.now, &self.limits, &mut self.caps.gate(id));
            self.open(pool, actions.open);
        }
    }

    fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            self.step += 1;
            self.now = self.now.plus(Duration::from_millis(1));
            let (due, later) =
                std::mem::take(&mut self.opens).into_iter().partition(|open| open.0 <= self.step);
            self.opens = later;
            let due: Vec<_> = due;
            for (_, pool, opening) in due {
                self.next += 1;
                self.opened += 1;
                let (id, books) = &mut self.pools[pool];
                let outcome =
                    books.opened(opening, self.next, self.now, &self.limits, &mut self.caps.gate(*id));
                self.settle(pool, outcome);
            }
            let (due, later) = std::mem::take(&mut self.ends).into_iter().partition(|end| end.0 <= self.step);
            self.ends = later;
            let due: Vec<_> = due;
            for (_, pool, client, lease) in due {
                let (id, books) = &mut self.pools[pool];
                let gate = &mut self.caps.gate(*id);
                let outcome = books.checkin(lease.backend, lease.receipt, self.now, &self.limits, gate);
                self.settle(pool, outcome);
                self.ask(pool, client);
            }
            self.check();
        }
    }

    /// What the caps count is what the pools have, and no cap is exceeded.
    fn check(&self) {
        let total: usize = self.pools.iter().map(|(_, books)| books.total()).sum();
        assert_eq!(total, self.caps.held(&"all") as usize);
    }
}

#[test]
fn the_last_name_does_not_starve() {
    // The first pool has 30 clients that never rest; the others one each; all under one cap.
    let pools: Vec<&[&str]> = vec![&["all"]; 6];
    let mut world = World::new(&pools, &[("all", 4)]);
    for client in 0..30 {
        world.ask(0, client);
    }
    world.run(100);
    for pool in 1..6 {
        world.ask(pool, 1000);
    }
    world.run(3000);
    for pool in 1..6 {
        assert!(world.served[&pool] > 20, "pool {pool} was served {} times", world.served[&pool]);
        assert!(world.longest[&pool] < Duration::from_millis(200), "pool {pool}: {:?}", world.longest[&pool]);
    }
    assert!(world.caps.held(&"all") <= 4);
}

#[test]
fn busy_pools_with_their_share_do_not_open_and_close_for_each_other() {
    let mut world = World::new(&[&["all"], &["all"]], &[("all", 8)]);
    for client in 0..40 {
        world.ask(0, client);
    }
    world.run(500);
    for client in 0..40 {
        world.ask(1, client);
    }
    world.run(2000);
    let opened = world.opened;
    world.run(2000);
    assert_eq!(world.opened, opened, "a steady state has been reached");
    let (first, second) = (world.pools[0].1.total(), world.pools[1].1.total());
    assert_eq!((first, second), (4, 4));
}

#[test]
fn two_caps_do_not_starve_who_needs_both() {
    // The second pool needs a slot of both caps, which are never free in the same moment by chance.
    let mut world = World::new(&[&["all", "a"], &["all", "a", "b"], &["all", "b"]], &[("a", 2), ("b", 2)]);
    for client in 0..20 {
        world.ask(0, client);
        world.ask(2, client);
    }
    world.run(100);
    world.ask(1, 7);
    world.run(2000);
    assert!(world.served[&1] > 20, "{}", world.served[&1]);
    assert!(world.caps.held(&"a") <= 2 && world.caps.held(&"b") <= 2);
}

#[test]
fn lowering_a_cap_takes_hold_and_leaving_frees() {
    let mut world = World::new(&[&["all"]], &[("all", 6)]);
    for client in 0..20 {
        world.ask(0, client);
    }
    world.run(100);
    assert_eq!(world.caps.held(&"all"), 6);
    world.caps.set_limit(&"all", 2);
    world.run(100);
    assert_eq!(world.caps.held(&"all"), 2);
    world.caps.set_limit(&"all", 0);
    world.turns();
    world.run(100);
    assert_eq!(world.caps.held(&"all"), 20);
    let id = world.pools[0].0;
    world.caps.leave(id);
    assert_eq!(world.caps.held(&"all"), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn caps_hold_and_everybody_is_served(
        clients in proptest::collection::vec(1u32..12, 2..6),
        all in 1u32..6,
        a in 1u32..6,
    ) {
        let pools: Vec<&[&str]> = (0..clients.len()).map(|n| if n % 2 == 0 { &["all", "a"][..] } else { &["all"] }).collect();
        let mut world = World::new(&pools, &[("all", all), ("a", a)]);
        for (pool, clients) in clients.iter().enumerate() {
            for client in 0..*clients {
                world.ask(pool, client);
            }
        }
        for _ in 0..2000 {
            world.run(1);
            prop_assert!(world.caps.held(&"all") <= all && world.caps.held(&"a") <= a);
        }
        for pool in 0..clients.len() {
            prop_assert!(world.served.get(&pool).copied().unwrap_or_default() > 5, "pool {} of {:?}", pool, world.served);
        }
    }
}
