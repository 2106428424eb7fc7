//! The tables that work is done on.

/// Accounts of the bank.
pub(crate) const ACCOUNTS: u64 = 64;

/// What each of them begins with.
pub(crate) const BALANCE: u64 = 1000;

/// Makes everything; also a template database, so that CREATE DATABASE has something to copy.
pub(crate) fn statements() -> Vec<String> {
    vec![
        "create table ledger(client int, n int, kind text not null, rows bigint not null, \
         at timestamptz default clock_timestamp(), primary key (client, n))"
            .to_owned(),
        "create index ledger_by_kind on ledger(kind, client)".to_owned(),
        "create table accounts(id int primary key, balance bigint not null)".to_owned(),
        format!("insert into accounts select g, {BALANCE} from generate_series(0, {}) g", ACCOUNTS - 1),
        "create table large(client int, n int, payload text not null, hash text not null, \
         primary key (client, n))"
            .to_owned(),
        "create index large_by_hash on large(hash)".to_owned(),
        "create sequence numbers cache 5".to_owned(),
        "create table numbered(number bigint unique, client int, n int)".to_owned(),
        "create table bulk(client int, n int, k int, t text)".to_owned(),
        "create index bulk_by_client on bulk(client, n)".to_owned(),
        "create unlogged table scratch(client int, n int, k int)".to_owned(),
        "create table tables_made(name text primary key, rows bigint not null)".to_owned(),
        "create table databases_made(name text primary key)".to_owned(),
        "create database origin".to_owned(),
    ]
}

/// In the template database.
pub(crate) const ORIGIN: &str = "create table t(n int primary key, t text); \
     insert into t select g, md5(g::text) from generate_series(1, 500) g";

/// Rows in every copy of it.
pub(crate) const ORIGIN_ROWS: i64 = 500;

/// When pgvector is there.
pub(crate) const VECTOR: &str = "create extension vector; \
     create table vectors(client int, n int, v vector(8), primary key (client, n)); \
     create index on vectors using hnsw (v vector_l2_ops)";
