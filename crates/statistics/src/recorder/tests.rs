//! What is recorded comes back: from memory, from the file, after a restart, and not longer than it is kept.

use dormouse_api::statistics::Statistic;

use super::*;
use crate::store::FILE;
use crate::tier::start_of;

/// The beginning of an hour.
const HOUR: i64 = 1_800_000_000;

fn key(metric: Metric) -> Key {
    Key { subject: Subject::Endpoint("ep-quiet-meadow-k3v9x2ab".parse().unwrap()), metric }
}

fn cpu() -> Key {
    key(Metric::CpuUtilization)
}

fn ask(recorder: &Recorder, period: i64, from: i64, to: i64, now: i64) -> Vec<(i64, u64, f64)> {
    let question =
        Question { keys: vec![cpu()], from, to, period: Some(period), statistics: Statistic::ALL.to_vec() };
    let (_, points) = recorder.ask(&question, now).unwrap().series.remove(0);
    points.iter().map(|p| (p.timestamp.as_second(), p.sample_count, p.average.unwrap())).collect()
}

#[test]
fn every_length_of_periods_has_every_sample_whether_written_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::open(dir.path()).unwrap();
    for second in 0..120 {
        recorder.record(HOUR + second, [(cpu(), second as f64, 1)]);
        if second % 17 == 0 {
            recorder.flush(HOUR + second).unwrap();
        }
    }
    let now = HOUR + 120;
    for flushed in [false, true] {
        if flushed {
            recorder.flush(now).unwrap();
        }
        let tens = ask(&recorder, 10, HOUR, now, now);
        assert_eq!((tens.len(), tens[0], tens[11]), (12, (HOUR, 10, 4.5), (HOUR + 110, 10, 114.5)));
        assert_eq!(ask(&recorder, 60, HOUR, now, now), [(HOUR, 60, 29.5), (HOUR + 60, 60, 89.5)]);
        assert_eq!(ask(&recorder, 120, HOUR, now, now), [(HOUR, 120, 59.5)]);
        assert_eq!(ask(&recorder, 3600, HOUR, now, now), [(HOUR, 120, 59.5)]);
    }
    assert_eq!(recorder.counts().unwrap().kept, 1);
}

#[test]
fn a_restart_loses_only_what_was_not_flushed_and_counts_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::open(dir.path()).unwrap();
    recorder.record(HOUR, [(cpu(), 10.0, 3)]);
    recorder.flush(HOUR).unwrap();
    recorder.record(HOUR + 1, [(cpu(), 99.0, 1)]);
    drop(recorder);

    let recorder = Recorder::open(dir.path()).unwrap();
    let now = HOUR + 5;
    assert_eq!(ask(&recorder, 10, HOUR, now, now), [(HOUR, 3, 10.0)]);
    recorder.record(HOUR + 4, [(cpu(), 50.0, 1)]);
    for _ in 0..2 {
        assert_eq!(ask(&recorder, 10, HOUR, now, now), [(HOUR, 4, 20.0)], "before and after a flush");
        assert_eq!(recorder.period(&cpu(), 1, HOUR).unwrap().unwrap().count(), 4);
        recorder.flush(now).unwrap();
    }
    drop(recorder);
    let recorder = Recorder::open(dir.path()).unwrap();
    assert_eq!(ask(&recorder, 3600, HOUR, now, now), [(HOUR, 4, 20.0)]);
    // A rule that looks at the hour finds it, though nothing was measured since.
    assert_eq!(recorder.subjects(Metric::CpuUtilization, HOUR), [cpu().subject]);
    assert!(recorder.period(&cpu(), 0, HOUR + 10).unwrap().is_none());
    assert_eq!(recorder.period(&cpu(), 3, HOUR).unwrap().unwrap().count(), 4);
}

#[test]
fn what_is_old_goes_and_what_it_took_stays_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::open(dir.path()).unwrap();
    let days = 17;
    // A sample a minute; with one every second it would be as many rows.
    let mut now = HOUR;
    while now < HOUR + days * 86_400 {
        recorder.record(now, [(cpu(), 1.0, 1)]);
        now += 60;
        if now % 300 == 0 {
            recorder.flush(now).unwrap();
        }
        if now % 3600 == 0 {
            recorder.trim(now).unwrap();
        }
    }
    let rows = |tier: usize| -> i64 {
        let db = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
        db.query_row("SELECT count(*) FROM samples WHERE tier = ?1", [tier as i64], |row| row.get(0)).unwrap()
    };
    for (number, tier) in TIERS.iter().enumerate() {
        let most = tier.kept / tier.seconds.max(60) + 2;
        assert!((most - 2..=most).contains(&rows(number)), "{number}: {} of {most}", rows(number));
    }
    assert!(recorder.counts().unwrap().bytes < 1 << 20);
    let fifteen = ask(&recorder, 86_400, now - 15 * 86_400, now, now);
    assert_eq!(fifteen.iter().map(|(_, count, _)| count).sum::<u64>() / 1440, 15);
    // Nothing more comes: in the end even the series is gone.
    recorder.trim(now + 16 * 86_400).unwrap();
    assert_eq!(recorder.counts().unwrap().kept, 0);
}

