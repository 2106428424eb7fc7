//! Any order of events, against a model that keeps lists of names.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use dormouse_base::clock::Mono;
use proptest::prelude::*;

use super::super::*;
use crate::config::Limits;

/// One event. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Arrive,
    Cancel(usize),
    Checkin(usize),
    Lose(usize),
    LoseIdle(usize),
    Opened(usize),
    Failed(usize),
    PutOff(usize, bool),
    Tick(u16),
    Pause,
    Resume,
    Kill,
    Reconnect,
    Size(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let pick = any::<usize>();
    prop_oneof![
        12 => Just(Step::Arrive),
        2 => pick.prop_map(Step::Cancel),
        10 => pick.prop_map(Step::Checkin),
        1 => pick.prop_map(Step::Lose),
        1 => pick.prop_map(Step::LoseIdle),
        8 => pick.prop_map(Step::Opened),
        1 => pick.prop_map(Step::Failed),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(n, away)| Step::PutOff(n, away)),
        4 => (0u16..2000).prop_map(Step::Tick),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => Just(Step::Kill),
        1 => Just(Step::Reconnect),
        1 => (1u8..6, 0u8..3).prop_map(|(size, min)| Step::Size(size, min)),
    ]
}

struct World {
    books: Books<u32, u32>,
    limits: Limits,
    now: Mono,
    /// Names of the next client and backend.
    next: u32,
    line: VecDeque<(u32, WaiterId)>,
    active: BTreeMap<u32, Lease<u32>>,
    idle: Vec<u32>,
    opening: Vec<Opening>,
}

fn nth<T>(list: &mut Vec<T>, n: usize) -> Option<T> {
    (!list.is_empty()).then(|| list.swap_remove(n % list.len()))
}

impl World {
    fn new() -> Self {
        let limits = Limits {
            pool_size: 3,
            reserve_pool_size: 1,
            server_lifetime: Duration::from_secs(300),
            server_idle_timeout: Duration::from_secs(60),
            ..Limits::default()
        };
        let (books, line, active) = (Books::default(), VecDeque::new(), BTreeMap::new());
        Self { books, limits, now: Mono::now(), next: 0, line, active, idle: vec![], opening: vec![] }
    }

