//! The rules of the house that neither the compiler nor clippy can hold.
//!
//! Each rule is one file with one `check(&Tree) -> Vec<Finding>`: pure, so its tests are a few strings. To add a
//! rule: write the file with a test that shows it failing, add it to [`run`], and add its reason to
//! `CONTRIBUTING.md`. Limits are constants beside their rule. A limit that hurts is changed there, for
//! everybody; there is no way to switch a rule off for one place, because such places only ever grow in number.

// Rules about the size and shape of Rust files.
mod file_length;
mod function_length;
mod header;
mod struct_fields;
mod test_module;

// Rules about the workspace.
mod crate_edges;
mod manifest;
mod purity;

// Rules about words.
mod error_pages;
mod failpoints;
mod file_name;
mod foreign_words;
mod loose_ends;

use crate::finding::Finding;
use crate::tree::Tree;

/// Runs every check. Failures come after warnings, so the last lines on the screen are the ones that matter.
pub(crate) fn run(tree: &Tree) -> Vec<Finding> {
    let checks = [
        file_length::check,
        function_length::check,
        header::check,
        struct_fields::check,
        test_module::check,
        crate_edges::check,
        manifest::check,
        purity::check,
        error_pages::check,
        failpoints::check,
        file_name::check,
        foreign_words::check,
        loose_ends::check,
    ];
    let mut findings = tree.unparsed.clone();
    findings.extend(checks.iter().flat_map(|check| check(tree)));
    findings.sort_by(|a, b| (a.level, &a.path, a.line).cmp(&(b.level, &b.path, b.line)));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn the_workspace_is_tidy() {
        let tree = workspace::load(&workspace::root()).expect("the workspace is a git checkout");
        assert!(tree.file("xtask/src/tidy/mod.rs").is_some(), "git lists this very file");
        let failures: Vec<String> =
            run(&tree).iter().filter(|finding| finding.is_failure()).map(ToString::to_string).collect();
        assert!(failures.is_empty(), "{} broken rules:\n{}", failures.len(), failures.join("\n"));
    }

    #[test]
    fn a_file_that_does_not_parse_is_reported() {
        let findings = run(&Tree::of(&[("crates/x/src/a.rs", "fn (")]));
        assert!(findings.iter().any(|finding| finding.message.contains("does not parse")), "{findings:?}");
    }

    #[test]
    fn failures_are_printed_last() {
        let long = format!("//! Long.\n{}", "// line\n".repeat(450));
        let findings =
            run(&Tree::of(&[("crates/z/src/a.rs", &long), ("crates/a/src/utils.rs", "//! No.\n")]));
        let levels: Vec<bool> = findings.iter().map(Finding::is_failure).collect();
        assert_eq!(levels, [false, true]);
    }
}
