//! What clients know against what the database says.

use std::collections::BTreeSet;

use tokio_postgres::{Client, Error};

use super::super::history::{Life, Verdict};
use super::super::ledger::Id;
use super::super::world::World;

/// So many are named when many are wrong.
const NAMED: usize = 6;

/// Compares the rows of `ledger` with the verdict on each transaction.
pub(super) async fn compare(world: &World, client: &Client, life: Life, name: &str) -> Result<(), Error> {
    // Known before reading must be there; what is read may have been acknowledged meanwhile.
    let known = world.ledger.entries();
    let rows = client.query("select client, n from ledger", &[]).await?;
    let present: BTreeSet<Id> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let known_now = world.ledger.entries();
    let history = world.history.lock().unwrap();
    let lost: Vec<Id> = known
        .iter()
        .filter(|(id, entry)| history.verdict(entry, life) == Verdict::Must && !present.contains(id))
        .map(|(id, _)| *id)
        .collect();
    let wrong: Vec<Id> = present
        .iter()
        .filter(|id| known_now.get(id).is_none_or(|entry| history.verdict(entry, life) == Verdict::MustNot))
        .copied()
        .collect();
    drop(history);
    if !lost.is_empty() {
        let first: Vec<_> = lost.iter().take(NAMED).map(|id| (id, known[id])).collect();
        world.complain(
            "check",
            &format!("{name}: {} acknowledged transactions are LOST: {first:?}", lost.len()),
        );
    }
    if !wrong.is_empty() {
        let first: Vec<_> = wrong.iter().take(NAMED).map(|id| (id, known_now.get(id))).collect();
        world
            .complain("check", &format!("{name}: {} transactions must NOT be there: {first:?}", wrong.len()));
    }
    Ok(())
}
