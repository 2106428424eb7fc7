//! Upkeep: VACUUM in all its forms, REINDEX, CREATE INDEX CONCURRENTLY, CHECKPOINT, segment switches.
//! It changes files and no rows, so it is not in the ledger, and whether it succeeds does not matter.

use super::super::ledger::Id;
use super::super::seed::Seed;
use super::{End, Work, sql};

const TABLES: [&str; 5] = ["ledger", "accounts", "large", "bulk", "numbered"];

/// One of them.
pub(super) fn any(draw: &mut Seed, (client, _): Id) -> Work {
    let table = *draw.one_of(&TABLES);
    let own = format!("made_{client}_{}", draw.below(5));
    let statement = match draw.below(12) {
        0 => format!("vacuum {table}"),
        1 => format!("vacuum (full, analyze) {own}"),
        2 => format!("vacuum (full) {table}"),
        3 => format!("vacuum (freeze) {table}"),
        4 => format!("create index concurrently if not exists extra_{client} on large(n, client)"),
        5 => format!("drop index concurrently if exists extra_{client}"),
        6 => format!("reindex table {own}"),
        7 => format!("reindex table concurrently {table}"),
        8 => "checkpoint".to_owned(),
        9 => "select pg_switch_wal()".to_owned(),
        10 => "cluster large using large_pkey".to_owned(),
        _ => format!("analyze {table}"),
    };
    Work { end: End::None, ..Work::new("upkeep", 0, vec![sql(statement)]) }
}
