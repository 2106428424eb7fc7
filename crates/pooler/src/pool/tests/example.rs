//! Rules of one pool that are easier to read by example.

use std::time::Duration;

use dormouse_base::clock::Mono;

use super::super::*;
use crate::config::Limits;

type Pool = Books<u32, &'static str>;

fn limits(size: u32) -> Limits {
    Limits { pool_size: size, ..Limits::default() }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Opens one backend and returns its lease, through a client that waits for it.
fn open(pool: &mut Pool, backend: u32, now: Mono, limits: &Limits) -> Lease<u32> {
    let Checkout::Open(opening) = pool.checkout(now, limits, &mut NoCap) else { panic!("it has room") };
    pool.wait("opener", now);
    let Checkin::Handed { lease, .. } = pool.opened(opening, backend, now, limits, &mut NoCap) else {
        panic!("a client waits for it")
    };
    lease
}

fn give_back(pool: &mut Pool, lease: Lease<u32>, now: Mono, limits: &Limits) -> Checkin<u32, &'static str> {
    pool.checkin(lease.backend, lease.receipt, now, limits, &mut NoCap)
}

#[test]
fn the_last_used_goes_first_or_the_longest_idle() {
    let (now, mut limits, mut pool) = (Mono::now(), limits(5), Pool::default());
    let leases: Vec<_> = (0..3).map(|n| open(&mut pool, n, now, &limits)).collect();
    for lease in leases {
        assert_eq!(give_back(&mut pool, lease, now, &limits), Checkin::Kept);
    }
    let Checkout::Ready(last) = pool.checkout(now, &limits, &mut NoCap) else { panic!() };
    limits.server_round_robin = true;
    let Checkout::Ready(first) = pool.checkout(now.plus(seconds(31)), &limits, &mut NoCap) else { panic!() };
    assert_eq!((last.backend, last.check), (2, false));
    assert_eq!((first.backend, first.check), (0, true), "it was idle for longer than server_check_delay");
    let counts = pool.counts(now.plus(seconds(31)), &limits);
    assert_eq!((counts.sv_active, counts.sv_idle, counts.sv_used), (2, 0, 1));
}

#[test]
fn a_failure_refuses_those_without_hope_and_is_not_repeated_at_once() {
    let (now, limits, mut pool) = (Mono::now(), limits(2), Pool::default());
    let Checkout::Open(opening) = pool.checkout(now, &limits, &mut NoCap) else { panic!() };
    pool.wait("a", now);
    assert_eq!(pool.open_failed(&opening, now, &limits, &mut NoCap).refuse, ["a"]);
    assert_eq!(pool.checkout(now, &limits, &mut NoCap), Checkout::Refuse(Refusal::OpenFailed));

    let later = now.plus(limits.server_login_retry);
    let Checkout::Open(opening) = pool.checkout(later, &limits, &mut NoCap) else { panic!() };
    pool.wait("b", later);
    assert_eq!(pool.checkout(later, &limits, &mut NoCap), Checkout::Wait, "one attempt at a time");
    pool.wait("c", later);
    let Checkin::Handed { waiter, lease, .. } = pool.opened(opening, 7, later, &limits, &mut NoCap) else {
        panic!()
    };
    assert_eq!(waiter, "b");
    let Actions { open, .. } = pool.tick(later, &limits, &mut NoCap);
    let [opening] = open.try_into().unwrap();
    // There is a backend that c can wait for, so a failure is no reason to refuse it.
    assert_eq!(pool.open_failed(&opening, later, &limits, &mut NoCap).refuse, [""; 0]);
    assert!(matches!(give_back(&mut pool, lease, later, &limits), Checkin::Handed { waiter: "c", .. }));
}

