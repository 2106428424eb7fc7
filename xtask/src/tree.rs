//! Everything a check may look at: texts, parsed Rust files, parsed manifests.
//!
//! A [`Tree`] is plain data. The disk is read by [`crate::workspace`]; unit tests build a tree from strings.

use crate::finding::Finding;
use crate::source::RustFile;

/// A tracked text file.
pub(crate) struct TextFile {
    /// Path from the workspace root, with `/`.
    pub(crate) path: String,
    /// The whole content.
    pub(crate) text: String,
}

/// A `Cargo.toml`.
pub(crate) struct Manifest {
    /// Path from the workspace root, with `/`.
    pub(crate) path: String,
    /// The parsed content.
    pub(crate) table: toml::Table,
}

impl Manifest {
    /// The package name, or `None` for the virtual manifest at the root.
    pub(crate) fn package(&self) -> Option<&str> {
        self.table.get("package")?.get("name")?.as_str()
    }

    /// Every dependency of every kind and target: (table name, key, value).
    pub(crate) fn dependencies(&self) -> Vec<(&'static str, &str, &toml::Value)> {
        let targets = self.table.get("target").and_then(toml::Value::as_table);
        let per_target = targets.into_iter().flat_map(|all| all.values()).filter_map(toml::Value::as_table);
        let mut found = Vec::new();
        for table in std::iter::once(&self.table).chain(per_target) {
            for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
                let Some(entries) = table.get(kind).and_then(toml::Value::as_table) else { continue };
                found.extend(entries.iter().map(|(key, value)| (kind, key.as_str(), value)));
            }
        }
        found
    }
}

/// The tracked files of the workspace.
pub(crate) struct Tree {
    /// All text files, Rust and manifests included.
    pub(crate) files: Vec<TextFile>,
    /// The `.rs` files among them that parse.
    pub(crate) rust: Vec<RustFile>,
    /// The `Cargo.toml` files among them that parse.
    pub(crate) manifests: Vec<Manifest>,
    /// A failure for each Rust file or manifest that does not parse.
    pub(crate) unparsed: Vec<Finding>,
}

impl Tree {
    /// Parses what can be parsed. A file that cannot becomes a finding, not an error, so that one broken file
    /// does not hide what is wrong with the others.
    pub(crate) fn new(files: Vec<TextFile>) -> Self {
        let mut tree =
            Self { files: Vec::new(), rust: Vec::new(), manifests: Vec::new(), unparsed: Vec::new() };
        for file in &files {
            if file.path.ends_with(".rs") {
                match RustFile::parse(&file.path, &file.text) {
                    Ok(parsed) => tree.rust.push(parsed),
                    Err(error) => tree.unparsed.push(unparsed(&file.path, &error)),
                }
            } else if file.path.rsplit('/').next() == Some("Cargo.toml") {
                match file.text.parse() {
                    Ok(table) => tree.manifests.push(Manifest { path: file.path.clone(), table }),
                    Err(error) => tree.unparsed.push(unparsed(&file.path, &format!("{error}"))),
                }
            }
        }
        tree.files = files;
        tree
    }

    /// The text file at exactly `path`.
    pub(crate) fn file(&self, path: &str) -> Option<&TextFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// A tree from (path, text) pairs, for unit tests.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let text_file =
            |(path, text): &(&str, &str)| TextFile { path: (*path).to_owned(), text: (*text).to_owned() };
        Self::new(files.iter().map(text_file).collect())
    }
}

fn unparsed(path: &str, error: &str) -> Finding {
    Finding::failure(path, 0, format!("does not parse: {}", error.lines().next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_files_become_findings_and_the_rest_is_kept() {
        let tree =
            Tree::of(&[("a.rs", "fn ("), ("b.rs", "fn b() {}"), ("x/Cargo.toml", "[package"), ("c.md", "#")]);
        assert_eq!((tree.files.len(), tree.rust.len(), tree.manifests.len()), (4, 1, 0));
        assert_eq!(tree.unparsed.len(), 2);
    }

    #[test]
    fn dependencies_of_all_kinds_and_targets_are_seen() {
        let text = "[dependencies]\na = \"1\"\n[dev-dependencies]\nb = \"1\"\n[target.'cfg(unix)'.dependencies]\nc = \"1\"\n";
        let tree = Tree::of(&[("crates/x/Cargo.toml", text)]);
        let names: Vec<&str> = tree.manifests[0].dependencies().iter().map(|(_, key, _)| *key).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }
}
