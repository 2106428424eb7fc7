//! When projects are looked at, and what becomes of their figures.

use super::*;

const BEFORE: Fingerprint = (1, 7);

fn project(number: usize) -> ProjectId {
    format!("p-{number:03}").parse().unwrap()
}

fn weight(logical: u64, storage: u64) -> Weight {
    Weight {
        branch: "br-x".parse().unwrap(),
        endpoints: vec!["ep-one".parse().unwrap()],
        logical,
        storage,
        history: 0,
    }
}

/// Looks every second of a time, and tells when a look was due.
fn looks(scale: &mut Scale, now: Fingerprint, awake: bool, seconds: std::ops::Range<u64>) -> Vec<u64> {
    let all = HashMap::from([(project(0), now)]);
    let awake: HashSet<ProjectId> = awake.then(|| project(0)).into_iter().collect();
    let mut found = Vec::new();
    for second in seconds {
        for due in scale.due(&all, &awake, second) {
            scale.learn(due, Some(vec![weight(10, 10)]), second);
            found.push(second);
        }
    }
    found
}

#[test]
fn who_changed_or_fell_asleep_is_looked_at_soon_and_who_sleeps_rarely() {
    let mut scale = Scale::default();
    assert_eq!(looks(&mut scale, BEFORE, true, 0..700), [0, 300, 600], "awake");
    assert_eq!(looks(&mut scale, BEFORE, false, 700..40_000), [700, 760, 1360, 22_960], "asleep");
    assert_eq!(looks(&mut scale, (2, 8), false, 40_000..41_000), [40_000, 40_060, 40_660], "a new branch");
    assert_eq!(looks(&mut scale, (2, 8), true, 50_000..50_001), [50_000], "it woke after a long time");
}

#[test]
fn nobody_is_forgotten_and_a_start_is_spread() {
    let mut scale = Scale::default();
    let all: HashMap<ProjectId, Fingerprint> = (0..50).map(|n| (project(n), BEFORE)).collect();
    for second in 0..13 {
        let due = scale.due(&all, &HashSet::new(), second);
        assert_eq!(due.len(), if second < 12 { AT_ONCE } else { 2 }, "{second}");
        assert!(scale.server(50).is_none(), "not before all of them are known");
        due.into_iter().for_each(|due| scale.learn(due, Some(vec![weight(10, 4)]), second));
    }
    assert_eq!(scale.server(50).map(|(_, bytes, _)| bytes), Some(500.0));
    assert_eq!(scale.held().billed(&Subject::Server), 200);
    let one = HashMap::from([(project(7), BEFORE)]);
    assert!(scale.keep(&one) && !scale.keep(&one));
    assert_eq!(scale.server(1).map(|(_, bytes, _)| bytes), Some(10.0), "the others are gone");
}

#[test]
fn a_store_that_does_not_answer_leaves_the_last_figures_and_is_asked_again() {
    let mut scale = Scale::default();
    let all = HashMap::from([(project(0), BEFORE)]);
    let look = |scale: &mut Scale, now, measured: Option<Vec<Weight>>| {
        let due = scale.due(&all, &HashSet::new(), now).pop();
        due.map(|due| scale.learn(due, measured, now)).is_some()
    };
    assert!(look(&mut scale, 0, None));
    assert!(scale.samples(0).is_empty() && scale.server(1).is_none());
    assert!(look(&mut scale, 60, Some(vec![weight(30, 20)])));
    assert!(look(&mut scale, 660, None) && look(&mut scale, 720, None), "and not in six hours");
    assert_eq!(scale.server(1).map(|(_, bytes, _)| bytes), Some(30.0));
    let held = scale.held();
    let endpoint = Subject::Endpoint("ep-one".parse().unwrap());
    assert_eq!((held.billed(&endpoint), held.logical(&"br-x".parse().unwrap())), (20, Some(30)));
    assert_eq!((held.billed(&Subject::Server), held.logical(&"br-y".parse().unwrap())), (20, None));
}

#[test]
fn the_statistics_are_told_what_is_new_and_once_an_hour() {
    let mut scale = Scale::default();
    let told =
        |scale: &mut Scale, now| scale.samples(now).iter().map(|(_, bytes, _)| *bytes).collect::<Vec<_>>();
    looks(&mut scale, BEFORE, false, 0..1);
    assert_eq!(told(&mut scale, 0), [10.0, 10.0], "the project and its endpoint");
    assert!(told(&mut scale, 59).is_empty());
    looks(&mut scale, BEFORE, false, 60..61);
    assert_eq!(told(&mut scale, 60).len(), 2);
    assert!(told(&mut scale, 3659).is_empty());
    assert_eq!(told(&mut scale, 3660).len(), 2, "without a look");
    assert!(told(&mut scale, 3661).is_empty());
}

#[test]
fn shared_data_is_counted_where_it_comes_from() {
    let of = |has_parent, sizes| {
        let weight = Weight::of("br-x".parse().unwrap(), has_parent, Vec::new(), sizes);
        (weight.logical, weight.storage, weight.history)
    };
    let sizes = Sizes { logical: 1000, own: 300, history: 50 };
    assert_eq!(of(false, sizes), (1000, 1000, 50));
    assert_eq!(of(true, sizes), (1000, 250, 50));
    assert_eq!(of(true, Sizes { own: 9000, ..sizes }), (1000, 1000, 50), "never more than all of it");
    assert_eq!(of(true, Sizes::default()), (0, 0, 0));
}

#[test]
fn a_disk_is_between_empty_and_full() {
    let (_, percent, _) = disk(Path::new("/")).unwrap();
    assert!(percent > 0.0 && percent <= 100.0, "{percent}");
}
