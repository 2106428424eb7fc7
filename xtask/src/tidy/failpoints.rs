//! The failpoints of the source and the list in `docs/reference/failpoints.md` are the same.
//!
//! The torture draws the names that it arms from the list: one that is missing there is never tortured, and one
//! that is not in the source tortures nothing. Both would go unnoticed, so both are failures. A name stands as a
//! string literal in the call (`failpoint::hit("area.thing.moment")`): a constant or a variable would hide it
//! from people who search for it, and from this check. Test code may arm and hit what it likes.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Group, Literal, TokenStream, TokenTree};

use crate::finding::Finding;
use crate::source::RustFile;
use crate::tree::Tree;

const LIST: &str = "docs/reference/failpoints.md";

/// So many are wanted. The storage work raises this to 60 when its parts are together; it never goes down.
const AT_LEAST: usize = 0;

/// The functions that visit a failpoint.
const VISITS: [&str; 2] = ["hit", "hit_blocking"];

/// Where they are defined and tested, with names that are examples.
const HOME: &str = "crates/runtime/src/failpoint.rs";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let (used, mut found) = used(tree);
    let text = tree.file(LIST).map_or("", |file| file.text.as_str());
    let listed = listed(text);
    for (name, (path, line)) in &used {
        if !is_well_named(name) {
            let advice = format!("failpoint `{name}`: a name is area.thing.moment, lower case with dots");
            found.push(Finding::failure(path, *line, advice));
        }
        if !listed.contains_key(name.as_str()) {
            found.push(Finding::failure(path, *line, format!("failpoint `{name}` has no row in {LIST}")));
        }
    }
    for (name, line) in &listed {
        if !used.contains_key(*name) {
            let advice = format!("`{name}` is nowhere in crates/: the torture would arm nothing");
            found.push(Finding::failure(LIST, *line, advice));
        }
    }
    found.extend(repeated(text));
    if used.len() < AT_LEAST {
        let advice = format!("{} failpoints in crates/, at least {AT_LEAST} are wanted", used.len());
        found.push(Finding::failure(LIST, 0, advice));
    }
    found
}

/// Names in the first column of the table, with their lines.
fn rows(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let rows = text.lines().enumerate().filter_map(|(at, line)| Some((line.strip_prefix("| `")?, at + 1)));
    rows.filter_map(|(row, line)| Some((row.split_once('`')?.0, line)))
}

fn listed(text: &str) -> BTreeMap<&str, usize> {
    rows(text).collect()
}

fn repeated(text: &str) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let again = rows(text).filter(|(name, _)| !seen.insert(*name));
    again.map(|(name, line)| Finding::failure(LIST, line, format!("`{name}` is listed twice"))).collect()
}

fn is_well_named(name: &str) -> bool {
    let is_word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    name.split('.').count() >= 2 && name.split('.').all(is_word)
}

type Used = BTreeMap<String, (String, usize)>;

/// Every name in the product's code with the first place of it, and calls whose name is hidden.
fn used(tree: &Tree) -> (Used, Vec<Finding>) {
    let (mut used, mut found) = (Used::new(), Vec::new());
    for file in tree.rust.iter().filter(|file| file.path.starts_with("crates/") && file.path != HOME) {
        visit(file, file.tokens.clone(), &mut |line, name| match name {
            Some(name) => {
                used.entry(name).or_insert_with(|| (file.path.clone(), line));
            }
            None => {
                let advice = "write the name of a failpoint as a string literal in the call";
                found.push(Finding::failure(&file.path, line, advice.to_owned()));
            }
        });
    }
    (used, found)
}

/// Calls `see` for each `failpoint::hit(…)` outside test code, whatever stands before `failpoint`.
fn visit(file: &RustFile, tokens: TokenStream, see: &mut impl FnMut(usize, Option<String>)) {
    let all: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in all.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            if is_visit(&all[..at]) && !file.is_test_line(group.span_open().start().line) {
                see(group.span_open().start().line, name_in(group));
            }
            visit(file, group.stream(), see);
        }
    }
}

/// Whether the tokens before an argument list are `failpoint :: hit`.
fn is_visit(before: &[TokenTree]) -> bool {
    let [
        ..,
        TokenTree::Ident(module),
        TokenTree::Punct(first),
        TokenTree::Punct(second),
        TokenTree::Ident(name),
    ] = before
    else {
        return false;
    };
    module == "failpoint"
        && first.as_char() == ':'
        && second.as_char() == ':'
        && VISITS.iter().any(|visit| name == visit)
}

fn name_in(arguments: &Group) -> Option<String> {
    let first: Option<TokenTree> = arguments.stream().into_iter().next();
    match first {
        Some(TokenTree::Literal(literal)) => text_of(literal),
        _ => None,
    }
}

fn text_of(literal: Literal) -> Option<String> {
    match syn::Lit::new(literal) {
        syn::Lit::Str(text) => Some(text.value()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USED: (&str, &str) = (
        "crates/storage/src/a.rs",
        "async fn a() -> R { dormouse_runtime::failpoint::hit(\"wal.piece.put\").await?;\n \
         work(|| failpoint::hit_blocking(\"wal.piece.fsync\")?); Ok(()) }\n",
    );
    const ROWS: &str = "| name | what it interrupts |\n|---|---|\n| `wal.piece.put` | one |\n";

    fn complaints(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn the_list_and_the_source_agree() {
        let both = format!("{ROWS}| `wal.piece.fsync` | two |\n");
        assert!(complaints(&[USED, (LIST, &both)]).is_empty());
        assert!(complaints(&[]).is_empty(), "neither a list nor a failpoint is fine too");
    }

    #[test]
    fn each_direction_is_checked() {
        let found = complaints(&[USED, (LIST, ROWS)]);
        assert!(found.len() == 1 && found[0].contains("`wal.piece.fsync` has no row"), "{found:?}");
        let found = complaints(&[(LIST, ROWS)]);
        assert!(found.len() == 1 && found[0].contains("nowhere in crates/"), "{found:?}");
        let twice = format!("{ROWS}| `wal.piece.fsync` | two |\n| `wal.piece.put` | again |\n");
        assert!(complaints(&[USED, (LIST, &twice)])[0].contains("listed twice"));
    }

    #[test]
    fn a_name_is_a_literal_and_looks_like_one() {
        let hidden = ("crates/x/src/a.rs", "fn a() { failpoint::hit_blocking(NAME); }\n");
        assert!(complaints(&[hidden])[0].contains("string literal"));
        let odd = ("crates/x/src/a.rs", "fn a() { failpoint::hit_blocking(\"Put\"); }\n");
        assert!(complaints(&[odd, (LIST, "| `Put` | x |\n")])[0].contains("area.thing.moment"));
    }

    #[test]
    fn tests_and_other_functions_do_not_count() {
        let test = "#[cfg(test)]\nmod tests {\n    fn a() { failpoint::hit_blocking(\"a.b\"); }\n}\n";
        let other = "fn a() { target::hit(\"c.d\"); failpoint::arm(\"e.f=kill\"); }\n";
        let files = [("crates/x/src/a.rs", test), ("crates/x/src/b.rs", other), ("tests/src/c.rs", USED.1)];
        assert!(complaints(&files).is_empty());
    }
}
