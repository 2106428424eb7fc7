//! The parts of the product that promise to do no I/O (design, invariant 8) do not even name it.
//!
//! Pure parts are the ones that can be tested exhaustively, so the rules of the product live there. Comments
//! may mention what they like, and test code may read a file. Addresses are data: use `core::net` for them.

use proc_macro2::{TokenStream, TokenTree};

use crate::finding::Finding;
use crate::source::RustFile;
use crate::tree::{Manifest, Tree};

/// Beginnings of the paths that are pure.
const PURE: [&str; 7] = [
    "crates/base/",
    "crates/pgwire/",
    "crates/pooler/",
    "crates/api/",
    "crates/control/src/model",
    "crates/compute/src/state",
    "crates/storage/src/gc/plan",
];

/// Modules of `std` that do I/O.
const FORBIDDEN_IN_STD: [&str; 3] = ["fs", "net", "process"];

/// What the names of crates that do I/O begin with; `tokio` covers `tokio_util` and its other relatives.
const FORBIDDEN_CRATE: &str = "tokio";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let files = tree.rust.iter().filter(|file| is_pure(&file.path)).flat_map(check_file);
    let manifests = tree.manifests.iter().filter(|manifest| is_pure(&manifest.path)).flat_map(check_manifest);
    files.chain(manifests).collect()
}

fn is_pure(path: &str) -> bool {
    PURE.iter().any(|start| path.starts_with(start))
}

fn check_manifest(manifest: &Manifest) -> Vec<Finding> {
    let all = manifest.dependencies().into_iter();
    let shipped =
        all.filter(|(kind, key, _)| *kind != "dev-dependencies" && key.starts_with(FORBIDDEN_CRATE));
    shipped.map(|(_, key, _)| Finding::failure(&manifest.path, 0, complaint(key))).collect()
}

fn check_file(file: &RustFile) -> Vec<Finding> {
    let mut found = Vec::new();
    walk(file, file.tokens.clone(), &mut found);
    found
}

fn walk(file: &RustFile, tokens: TokenStream, found: &mut Vec<Finding>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => walk(file, group.stream(), found),
            TokenTree::Ident(name) if !file.is_test_line(name.span().start().line) => {
                let line = name.span().start().line;
                let name = name.to_string();
                let named = match name.as_str() {
                    "std" => modules_after(&tokens[at + 1..]),
                    _ if name.starts_with(FORBIDDEN_CRATE) => vec![name],
                    _ => Vec::new(),
                };
                found.extend(named.iter().map(|name| Finding::failure(&file.path, line, complaint(name))));
            }
            _ => {}
        }
    }
}

/// The forbidden modules in what follows the word `std`: `::fs…` or `::{fs::…, net, …}`.
fn modules_after(tokens: &[TokenTree]) -> Vec<String> {
    let [TokenTree::Punct(first), TokenTree::Punct(second), next, ..] = tokens else { return Vec::new() };
    if first.as_char() != ':' || second.as_char() != ':' {
        return Vec::new();
    }
    let names = match next {
        TokenTree::Ident(name) => vec![name.to_string()],
        TokenTree::Group(group) => first_names(group.stream()),
        _ => Vec::new(),
    };
    let forbidden = |name: &String| FORBIDDEN_IN_STD.contains(&name.as_str());
    names.into_iter().filter(forbidden).map(|name| format!("std::{name}")).collect()
}

/// The first word of each comma-separated part.
fn first_names(tokens: TokenStream) -> Vec<String> {
    let mut names = Vec::new();
    let mut at_start = true;
    for token in tokens {
        match &token {
            TokenTree::Ident(name) if at_start => names.push(name.to_string()),
            _ => {}
        }
        at_start = matches!(&token, TokenTree::Punct(sign) if sign.as_char() == ',');
    }
    names
}

fn complaint(name: &str) -> String {
    format!("pure code names `{name}`: take data as arguments and let the caller do the I/O")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn io_is_found_however_it_is_written() {
        for text in [
            "use std::fs;",
            "use std::{fmt, net::{IpAddr, Ipv4Addr}};",
            "fn a() { std::process::abort() }",
            "use tokio::sync::mpsc;",
            "fn a() { tokio_util::sync::f() }",
            "fn a() { call!(std::fs::read(x)) }",
        ] {
            assert_eq!(complaints("crates/base/src/a.rs", text), 1, "{text}");
        }
    }

    #[test]
    fn the_harmless_is_left_alone() {
        for text in [
            "//! No tokio, no std::fs here.\nuse std::io;",
            "use core::net::IpAddr;",
            "use std::{fmt, collections::{fs}};",
            "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n",
        ] {
            assert_eq!(complaints("crates/base/src/a.rs", text), 0, "{text}");
        }
    }

    #[test]
    fn only_pure_places_are_held_to_it() {
        for path in [
            "crates/compute/src/state.rs",
            "crates/compute/src/state/plan.rs",
            "crates/control/src/model/a.rs",
        ] {
            assert_eq!(complaints(path, "use std::fs;"), 1, "{path}");
        }
        assert_eq!(complaints("crates/compute/src/postgres.rs", "use std::fs;"), 0);
    }

    #[test]
    fn a_pure_crate_does_not_depend_on_a_runtime() {
        let text = "[package]\nname = \"dormouse-api\"\n[dependencies]\ntokio.workspace = true\n";
        assert_eq!(complaints("crates/api/Cargo.toml", text), 1);
        assert_eq!(complaints("crates/api/Cargo.toml", &text.replace("[dep", "[dev-dep")), 0);
    }
}
