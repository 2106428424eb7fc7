//! Names that mean "I did not know where to put this" are not names. They attract everything.

use crate::finding::Finding;
use crate::tree::Tree;

/// File and directory names (without extension) that say nothing.
const FORBIDDEN: [&str; 6] = ["util", "utils", "common", "misc", "helper", "helpers"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.files.iter().filter_map(|file| check_path(&file.path)).collect()
}

fn check_path(path: &str) -> Option<Finding> {
    let stem_of = |part: &str| part.split('.').next().unwrap_or_default().to_lowercase();
    let stem = path.split('/').map(stem_of).find(|stem| FORBIDDEN.contains(&stem.as_str()))?;
    Some(Finding::failure(path, 0, format!("`{stem}` says nothing: name the file after what is in it")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_names_are_refused_for_files_and_directories() {
        for path in
            ["crates/x/src/utils.rs", "crates/x/src/Helpers.rs", "tests/common/mod.rs", "console/misc.js"]
        {
            assert_eq!(check(&Tree::of(&[(path, "")])).len(), 1, "{path}");
        }
        for path in ["crates/x/src/utilisation.rs", "docs/commonplace.md"] {
            assert!(check(&Tree::of(&[(path, "")])).is_empty(), "{path}");
        }
    }
}
