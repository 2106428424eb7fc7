//! Product code per file. A file that fits in the head is read; a long one is searched.
//!
//! Test code does not count, so there is never a reason to test less.

use crate::finding::Finding;
use crate::source::RustFile;
use crate::tree::Tree;

/// Over this many non-test lines a file is ready to be split.
const WARN_LINES: usize = 400;
/// Over this many it must be.
const FAIL_LINES: usize = 800;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust.iter().filter_map(check_file).collect()
}

fn check_file(file: &RustFile) -> Option<Finding> {
    let advice = "non-test lines in one file: split it by what its parts are about";
    Finding::over(&file.path, 0, file.non_test_lines(), WARN_LINES, FAIL_LINES, advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(path: &str, text: &str) -> Option<bool> {
        check(&Tree::of(&[(path, text)])).first().map(Finding::is_failure)
    }

    #[test]
    fn long_files_are_warned_about_and_very_long_ones_refused() {
        let lines = |count: usize| "// line\n".repeat(count);
        assert_eq!(verdict("crates/x/src/a.rs", &lines(400)), None);
        assert_eq!(verdict("crates/x/src/a.rs", &lines(401)), Some(false));
        assert_eq!(verdict("crates/x/src/a.rs", &lines(801)), Some(true));
    }

    #[test]
    fn test_code_does_not_count() {
        let module = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "// line\n".repeat(900));
        assert_eq!(verdict("crates/x/src/a.rs", &module), None);
        assert_eq!(verdict("crates/x/src/a/tests.rs", &"// line\n".repeat(900)), None);
    }
}
