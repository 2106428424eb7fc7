//! Fields per struct. A struct with dozens of fields is several things that have not been told apart yet.
//!
//! Settings are exempt, because every knob is a field: names that end in `Config`, `Options` or `Args`.

use syn::visit::{self, Visit};

use crate::finding::Finding;
use crate::source::RustFile;
use crate::tree::Tree;

/// The most fields a struct may have.
const MOST_FIELDS: usize = 20;

/// Endings of the names of structs that hold settings.
const SETTINGS: [&str; 3] = ["Config", "Options", "Args"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust.iter().flat_map(check_file).collect()
}

fn check_file(file: &RustFile) -> Vec<Finding> {
    let mut structs = Structs { path: &file.path, found: Vec::new() };
    structs.visit_file(&file.syntax);
    structs.found
}

struct Structs<'a> {
    path: &'a str,
    found: Vec<Finding>,
}

impl<'ast> Visit<'ast> for Structs<'_> {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        let name = item.ident.to_string();
        let exempt = SETTINGS.iter().any(|ending| name.ends_with(ending));
        let advice = format!("fields in `{name}`: group the ones that change together");
        if !exempt {
            let line = item.ident.span().start().line;
            let count = item.fields.len();
            self.found.extend(Finding::over(self.path, line, count, MOST_FIELDS, MOST_FIELDS, &advice));
        }
        visit::visit_item_struct(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(name: &str, fields: usize) -> usize {
        let fields: String = (0..fields).map(|n| format!("    f{n}: u8,\n")).collect();
        check(&Tree::of(&[("crates/x/src/a.rs", &format!("struct {name} {{\n{fields}}}\n"))])).len()
    }

    #[test]
    fn twenty_fields_are_the_limit() {
        assert_eq!(complaints("Timeline", 20), 0);
        assert_eq!(complaints("Timeline", 21), 1);
    }

    #[test]
    fn settings_may_have_as_many_as_there_are_knobs() {
        for name in ["ProxyConfig", "UpArgs", "StartOptions"] {
            assert_eq!(complaints(name, 40), 0, "{name}");
        }
    }
}
