//! October 2026, a month of 31 days and 744 hours, from the ledger to the bill, against a ledger and bills on paper.
//!
//! The shop (branch 0) has a writer. Every day of the 31:
//!
//! ```text
//!   08:00 woken, 1 CU   08:20 grows to 4   08:50 back to 1   10:00 paused   10:30 stopped   12:00 clients
//!   active 2 h = 7,200 s   CU 1.5 h × 1 + 0.5 h × 4 = 3.5 h = 12,600 s   paused 1,800 s   5 GB out
//!                                          × 31: active 223,200   CU 390,600   paused 55,800   155 GB   31 wakes
//! ```
//!
//! and a reader, at 0.25 CU from 20:00 to 21:00 on the 1st to the 10th: 36,000 s, CU 9,000, 10 wakes. It is deleted on the
//! 11th. Together: active 259,200, CU 399,600, 41 wakes. 40 GB all the month: 744 × 40 = 29,760 GB hours. 2 GB of history
//! until the 21st 00:00, then 5: 480 × 2 + 264 × 5 = 2,280 GB hours.
//!
//! The preview (branch 1) has 1 GB from the 5th 12:00 until it is deleted, while its endpoint works, on the 20th 18:00: 15 days
//! and 6 hours = 366 GB hours. At 2 CU on the 5th 12:00–14:00 and the 20th 17:30–18:00: 9,000 s, CU 18,000, 2 wakes.
//!
//! The batch (branch 2) has no data and 0.5 CU. Only what is in October counts here:
//!
//! ```text
//!   30 Sep 23:00 – 1 Oct 01:00                                                          3,600 s   woken in September
//!   12th 03:00–04:00, the server is dead 03:10:07–03:30:00 and its compute lives on     3,600     1 wake
//!   13th 03:00, server and compute are killed 03:20:04, four seconds after a heartbeat  1,200     1
//!        03:25 the next server, woken at once, until 04:00                              2,100     1
//!   14th 05:00–06:00, at 05:30 the clock is set two hours ahead, at 06:00 back          3,600     1
//!   15th 05:00, the machine loses power 05:40:03, and starts again a minute later       2,400     1
//!   31st 23:15 – 1 Nov 00:45                                                            2,700     1
//!                                                              19,200 s × 0.5 = CU 9,600          6 wakes
//! ```
//!
//! On the 16th 09:00 a transaction is committed of which the server hears nothing. That changes nothing.
//!
//! All: active 287,400, CU 427,200, paused 55,800, storage 30,126 GB hours, history 2,280, 155 GB out, 49 wakes.

use dormouse_api::quota::{Action, Measure, Period as Every, State};
use dormouse_pricing::Pricing;

use super::*;
use crate::cost::{self, Month};
use crate::metering::Guard;
use crate::metering::report::{Span, ranges};
use crate::model::quota::{Limit, Plan};

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;
const GB: u64 = 1_000_000_000;
const START: &str = "2026-09-30T22:00:00Z";
const SHOP: usize = 0;
const PREVIEW: usize = 1;
const BATCH: usize = 2;
const READER: usize = 3;

/// Something that happens so many milliseconds after the start.
type Deed = (u64, Box<dyn Fn(&mut World)>);

/// A time of October; day 0 is the last of September.
fn at(day: i64, hour: i64, minute: i64, second: i64) -> u64 {
    u64::try_from(((day - 1) * 24 + 2 + hour) * HOUR + (minute * 60 + second) * SECOND).unwrap()
}

fn deed(when: u64, what: impl Fn(&mut World) + 'static) -> Deed {
    (when, Box::new(what))
}

fn wake(n: usize, milli: u32) -> impl Fn(&mut World) {
    move |world| {
        world.turn(n, Doing::Active);
        world.resize(n, Cu::from_milli(milli));
    }
}

fn turn(n: usize, doing: Doing) -> impl Fn(&mut World) {
    move |world| world.turn(n, doing)
}

/// As deleting does it: the rows go, then the ledger hears of it, and the next heartbeat finds what is in the store of
/// branches that are gone.
fn delete(world: &mut World, endpoint: usize, branch: Option<usize>) {
    let now = world.now();
    let id = world.endpoints[endpoint].clone();
    world.db.execute("DELETE FROM endpoints WHERE id = ?1", [id.as_str()]).unwrap();
    if let Some(n) = branch {
        world.db.execute("DELETE FROM branches WHERE id = ?1", [world.branches[n].as_str()]).unwrap();
    }
    world.doing[endpoint] = Doing::Off;
    let ledger = world.ledger.as_mut().unwrap();
    ledger.forget(&id, &now);
    let stocked = ledger.stocked().cloned().collect();
    for gone in rows::gone(&world.db, stocked).unwrap() {
        ledger.level(&gone, 0, 0, &now);
    }
    world.beat(true, false);
}

