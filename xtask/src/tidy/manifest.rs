//! What every manifest must say: the workspace's lints apply, and versions are chosen in one place.
//!
//! A package that forgets `[lints] workspace = true` has no rules at all, and nobody notices until it has grown.

use crate::finding::Finding;
use crate::tree::{Manifest, Tree};

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.manifests.iter().filter(|manifest| manifest.package().is_some()).flat_map(check_manifest).collect()
}

fn check_manifest(manifest: &Manifest) -> Vec<Finding> {
    let mut found = Vec::new();
    if !manifest.table.get("lints").is_some_and(inherits) {
        let advice = "does not inherit the lints: add [lints] workspace = true";
        found.push(Finding::failure(&manifest.path, 0, advice));
    }
    for (kind, key, value) in manifest.dependencies() {
        if !inherits(value) {
            let advice = format!(
                "[{kind}] {key}: name the version in [workspace.dependencies] and write {key}.workspace = true"
            );
            found.push(Finding::failure(&manifest.path, 0, advice));
        }
    }
    found
}

/// Whether a table says `workspace = true`.
fn inherits(value: &toml::Value) -> bool {
    value.get("workspace").and_then(toml::Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> usize {
        check(&Tree::of(&[("crates/x/Cargo.toml", text)])).len()
    }

    #[test]
    fn lints_must_be_inherited() {
        assert_eq!(complaints("[package]\nname = \"x\"\n"), 1);
        assert_eq!(complaints("[package]\nname = \"x\"\n[lints]\nworkspace = false\n"), 1);
        assert_eq!(complaints("[package]\nname = \"x\"\n[lints]\nworkspace = true\n"), 0);
        assert_eq!(complaints("[workspace]\nmembers = []\n"), 0);
    }

    #[test]
    fn versions_must_be_inherited() {
        let with = |line: &str| {
            complaints(&format!(
                "[package]\nname = \"x\"\n[lints]\nworkspace = true\n[dependencies]\n{line}\n"
            ))
        };
        assert_eq!(with("serde.workspace = true"), 0);
        assert_eq!(with("serde = { workspace = true, features = [\"rc\"] }"), 0);
        assert_eq!(with("serde = \"1\""), 1);
        assert_eq!(with("serde = { version = \"1\" }"), 1);
    }
}
