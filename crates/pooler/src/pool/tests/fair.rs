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
    evicted: u32,
    /// When each pool looks again.
    looks: HashMap<usize, Option<Mono>>,
    /// Clients that ask once, and how long that takes.
    only: HashMap<u32, u64>,
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
            evicted: 0,
            looks: HashMap::new(),
            only: HashMap::new(),
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
        let steps = self.only.get(&client).copied().unwrap_or(TRANSACTION);
        self.ends.push((self.step + steps, pool, client, lease));
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
                self.tick(pool);
            }
            Checkout::Refuse(_) => panic!("nothing fails here"),
        }
        self.turns();
    }

    fn settle(&mut self, pool: usize, outcome: Checkin<u32, u32>) {
        match outcome {
            Checkin::Handed { waiter, since, lease } => {
                self.serve(pool, waiter, lease, self.now.since(since));
            }
            Checkin::Kept => {}
            Checkin::Close { open, .. } => self.open(pool, open),
        }
        self.turns();
    }

    fn turns(&mut self) {
        for id in self.caps.take_turns() {
            let pool = self.pools.iter().position(|(other, _)| *other == id).unwrap();
            self.tick(pool);
        }
    }

    /// As a pool does: looks at its books, and then for room that others have.
    fn tick(&mut self, pool: usize) {
        let (id, books) = &mut self.pools[pool];
        let id = *id;
        let actions = books.tick(self.now, &self.limits, &mut self.caps.gate(id));
        self.looks.insert(pool, self.caps.look_again(id, self.now));
        self.open(pool, actions.open);
        let lacks = self.caps.lacks(id);
        let holders = lacks.holders();
        let held = self.pools.iter().filter(|(id, _)| holders.contains(id));
        let idle = held.flat_map(|(id, books)| books.idle_since().map(|since| (*id, since)));
        for holder in lacks.choose(idle.collect()) {
            let other = self.pools.iter_mut().find(|(id, _)| *id == holder).unwrap();
            assert!(other.1.evict(&mut self.caps.gate(holder)).is_some());
            self.evicted += 1;
        }
        self.turns();
    }

    /// A statement that takes so many steps; its client does not come again.
    fn once(&mut self, pool: usize, steps: u64) {
        self.next += 1;
        let client = self.next;
        self.only.insert(client, steps);
        self.ask(pool, client);
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
                if !self.only.contains_key(&client) {
                    self.ask(pool, client);
                }
            }
            for pool in 0..self.pools.len() {
                if self.looks.get(&pool).is_some_and(|at| at.is_some_and(|at| at <= self.now)) {
                    self.tick(pool);
                }
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
fn a_cap_that_no_pool_is_under_is_forgotten() {
    let mut caps = Caps::default();
    let stays = caps.join(&["anna".to_owned()]);
    let (empty, now) = (caps.size(), Mono::now());
    for n in 0..100 {
        let id = caps.join(&[n.to_string(), "anna".to_owned(), "anna".to_owned()]);
        caps.set_limit(&n.to_string(), 3);
        assert!(caps.gate(id).acquire(Some(now)));
        assert_eq!((caps.held(&n.to_string()), caps.held(&"anna".to_owned())), (1, 1));
        caps.leave(id);
    }
    assert_eq!(caps.size(), empty);
    assert_eq!(caps.held(&"anna".to_owned()), 0);
    caps.leave(stays);
    assert_eq!(caps.size(), 0);
}

#[test]
fn nobody_waits_long_for_what_another_pool_has_idle() {
    // The first pool has three short statements, the second a long one, and then one more, just before those end.
    let mut world = World::new(&[&["all"], &["all"]], &[("all", 4)]);
    world.once(1, 8000);
    (0..3).for_each(|_| world.once(0, 50));
    world.run(40);
    world.once(1, 1);
    world.run(150);
    assert_eq!((world.served[&1], world.evicted), (2, 1));
    assert!(world.longest[&1] < Duration::from_millis(120), "{:?}", world.longest[&1]);
}

#[test]
fn whoever_comes_into_line_by_itself_has_room_made_as_well() {
    let mut world = World::new(&[&["all"], &["all"]], &[("all", 1)]);
    let (second, mut books) = (world.pools[1].0, std::mem::take(&mut world.pools[1].1));
    assert!(books.pause(&mut world.caps.gate(second)).is_some());
    assert!(matches!(books.checkout(world.now, &world.limits, &mut NoCap), Checkout::Wait));
    books.wait(7, world.now);
    world.only.insert(7, 1);
    world.once(0, 1);
    world.run(20);
    let opened = books.resume(world.now, &world.limits, &mut world.caps.gate(second)).unwrap();
    assert!(opened.is_empty() && world.caps.is_in_line(second));
    world.pools[1].1 = books;
    world.tick(1);
    world.run(20);
    assert_eq!((world.served[&1], world.evicted), (1, 1));
}

#[test]
fn nothing_is_closed_for_who_cannot_use_it() {
    let nothing_goes = |mut world: World| {
        world.once(0, 1);
        world.once(1, 300);
        world.run(20);
        world.once(1, 1);
        world.run(150);
        assert_eq!((world.evicted, world.caps.held(&"all")), (0, 2));
    };
    // The second pool is full by its own size, and the cap is full as well.
    let mut world = World::new(&[&["all"], &["all"]], &[("all", 2)]);
    world.limits.pool_size = 1;
    nothing_goes(world);
    // Under two caps it has no room under one of them, whatever goes from the other: that one's backend is busy.
    nothing_goes(World::new(&[&["all"], &["all", "b"]], &[("all", 2), ("b", 1)]));
}

#[test]
fn the_longest_idle_goes_and_as_many_as_are_needed() {
    let mut caps = Caps::default();
    caps.set_limit(&"all", 4);
    caps.set_limit(&"b", 2);
    let ids = [&["all"][..], &["all", "b"], &["b"], &["all", "b"]].map(|keys| caps.join(keys));
    let [a, both, b, late] = ids;
    for id in [a, a, both, a, b] {
        assert!(caps.gate(id).acquire(None));
    }
    let (now, at) = (Mono::now(), |millis| Mono::now().plus(Duration::from_millis(millis)));
    assert!(!caps.gate(late).acquire(Some(now)));
    let lacks = caps.lacks(late);
    assert_eq!(lacks.holders().into_iter().collect::<Vec<_>>(), [a, both, b]);
    // One that is under both caps does for both.
    assert_eq!(lacks.choose(vec![(a, at(5)), (both, at(4)), (b, at(6))]), [both]);
    assert_eq!(lacks.choose(vec![(a, at(9)), (a, at(5)), (b, at(8)), (both, at(7))]), [a, both]);
    assert_eq!(lacks.choose(vec![(a, at(5)), (b, at(8))]), [a, b]);
    assert!(lacks.choose(vec![(a, at(5))]).is_empty(), "that would be for nothing");
    // Whoever is behind it needs one more.
    assert!(!caps.gate(a).acquire(Some(at(1))));
    assert!(caps.lacks(a).choose(vec![(both, at(5))]).is_empty());
    assert_eq!(caps.look_again(late, now), Some(now.plus(Duration::from_millis(100))));
    caps.gate(late).waiting(None);
    assert_eq!(caps.lacks(a).choose(vec![(both, at(5))]), [both]);
    assert_eq!((caps.lacks(late), caps.look_again(late, now)), (Lacks::default(), None));
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
    #![proptest_config(ProptestConfig::with_cases(24))]

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
