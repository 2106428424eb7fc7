//! Words that belong to the machine of whoever wrote a file, not to the project.
//!
//! An absolute path of a developer's machine works for one person. A registry's host name in a script goes
//! around the mirror that a user has configured: call the ordinary client (cargo, npm, pip, apt) and let it know.

use std::ops::RangeInclusive;

use crate::finding::Finding;
use crate::source::RustFile;
use crate::tree::{TextFile, Tree};

/// Beginnings of paths that exist on one machine only. In pieces, so that this file does not accuse itself.
const PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/Us", "ers/")];

/// The home of root: a private path everywhere but in tests of how users and homes are handled.
const ROOT_HOME: &str = concat!("/ro", "ot/");

/// Hosts that only a package client should know.
const REGISTRIES: [&str; 6] = [
    concat!("crates", ".io"),
    concat!("npmjs", ".org"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("deb.debian", ".org"),
    concat!("proxy.golang", ".org"),
];

/// Written by Cargo, which names the registry.
const GENERATED: &str = "Cargo.lock";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let checked = tree.files.iter().filter(|file| file.path.rsplit('/').next() != Some(GENERATED));
    checked.flat_map(|file| check_file(file, tree.rust.iter().find(|rust| rust.path == file.path))).collect()
}

fn check_file(file: &TextFile, rust: Option<&RustFile>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        let is_test = rust.is_some_and(|rust| rust.is_test_line(at + 1));
        let root_home = (!is_test).then_some(ROOT_HOME);
        if let Some(path) = PATHS.into_iter().chain(root_home).find(|path| has_path(line, path)) {
            let advice = format!(
                "`{path}` is a path of one machine: make it relative or take it from the environment"
            );
            found.push(Finding::failure(&file.path, at + 1, advice));
        }
        if let Some(host) = REGISTRIES.into_iter().find(|host| line.contains(host)) {
            let advice = format!("`{host}` is for package clients to know: call the client instead");
            found.push(Finding::failure(&file.path, at + 1, advice));
        }
    }
    found
}

/// Whether `line` has an absolute path that begins with `path`: what stands before it is not part of a name.
fn has_path(line: &str, path: &str) -> bool {
    const PART_OF_A_NAME: [RangeInclusive<char>; 3] = ['a'..='z', 'A'..='Z', '0'..='9'];
    let is_name = |letter: char| {
        PART_OF_A_NAME.iter().any(|range| range.contains(&letter)) || "._-}$)>*~".contains(letter)
    };
    line.match_indices(path).any(|(at, _)| !line[..at].chars().next_back().is_some_and(is_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        for path in PATHS.into_iter().chain([ROOT_HOME]) {
            assert_eq!(complaints("README.md", &format!("cd {path}project\n")), 1, "{path}");
            assert_eq!(complaints("scripts/run", &format!("DIR=\"{path}x\"\n")), 1, "{path}");
            assert_eq!(complaints("README.md", &format!("$HOME/my{path}x and ~{path}y\n")), 0, "{path}");
        }
    }

    #[test]
    fn tests_may_talk_about_the_home_of_root_but_not_of_a_developer() {
        let test =
            |path: &str| format!("#[cfg(test)]\nmod tests {{\n    const HOME: &str = \"{path}x\";\n}}\n");
        assert_eq!(complaints("crates/x/src/a.rs", &test(ROOT_HOME)), 0);
        assert_eq!(complaints("crates/x/src/a.rs", &test(PATHS[0])), 1);
    }

    #[test]
    fn registries_are_found_except_where_cargo_writes_them() {
        let line = format!("curl https://{}/x\n", REGISTRIES[0]);
        assert_eq!(complaints("scripts/postgres", &line), 1);
        assert_eq!(complaints("Cargo.lock", &line), 0);
    }
}
