//! November 2026, simulated second by second where it matters, against a ledger that was worked out by hand.
//!
//! The office (branch 0), on each of the 21 working days (2–6, 9–13, 16–20, 23–27 and 30 November):
//!
//! ```text
//!   09:00 woken, 0.25 CU   10:00 grows to 2 CU   10:30 back to 0.25   12:00 paused
//!   13:00 thawed           16:00 clients: 1,000,000 bytes out, 200,000 in, 1,000 statements
//!   17:00 paused           18:00 stopped
//!
//!   active  3 h + 4 h                     = 7 h     = 25,200 s a day   × 21 = 529,200 s
//!   CU      6.5 h × 0.25 + 0.5 h × 2      = 2.625 h =  9,450 s a day   × 21 = 198,450 s
//!   paused  1 h + 1 h                     = 2 h     =  7,200 s a day   × 21 = 151,200 s
//!   wakes   09:00 and 13:00               = 2                          × 21 = 42
//!   out 21,000,000   in 4,200,000   statements 21,000
//! ```
//!
//! But for two accidents:
//!
//! * Tuesday the 17th, 14:00:03: the server is killed and is back at 14:00:23. Its compute lived on, so nothing is lost.
//! * Wednesday the 18th, 14:00:03: server and compute are killed. The server is back at 14:10:00, and a client wakes the
//!   endpoint at once. The heartbeat was at 14:00:00, so from there on nothing is counted up to 14:10:00: 600 s less
//!   active, 600 × 0.25 = 150 CU seconds less, one wake more.
//!
//! So: active 528,600 s, CU 198,300 s, paused 151,200 s, 43 wakes.
//!
//! Storage of the office: 10 GB from the first, 20 GB from the 16th 00:00, 1 GB of history all the month:
//! 15 d × 24 h × 10 GB + 15 d × 24 h × 20 GB = 3,600 + 7,200 = 10,800 GB hours; history 30 × 24 × 1 = 720 GB hours.
//!
//! The night (branch 1) works at 0.25 CU from 30 November 23:30 to 1 December 00:45: 30 minutes = 1,800 s and 450 CU
//! seconds are November's, 45 minutes = 2,700 s and 675 CU seconds December's. The wake is November's.
//!
//! The feature (branch 2) has 500 MB from the 10th 12:00 until it is deleted on the 12th 12:00: 48 h × 0.5 GB = 24 GB
//! hours, which are still told in December.

use super::*;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const GB: u64 = 1_000_000_000;

/// Something that happens at a time of the month.
type Deed = (u64, Box<dyn Fn(&mut World)>);

fn at(day: u64, hour: u64, minute: u64, second: u64) -> u64 {
    (day - 1) * DAY + hour * HOUR + minute * MINUTE + second * SECOND
}

fn deed(when: u64, what: impl Fn(&mut World) + 'static) -> Deed {
    (when, Box::new(what))
}

fn office_day(day: u64) -> Vec<Deed> {
    let size = |milli| move |world: &mut World| world.resize(0, Cu::from_milli(milli));
    let turn = |doing| move |world: &mut World| world.turn(0, doing);
    let clients = |world: &mut World| {
        let (id, now) = (world.endpoints[0].clone(), world.now());
        let traffic = Traffic { egress: 1_000_000, ingress: 200_000, queries: 1_000 };
        world.ledger.as_mut().unwrap().traffic(&id, traffic, &now);
    };
    vec![
        deed(at(day, 9, 0, 0), turn(Doing::Active)),
        deed(at(day, 10, 0, 0), size(2000)),
        deed(at(day, 10, 30, 0), size(250)),
        deed(at(day, 12, 0, 0), turn(Doing::Paused)),
        deed(at(day, 13, 0, 0), turn(Doing::Active)),
        deed(at(day, 16, 0, 0), clients),
        deed(at(day, 17, 0, 0), turn(Doing::Paused)),
        deed(at(day, 18, 0, 0), turn(Doing::Off)),
    ]
}

