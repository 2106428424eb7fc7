//! A simulator: load curves replayed through the very function that decides.
//!
//! What is simulated is a compute that uses as much of its size as the load wants, sampled four times a second,
//! the way [`crate::limits::gauge`] feeds the function. Then the rules are held against random loads.

use super::*;

const QUARTER: f64 = 0.25;

fn bounds(min: f64, max: f64) -> Bounds {
    Bounds { min: Cu::new(min).unwrap(), max: Cu::new(max).unwrap() }
}

/// What a load wants at a moment.
#[derive(Debug, Clone, Copy, Default)]
struct Wish {
    cores: f64,
    waiting: u32,
    held: u64,
    stalled: f64,
}

impl Wish {
    fn cores(cores: f64) -> Self {
        Self { cores, ..Self::default() }
    }
}

/// One change of a replay: when (seconds), to which size, and why.
type Step = (f64, f64, Reason);

struct Replay {
    steps: Vec<Step>,
    /// Size at each sample.
    sizes: Vec<f64>,
}

impl Replay {
    /// The size at a second.
    fn at(&self, second: f64) -> f64 {
        let index = (second / SAMPLE_EVERY.as_secs_f64()) as usize;
        self.sizes[index.min(self.sizes.len() - 1)]
    }

    /// The first time from `second` on at which it has at least this size.
    fn reaches(&self, second: f64, size: f64) -> Option<f64> {
        let every = SAMPLE_EVERY.as_secs_f64();
        let times = self.sizes.iter().enumerate().map(|(index, cu)| (index as f64 * every, *cu));
        times.into_iter().find(|(at, cu)| *at >= second && *cu >= size).map(|(at, _)| at - second)
    }

    fn changes(&self, from: f64, to: f64) -> usize {
        self.steps.iter().filter(|(at, ..)| (from..to).contains(at)).count()
    }
}

/// Replays so many seconds of a load.
fn replay(bounds: Bounds, seconds: f64, load: impl Fn(f64) -> Wish) -> Replay {
    let (mut window, mut size) = (Window::default(), Size { cu: bounds.min, since: Duration::ZERO });
    let mut replay = Replay { steps: Vec::new(), sizes: vec![bounds.min.as_f64()] };
    for sample in 1..=(seconds / SAMPLE_EVERY.as_secs_f64()) as u32 {
        let at = SAMPLE_EVERY * sample;
        // Half of a sample ago, in the middle of what it covers.
        let wish = load(at.as_secs_f64() - SAMPLE_EVERY.as_secs_f64() / 2.0);
        let memory =
            sample.is_multiple_of(4).then_some(MemorySeen { held_bytes: wish.held, stalled: wish.stalled });
        window.push(Seen { at, cores: wish.cores.min(size.cu.cores()), waiting: wish.waiting, memory });
        if let Some(change) = decide(&window, size, bounds) {
            window.clear();
            size = Size { cu: change.to, since: at };
            replay.steps.push((at.as_secs_f64(), change.to.as_f64(), change.reason));
        }
        replay.sizes.push(size.cu.as_f64());
    }
    replay
}

#[test]
fn a_square_wave_is_followed_up_at_once_and_down_after_a_minute() {
    let high = |at: f64| (at / 120.0) as u64 % 2 == 1;
    let run = replay(bounds(QUARTER, 8.0), 720.0, |at| Wish::cores(if high(at) { 3.0 } else { 0.02 }));
    for start in [120.0, 360.0, 600.0] {
        let first = run.reaches(start, 0.5).unwrap();
        assert!(first <= 0.75, "first reaction after {first} s");
        // 0.25 → 0.5 → 1 → 2 → 4: what is enough for 3 processors.
        let enough = run.reaches(start, 3.0).unwrap();
        assert!(enough <= 2.25, "enough after {enough} s");
        assert_eq!(run.at(start + 110.0), 4.0, "3 of 4 processors are below 80 %: no overshoot");
        assert_eq!(run.changes(start, start + 120.0), 4, "four doublings, then rest: {:?}", run.steps);
    }
    for start in [240.0, 480.0] {
        assert_eq!(run.at(start + 59.0), 4.0, "not before a minute is over");
        assert_eq!(run.at(start + 63.0), QUARTER, "in one step");
    }
    assert!(run.steps.iter().all(|(.., reason)| matches!(reason, Reason::Cpu | Reason::Idle)));
}