#[test]
fn who_waits_for_a_server_that_is_away_goes_on_waiting_and_holds_nothing_back() {
    let (now, limits, mut pool) = (Mono::now(), limits(2), Pool::default());
    let mut caps: Caps<&str> = Caps::default();
    caps.set_limit(&"all", 1);
    let (away, other) = (caps.join(&["all"]), caps.join(&["all"]));
    let Checkout::Open(opening) = pool.checkout(now, &limits, &mut caps.gate(away)) else { panic!() };
    pool.wait("a", now);
    let again = now.plus(seconds(15));
    pool.put_off(&opening, Some(again), &mut caps.gate(away));
    assert_eq!(pool.checkout(now, &limits, &mut caps.gate(away)), Checkout::Wait, "nobody is refused");
    pool.wait("b", now);
    let mut second = Pool::default();
    let Checkout::Open(taken) = second.checkout(now, &limits, &mut caps.gate(other)) else { panic!() };
    assert!(second.open_failed(&taken, now, &limits, &mut caps.gate(other)).refuse.is_empty());

    let quiet = pool.tick(now.plus(seconds(14)), &limits, &mut caps.gate(away));
    assert_eq!((quiet.open.len(), quiet.next), (0, Some(again)));
    let [opening] = pool.tick(again, &limits, &mut caps.gate(away)).open.try_into().unwrap();
    let handed = pool.opened(opening, 1, again, &limits, &mut caps.gate(away));
    assert!(matches!(handed, Checkin::Handed { waiter: "a", .. }));

    // What PAUSE held up is tried again as soon as the pool runs.
    let mut pool = Pool::default();
    let Checkout::Open(opening) = pool.checkout(now, &limits, &mut NoCap) else { panic!() };
    pool.wait("a", now);
    assert!(pool.pause(&mut NoCap).is_some());
    assert!(pool.resume(now, &limits, &mut NoCap).unwrap().is_empty());
    pool.put_off(&opening, None, &mut NoCap);
    assert_eq!(pool.tick(now, &limits, &mut NoCap).open.len(), 1);
}

#[test]
fn time_limits_of_those_who_wait() {
    let (now, mut limits, mut pool) = (Mono::now(), limits(1), Pool::default());
    limits.reserve_pool_size = 1;
    let lease = open(&mut pool, 1, now, &limits);
    assert_eq!(pool.checkout(now, &limits, &mut NoCap), Checkout::Wait);
    let first = pool.wait("first", now);
    let quiet = pool.tick(now.plus(seconds(4)), &limits, &mut NoCap);
    assert!(quiet.notify.is_empty() && quiet.open.is_empty());
    assert_eq!(quiet.next, Some(now.plus(seconds(5))));

    let Actions { notify, open, .. } = pool.tick(now.plus(seconds(5)), &limits, &mut NoCap);
    assert_eq!(notify, [first], "query_wait_notify");
    let [reserve] = open.try_into().unwrap();
    assert_eq!(pool.open_failed(&reserve, now.plus(seconds(5)), &limits, &mut NoCap).refuse, [""; 0]);

    let end = pool.tick(now.plus(limits.query_wait_timeout), &limits, &mut NoCap);
    assert_eq!((end.refuse, end.notify), (vec!["first"], vec![]));
    assert_eq!(pool.cancel_wait(first, &mut NoCap), None);
    assert_eq!(give_back(&mut pool, lease, now.plus(seconds(121)), &limits), Checkin::Kept);
}

#[test]
fn a_pool_in_use_is_kept_up_and_one_asleep_is_not_woken() {
    let (now, mut limits, mut pool) = (Mono::now(), limits(5), Pool::default());
    limits.min_pool_size = 3;
    assert!(pool.tick(now, &limits, &mut NoCap).open.is_empty(), "nobody asked for a backend");
    let lease = open(&mut pool, 0, now, &limits);
    for (backend, opening) in (1..).zip(pool.tick(now, &limits, &mut NoCap).open) {
        assert_eq!(pool.opened(opening, backend, now, &limits, &mut NoCap), Checkin::Kept);
    }
    assert_eq!(pool.total(), 3);
    let later = now.plus(limits.server_idle_timeout);
    assert!(pool.tick(later, &limits, &mut NoCap).close.is_empty(), "the smallest size stays");
    limits.min_pool_size = 1;
    let closed = pool.tick(later, &limits, &mut NoCap).close;
    assert_eq!(closed, [(1, CloseReason::Idle), (2, CloseReason::Idle)]);
    // The endpoint goes to sleep: all are lost, and nothing is opened until a client comes.
    limits.min_pool_size = 3;
    assert_eq!(pool.closed(&lease.receipt, later, &limits, &mut NoCap), None);
    assert!(pool.tick(later, &limits, &mut NoCap).open.is_empty());
}

