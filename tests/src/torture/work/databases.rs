//! CREATE DATABASE with both strategies, which write a whole directory and log it in two ways, and
//! DROP DATABASE. Neither can be part of a transaction: a database is noted after it was made and
//! forgotten before it is dropped, so each noted one must exist.

use super::super::ledger::Id;
use super::super::seed::Seed;
use super::{Step, Work, sql};

/// Makes one.
pub(super) fn create(draw: &mut Seed, (client, n): Id) -> Work {
    let name = format!("db_{client}_{n}");
    let strategy = *draw.one_of(&["wal_log", "file_copy"]);
    let note = sql(format!("insert into databases_made values ('{name}')"));
    let mut work = Work::new("create_db", 0, vec![note]);
    work.before = vec![sql(format!("create database {name} template origin strategy {strategy}"))];
    work
}

/// Drops the client's oldest one, if there is any.
pub(super) fn drop(_draw: &mut Seed, (client, _): Id) -> Work {
    let mine = format!("name like 'db\\_{client}\\_%'");
    let forget = format!(
        "delete from databases_made where name = (select min(name) from databases_made where {mine})"
    );
    let mut work = Work::new("drop_db", 0, vec![sql(forget)]);
    work.after = vec![Step::DropForgotten(client)];
    work
}