#[test]
fn a_ramp_is_followed_without_overshoot() {
    // Up to 4 processors in two minutes, and back in two.
    let ramp = |at: f64| if at < 120.0 { at / 30.0 } else { ((240.0 - at) / 30.0).max(0.01) };
    let run = replay(bounds(QUARTER, 16.0), 400.0, |at| Wish::cores(ramp(at)));
    let every = SAMPLE_EVERY.as_secs_f64();
    for (index, sizes) in run.sizes.windows(2).enumerate().skip(8) {
        let (at, size) = (index as f64 * every, sizes[0]);
        if at < 120.0 {
            assert!(
                size <= (ramp(at) / HIGH * 2.0).max(0.5),
                "{size} is too much at {at} s for {}",
                ramp(at)
            );
            assert!(size * 1.02 >= ramp(at), "{size} is too small at {at} s for {}", ramp(at));
        } else if at > 121.0 {
            assert!(sizes[1] <= size, "grew on the way down, at {at} s: {:?}", run.steps);
        }
    }
    assert_eq!(run.sizes.last(), Some(&QUARTER));
    // Up by doubling (0.25 to 8 at most), down in a few steps.
    assert!(run.steps.len() <= 5 + 5, "{:?}", run.steps);
}

#[test]
fn a_train_of_spikes_does_not_make_it_flap() {
    // A quarter of a second of work for two processors every ten seconds, for half an hour.
    let run =
        replay(bounds(QUARTER, 4.0), 1800.0, |at| Wish::cores(if at % 10.0 < 0.25 { 2.0 } else { 0.01 }));
    let later = run.changes(180.0, 1800.0);
    assert_eq!(later, 0, "settles within three minutes: {:?}", run.steps);
    // Spikes so rare that a minute of rest lies between them: at most what each brings.
    let run =
        replay(bounds(QUARTER, 4.0), 3600.0, |at| Wish::cores(if at % 90.0 < 0.25 { 2.0 } else { 0.01 }));
    assert!(run.steps.len() <= 2 * 40, "up once and down once for each: {}", run.steps.len());
}

#[test]
fn noise_of_an_idle_database_changes_nothing() {
    let mut random = Random(7);
    let noise: Vec<f64> = (0..3600 * 4).map(|_| random.below(0.2)).collect();
    let of = |at: f64| noise[(at / SAMPLE_EVERY.as_secs_f64()) as usize];
    let run = replay(bounds(QUARTER, 4.0), 3599.0, |at| Wish::cores(of(at)));
    assert_eq!(run.steps, [], "an hour below 80 %");
    // A larger one with the same noise becomes the smallest, once.
    let run =
        replay(bounds(QUARTER, 4.0), 3599.0, |at| Wish::cores(if at < 10.0 { 4.0 } else { of(at) / 4.0 }));
    let down: Vec<_> = run.steps.iter().filter(|(.., reason)| *reason == Reason::Idle).collect();
    assert_eq!(down.len(), 1, "{:?}", run.steps);
}

#[test]
fn a_burst_of_one_sample_at_full_size_is_enough_but_half_of_it_is_not() {
    let once = |cores: f64| {
        replay(bounds(1.0, 4.0), 30.0, move |at| {
            Wish::cores(if (10.0..10.25).contains(&at) { cores } else { 0.0 })
        })
    };
    assert_eq!(once(1.0).steps, [(10.25, 2.0, Reason::Cpu)]);
    assert_eq!(once(0.9).steps, []);
}

#[test]
fn clients_that_wait_make_it_grow_to_its_largest_and_stay() {
    let waiting = |at: f64| if (5.0..65.0).contains(&at) { 3 } else { 0 };
    let run =
        replay(bounds(0.5, 2.0), 140.0, |at| Wish { cores: 0.05, waiting: waiting(at), ..Wish::default() });
    let up: Vec<_> = run.steps.iter().filter(|(at, ..)| *at < 60.0).collect();
    assert_eq!(up, [&(5.5, 1.0, Reason::PoolWait), &(6.0, 2.0, Reason::PoolWait)]);
    assert_eq!((run.at(120.0), run.at(139.0)), (2.0, 0.5), "a minute after the last one waited");
    // Who waits for a moment only is nobody's trouble.
    let run =
        replay(bounds(0.5, 2.0), 60.0, |at| Wish { waiting: u32::from(at % 1.0 < 0.25), ..Wish::default() });
    assert_eq!(run.steps, []);
}