#[test]
fn a_full_pool_is_renewed_one_by_one() {
    let (now, limits, mut pool) = (Mono::now(), limits(4), Pool::default());
    let leases: Vec<_> = (0..4).map(|n| open(&mut pool, n, now, &limits)).collect();
    let old = now.plus(limits.server_lifetime);
    let closed: Vec<_> = leases
        .into_iter()
        .map(|lease| give_back(&mut pool, lease, old, &limits))
        .filter(|checkin| matches!(checkin, Checkin::Close { reason: CloseReason::Lifetime, .. }))
        .collect();
    assert_eq!((closed.len(), pool.total()), (1, 3));
    assert!(pool.tick(old, &limits, &mut NoCap).close.is_empty());
    let next = pool.next_deadline(old, &Limits { server_idle_timeout: Duration::ZERO, ..limits }).unwrap();
    assert_eq!(next, old.plus(limits.server_lifetime / 4));
    assert_eq!(
        pool.tick(next, &Limits { server_idle_timeout: Duration::ZERO, ..limits }, &mut NoCap).close.len(),
        1
    );

    // A lifetime of zero: once used, closed, but not before.
    let once = Limits { server_lifetime: Duration::ZERO, ..limits };
    let mut pool = Pool::default();
    let lease = open(&mut pool, 9, now, &once);
    assert!(matches!(
        give_back(&mut pool, lease, now, &once),
        Checkin::Close { reason: CloseReason::Lifetime, .. }
    ));
}

#[test]
fn pause_lets_transactions_end_and_resume_serves_those_who_wait() {
    let (now, limits, mut pool) = (Mono::now(), limits(2), Pool::default());
    let (busy, idle) = (open(&mut pool, 1, now, &limits), open(&mut pool, 2, now, &limits));
    assert_eq!(give_back(&mut pool, idle, now, &limits), Checkin::Kept);
    assert_eq!(pool.pause(&mut NoCap), Some(vec![2]));
    assert_eq!((pool.state(), pool.pause(&mut NoCap)), (State::Pausing, None));
    assert_eq!(pool.checkout(now, &limits, &mut NoCap), Checkout::Wait);
    pool.wait("patient", now);
    let back = give_back(&mut pool, busy, now, &limits);
    assert_eq!(back, Checkin::Close { backend: 1, reason: CloseReason::Paused, open: None });
    assert_eq!(pool.state(), State::Paused);
    let open = pool.resume(now, &limits, &mut NoCap).unwrap();
    assert_eq!((open.len(), pool.state(), pool.resume(now, &limits, &mut NoCap)), (1, State::Running, None));
}

#[test]
fn kill_refuses_and_reconnect_replaces() {
    let (now, limits, mut pool) = (Mono::now(), limits(2), Pool::default());
    let (first, second) = (open(&mut pool, 1, now, &limits), open(&mut pool, 2, now, &limits));
    assert_eq!(pool.reconnect(&mut NoCap), [0; 0]);
    assert_eq!(pool.counts(now, &limits).close_needed, 2);
    pool.wait("w", now);
    let Checkin::Close { reason: CloseReason::Reconnect, open: Some(opening), .. } =
        give_back(&mut pool, first, now, &limits)
    else {
        panic!("another is opened for the client that waits")
    };
    assert_eq!(pool.kill(&mut NoCap), Some(Killed { close: vec![], refuse: vec!["w"] }));
    let late = pool.opened(opening, 3, now, &limits, &mut NoCap);
    assert_eq!(late, Checkin::Close { backend: 3, reason: CloseReason::Killed, open: None });
    assert_eq!(pool.closed(&second.receipt, now, &limits, &mut NoCap), None);
    assert_eq!((pool.total(), pool.counts(now, &limits).close_needed), (0, 0));
    assert_eq!(pool.checkout(now, &limits, &mut NoCap), Checkout::Wait);
}

#[test]
fn a_pool_that_fails_holds_nothing_back_from_others() {
    let (now, limits) = (Mono::now(), limits(5));
    let mut caps: Caps<&str> = Caps::default();
    caps.set_limit(&"all", 1);
    let (broken, other) = (caps.join(&["all"]), caps.join(&["all"]));
    let mut pool = Books::<u32, &str>::default();
    let Checkout::Open(opening) = pool.checkout(now, &limits, &mut caps.gate(broken)) else { panic!() };
    pool.wait("a", now);
    assert_eq!(pool.checkout(now, &limits, &mut caps.gate(broken)), Checkout::Wait, "the cap is full");
    pool.wait("b", now);
    // It fails, but stays alive by a backend of its own that it has got meanwhile.
    let Checkin::Handed { lease, .. } = pool.opened(opening, 1, now, &limits, &mut caps.gate(broken)) else {
        panic!()
    };
    caps.set_limit(&"all", 2);
    let open = pool.tick(now, &limits, &mut caps.gate(broken)).open;
    let [opening] = open.try_into().unwrap();
    pool.wait("c", now);
    assert!(pool.tick(now, &limits, &mut caps.gate(broken)).open.is_empty(), "the cap is full again");
    assert!(pool.open_failed(&opening, now, &limits, &mut caps.gate(broken)).refuse.is_empty());
    let mut second = Books::<u32, &str>::default();
    let later = now.plus(Duration::from_millis(1));
    assert!(matches!(second.checkout(later, &limits, &mut caps.gate(other)), Checkout::Open(_)));
    assert!(matches!(
        give_back_to(&mut pool, lease, later, &limits, &mut caps.gate(broken)),
        Checkin::Handed { .. }
    ));
}

