//! Work on definitions: tables are made, filled, changed, renamed, emptied and dropped. What must be
//! there is kept in `tables_made` by the same transaction. Each client has tables of its own, so
//! that clients do not wait for each other.

use super::super::ledger::Id;
use super::super::seed::Seed;
use super::{Work, sql};

/// Tables of one client.
const TABLES: u64 = 5;

/// One of them.
pub(super) fn any(draw: &mut Seed, (client, n): Id) -> Work {
    let name = |place: u64| format!("made_{client}_{place}");
    let place = draw.below(TABLES);
    let (table, other) = (name(place), name((place + 1) % TABLES));
    let (kind, statements) = match draw.below(10) {
        0..4 => ("make", make(&table, draw.between(0, 3000))),
        4 => ("drop", vec![format!("drop table if exists {table}"), forget(&table)]),
        5 => ("rename", rename(&table, &other)),
        6 => ("empty", empty(&table)),
        7 => (
            "widen",
            vec![
                format!("alter table if exists {table} add column if not exists c{n} text default 'given'"),
                format!("alter table if exists {table} drop column if exists c{}", (n - 7).max(0)),
            ],
        ),
        8 => (
            "rewrite",
            vec![format!(
                "alter table if exists {table} alter column n type {}",
                draw.one_of(&["int", "bigint"])
            )],
        ),
        _ => (
            "swap",
            vec![
                format!("alter table if exists {table} set unlogged"),
                format!("alter table if exists {table} set logged"),
            ],
        ),
    };
    Work::new(kind, 0, statements.into_iter().map(sql).collect())
}

fn make(table: &str, rows: u64) -> Vec<String> {
    vec![
        format!("drop table if exists {table}"),
        format!("create table {table}(n int primary key, t text)"),
        format!("insert into {table} select g, md5(g::text) from generate_series(1, {rows}) g"),
        format!("create index on {table}(t)"),
        format!(
            "insert into tables_made values ('{table}', {rows}) \
             on conflict (name) do update set rows = excluded.rows"
        ),
    ]
}

fn forget(table: &str) -> String {
    format!("delete from tables_made where name = '{table}'")
}

fn rename(table: &str, to: &str) -> Vec<String> {
    vec![
        format!("drop table if exists {to}"),
        forget(to),
        format!("alter table if exists {table} rename to {to}"),
        format!("update tables_made set name = '{to}' where name = '{table}'"),
    ]
}

fn empty(table: &str) -> Vec<String> {
    vec![
        format!("do $$ begin if to_regclass('{table}') is not null then truncate {table}; end if; end $$"),
        format!("update tables_made set rows = 0 where name = '{table}'"),
    ]
}
