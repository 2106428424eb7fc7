//! What clients do: each kind of work is a list of statements, made from a stream of numbers and
//! nothing else. Running them, and keeping the ledger, is [`super::client`]'s.
//!
//! Every piece of work leaves a row in the table `ledger` in the same transaction as its own rows, so
//! a database can be checked against itself ([`super::check::consistency`]) and against what the
//! clients know. A new kind of work is a function here and, if it leaves something to check, a
//! query there.

mod bulk;
mod databases;
mod rows;
pub(crate) mod schema;
mod tables;
mod upkeep;

use super::ledger::Id;
use super::options::Plan;
use super::seed::Seed;

/// One statement, or data for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Any SQL.
    Sql(String),
    /// `COPY … FROM STDIN`, with its data.
    Copy(String, Vec<u8>),
    /// DROP DATABASE for each of this client's that is noted nowhere.
    DropForgotten(i32),
}

/// How the transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// COMMIT.
    Commit,
    /// PREPARE TRANSACTION, COMMIT PREPARED.
    TwoPhases,
    /// There is none: the statements stand alone, and nobody counts on them.
    None,
}

/// A piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Work {
    /// What a person calls it; stored in the ledger.
    pub(crate) kind: &'static str,
    /// Rows that it leaves where its kind is counted.
    pub(crate) rows: u64,
    /// Outside of any transaction, before it; all must succeed.
    pub(crate) before: Vec<Step>,
    /// Inside.
    pub(crate) steps: Vec<Step>,
    /// Outside, after it; errors do not matter.
    pub(crate) after: Vec<Step>,
    /// How it ends.
    pub(crate) end: End,
}

impl Work {
    fn new(kind: &'static str, rows: u64, steps: Vec<Step>) -> Self {
        Self { kind, rows, before: Vec::new(), steps, after: Vec::new(), end: End::Commit }
    }
}

fn sql(text: impl Into<String>) -> Step {
    Step::Sql(text.into())
}

/// What the database offers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Abilities {
    /// pgvector.
    pub(crate) vector: bool,
    /// There is room for bulk loads.
    pub(crate) room: bool,
}

/// Draws the next piece of work of a client.
pub(crate) fn next(draw: &mut Seed, id: Id, plan: &Plan, can: Abilities) -> Work {
    type Maker = fn(&mut Seed, Id) -> Work;
    let bulky = u64::from(can.room);
    let choices: [(u64, Maker); 13] = [
        (30, rows::transfer),
        (14, rows::large),
        (6, rows::sequence),
        (6, rows::savepoints),
        (4, rows::unlogged),
        (4 * u64::from(can.vector), rows::vector),
        (12, tables::any),
        (3 * bulky, bulk::copy),
        (2 * bulky, bulk::big_transaction),
        (4, bulk::purge),
        (3 * bulky, databases::create),
        (2, databases::drop),
        (8, upkeep::any),
    ];
    let make = draw.weighted(&choices);
    let mut work = make(draw, id);
    let plain = work.end == End::Commit && work.before.is_empty() && work.after.is_empty();
    if plain && plan.prepared > 0 && can_be_prepared(work.kind) && draw.percent(12) {
        work.end = End::TwoPhases;
    }
    work
}

/// Work that holds no lock which would stop all others while it waits for its second phase.
fn can_be_prepared(kind: &str) -> bool {
    matches!(kind, "large" | "sequence" | "savepoints" | "big")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_stream_makes_the_same_work_and_all_kinds_come() {
        let plan = Plan { prepared: 5, ..Plan::of(&Seed::new(1), None) };
        let all = Abilities { vector: true, room: true };
        let make = || {
            let mut draw = Seed::new(9);
            (0..500).map(|n| next(&mut draw, (1, n), &plan, all)).collect::<Vec<_>>()
        };
        let works = make();
        assert_eq!(works, make());
        let mut kinds: Vec<&str> = works.iter().map(|work| work.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let wanted = ["big", "copy", "create_db", "drop_db", "large", "purge", "savepoints", "sequence"];
        assert!(wanted.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
        assert!(works.iter().any(|work| work.end == End::TwoPhases));
    }
}
