//! A note about unfinished work names the issue where the work is tracked, or it is never read again.
//!
//! The two marker words may appear in code only with a number after them: `(#12)`. Prose in Markdown is free.

use crate::finding::Finding;
use crate::tree::{TextFile, Tree};

/// The words, in two pieces so that this file does not accuse itself.
const MARKERS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

/// Files that are not written by hand, or not code.
const NOT_CODE: [&str; 3] = [".md", ".lock", ".svg"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let code = tree.files.iter().filter(|file| !NOT_CODE.iter().any(|ending| file.path.ends_with(ending)));
    code.flat_map(check_file).collect()
}

fn check_file(file: &TextFile) -> Vec<Finding> {
    let loose =
        file.text.lines().enumerate().filter(|(_, line)| MARKERS.iter().any(|word| is_loose(line, word)));
    let advice =
        "a loose end without an issue: do it now, or write the number of its issue after it, `(#12)`";
    loose.map(|(at, _)| Finding::failure(&file.path, at + 1, advice)).collect()
}

/// Whether `line` has `word` as a word of its own that is not followed by `(#number)`.
fn is_loose(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + word.len()..];
        let is_word = !before.is_some_and(is_name) && !after.chars().next().is_some_and(is_name);
        is_word && !has_issue(after)
    })
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn has_issue(after: &str) -> bool {
    let number = after.strip_prefix("(#").and_then(|rest| rest.split_once(')'));
    number.is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, line: &str) -> usize {
        let line = line.replace("LATER", MARKERS[0]).replace("BROKEN", MARKERS[1]);
        check(&Tree::of(&[(path, &line)])).len()
    }

    #[test]
    fn a_marker_needs_an_issue() {
        for line in [
            "// LATER: this",
            "// BROKEN",
            "# LATER(#)",
            "// LATER(anna) x",
            "// LATER (#1)",
            "LATER(#1) LATER",
        ] {
            assert_eq!(complaints("scripts/run", line), 1, "{line}");
        }
        assert_eq!(complaints("scripts/run", "# LATER(#12): this"), 0);
    }

    #[test]
    fn other_words_and_prose_are_free() {
        assert_eq!(complaints("crates/x/src/a.rs", "const MY_LATER_LIST: u8 = 1;"), 0);
        assert_eq!(complaints("CONTRIBUTING.md", "no LATER without an issue"), 0);
    }
}
