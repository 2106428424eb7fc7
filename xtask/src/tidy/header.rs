//! Every file that a reader may enter by begins with `//!`: what this is, why it is so, where the next change goes.

use crate::finding::Finding;
use crate::source::RustFile;
use crate::tree::Tree;

/// Longer files need a header whatever they are called.
const SELF_EVIDENT_LINES: usize = 60;

/// Files that are entrances, and need a header at any length.
const ENTRANCES: [&str; 3] = ["lib.rs", "main.rs", "mod.rs"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust.iter().filter_map(check_file).collect()
}

fn check_file(file: &RustFile) -> Option<Finding> {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let needed = ENTRANCES.contains(&name) || file.lines > SELF_EVIDENT_LINES;
    let advice = "has no `//!` header: say what this is, why it is so, and where the next change goes";
    (needed && !has_header(&file.syntax)).then(|| Finding::failure(&file.path, 1, advice))
}

fn has_header(syntax: &syn::File) -> bool {
    let is_inner = |attribute: &syn::Attribute| matches!(attribute.style, syn::AttrStyle::Inner(_));
    syntax.attrs.iter().any(|attribute| is_inner(attribute) && attribute.path().is_ident("doc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn entrances_need_a_header() {
        for path in ["crates/x/src/lib.rs", "crates/x/src/main.rs", "crates/x/src/a/mod.rs"] {
            assert_eq!(complaints(path, "mod a;\n"), 1, "{path}");
            assert_eq!(complaints(path, "/// Of the item, not of the file.\nmod a;\n"), 1, "{path}");
            assert_eq!(complaints(path, "//! Why.\nmod a;\n"), 0, "{path}");
            assert_eq!(complaints(path, "#![allow(dead_code)]\n//! Why.\nmod a;\n"), 0, "{path}");
        }
    }

    #[test]
    fn long_files_need_a_header() {
        assert_eq!(complaints("crates/x/src/a.rs", &"// line\n".repeat(60)), 0);
        assert_eq!(complaints("crates/x/src/a.rs", &"// line\n".repeat(61)), 1);
    }
}