    fn name(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// A backend may be opened only below the limits.
    fn start(&mut self, opening: Opening) {
        self.opening.push(opening);
        let reserve = self.limits.reserve_pool_size as usize;
        let open = self.active.len() + self.idle.len() + self.opening.len();
        assert!(open <= self.limits.pool_size as usize + reserve, "{open} backends");
    }

    fn settle(&mut self, backend: u32, outcome: Checkin<u32, u32>) {
        match outcome {
            Checkin::Handed { waiter, lease, .. } => {
                assert_eq!(lease.backend, backend);
                assert_eq!(self.line.pop_front().map(|(client, _)| client), Some(waiter), "out of turn");
                self.active.insert(waiter, lease);
            }
            Checkin::Kept => {
                self.idle.push(backend);
                let newest = self.books.newest_deadline(&self.limits);
                let all = self.books.next_deadline(self.now, &self.limits);
                assert!(newest.is_none_or(|at| at > self.now), "it would be looked at again and again");
                let spare = self.books.total() > self.limits.min_pool_size as usize;
                assert!(!spare || newest.is_none() || all.is_some_and(|all| Some(all) <= newest));
                assert!(!spare || self.idle.len() > 1 || newest == all, "{newest:?}, but {all:?}");
            }
            Checkin::Close { backend: closed, open, .. } => {
                assert_eq!(closed, backend);
                open.into_iter().for_each(|opening| self.start(opening));
            }
        }
    }

    fn take_lease(&mut self, n: usize) -> Option<Lease<u32>> {
        let clients: Vec<_> = self.active.keys().copied().collect();
        self.active.remove(clients.get(n % clients.len().max(1))?)
    }

    fn refused(&mut self, refused: Vec<u32>) {
        for client in refused {
            assert_eq!(self.line.pop_front().map(|(client, _)| client), Some(client), "refused out of turn");
        }
    }

    fn closed(&mut self, backends: impl IntoIterator<Item = u32>) {
        for backend in backends {
            let place =
                self.idle.iter().position(|idle| *idle == backend).expect("only idle ones are closed");
            self.idle.swap_remove(place);
        }
    }

    fn arrive(&mut self) {
        let client = self.name();
        match self.books.checkout(self.now, &self.limits, &mut NoCap) {
            Checkout::Ready(lease) => {
                assert!(self.line.is_empty(), "overtook the line");
                self.closed([lease.backend]);
                self.active.insert(client, lease);
            }
            Checkout::Open(opening) => {
                self.line.push_back((client, self.books.wait(client, self.now)));
                self.start(opening);
            }
            Checkout::Wait => self.line.push_back((client, self.books.wait(client, self.now))),
            Checkout::Refuse(Refusal::OpenFailed) => assert_eq!(self.books.total(), 0),
        }
    }

    fn tick(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
        let actions = self.books.tick(self.now, &self.limits, &mut NoCap);
        self.refused(actions.refuse);
        self.closed(actions.close.into_iter().map(|(backend, _)| backend));
        actions.open.into_iter().for_each(|opening| self.start(opening));
        // Nobody is forgotten: who waits has a backend on its way, or the pool is full.
        let retrying = !self.opening.is_empty() || self.books.next_deadline(self.now, &self.limits).is_some();
        let full = self.books.total() >= self.limits.pool_size as usize;
        if self.books.state() == State::Running && !self.line.is_empty() && !full {
            assert!(self.opening.len() >= self.line.len() || retrying, "{} are forgotten", self.line.len());
        }
        assert!(actions.next.is_none_or(|next| next > self.now), "a deadline that has passed would spin");
    }

    fn step(&mut self, step: &Step) {
        let (now, limits) = (self.now, self.limits);
        match *step {
            Step::Arrive => self.arrive(),
            Step::Cancel(n) if !self.line.is_empty() => {
                let (client, id) = self.line.remove(n % self.line.len()).unwrap();
                assert_eq!(self.books.cancel_wait(id, &mut NoCap), Some(client));
            }
            Step::Checkin(n) => {
                if let Some(lease) = self.take_lease(n) {
                    let outcome = self.books.checkin(lease.backend, lease.receipt, now, &limits, &mut NoCap);
                    self.settle(lease.backend, outcome);
                }
            }
            Step::Lose(n) => {
                if let Some(lease) = self.take_lease(n) {
                    let open = self.books.closed(&lease.receipt, now, &limits, &mut NoCap);
                    open.into_iter().for_each(|opening| self.start(opening));
                }
            }
            Step::LoseIdle(n) => {
                if let Some(lost) = nth(&mut self.idle, n) {
                    assert_eq!(self.books.remove_idle(|backend| *backend == lost, &mut NoCap), [lost]);
                }
            }
            Step::Opened(n) => {
                if let Some(opening) = nth(&mut self.opening, n) {
                    let backend = self.name();
                    let outcome = self.books.opened(opening, backend, now, &limits, &mut NoCap);
                    self.settle(backend, outcome);
                }
            }
            Step::Failed(n) => {
                if let Some(opening) = nth(&mut self.opening, n) {
                    let refuse = self.books.open_failed(&opening, now, &limits, &mut NoCap).refuse;
                    self.refused(refuse);
                }
            }
            Step::PutOff(n, away) => {
                if let Some(opening) = nth(&mut self.opening, n) {
                    let until = away.then(|| now.plus(Duration::from_secs(15)));
                    self.books.put_off(&opening, until, &mut NoCap);
                }
            }
            Step::Tick(seconds) => self.tick(u64::from(seconds)),
            Step::Pause => {
                let closed = self.books.pause(&mut NoCap).unwrap_or_default();
                self.closed(closed);
            }
            Step::Resume => {
                let open = self.books.resume(now, &limits, &mut NoCap).unwrap_or_default();
                open.into_iter().for_each(|opening| self.start(opening));
            }
            Step::Kill => {
                if let Some(killed) = self.books.kill(&mut NoCap) {
                    self.closed(killed.close);
                    self.refused(killed.refuse);
                }
            }
            Step::Reconnect => {
                let closed = self.books.reconnect(&mut NoCap);
                self.closed(closed);
            }
            Step::Size(size, min) => {
                self.limits.pool_size = u32::from(size);
                self.limits.min_pool_size = u32::from(min);
            }
            Step::Cancel(_) => {}
        }
    }

    fn check(&self) {
        let counts = self.books.counts(self.now, &self.limits);
        let idle = counts.sv_idle + counts.sv_used;
        assert_eq!(
            (counts.sv_active, idle, counts.sv_login),
            (self.active.len(), self.idle.len(), self.opening.len())
        );
        assert_eq!(counts.cl_waiting, self.line.len());
        assert!(self.line.is_empty() || self.idle.is_empty(), "a client waits while a backend is idle");
        assert!(counts.state == State::Running || self.idle.is_empty());
        assert!(counts.close_needed <= self.active.len() + self.opening.len());
        assert!(counts.state != State::Paused || self.books.total() == 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn books_hold_under_any_order_of_events(steps in proptest::collection::vec(step(), 1..200)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.check();
        }
        // Everything that was lent comes back, and nothing is left.
        while !world.line.is_empty() {
            world.step(&Step::Cancel(0));
        }
        world.step(&Step::Kill);
        while !(world.active.is_empty() && world.opening.is_empty()) {
            world.step(&Step::Checkin(0));
            world.step(&Step::Failed(0));
        }
        prop_assert_eq!(world.books.total(), 0);
        prop_assert_eq!(world.books.counts(world.now, &world.limits).close_needed, 0);
        prop_assert!(world.books.is_unused());
    }
}