#[test]
fn memory_makes_it_grow_and_keeps_it_from_shrinking() {
    let gib = 1_u64 << 30;
    let holds = |at: f64| if at >= 5.0 { 5 * gib } else { gib / 4 };
    let run =
        replay(bounds(QUARTER, 4.0), 200.0, |at| Wish { cores: 0.01, held: holds(at), ..Wish::default() });
    // 5 GiB are more than 80 % of 1, 2 and 4 GiB, but not of 8.
    assert_eq!(run.steps.iter().map(|(_, to, _)| *to).collect::<Vec<_>>(), [0.5, 1.0, 2.0]);
    assert!(run.steps.iter().all(|(.., reason)| *reason == Reason::Memory));
    assert_eq!(run.at(199.0), 2.0, "60 % of a smaller one would not hold it");
    let stalled = |at: f64| if (5.0..6.0).contains(&at) { 0.3 } else { 0.0 };
    let run = replay(bounds(QUARTER, 4.0), 30.0, |at| Wish { stalled: stalled(at), ..Wish::default() });
    assert!(run.steps.iter().any(|(.., reason)| *reason == Reason::Memory), "{:?}", run.steps);
}

#[test]
fn bounds_hold_at_once_and_before_everything_else() {
    let (window, since) = (Window::default(), Duration::ZERO);
    let at = |cu: f64| Size { cu: Cu::new(cu).unwrap(), since };
    let to = |change: Option<Change>| change.map(|change| (change.to.as_f64(), change.reason));
    assert_eq!(to(decide(&window, at(4.0), bounds(0.25, 2.0))), Some((2.0, Reason::Bounds)));
    assert_eq!(to(decide(&window, at(0.25), bounds(1.0, 2.0))), Some((1.0, Reason::Bounds)));
    assert_eq!(to(decide(&window, at(1.0), bounds(1.0, 2.0))), None);
}

/// A small generator, so that a failure repeats.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, most: f64) -> f64 {
        self.next() as f64 / (1_u64 << 31) as f64 * most
    }
}

/// Any load at all: pieces of random length and height, with queues and memory now and then.
fn any_load(seed: u64, seconds: usize) -> Vec<Wish> {
    let mut random = Random(seed);
    let mut load = Vec::new();
    while load.len() < seconds * 4 {
        let length = 1 + random.next() % if random.next().is_multiple_of(3) { 400 } else { 12 };
        let wish = Wish {
            cores: if random.next().is_multiple_of(2) { random.below(8.0) } else { random.below(0.3) },
            waiting: if random.next().is_multiple_of(8) { 5 } else { 0 },
            held: if random.next().is_multiple_of(8) { random.next() % (20 << 30) } else { 1 << 20 },
            stalled: if random.next().is_multiple_of(16) { random.below(1.0) } else { 0.0 },
        };
        load.extend((0..length).map(|_| wish));
    }
    load
}

#[test]
fn rules_hold_for_any_load() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let min = 0.25 * (1 + random.next() % 8) as f64;
        let bounds = bounds(min, min + random.below(12.0));
        let load = any_load(seed, 900);
        let run = replay(bounds, 899.0, |at| load[(at / SAMPLE_EVERY.as_secs_f64()) as usize]);
        let (mut before, mut since) = (min, 0.0);
        for (at, to, reason) in &run.steps {
            let told = format!("seed {seed}, {reason:?} to {to} at {at} s: {:?}", run.steps);
            assert!((bounds.min.as_f64()..=bounds.max.as_f64()).contains(to), "{told}");
            match reason {
                Reason::Idle => assert!(*to < before && at - since >= IDLE_FOR.as_secs_f64(), "{told}"),
                Reason::Bounds => panic!("{told}"),
                _ => {
                    assert!(*to > before && *to <= before * 2.0 + 0.0011, "{told}");
                    assert!(at - since >= DOUBLE_EVERY.as_secs_f64(), "{told}");
                }
            }
            (before, since) = (*to, *at);
        }
    }
}

#[test]
fn a_steady_load_comes_to_rest_where_it_is_served() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let (bounds, wanted) = (bounds(QUARTER, 8.0), random.below(7.0));
        // From wherever the first minute left it.
        let start = random.below(8.0);
        let run = replay(bounds, 400.0, |at| Wish::cores(if at < 60.0 { start } else { wanted }));
        let end = *run.sizes.last().unwrap();
        assert!(end >= wanted.min(8.0), "seed {seed}: {end} for {wanted}");
        assert_eq!(run.changes(200.0, 400.0), 0, "seed {seed}: {wanted} after {start}: {:?}", run.steps);
    }
}
