//! Work on rows: the bank, large values, a sequence, savepoints, an unlogged table, vectors.

use super::super::ledger::Id;
use super::super::seed::Seed;
use super::schema::ACCOUNTS;
use super::{Step, Work, sql};

/// Text that does not compress, about `kilobytes` long, from a name; PostgreSQL makes it.
fn noise(name: &str, kilobytes: u64) -> String {
    format!("(select string_agg(md5('{name}' || g), '') from generate_series(1, {}) g)", kilobytes * 32)
}

/// Moves money between accounts, the lower number first so that nobody waits in a circle.
pub(super) fn transfer(draw: &mut Seed, _id: Id) -> Work {
    let (a, amount) = (draw.below(ACCOUNTS), draw.between(1, 50));
    let b = (a + draw.between(1, ACCOUNTS - 1)) % ACCOUNTS;
    let mut steps: Vec<(u64, String)> = vec![(a, format!("- {amount}")), (b, format!("+ {amount}"))];
    steps.sort();
    let one = |(id, change): (u64, String)| {
        sql(format!("update accounts set balance = balance {change} where id = {id}"))
    };
    Work::new("transfer", 0, steps.into_iter().map(one).collect())
}

/// A row that does not fit on a page; sometimes an older one is changed or goes.
pub(super) fn large(draw: &mut Seed, (client, n): Id) -> Work {
    let payload = noise(&format!("{client}.{n}"), draw.between(1, 90));
    let mut steps = vec![sql(format!(
        "insert into large select {client}, {n}, p, md5(p) from (select {payload} as p) made"
    ))];
    if draw.percent(25) {
        let other = draw.below(u64::try_from(n.max(1)).unwrap());
        steps.push(sql(format!(
            "update large set payload = payload || 'x', hash = md5(payload || 'x') \
             where client = {client} and n = {other}"
        )));
    }
    Work::new("large", 1, steps)
}

/// Numbers of a sequence, which must never come twice.
pub(super) fn sequence(draw: &mut Seed, (client, n): Id) -> Work {
    let rows = draw.between(1, 8);
    let take = format!(
        "insert into numbered select nextval('numbers'), {client}, {n} from generate_series(1, {rows})"
    );
    Work::new("sequence", rows, vec![sql(take)])
}

/// Parts that are taken back, and parts that are not.
pub(super) fn savepoints(draw: &mut Seed, (client, n): Id) -> Work {
    let (mut steps, mut rows) = (Vec::new(), 0);
    for part in 0..draw.between(2, 12) {
        let many = draw.between(1, 20);
        steps.push(sql(format!("savepoint p{part}")));
        steps.push(sql(format!(
            "insert into bulk select {client}, {n}, {part} * 100 + g, 'savepoint' \
             from generate_series(1, {many}) g"
        )));
        if draw.percent(40) {
            steps.push(sql(format!("rollback to savepoint p{part}")));
        } else {
            rows += many;
        }
    }
    Work::new("savepoints", rows, steps)
}

/// Rows of an unlogged table: a crash or a branch may take all of them, and nothing else happens.
pub(super) fn unlogged(_draw: &mut Seed, (client, n): Id) -> Work {
    let add = format!("insert into scratch select {client}, {n}, g from generate_series(1, 100) g");
    Work::new("unlogged", 0, vec![sql(add)])
}

/// A vector in an HNSW index.
pub(super) fn vector(draw: &mut Seed, (client, n): Id) -> Work {
    let numbers: Vec<String> = (0..8).map(|_| draw.below(100).to_string()).collect();
    let steps: Vec<Step> =
        vec![sql(format!("insert into vectors values ({client}, {n}, '[{}]')", numbers.join(",")))];
    Work::new("vector", 1, steps)
}
