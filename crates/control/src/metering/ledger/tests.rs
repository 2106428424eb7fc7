//! The ledger against a naive one, with crashes between any two writes; and months worked out by hand.

use dormouse_base::{BranchId, ProjectId, Timestamp};
use proptest::prelude::*;
use rusqlite::Connection;

mod month;
mod october;

use super::*;
use crate::db::migrations;
use crate::db::usage::{self as rows, Filter, Range, Used};
use dormouse_api::usage::Granularity;

const BEAT: u64 = 10_000;

/// A machine with a store, whose servers come and go.
struct World {
    db: Connection,
    ledger: Option<Ledger>,
    /// The true time since the boot, milliseconds.
    clock: u64,
    boot: u64,
    /// What the wall clock is wrong by, milliseconds.
    wrong: i64,
    endpoints: Vec<EndpointId>,
    branches: Vec<BranchId>,
    /// What each endpoint really does.
    doing: Vec<Doing>,
    /// What the naive ledger has: milliseconds active, paused, by endpoint; thousandths of a unit.
    truth: Vec<(u64, u64, u64)>,
    /// Bytes times milliseconds, by branch.
    stored: Vec<u128>,
    levels: Vec<u64>,
    cu: Vec<Cu>,
    wakes: Vec<u64>,
    /// How much of the truth may be missing, milliseconds, by endpoint.
    excused: Vec<u64>,
    /// The last time that anything was stored, for what a crash may lose.
    stored_at: u64,
    /// Then the wall clock says how long data was there.
    rebooted: bool,
}