fn deeds() -> Vec<Deed> {
    let mut all = vec![
        deed(at(1, 0, 0, 0), |world| world.stock(0, 10 * GB, GB)),
        deed(at(16, 0, 0, 0), |world| world.stock(0, 20 * GB, GB)),
        deed(at(10, 12, 0, 0), |world| world.stock(2, GB / 2, 0)),
        deed(at(12, 12, 0, 0), |world| {
            world.stock(2, 0, 0);
            // Not before the levels of the deleted branch are stored, as the heartbeat does it.
            world.beat(true, false);
            let feature = world.branches[2].clone();
            world.db.execute("DELETE FROM branches WHERE id = ?1", [feature.as_str()]).unwrap();
        }),
        deed(at(17, 14, 0, 3), |world| world.crash(0, 0)),
        deed(at(17, 14, 0, 23), World::start),
        deed(at(18, 14, 0, 3), |world| world.crash(1, 0)),
        deed(at(18, 14, 10, 0), |world| {
            world.start();
            world.turn(0, Doing::Active);
        }),
        deed(at(30, 23, 30, 0), |world| world.turn(1, Doing::Active)),
        deed(at(31, 0, 45, 0), |world| world.turn(1, Doing::Off)),
    ];
    let working = (2..=30).filter(|day| !matches!(day % 7, 0 | 1));
    all.extend(working.flat_map(office_day));
    all.sort_by_key(|(when, _)| *when);
    all
}

fn of(world: &World, grain: Granularity, from: &str, to: &str, n: usize) -> dormouse_api::usage::Totals {
    let second = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
    let range = Range { grain, start: second(from), end: second(to) };
    let filter = Filter::Branch(world.branches[n].clone());
    rows::by_branch(&world.db, &[range], &filter)
        .unwrap()
        .first()
        .map(|found| found.1.totals)
        .unwrap_or_default()
}

/// The heartbeat is on every full ten seconds around the accidents. The rest of the month has ten minutes, which
/// changes nothing but how long this test takes.
fn beat_at(when: u64) -> u64 {
    let accident = [17, 18].into_iter().any(|day| (at(day, 13, 50, 0)..at(day, 14, 20, 0)).contains(&when));
    if accident { BEAT } else { 10 * MINUTE }
}

#[test]
fn a_month_is_what_the_ledger_by_hand_says() {
    let mut world = World::new(3);
    // Midnight before the first.
    let start: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
    world.wrong += start.as_millisecond() - world.now().wall.as_millisecond();
    let begin = world.clock;
    world.ledger = None;
    world.start();
    for (when, what) in deeds() {
        while begin + when > world.clock {
            let (left, beat) = (begin + when - world.clock, beat_at(world.clock - begin));
            let to_beat = beat - (world.clock - begin) % beat;
            world.elapse(left.min(to_beat));
            if (world.clock - begin).is_multiple_of(beat) {
                world.beat(true, false);
            }
        }
        what(&mut world);
    }
    let now = world.now();
    world.ledger.as_mut().unwrap().settle(&now, true);
    world.beat(true, false);

    let (november, december) = ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
    for grain in [Granularity::Month, Granularity::Day, Granularity::Hour] {
        let office = of(&world, grain, november, december, 0);
        assert_eq!(office.active_seconds, 528_600.0, "{grain:?}");
        assert_eq!(office.cu_seconds, 198_300.0);
        assert_eq!(office.paused_seconds, 151_200.0);
        assert_eq!((office.wakes, office.queries), (43, 21_000));
        assert_eq!((office.egress_bytes, office.ingress_bytes), (21_000_000, 4_200_000));
        assert!(close(office.storage_byte_hours, 10_800.0 * GB as f64), "{office:?}");
        assert!(close(office.history_byte_hours, 720.0 * GB as f64), "{office:?}");
        let night = of(&world, grain, november, december, 1);
        assert_eq!((night.active_seconds, night.cu_seconds, night.wakes), (1800.0, 450.0, 1), "{grain:?}");
        let later = of(&world, grain, december, "2027-01-01T00:00:00Z", 1);
        assert_eq!((later.active_seconds, later.cu_seconds, later.wakes), (2700.0, 675.0, 0), "{grain:?}");
        let feature = of(&world, grain, november, december, 2);
        assert!(close(feature.storage_byte_hours, 24.0 * GB as f64), "{feature:?}");
    }
    // A single day, and a single hour of it.
    let day = of(&world, Granularity::Day, "2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z", 0);
    assert_eq!((day.active_seconds, day.cu_seconds, day.wakes), (25_200.0, 9_450.0, 2));
    let hour = of(&world, Granularity::Hour, "2026-11-02T10:00:00Z", "2026-11-02T11:00:00Z", 0);
    // Half an hour at 2 CU and half an hour at 0.25.
    assert_eq!((hour.active_seconds, hour.cu_seconds), (3_600.0, 4_050.0));
    // What is deleted is told as such, with its name.
    let all = rows::by_branch(
        &world.db,
        &[Range { grain: Granularity::Month, start: i64::MIN, end: i64::MAX }],
        &Filter::All,
    )
    .unwrap();
    let feature = all.iter().find(|(subject, _)| subject.branch_id == world.branches[2]).unwrap();
    assert!(feature.0.deleted && !feature.0.project_deleted);
    assert_eq!(feature.0.name, world.branches[2].as_str());
}