#[test]
fn who_was_measured_longest_ago_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::open(dir.path()).unwrap();
    let of =
        |number: i64| Key { subject: Subject::Endpoint(format!("ep-x{number}").parse().unwrap()), ..cpu() };
    for number in 0..10 {
        let at = HOUR + number * 3600;
        recorder.record(at, [(of(number), 1.0, 1), (of(0), 2.0, 1)]);
        recorder.flush(at).unwrap();
    }
    let now = HOUR + 10 * 3600;
    recorder.inner.store.trim(now, 4).unwrap();
    let left: Vec<i64> = (0..10)
        .filter(|number| {
            let place = Place { key: of(*number), tier: 3, start: HOUR + number * 3600 };
            recorder.inner.store.read(&[place]).unwrap()[0].is_some()
        })
        .collect();
    assert_eq!(left, [0, 7, 8, 9], "the first is measured to this day");
    assert_eq!(recorder.counts().unwrap().kept, 4);
}

#[test]
fn who_is_not_kept_is_not_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::open(dir.path()).unwrap();
    let of =
        |number: usize| Key { subject: Subject::Endpoint(format!("ep-x{number}").parse().unwrap()), ..cpu() };
    recorder.record(HOUR, (0..=crate::book::MAX_OPEN).map(|number| (of(number), 1.0, 1)));
    assert_eq!(recorder.take_dropped(), 1);
    assert_eq!(recorder.subjects(Metric::CpuUtilization, HOUR).len(), crate::book::MAX_OPEN);
}

#[test]
fn whoever_was_not_measured_is_not_looked_for_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::open(dir.path()).unwrap();
    recorder.record(HOUR + 5, [(cpu(), 7.0, 1)]);
    assert_eq!(recorder.period(&cpu(), 0, HOUR).unwrap().unwrap().count(), 1);
    assert!(recorder.period(&cpu(), 0, HOUR + 10).unwrap().is_none());
    assert!(recorder.period(&key(Metric::StorageUsed), 0, HOUR).unwrap().is_none());
    assert_eq!(recorder.subjects(Metric::CpuUtilization, HOUR), [cpu().subject]);
    assert!(recorder.subjects(Metric::CpuUtilization, HOUR + 6).is_empty());
}

#[test]
fn a_file_that_cannot_be_read_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE);
    std::fs::write(&file, "this is not SQLite, but long enough to be looked at as if it were").unwrap();
    let recorder = Recorder::open(dir.path()).unwrap();
    recorder.record(HOUR, [(cpu(), 1.0, 1)]);
    recorder.flush(HOUR).unwrap();
    assert!(dir.path().join(format!("{FILE}.unreadable")).exists());
    let newer = rusqlite::Connection::open(&file).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop((recorder, newer));
    assert_eq!(
        Recorder::open(dir.path()).unwrap().counts().unwrap().kept,
        0,
        "a format that nobody knows, too"
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_full_book_drops_and_counts() {
    let mut book = Book::default();
    for number in 0..=crate::book::MAX_OPEN {
        let id = format!("ep-x{number}").parse().unwrap();
        book.record(&Key { subject: Subject::Endpoint(id), metric: Metric::StorageUsed }, HOUR, 1.0, 1);
    }
    assert_eq!((book.len(), book.take_dropped(), book.take_dropped()), (crate::book::MAX_OPEN, 1, 0));
    // A file that cannot be written: the book does not grow without end.
    let mut book = Book::default();
    for second in 0..1000 {
        book.record(&cpu(), HOUR + second, 1.0, 1);
    }
    assert_eq!(book.of(&cpu(), 0).count(), crate::book::MAX_UNWRITTEN);
    assert_eq!(book.take_dropped(), (1000 - 60) + (11 * 60), "of the two shortest lengths");
    assert_eq!(
        book.of(&cpu(), 3).next().map(|(start, summary, _)| (start, summary.count())),
        Some((start_of(HOUR, 3600), 1000))
    );
}

/// What 20 active endpoints of 20 projects cost: every second nine metrics of each, flushed every ten seconds, with a
/// thousand sleeping ones of which storage is known. The figure is printed; the limit is for a busy machine and a debug build.
#[test]
fn a_busy_server_costs_little() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::open(dir.path()).unwrap();
    let active: Vec<Subject> = (0..20)
        .flat_map(|n| {
            [
                Subject::Endpoint(format!("ep-active-{n}").parse().unwrap()),
                Subject::Project(format!("project-{n}").parse().unwrap()),
            ]
        })
        .chain([Subject::Server])
        .collect();
    let asleep: Vec<Key> = (0..1000)
        .map(|n| Subject::Endpoint(format!("ep-asleep-{n}").parse().unwrap()))
        .map(|subject| Key { subject, metric: Metric::StorageUsed })
        .collect();
    let seconds = 300;
    let start = cpu_time();
    for second in 0..seconds {
        let at = HOUR + second;
        let samples = active.iter().flat_map(|subject| {
            let key = |metric| Key { subject: subject.clone(), metric };
            Metric::ALL[..9].iter().map(move |metric| (key(*metric), (second % 97) as f64 + 0.5, 1))
        });
        recorder.record(at, samples);
        if second % 10 == 9 {
            // The hour's share of those that sleep.
            let part = asleep.iter().skip((second / 10 * 3) as usize).take(3);
            recorder.record(at, part.map(|key| (key.clone(), 1e9, 1)));
            recorder.flush(at).unwrap();
        }
    }
    let used = cpu_time() - start;
    let percent = 100.0 * used.as_secs_f64() / seconds as f64;
    let counts = recorder.counts().unwrap();
    println!("{percent:.2} % of a core; {counts:?}");
    assert!(percent < 5.0, "{percent} % of a core");
}

/// CPU of this thread: other tests run beside it.
fn cpu_time() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}