fn give_back_to(
    pool: &mut Pool,
    lease: Lease<u32>,
    now: Mono,
    limits: &Limits,
    gate: &mut impl Gate,
) -> Checkin<u32, &'static str> {
    pool.checkin(lease.backend, lease.receipt, now, limits, gate)
}

#[test]
fn in_pgbouncers_place_the_first_is_opened_alone_and_who_waits_outlives_the_refusal_of_another() {
    let limits = Limits { as_pgbouncer: true, reserve_pool_size: 1, ..limits(2) };
    let (mut pool, now) = (Pool::default(), Mono::now());
    let Checkout::Open(first) = pool.checkout(now, &limits, &mut NoCap) else { panic!() };
    pool.wait("a", now);
    assert!(
        matches!(pool.checkout(now, &limits, &mut NoCap), Checkout::Wait),
        "the first one says how it goes"
    );
    pool.wait("b", now);
    assert!(!first.is_of_reserve());
    let Checkin::Handed { waiter: "a", lease, .. } = pool.opened(first, 1, now, &limits, &mut NoCap) else {
        panic!()
    };
    let actions = pool.tick(now, &limits, &mut NoCap);
    let [second] = &actions.open[..] else { panic!() };
    // The server takes no more of this role, but B can have A's backend.
    assert_eq!(pool.open_failed(second, now, &limits, &mut NoCap).refuse, [""; 0]);
    assert!(matches!(give_back(&mut pool, lease, now, &limits), Checkin::Handed { waiter: "b", .. }));
    pool.try_again();
    let Checkout::Open(third) = pool.checkout(now, &limits, &mut NoCap) else { panic!() };
    pool.wait("c", now);
    assert!(matches!(pool.opened(third, 2, now, &limits, &mut NoCap), Checkin::Handed { waiter: "c", .. }));
    assert!(matches!(pool.checkout(now, &limits, &mut NoCap), Checkout::Wait));
    pool.wait("d", now);
    let late = now.plus(limits.reserve_pool_timeout);
    let actions = pool.tick(late, &limits, &mut NoCap);
    assert!(matches!(&actions.open[..], [one] if one.is_of_reserve()));
}

#[test]
fn backends_that_are_to_be_replaced_are_no_hope_when_the_server_refuses_another() {
    let limits = Limits { as_pgbouncer: true, ..limits(2) };
    let (mut pool, now) = (Pool::default(), Mono::now());
    let Checkout::Open(first) = pool.checkout(now, &limits, &mut NoCap) else { panic!() };
    pool.wait("a", now);
    assert!(matches!(pool.opened(first, 1, now, &limits, &mut NoCap), Checkin::Handed { .. }));
    pool.reconnect(&mut NoCap);
    let Checkout::Open(second) = pool.checkout(now, &limits, &mut NoCap) else { panic!() };
    pool.wait("b", now);
    assert_eq!(pool.open_failed(&second, now, &limits, &mut NoCap).refuse, ["b"]);
}

#[test]
fn a_pool_can_be_kept_up_without_clients() {
    let limits = Limits { keeps_up: true, min_pool_size: 2, ..limits(5) };
    let (mut pool, now) = (Pool::default(), Mono::now());
    let mut actions = pool.tick(now, &limits, &mut NoCap);
    assert_eq!(actions.open.len(), 2);
    for opening in actions.open.drain(..) {
        pool.open_failed(&opening, now, &limits, &mut NoCap);
    }
    let again = now.plus(limits.server_login_retry);
    assert_eq!(pool.next_deadline(now, &limits), Some(again));
    assert!(pool.tick(now, &limits, &mut NoCap).open.is_empty());
    assert_eq!(pool.tick(again, &limits, &mut NoCap).open.len(), 1, "one at a time after a failure");
}