fn shop_day(day: i64) -> Vec<Deed> {
    let size = |milli| move |world: &mut World| world.resize(SHOP, Cu::from_milli(milli));
    let clients = |world: &mut World| {
        let (id, now) = (world.endpoints[SHOP].clone(), world.now());
        let traffic = Traffic { egress: 5 * GB, ingress: GB, queries: 100_000 };
        world.ledger.as_mut().unwrap().traffic(&id, traffic, &now);
    };
    let mut deeds = vec![
        deed(at(day, 8, 0, 0), wake(SHOP, 1000)),
        deed(at(day, 8, 20, 0), size(4000)),
        deed(at(day, 8, 50, 0), size(1000)),
        deed(at(day, 10, 0, 0), turn(SHOP, Doing::Paused)),
        deed(at(day, 10, 30, 0), turn(SHOP, Doing::Off)),
        deed(at(day, 12, 0, 0), clients),
    ];
    if day <= 10 {
        deeds.push(deed(at(day, 20, 0, 0), wake(READER, 250)));
        deeds.push(deed(at(day, 21, 0, 0), turn(READER, Doing::Off)));
    }
    deeds
}

fn accidents() -> Vec<Deed> {
    let off = || turn(BATCH, Doing::Off);
    vec![
        deed(at(12, 3, 0, 0), wake(BATCH, 500)),
        deed(at(12, 3, 10, 7), |world| world.crash(0, 0)),
        deed(at(12, 3, 30, 0), World::start),
        deed(at(12, 4, 0, 0), off()),
        deed(at(13, 3, 0, 0), wake(BATCH, 500)),
        deed(at(13, 3, 20, 4), |world| world.crash(1 << BATCH, 0)),
        deed(at(13, 3, 25, 0), |world| {
            world.start();
            wake(BATCH, 500)(world);
        }),
        deed(at(13, 4, 0, 0), off()),
        deed(at(14, 5, 0, 0), wake(BATCH, 500)),
        deed(at(14, 5, 30, 0), |world| {
            // What was before belongs to its own hour.
            world.beat(true, false);
            world.wrong += 2 * HOUR;
        }),
        deed(at(14, 6, 0, 0), |world| {
            world.turn(BATCH, Doing::Off);
            world.beat(true, false);
            world.wrong -= 2 * HOUR;
        }),
        deed(at(15, 5, 0, 0), wake(BATCH, 500)),
        deed(at(15, 5, 40, 3), World::reboot),
        deed(at(15, 5, 41, 3), World::start),
        deed(at(16, 9, 0, 0), |world| world.beat(true, true)),
    ]
}

fn deeds() -> Vec<Deed> {
    let mut all = vec![
        deed(0, |world| world.stock(SHOP, 40 * GB, 2 * GB)),
        deed(at(21, 0, 0, 0), |world| world.stock(SHOP, 40 * GB, 5 * GB)),
        deed(at(11, 0, 0, 0), |world| delete(world, READER, None)),
        deed(at(5, 12, 0, 0), |world| {
            world.stock(PREVIEW, GB, 0);
            wake(PREVIEW, 2000)(world);
        }),
        deed(at(5, 14, 0, 0), turn(PREVIEW, Doing::Off)),
        deed(at(20, 17, 30, 0), wake(PREVIEW, 2000)),
        deed(at(20, 18, 0, 0), |world| delete(world, PREVIEW, Some(PREVIEW))),
        deed(at(0, 23, 0, 0), wake(BATCH, 500)),
        deed(at(1, 1, 0, 0), turn(BATCH, Doing::Off)),
        deed(at(31, 23, 15, 0), wake(BATCH, 500)),
        deed(at(32, 0, 45, 0), turn(BATCH, Doing::Off)),
    ];
    all.extend(accidents());
    all.extend((1..=31).flat_map(shop_day));
    all.sort_by_key(|(when, _)| *when);
    all
}

/// Full ten seconds in the night, when the accidents are; the rest of the day has ten minutes, so that the test is quick.
fn beat_at(when: u64) -> u64 {
    let nights = 12..=15;
    let night = nights.into_iter().any(|day| (at(day, 3, 0, 0)..at(day, 6, 0, 0)).contains(&when));
    if night { BEAT } else { 600_000 }
}

