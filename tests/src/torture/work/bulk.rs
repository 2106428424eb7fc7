//! Work in bulk: COPY of megabytes, one transaction with very many rows, and taking rows away again.

use std::fmt::Write;

use super::super::ledger::Id;
use super::super::seed::Seed;
use super::{Step, Work, sql};

/// COPY, one to six megabytes.
pub(super) fn copy(draw: &mut Seed, (client, n): Id) -> Work {
    let rows = draw.between(1, 6) * 10_000;
    let mut data = String::new();
    for k in 0..rows {
        let noise = draw.next();
        let _never = writeln!(data, "{client}\t{n}\t{k}\t{noise:016x}{noise:064}");
    }
    let load = Step::Copy("copy bulk from stdin".to_owned(), data.into_bytes());
    Work::new("copy", rows, vec![load])
}

/// Many rows in many subtransactions: the commit record has a long list of them.
pub(super) fn big_transaction(draw: &mut Seed, (client, n): Id) -> Work {
    let parts = draw.between(80, 400);
    let each = 50;
    let fill = format!(
        "do $$ begin for part in 1..{parts} loop begin \
         insert into bulk select {client}, {n}, part * 1000 + g, 'big' from generate_series(1, {each}) g; \
         exception when unique_violation then null; end; end loop; end $$"
    );
    Work::new("big", parts * each, vec![sql(fill)])
}

/// Takes the rows of this client's older loads away; nothing is left to count of those.
pub(super) fn purge(draw: &mut Seed, (client, n): Id) -> Work {
    let until = i64::from(n) - i64::try_from(draw.between(10, 60)).unwrap();
    let steps = vec![
        sql(format!("delete from bulk where client = {client} and n < {until}")),
        sql(format!(
            "update ledger set rows = 0 where client = {client} and n < {until} \
             and kind in ('copy', 'big', 'savepoints') and rows > 0"
        )),
    ];
    Work::new("purge", 0, steps)
}
