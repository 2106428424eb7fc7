//! Which crate may use which. The table is the one of the design; Cargo only refuses cycles, not bad taste.
//!
//! The edges buy something: `base`, `pgwire` and `api` stay free of I/O, the proxy can be run without the code
//! that starts PostgreSQL, and `server` is the only place where everything meets. A new crate gets a row here
//! in the commit that creates it. Development dependencies are held to the same table.

use crate::finding::Finding;
use crate::tree::{Manifest, Tree};

/// Product crates, by directory name, with the product crates each may use. Order: from the bottom up.
const ALLOWED: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("hydrate", &[]),
    ("runtime", &["base"]),
    ("pgwire", &["base"]),
    ("api", &["base"]),
    ("statistics", &["base", "api"]),
    ("storage", &["base", "hydrate", "runtime", "pgwire"]),
    ("compute", &["base", "runtime", "pgwire"]),
    ("pooler", &["base", "pgwire"]),
    ("pricing", &["base"]),
    ("proxy", &["base", "runtime", "pgwire", "pooler"]),
    ("control", &["base", "runtime", "pgwire", "api", "statistics", "pricing", "storage", "compute"]),
    (
        "server",
        &[
            "base",
            "runtime",
            "pgwire",
            "api",
            "statistics",
            "pricing",
            "storage",
            "compute",
            "pooler",
            "proxy",
            "control",
        ],
    ),
    ("cli", &["base", "runtime", "api", "compute", "server"]),
];

/// Crates that are never shipped may use anything, and nothing may use them.
const DEVELOPMENT_ONLY: [&str; 4] = ["tests", "benches", "sim", "xtask"];

/// What all product packages start with.
const PREFIX: &str = "dormouse-";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.manifests.iter().flat_map(check_manifest).collect()
}

fn check_manifest(manifest: &Manifest) -> Vec<Finding> {
    let Some(package) = manifest.package() else { return Vec::new() };
    let name = package.strip_prefix(PREFIX).unwrap_or(package);
    if DEVELOPMENT_ONLY.contains(&name) {
        return Vec::new();
    }
    let Some((_, allowed)) = ALLOWED.iter().find(|(product, _)| *product == name) else {
        let advice =
            format!("`{package}` has no row in xtask/src/tidy/crate_edges.rs: decide what it may use");
        return vec![Finding::failure(&manifest.path, 0, advice)];
    };
    let mut found = Vec::new();
    if manifest.path != format!("crates/{name}/Cargo.toml") || !package.starts_with(PREFIX) {
        let advice = format!("`{package}` must be called {PREFIX}{name} and live in crates/{name}");
        found.push(Finding::failure(&manifest.path, 0, advice));
    }
    for (_, key, value) in manifest.dependencies() {
        let used = value.get("package").and_then(toml::Value::as_str).unwrap_or(key);
        let used = used.strip_prefix(PREFIX).unwrap_or(used);
        if is_ours(used) && !allowed.contains(&used) {
            let advice = format!("`{name}` must not use `{used}`; it may use: {}", listed(allowed));
            found.push(Finding::failure(&manifest.path, 0, advice));
        }
    }
    found
}

fn is_ours(name: &str) -> bool {
    DEVELOPMENT_ONLY.contains(&name) || ALLOWED.iter().any(|(product, _)| *product == name)
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, package: &str, rest: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"{package}\"\n{rest}");
        check(&Tree::of(&[(path, &text)])).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn edges_of_the_table_pass_and_others_fail() {
        let uses = |name: &str| {
            let rest = format!("[dependencies]\ndormouse-{name}.workspace = true\n");
            complaints("crates/proxy/Cargo.toml", "dormouse-proxy", &rest)
        };
        assert!(uses("pgwire").is_empty());
        assert!(uses("compute")[0].contains("must not use `compute`"));
        assert!(uses("tests")[0].contains("must not use `tests`"));
    }

    #[test]
    fn a_rename_or_a_development_dependency_is_no_way_around() {
        let renamed = "[dependencies]\nx = { package = \"dormouse-control\", path = \"../control\" }\n";
        assert_eq!(complaints("crates/base/Cargo.toml", "dormouse-base", renamed).len(), 1);
        let development = "[dev-dependencies]\ndormouse-control.workspace = true\n";
        assert_eq!(complaints("crates/base/Cargo.toml", "dormouse-base", development).len(), 1);
    }

    #[test]
    fn development_crates_may_use_anything() {
        let rest = "[dependencies]\ndormouse-server.workspace = true\n";
        assert!(complaints("tests/Cargo.toml", "dormouse-tests", rest).is_empty());
        assert!(complaints("benches/Cargo.toml", "benches", rest).is_empty());
    }

    #[test]
    fn unknown_and_misplaced_crates_are_reported() {
        assert!(complaints("crates/new/Cargo.toml", "dormouse-new", "")[0].contains("no row"));
        assert!(
            complaints("crates/wire/Cargo.toml", "dormouse-pgwire", "")[0].contains("live in crates/pgwire")
        );
        assert!(complaints("crates/pgwire/Cargo.toml", "pgwire", "")[0].contains("must be called"));
    }

    #[test]
    fn the_table_is_in_order_so_it_cannot_hold_a_cycle() {
        for (row, (name, allowed)) in ALLOWED.iter().enumerate() {
            for used in *allowed {
                let below = ALLOWED[..row].iter().any(|(product, _)| product == used);
                assert!(below, "`{name}` uses `{used}`, which is not above it in the table");
            }
        }
    }
}
