//! Inline test modules stay short. Longer ones move to `foo/tests.rs`, so that a file shows its code first.

use crate::finding::Finding;
use crate::source::RustFile;
use crate::tree::Tree;

/// The longest inline `#[cfg(test)]` module, attributes and braces included.
const MOST_LINES: usize = 150;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust.iter().filter(|file| !file.is_test_file()).flat_map(check_file).collect()
}

fn check_file(file: &RustFile) -> Vec<Finding> {
    let stem = file.path.strip_suffix(".rs").unwrap_or(&file.path);
    let stem = stem.strip_suffix("/mod").or_else(|| stem.strip_suffix("/lib")).unwrap_or(stem);
    let advice = format!("lines of inline tests: move them to {stem}/tests.rs");
    let over = |range: &std::ops::RangeInclusive<usize>| {
        let lines = range.end() - range.start() + 1;
        Finding::over(&file.path, *range.start(), lines, MOST_LINES, MOST_LINES, &advice)
    };
    file.test_modules.iter().filter_map(over).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, lines: usize) -> Vec<Finding> {
        let text = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    // line\n".repeat(lines - 3));
        check(&Tree::of(&[(path, &text)]))
    }

    #[test]
    fn a_long_inline_module_is_sent_to_its_own_file() {
        assert!(found("crates/x/src/a.rs", 150).is_empty());
        let too_long = found("crates/x/src/a.rs", 151);
        assert!(too_long[0].is_failure());
        assert!(too_long[0].message.contains("crates/x/src/a/tests.rs"), "{}", too_long[0]);
        assert!(found("crates/x/src/a/mod.rs", 151)[0].message.contains("src/a/tests.rs"));
    }
}
