//! The failpoints of the source and the list in `docs/reference/failpoints.md` are the same.
//!
//! The torture draws the names that it arms from the list: one that is missing there is never tortured, and one
//! that is not in the source tortures nothing. Both would go unnoticed, so both are failures.
//!
//! A name is the first argument of `hit` or `hit_blocking`. Some code hands names on through a function of its
//! own; so each other string of the form `area.thing.moment` counts too, when its area is that of a failpoint.
//! Test code may arm and hit what it likes.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};

use crate::finding::Finding;
use crate::tree::Tree;

const LIST: &str = "docs/reference/failpoints.md";

/// So many are wanted: never fewer than on the day on which the parts of the storage came together.
const AT_LEAST: Option<usize> = Some(60);

/// The functions that visit a failpoint.
const VISITS: [&str; 2] = ["hit", "hit_blocking"];

/// Where they are defined and tested, with names that are examples.
const HOME: &str = "crates/runtime/src/failpoint.rs";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let (mut found, used) = compare(tree);
    // Without the list, each one is a failure of its own.
    found.extend(tree.file(LIST).and_then(|_| too_few(used, AT_LEAST)));
    found
}

/// What does not agree, and how many failpoints the source has.
fn compare(tree: &Tree) -> (Vec<Finding>, usize) {
    let text = tree.file(LIST).map_or("", |file| file.text.as_str());
    let listed = listed(text);
    let used = used(tree, &listed);
    let mut found = Vec::new();
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
    (found, used.len())
}

fn too_few(used: usize, least: Option<usize>) -> Option<Finding> {
    let least = least.filter(|least| used < *least)?;
    Some(Finding::failure(LIST, 0, format!("{used} failpoints in crates/, at least {least} are wanted")))
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
    name.split('.').count() >= 3 && name.split('.').all(is_word)
}

type Used = BTreeMap<String, (String, usize)>;

/// Every name in the product's code, with the first place of it.
fn used(tree: &Tree, listed: &BTreeMap<&str, usize>) -> Used {
    let mut strings = Vec::new();
    for file in tree.rust.iter().filter(|file| file.path.starts_with("crates/") && file.path != HOME) {
        let mut see = |text: Text| {
            if !file.is_test_line(text.line) {
                strings.push((file.path.as_str(), text));
            }
        };
        visit(file.tokens.clone(), &mut see);
    }
    let visited = strings.iter().filter(|(_, text)| text.is_visited).map(|(_, text)| text.value.as_str());
    let areas: BTreeSet<String> = visited.chain(listed.keys().copied()).map(area).collect();
    let mut used = Used::new();
    for (path, text) in strings {
        let is_alike = is_well_named(&text.value) && areas.contains(&area(&text.value));
        if text.is_visited || is_alike {
            used.entry(text.value).or_insert_with(|| (path.to_owned(), text.line));
        }
    }
    used
}

fn area(name: &str) -> String {
    name.split('.').next().unwrap_or_default().to_owned()
}

/// A string of the source.
struct Text {
    value: String,
    line: usize,
    /// It is the argument of `hit` or `hit_blocking`.
    is_visited: bool,
}

/// Shows every string, comments excepted.
fn visit(tokens: TokenStream, see: &mut impl FnMut(Text)) {
    let all: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in all.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let is_visit = is_visit(&all[..at]);
        for (place, inside) in group.stream().into_iter().enumerate() {
            if let Some((value, line)) = text_of(&inside) {
                see(Text { value, line, is_visited: is_visit && place == 0 });
            }
        }
        visit(group.stream(), see);
    }
}

/// Whether the tokens before an argument list are `hit` or `failpoint :: hit`, and not a method or definition.
fn is_visit(before: &[TokenTree]) -> bool {
    let [rest @ .., TokenTree::Ident(name)] = before else { return false };
    let before_it = match rest {
        [.., TokenTree::Ident(module), TokenTree::Punct(sign), TokenTree::Punct(_)]
            if sign.as_char() == ':' =>
        {
            return module == "failpoint" && VISITS.iter().any(|visit| name == visit);
        }
        [.., TokenTree::Punct(sign)] => sign.as_char() != '.',
        [.., TokenTree::Ident(word)] => word != "fn",
        _ => true,
    };
    before_it && VISITS.iter().any(|visit| name == visit)
}

fn text_of(token: &TokenTree) -> Option<(String, usize)> {
    let TokenTree::Literal(literal) = token else { return None };
    match syn::Lit::new(literal.clone()) {
        syn::Lit::Str(text) => Some((text.value(), literal.span().start().line)),
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
        compare(&Tree::of(files)).0.into_iter().map(|finding| finding.message).collect()
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
    fn a_name_that_is_handed_on_counts() {
        let handed =
            ("crates/x/src/a.rs", "fn a() { step(\"wal.piece.named\"); b(\"other.piece.named\"); }\n");
        let found = complaints(&[USED, handed, (LIST, ROWS)]);
        assert!(found.iter().any(|text| text.contains("`wal.piece.named` has no row")), "{found:?}");
        assert!(!found.iter().any(|text| text.contains("other.piece")), "{found:?}");
    }

    #[test]
    fn too_few_is_a_failure_once_there_is_a_least() {
        assert!(
            too_few(59, Some(60)).is_some() && too_few(60, Some(60)).is_none() && too_few(0, None).is_none()
        );
    }

    #[test]
    fn a_name_looks_like_one() {
        let odd = ("crates/x/src/a.rs", "fn a() { hit_blocking(\"Put\"); }\n");
        assert!(complaints(&[odd, (LIST, "| `Put` | x |\n")])[0].contains("area.thing.moment"));
    }

    #[test]
    fn tests_comments_and_other_functions_do_not_count() {
        let test = "#[cfg(test)]\nmod tests {\n    fn a() { failpoint::hit_blocking(\"a.b.c\"); }\n}\n";
        let other = "/// See `hit(\"a.b.c\")`.\nfn a() { target::hit(\"c.d.e\"); x.hit(\"c.d.e\"); arm(\"e.f.g=kill\"); }\n";
        let files = [("crates/x/src/a.rs", test), ("crates/x/src/b.rs", other), ("tests/src/c.rs", USED.1)];
        assert!(complaints(&files).is_empty());
    }
}