impl World {
    fn new(count: usize) -> Self {
        let mut db = Connection::open_in_memory().unwrap();
        migrations::run(&mut db).unwrap_or_else(|_| panic!("the schema"));
        let project = ProjectId::generate();
        db.execute("INSERT INTO projects VALUES (?1, 'p', 18, '{}', 0, 0, 0)", [project.as_str()]).unwrap();
        let (mut endpoints, mut branches) = (Vec::new(), Vec::new());
        for slot in 0..count {
            let (branch, endpoint) = (BranchId::generate(), EndpointId::generate());
            db.execute(
                "INSERT INTO branches (id, project_id, name, is_default, ready, owner, created_at, updated_at, storage_id)
                 VALUES (?1, ?2, ?1, 0, 1, 'o', 0, 0, ?1)",
                [branch.as_str(), project.as_str()],
            )
            .unwrap();
            db.execute(
                "INSERT INTO endpoints (id, project_id, branch_id, slot, suspend_timeout_seconds, min_cu, max_cu,
                     pg_settings, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, 0, 0.25, 1, '{}', 0, 0)",
                rusqlite::params![endpoint.as_str(), project.as_str(), branch.as_str(), i64::try_from(slot).unwrap()],
            )
            .unwrap();
            endpoints.push(endpoint);
            branches.push(branch);
        }
        let mut world = Self {
            db,
            ledger: None,
            clock: 1_000_000,
            boot: 7,
            wrong: 0,
            endpoints,
            branches,
            doing: vec![Doing::Off; count],
            truth: vec![(0, 0, 0); count],
            stored: vec![0; count],
            levels: vec![0; count],
            cu: vec![Cu::MIN; count],
            wakes: vec![0; count],
            excused: vec![0; count],
            stored_at: 1_000_000,
            rebooted: false,
        };
        world.start();
        world
    }

    fn now(&self) -> Moment {
        // 2026-01-31T22:46:40Z: hours, a day and a month end soon.
        let wall = 1_769_899_600_000 + self.clock.cast_signed() + self.wrong;
        Moment { wall: Timestamp::from_millisecond(wall).unwrap(), boot: self.boot, uptime_ms: self.clock }
    }

    fn pass(&mut self, ms: u64) {
        // A living server has a heartbeat.
        let mut left = ms;
        while left > 0 {
            let step = left.min(BEAT);
            self.elapse(step);
            if self.ledger.is_some() && step == BEAT {
                self.beat(true, false);
            }
            left -= step;
        }
    }

    fn elapse(&mut self, ms: u64) {
        self.clock += ms;
        for n in 0..self.endpoints.len() {
            let truth = &mut self.truth[n];
            match self.doing[n] {
                Doing::Off => {}
                Doing::Active => {
                    truth.0 += ms;
                    truth.2 += ms * u64::from(self.cu[n].milli());
                }
                Doing::Paused => truth.1 += ms,
            }
            self.stored[n] += u128::from(ms) * u128::from(self.levels[n]);
        }
    }

    /// The heartbeat. `commits`: the transaction gets through. `heard`: the server hears of it.
    fn beat(&mut self, commits: bool, deaf: bool) {
        let now = self.now();
        let Some(ledger) = &mut self.ledger else { return };
        ledger.settle(&now, false);
        let Some(batch) = ledger.take() else {
            self.stored_at = self.clock;
            return;
        };
        let transaction = self.db.unchecked_transaction().unwrap();
        rows::store(&transaction, &batch, now.wall).unwrap();
        if commits {
            transaction.commit().unwrap();
            self.stored_at = self.clock;
            if !deaf {
                ledger.done(&batch);
            }
        } else {
            transaction.rollback().unwrap();
        }
    }

    fn turn(&mut self, n: usize, doing: Doing) {
        let now = self.now();
        let before = std::mem::replace(&mut self.doing[n], doing);
        let endpoint = self.endpoints[n].clone();
        let Some(ledger) = &mut self.ledger else { return };
        if before == Doing::Off && doing != Doing::Off {
            // As the keeper does: starting, and the note that it begins; what pauses was awake before.
            ledger.turn(&endpoint, Doing::Off, None, &now);
            rows::open(&self.db, &endpoint, self.cu[n], &now).unwrap();
            ledger.turn(&endpoint, Doing::Active, None, &now);
            self.wakes[n] += 1;
        } else if before == Doing::Paused && doing == Doing::Active {
            self.wakes[n] += 1;
        }
        ledger.turn(&endpoint, doing, None, &now);
    }

    fn stock(&mut self, n: usize, storage: u64, history: u64) {
        let now = self.now();
        self.ledger.as_mut().unwrap().level(&self.branches[n], storage, history, &now);
    }

    fn resize(&mut self, n: usize, cu: Cu) {
        let now = self.now();
        let Some(ledger) = &mut self.ledger else { return };
        if self.doing[n] != Doing::Off {
            self.cu[n] = cu;
            ledger.size(&self.endpoints[n], cu, &now);
        }
    }

    fn level(&mut self, n: usize, bytes: u64) {
        let now = self.now();
        let Some(ledger) = &mut self.ledger else { return };
        self.levels[n] = bytes;
        ledger.level(&self.branches[n], bytes, 0, &now);
        // Measuring is not part of what is tested: what is measured is stored at once, after what waits.
        self.beat(true, false);
        self.beat(true, false);
    }

    /// The server dies. Computes with a set bit in `with` die with it, at that moment or later.
    fn crash(&mut self, with: u32, later: u64) {
        let lived = self.ledger.take().is_some();
        let unsaved = self.clock - self.stored_at;
        for n in 0..self.endpoints.len() {
            let dies = with & (1 << n) != 0 && self.doing[n] != Doing::Off;
            if dies {
                self.doing[n] = Doing::Off;
            }
            if lived || dies {
                // What was not stored, and what may have changed in one heartbeat. Of one that dies when no server
                // sees it, how long it still lived cannot be known.
                self.excused[n] += unsaved + BEAT;
            }
        }
        self.elapse(later);
    }

    fn reboot(&mut self) {
        self.ledger = None;
        let unsaved = self.clock - self.stored_at;
        for n in 0..self.endpoints.len() {
            self.excused[n] += unsaved + BEAT;
            self.doing[n] = Doing::Off;
        }
        // The wall clock goes on.
        self.wrong += self.clock.cast_signed() - 500;
        self.clock = 500;
        self.stored_at = 500;
        self.boot += 1;
        self.rebooted = true;
    }

    /// A server starts: it goes on from what is stored, and hears of what was adopted.
    fn start(&mut self) {
        if self.ledger.is_some() {
            return;
        }
        let now = self.now();
        let from = rows::load(&self.db).unwrap();
        let mut ledger = Ledger::resume(from.number, from.marks, from.levels, BEAT);
        for n in 0..self.endpoints.len() {
            if self.doing[n] != Doing::Off {
                ledger.turn(&self.endpoints[n], self.doing[n], Some(self.cu[n]), &now);
            }
        }
        for id in ledger.unheard() {
            ledger.turn(&id, Doing::Off, None, &now);
        }
        self.ledger = Some(ledger);
        self.beat(true, false);
    }

    fn used(&self, grain: Granularity, n: usize) -> Used {
        let range = Range { grain, start: i64::MIN, end: i64::MAX };
        let found = rows::by_branch(&self.db, &[range], &Filter::Branch(self.branches[n].clone())).unwrap();
        found.into_iter().map(|(_, used)| used).next().unwrap_or_default()
    }

    /// Nothing is counted twice, and no more is missing than may be.
    fn check(&self) {
        for n in 0..self.endpoints.len() {
            let used = self.used(Granularity::Month, n);
            for grain in [Granularity::Hour, Granularity::Day] {
                let other = self.used(grain, n);
                assert!(close(other.totals.storage_byte_hours, used.totals.storage_byte_hours));
                assert_eq!(other.totals.active_seconds, used.totals.active_seconds, "{grain:?}");
                assert_eq!(other.totals.cu_seconds, used.totals.cu_seconds);
                assert_eq!(other.totals.paused_seconds, used.totals.paused_seconds);
                assert_eq!(other.totals.wakes, used.totals.wakes);
            }
            let ms = |seconds: f64| (seconds * 1000.0).round() as u64;
            let (active, paused, _) = self.truth[n];
            let told = (ms(used.totals.active_seconds), ms(used.totals.paused_seconds));
            assert!(told.0 <= active, "active {} of {active}", told.0);
            assert!(told.1 <= paused, "paused {} of {paused}", told.1);
            assert!(
                active + paused - told.0 - told.1 <= self.excused[n],
                "{told:?} of {:?}, excused {}",
                self.truth[n],
                self.excused[n]
            );
            let stored = self.stored[n] as f64 / HOUR_MS as f64;
            if !self.rebooted {
                assert!(close(used.totals.storage_byte_hours, stored), "{used:?} {stored}");
            }
            assert!(used.totals.wakes <= self.wakes[n], "wakes");
            if self.excused[n] == 0 {
                assert_eq!((used.totals.cu_seconds * 1e6).round() as u64, self.truth[n].2, "CU");
                assert_eq!(used.totals.wakes, self.wakes[n], "wakes");
            }
        }
    }
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(1.0)
}

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Turn(usize, Doing),
    Size(usize, u32),
    Level(usize, u64),
    Beat,
    /// The transaction does not get through, or its end is not heard of.
    Lost {
        commits: bool,
    },
    Crash {
        with: u32,
        later: u64,
    },
    Reboot,
    Start,
    Jump(i64),
}

