//! Help pages and error codes belong together: `docs/errors/<code>.md` for each code that a client can see.
//!
//! A page whose code is not in the source helps with an error that cannot happen; it was renamed or removed and
//! the page was forgotten. The list in `docs/errors/README.md` is checked in both directions for the same reason.

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::tree::Tree;

const PAGES: &str = "docs/errors/";
const INDEX: &str = "docs/errors/README.md";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let pages: Vec<&str> = tree.files.iter().filter_map(|file| code_of(&file.path)).collect();
    let index = tree.file(INDEX).map_or("", |file| file.text.as_str());
    let listed = linked_codes(index);
    let in_source: BTreeSet<String> = if pages.is_empty() { BTreeSet::new() } else { codes_in_source(tree) };

    let mut found = Vec::new();
    for code in &pages {
        let path = format!("{PAGES}{code}.md");
        if !in_source.contains(*code) {
            let advice = format!("no code in crates/ says \"{code}\": use it, or remove the page");
            found.push(Finding::failure(&path, 0, advice));
        }
        if !listed.contains(code) {
            found.push(Finding::failure(&path, 0, format!("is not linked from {INDEX}: add a line")));
        }
    }
    for code in listed {
        if !pages.contains(&code) {
            found.push(Finding::failure(INDEX, 0, format!("links to {code}.md, which does not exist")));
        }
    }
    found
}

/// The code that a path is the help page of.
fn code_of(path: &str) -> Option<&str> {
    let code = path.strip_prefix(PAGES)?.strip_suffix(".md")?;
    (code != "README" && !code.contains('/')).then_some(code)
}

/// Codes that the index links to, as `](code.md)`.
fn linked_codes(index: &str) -> BTreeSet<&str> {
    let targets = index.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter_map(|target| target.strip_suffix(".md")).filter(|code| !code.contains('/')).collect()
}

/// All string literals of the product's own code; test code does not make a code real.
fn codes_in_source(tree: &Tree) -> BTreeSet<String> {
    let product = tree.rust.iter().filter(|file| file.path.starts_with("crates/"));
    product.flat_map(|file| file.string_literals()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: (&str, &str) = ("docs/errors/no-room.md", "# no-room\n");
    const LISTED: (&str, &str) = (INDEX, "- [no-room](no-room.md)\n");
    const USED: (&str, &str) = ("crates/x/src/a.rs", "const CODE: &str = \"no-room\";\n");

    fn complaints(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_page_that_is_used_and_listed_passes() {
        assert!(complaints(&[PAGE, LISTED, USED]).is_empty());
    }

    #[test]
    fn a_page_without_its_code_fails() {
        assert!(complaints(&[PAGE, LISTED])[0].contains("no code in crates/"));
        let in_test =
            ("crates/x/src/a.rs", "#[cfg(test)]\nmod tests {\n    const CODE: &str = \"no-room\";\n}\n");
        assert_eq!(complaints(&[PAGE, LISTED, in_test]).len(), 1);
        let in_comment = ("crates/x/src/a.rs", "/// See \"no-room\".\nfn a() {}\n");
        assert_eq!(complaints(&[PAGE, LISTED, in_comment]).len(), 1);
    }

    #[test]
    fn the_index_must_match_in_both_directions() {
        assert!(complaints(&[PAGE, USED])[0].contains("not linked"));
        assert!(complaints(&[LISTED, USED])[0].contains("does not exist"));
    }
}