fn played() -> World {
    let mut world = World::new(4);
    let sql = "UPDATE endpoints SET branch_id = ?1, kind = 'read_only' WHERE id = ?2";
    world.db.execute(sql, [world.branches[SHOP].as_str(), world.endpoints[READER].as_str()]).unwrap();
    let start: Timestamp = START.parse().unwrap();
    world.wrong += start.as_millisecond() - world.now().wall.as_millisecond();
    world.ledger = None;
    world.start();
    let mut passed = 0;
    let mut pass = |world: &mut World, until: u64| {
        while passed < until {
            let beat = beat_at(passed);
            let next = (passed - passed % beat + beat).min(until);
            world.elapse(next - passed);
            passed = next;
            if passed % beat == 0 {
                world.beat(true, false);
            }
        }
    };
    for (when, what) in deeds() {
        pass(&mut world, when);
        what(&mut world);
    }
    pass(&mut world, at(32, 1, 0, 0));
    let now = world.now();
    assert_eq!(now.wall.to_string(), "2026-11-01T01:00:00Z", "no accident moved the clock for good");
    world.ledger.as_mut().unwrap().settle(&now, true);
    world.beat(true, false);
    // It is sent again after one that nobody heard of.
    world.beat(true, false);
    world
}

fn second(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn october() -> Span {
    Span { from: second("2026-10-01T00:00:00Z"), to: second("2026-11-01T00:00:00Z") }
}

fn report(world: &World, span: Span, now: Timestamp) -> dormouse_api::usage::Report {
    let found = rows::by_branch(&world.db, &ranges(span, now), &Filter::All).unwrap();
    crate::http::usage::told(span, None, found, &[], rows::since(&world.db).unwrap(), now)
}

fn of_branch(world: &World, span: Span, n: usize) -> dormouse_api::usage::Totals {
    let told = report(world, span, second("2026-11-01T01:00:00Z"));
    let found = told.branches.into_iter().find(|branch| branch.branch_id == world.branches[n]);
    found.map(|branch| branch.totals).unwrap_or_default()
}

fn the_ledger_is_the_one_on_paper(world: &World) {
    let now = second("2026-11-01T01:00:00Z");
    let totals = report(world, october(), now).totals;
    assert_eq!((totals.active_seconds, totals.cu_seconds), (287_400.0, 427_200.0));
    assert_eq!((totals.paused_seconds, totals.wakes, totals.egress_bytes), (55_800.0, 49, 155 * GB));
    assert!(close(totals.storage_byte_hours, 30_126.0 * GB as f64), "{totals:?}");
    assert!(close(totals.history_byte_hours, 2_280.0 * GB as f64), "{totals:?}");
    let of = |n| of_branch(world, october(), n);
    let (shop, preview, batch) = (of(SHOP), of(PREVIEW), of(BATCH));
    assert_eq!((shop.active_seconds, shop.cu_seconds, shop.wakes), (259_200.0, 399_600.0, 41));
    assert_eq!((shop.queries, shop.ingress_bytes), (3_100_000, 31 * GB));
    assert!(close(shop.storage_byte_hours, 29_760.0 * GB as f64), "{shop:?}");
    assert_eq!((preview.active_seconds, preview.cu_seconds, preview.wakes), (9_000.0, 18_000.0, 2));
    assert!(close(preview.storage_byte_hours, 366.0 * GB as f64), "{preview:?}");
    assert_eq!((batch.active_seconds, batch.cu_seconds, batch.wakes), (19_200.0, 9_600.0, 6));
    // Days and hours say the same as the month.
    for grain in [Granularity::Day, Granularity::Hour] {
        let range = Range { grain, start: october().from.as_second(), end: october().to.as_second() };
        let mut sum = Used::default();
        for (_, used) in rows::by_time(&world.db, &range, &Filter::All).unwrap() {
            sum += used;
        }
        assert!(close(sum.totals.active_seconds, totals.active_seconds), "{grain:?}");
        assert!(close(sum.totals.cu_seconds, totals.cu_seconds), "{grain:?}");
        assert!(close(sum.totals.storage_byte_hours, totals.storage_byte_hours), "{grain:?}");
        assert_eq!((sum.totals.wakes, sum.totals.egress_bytes), (totals.wakes, totals.egress_bytes));
    }
    // A clock that is set ahead: the half hour is in the hour that it showed.
    let hour = |from: &str| {
        let from = second(from);
        of_branch(world, Span { from, to: from + jiff::SignedDuration::from_hours(1) }, BATCH).active_seconds
    };
    let day = ["T05", "T06", "T07", "T08"].map(|at| hour(&format!("2026-10-14{at}:00:00Z")));
    assert_eq!(day, [1800.0, 0.0, 1800.0, 0.0]);
    assert_eq!(hour("2026-10-12T03:00:00Z"), 3600.0, "a server that was dead");
    assert_eq!(hour("2026-10-13T03:00:00Z"), 3300.0);
    assert_eq!((hour("2026-10-31T23:00:00Z"), hour("2026-11-01T00:00:00Z")), (2700.0, 2700.0));
}

#[test]
fn october_is_what_paper_says_from_the_ledger_to_the_bill() {
    let world = played();
    the_ledger_is_the_one_on_paper(&world);
    let now = second("2026-11-01T01:00:00Z");
    let told = report(&world, october(), now);
    let month = Month::named("2026-10").unwrap();
    assert_eq!(month.seconds(), 744 * 3600);
    let lives = crate::db::cost::lives(&world.db, told.from, told.to, now).unwrap();
    let usage = cost::usage(&told, &lives, month.seconds());
    let pricing = Pricing::default();
    let total = |id: &str| pricing.find(id).unwrap().bill(&usage).total.micro();
    // Neon: 427,200 s = 118.666667 CU-hours × 0.106 = 12.578667; 30,126 / 744 = 40.491935 GB-months × 0.35 = 14.172177;
    // 2,280 / 744 = 3.064516 × 0.20 = 0.612903; 155 GB of 500; 3 branches of 10.
    assert_eq!(total("neon-launch"), 12_578_667 + 14_172_177 + 612_903);
    // Aurora: 854,400 ACU seconds = 237.333333 × 0.12 = 28.48; 28,057.023883 GiB hours / 744 = 37.711054 × 0.10 = 3.771105;
    // 2,123.415470 / 744 = 2.854053 × 0.021 = 0.059935; 55 GB beyond 100 × 0.09 = 4.95.
    assert_eq!(total("aurora-v2"), 28_480_000 + 3_771_105 + 59_935 + 4_950_000);
    // Machines, awake or not. The shop's mean is 399,600 / 259,200 = 1.54 CU: m7g.large for 744 hours. The preview's is 2: the
    // same for the 366 hours that there was one. (744 + 366) × 0.0816 = 90.576. The batch's is 0.5: t4g.small, 744 × 0.0168 =
    // 12.4992. Disks: 37.252903 GiB × 744, 8 × 366 and 8 × 744 GiB hours / 744 = 49.188387 × 0.08 = 3.935071; 4.95 as above.
    assert_eq!(total("vm-always-on"), 90_576_000 + 12_499_200 + 3_935_071 + 4_950_000);
    // Alone it costs the same: there is one project.
    let alone = cost::usages(&told, &lives, month.seconds());
    assert_eq!(alone.into_values().collect::<Vec<_>>(), [usage]);
}

#[test]
fn a_quota_counts_to_the_last_second_of_its_period_and_begins_anew_with_the_next() {
    let world = played();
    let project: ProjectId = world
        .db
        .query_row("SELECT id FROM projects", [], |row| row.get::<_, String>(0))
        .unwrap()
        .parse()
        .unwrap();
    let assess_of = |measure, period, limit, now: &str| {
        let limit = Limit { measure, limit, soft_percent: 80, action: Action::Suspend };
        let plan = Plan { period, limits: vec![limit] };
        let told = Guard::default().assess(&world.db, &project, &plan, second(now)).unwrap();
        let standing = &told.standings[0];
        (standing.used, standing.state, told.resets_at.map(|at| at.to_string()))
    };
    let assess = |period, limit, now: &str| assess_of(Measure::ActiveSeconds, period, limit, now);
    let november = Some("2026-11-01T00:00:00Z".to_owned());
    let last = "2026-10-31T23:59:59Z";
    assert_eq!(assess(Every::Month, 287_400.0, last), (287_400.0, State::Exceeded, november.clone()));
    assert_eq!(assess(Every::Month, 287_400.1, last), (287_400.0, State::Soft, november.clone()));
    let december = Some("2026-12-01T00:00:00Z".to_owned());
    assert_eq!(assess(Every::Month, 287_400.0, "2026-11-01T00:00:00Z"), (2_700.0, State::Ok, december));
    // 7,200 of the shop and 2,700 of the batch.
    assert_eq!(assess(Every::Day, 9_900.0, last), (9_900.0, State::Exceeded, november));
    // The bill above, to the millionth.
    let spent = 12.578_667 + 14.172_177 + 0.612_903;
    let (told, state, _) = assess_of(Measure::Spend, Every::Month, spent - 1e-7, last);
    assert!((told - spent).abs() < 1e-9 && state == State::Exceeded, "{told} of {spent}");
    // All of it, and an hour in September.
    assert_eq!(assess(Every::None, 1e9, last), (287_400.0 + 2_700.0 + 3_600.0, State::Ok, None));
}
