//! What is kept, and that a report adds up to what there was, whatever is asked for.

use dormouse_base::{ProjectId, rand};

use super::*;
use crate::db::migrations;
use crate::metering::report::{Span, kept_since, ranges, widened};

/// A branch of which every hour of some time is known, and what it used.
struct Story {
    db: Connection,
    branch: BranchId,
    /// Milliseconds, by hour since the first.
    truth: Vec<u64>,
    first: Hour,
}

fn second(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn story(from: &str, hours: usize) -> Story {
    let mut db = Connection::open_in_memory().unwrap();
    migrations::run(&mut db).unwrap_or_else(|_| panic!("the schema"));
    let (project, branch) = (ProjectId::generate(), BranchId::generate());
    db.execute("INSERT INTO projects VALUES (?1, 'p', 18, '{}', 0, 0, 0)", [project.as_str()]).unwrap();
    db.execute(
        "INSERT INTO branches (id, project_id, name, is_default, ready, owner, created_at, updated_at, storage_id)
         VALUES (?1, ?2, 'main', 0, 1, 'o', 0, 0, ?1)",
        [branch.as_str(), project.as_str()],
    )
    .unwrap();
    let first = Hour::of(second(from));
    let truth: Vec<u64> = (0..hours).map(|_| u64::from(u16::from_le_bytes(rand::bytes()))).collect();
    let gain = |(n, ms): (usize, &u64)| {
        let hour = Hour(first.0 + i64::try_from(n).unwrap());
        (Account::Branch(branch.clone()), hour, Gain { active_ms: *ms, ..Gain::default() })
    };
    let gains = truth.iter().enumerate().map(gain).collect();
    let batch = Batch { number: 1, gains, marks: Vec::new(), levels: Vec::new() };
    assert!(store(&db, &batch, second(from)).unwrap());
    Story { db, branch, truth, first }
}

impl Story {
    /// What the truth says of a time of whole hours, milliseconds.
    fn naive(&self, span: Span) -> u64 {
        let place = |at: Timestamp| usize::try_from(Hour::of(at).0 - self.first.0).unwrap_or(0);
        let end = place(span.to).min(self.truth.len());
        self.truth[place(span.from).min(end)..end].iter().sum()
    }

    /// What a report says of it.
    fn told(&self, span: Span, now: Timestamp) -> u64 {
        let found = by_branch(&self.db, &ranges(span, now), &Filter::Branch(self.branch.clone())).unwrap();
        let seconds: f64 = found.iter().map(|(_, used)| used.totals.active_seconds).sum();
        (seconds * 1000.0).round() as u64
    }
}

#[test]
fn whatever_is_asked_for_adds_up_although_the_old_is_pruned() {
    // 14 months and some days, up to now, which is in the middle of everything.
    let (begin, now) = ("2025-09-20T00:00:00Z", second("2026-11-26T10:30:00Z"));
    let hours = usize::try_from(Hour::of(now).0 - Hour::of(second(begin)).0 + 1).unwrap();
    let story = story(begin, hours);
    prune(&story.db, now).unwrap();
    let count = |grain| -> i64 {
        let sql = "SELECT count(*) FROM usage WHERE grain = ?1";
        story.db.query_row(sql, [number(grain)], |row| row.get(0)).unwrap()
    };
    // Hours since 22 October 00:00, days since 1 October 2025, months since September 2025.
    assert_eq!(count(Granularity::Hour), 35 * 24 + 11);
    assert_eq!(count(Granularity::Day), 422);
    assert_eq!(count(Granularity::Month), 15);
    assert_eq!(kept_since(Granularity::Hour, now), second("2026-10-22T00:00:00Z"));
    assert_eq!(kept_since(Granularity::Day, now), second("2025-10-01T00:00:00Z"));
    let moment = || {
        let part = u64::from(u32::from_le_bytes(rand::bytes()));
        let passed = u64::try_from(now.as_second() - second(begin).as_second()).unwrap();
        let passed = i64::try_from(part * passed / u64::from(u32::MAX)).unwrap();
        second(begin) + jiff::SignedDuration::from_secs(passed)
    };
    // Where hours and days end, and anywhere.
    let edges =
        ["2026-10-22T10:00:00Z", "2026-10-22T12:00:00Z", "2025-10-22T10:00:00Z", "2025-10-23T00:00:00Z"];
    let edges = edges.map(second);
    for round in 0..300 {
        let (one, other) =
            if round < 16 { (edges[round / 4], edges[round % 4]) } else { (moment(), moment()) };
        let asked = Span { from: one.min(other), to: one.max(other) };
        let Ok(span) = widened(asked, None, now) else { continue };
        assert!(span.from <= asked.from && span.to >= asked.to, "{asked:?} {span:?}");
        assert_eq!(story.told(span, now), story.naive(span), "{asked:?} {span:?}");
    }
    let all = Span { from: second(begin), to: now };
    assert_eq!(story.told(widened(all, None, now).unwrap(), now), story.truth.iter().sum::<u64>());
}

#[test]
fn a_batch_is_stored_once() {
    let story = story("2026-11-01T00:00:00Z", 2);
    let gain = (Account::Branch(story.branch.clone()), story.first, Gain { wakes: 1, ..Gain::default() });
    let batch = Batch { number: 1, gains: vec![gain], marks: Vec::new(), levels: Vec::new() };
    assert!(
        !store(&story.db, &batch, second("2026-11-01T02:00:00Z")).unwrap(),
        "it has the number of another"
    );
    assert!(store(&story.db, &Batch { number: 2, ..batch.clone() }, Timestamp::UNIX_EPOCH).unwrap());
    assert!(!store(&story.db, &Batch { number: 2, ..batch }, Timestamp::UNIX_EPOCH).unwrap());
    let used = of_branch(&story.db, second("2026-11-01T00:00:00Z"), &story.branch).unwrap();
    assert_eq!(used.totals.wakes, 1);
    let since = since(&story.db).unwrap();
    assert_eq!(since, Some(second("2026-11-01T00:00:00Z")), "the ledger began with its first batch");
}