fn step(count: usize) -> impl Strategy<Value = Step> {
    let doing = prop_oneof![Just(Doing::Off), Just(Doing::Active), Just(Doing::Paused)];
    prop_oneof![
        4 => (1..90_000_u64).prop_map(Step::Pass),
        1 => (1..900_000_u64).prop_map(Step::Pass),
        6 => (0..count, doing).prop_map(|(n, doing)| Step::Turn(n, doing)),
        2 => (0..count, 250..8000_u32).prop_map(|(n, cu)| Step::Size(n, cu)),
        2 => (0..count, 0..5_000_000_000_u64).prop_map(|(n, bytes)| Step::Level(n, bytes)),
        2 => Just(Step::Beat),
        2 => any::<bool>().prop_map(|commits| Step::Lost { commits }),
        2 => (any::<u32>(), 0..7_200_000_u64).prop_map(|(with, later)| Step::Crash { with, later }),
        1 => Just(Step::Reboot),
        3 => Just(Step::Start),
        1 => (-7_200_000..7_200_000_i64).prop_map(Step::Jump),
    ]
}

fn play(count: usize, steps: Vec<Step>) -> World {
    let mut world = World::new(count);
    for step in steps {
        match step {
            Step::Pass(ms) => world.pass(ms),
            Step::Turn(n, doing) if world.ledger.is_some() => world.turn(n, doing),
            Step::Turn(..) => {}
            Step::Size(n, cu) => world.resize(n, Cu::from_milli(cu)),
            Step::Level(n, bytes) => world.level(n, bytes),
            Step::Beat => world.beat(true, false),
            Step::Lost { commits } => world.beat(commits, true),
            Step::Crash { with, later } => world.crash(with, later),
            Step::Reboot => world.reboot(),
            Step::Start => world.start(),
            Step::Jump(ms) => world.wrong += ms,
        }
        if world.ledger.is_some() {
            world.check_not_twice();
        }
    }
    world.start();
    world.beat(true, false);
    let now = world.now();
    world.ledger.as_mut().unwrap().settle(&now, true);
    world.beat(true, false);
    world.check();
    world
}

impl World {
    fn check_not_twice(&self) {
        for n in 0..self.endpoints.len() {
            let used = self.used(Granularity::Month, n).totals;
            assert!((used.active_seconds * 1000.0).round() as u64 <= self.truth[n].0);
            assert!((used.paused_seconds * 1000.0).round() as u64 <= self.truth[n].1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_crash_loses_a_heartbeat_and_nothing_is_counted_twice(steps in prop::collection::vec(step(3), 1..60)) {
        play(3, steps);
    }
}
