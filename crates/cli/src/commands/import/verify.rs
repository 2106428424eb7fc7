//! Compares the two ends: rows of each table, sequences, large objects.
//!
//! Rows of the source are counted in the snapshot that was dumped, so that it may be written to all the
//! while. Sequences know no snapshots: one that is between its values before and after is right. The rows of
//! a materialised view are not compared: its query is run again here, and the source's may be from long ago.

use std::collections::{BTreeMap, BTreeSet};

use super::psql::{Psql, ident};
use super::source::{Contents, Relation};
use crate::error::Error;

/// Statements that are sent in one go.
const BATCH: usize = 200;

/// Counts of one side; names are `schema.name`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Tables and filled materialised views.
    pub(super) names: BTreeSet<String>,
    /// Of tables; empty when only their names are compared.
    pub(super) rows: BTreeMap<String, i64>,
    /// `(last_value, is_called)`.
    pub(super) sequences: BTreeMap<String, (i64, bool)>,
    pub(super) large: u64,
}

impl Counts {
    /// Counts what is there. With `rows` false only the names of tables.
    pub(super) async fn ask(session: &mut Psql, contents: &Contents, rows: bool) -> Result<Self, Error> {
        let mut counts = Self { large: contents.large, ..Self::default() };
        if rows {
            let select = |number: usize, table: &str| {
                format!("SELECT json_build_array({number}, count(*)) FROM ONLY {table}")
            };
            let counted = contents.tables.iter().filter(|table| !table.materialized).collect();
            for (relation, row) in each(session, counted, select).await? {
                let (_, count): (usize, i64) = read(&row)?;
                counts.rows.insert(relation.shown(), count);
            }
        }
        counts.names = contents.tables.iter().map(Relation::shown).collect();
        counts.sequences = sequences(session, contents).await?;
        Ok(counts)
    }
}

/// Where all sequences are.
pub(super) async fn sequences(
    session: &mut Psql,
    contents: &Contents,
) -> Result<BTreeMap<String, (i64, bool)>, Error> {
    let select = |number: usize, name: &str| {
        format!("SELECT json_build_array({number}, last_value, is_called) FROM {name}")
    };
    let mut all = BTreeMap::new();
    for (relation, row) in each(session, contents.sequences.iter().collect(), select).await? {
        let (_, value, called): (usize, i64, bool) = read(&row)?;
        all.insert(relation.shown(), (value, called));
    }
    Ok(all)
}

fn read<T: serde::de::DeserializeOwned>(row: &str) -> Result<T, Error> {
    serde_json::from_str(row).map_err(|error| Error::failed("a count cannot be read").because(error))
}

async fn each<'a>(
    session: &mut Psql,
    relations: Vec<&'a Relation>,
    select: impl Fn(usize, &str) -> String,
) -> Result<Vec<(&'a Relation, String)>, Error> {
    let mut all = Vec::with_capacity(relations.len());
    for batch in relations.chunks(BATCH) {
        let statements: Vec<String> = batch
            .iter()
            .enumerate()
            .map(|(number, relation)| {
                select(number, &format!("{}.{}", ident(&relation.schema), ident(&relation.name)))
            })
            .collect();
        let rows = session.rows(&statements.join(";\n")).await?;
        if rows.len() != batch.len() {
            return Err(Error::failed("a count is missing"));
        }
        all.extend(batch.iter().copied().zip(rows));
    }
    Ok(all)
}

/// What differs. `after` is where the source's sequences were after the dump.
pub(super) fn differences(
    source: &Counts,
    after: &BTreeMap<String, (i64, bool)>,
    target: &Counts,
) -> Vec<String> {
    let mut found = Vec::new();
    for table in &source.names {
        match (source.rows.get(table), target.rows.get(table)) {
            _ if !target.names.contains(table) => found.push(format!("table {table} is missing")),
            (Some(rows), Some(here)) if rows != here => {
                found.push(format!("table {table}: {rows} rows in the source, {here} here"));
            }
            _ => {}
        }
    }
    for (name, before) in &source.sequences {
        let after = after.get(name).unwrap_or(before);
        match target.sequences.get(name) {
            Some(here) if here == before || here == after || between(before.0, here.0, after.0) => {}
            Some(here) => {
                found.push(format!("sequence {name}: at {} in the source, at {} here", before.0, here.0));
            }
            None => found.push(format!("sequence {name} is missing")),
        }
    }
    if source.large != target.large {
        found.push(format!("{} large objects in the source, {} here", source.large, target.large));
    }
    found
}

/// Strictly between: a sequence that moved meanwhile.
fn between(before: i64, here: i64, after: i64) -> bool {
    (before.min(after)..=before.max(after)).contains(&here) && before != after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(&str, i64)], sequences: &[(&str, i64, bool)], large: u64) -> Counts {
        Counts {
            names: rows.iter().map(|(name, _)| (*name).to_owned()).collect(),
            rows: rows.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            sequences: sequences
                .iter()
                .map(|(name, value, called)| ((*name).to_owned(), (*value, *called)))
                .collect(),
            large,
        }
    }

    #[test]
    fn the_same_is_the_same() {
        let one = counts(&[("p.a", 3), ("p.b", 0)], &[("p.s", 7, true)], 2);
        let mut here = one.clone();
        here.rows.insert("p.of_an_extension".to_owned(), 9);
        assert_eq!(differences(&one, &one.sequences, &here), [""; 0]);
    }

    #[test]
    fn everything_that_differs_is_named() {
        let source = counts(&[("p.a", 3), ("p.b", 1)], &[("p.s", 7, true), ("p.t", 1, false)], 2);
        let here = counts(&[("p.a", 2)], &[("p.s", 7, false)], 1);
        assert_eq!(
            differences(&source, &source.sequences, &here),
            [
                "table p.a: 3 rows in the source, 2 here",
                "table p.b is missing",
                "sequence p.s: at 7 in the source, at 7 here",
                "sequence p.t is missing",
                "2 large objects in the source, 1 here",
            ]
        );
    }

    #[test]
    fn of_a_materialised_view_only_the_name_counts() {
        let mut source = counts(&[("p.a", 3)], &[], 0);
        source.names.insert("p.view".to_owned());
        assert_eq!(differences(&source, &source.sequences, &source), [""; 0]);
        let here = counts(&[("p.a", 3)], &[], 0);
        assert_eq!(differences(&source, &source.sequences, &here), ["table p.view is missing"]);
    }

    #[test]
    fn a_sequence_may_move_meanwhile() {
        let source = counts(&[], &[("p.s", 7, true)], 0);
        let after = counts(&[], &[("p.s", 11, true)], 0).sequences;
        let at = |value| differences(&source, &after, &counts(&[], &[("p.s", value, true)], 0)).len();
        assert_eq!([6, 7, 9, 11, 12].map(at), [1, 0, 0, 0, 1]);
    }
}
