//! Lines per function, from `fn` to the closing brace.
//!
//! Keep the branches in the parent and move the leaves into helpers; a function that does not fit on a screen
//! hides its own shape. Functions in test code may be long: a test that tells a story is easier to read whole.

use syn::visit::{self, Visit};

use crate::finding::Finding;
use crate::source::RustFile;
use crate::tree::Tree;

/// Over this many lines a function is warned about.
const WARN_LINES: usize = 60;
/// Over this many it fails.
const FAIL_LINES: usize = 100;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust.iter().flat_map(check_file).collect()
}

fn check_file(file: &RustFile) -> Vec<Finding> {
    let mut functions = Functions { file, found: Vec::new() };
    functions.visit_file(&file.syntax);
    functions.found
}

struct Functions<'a> {
    file: &'a RustFile,
    found: Vec<Finding>,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let start = signature.fn_token.span.start().line;
        if self.file.is_test_line(start) {
            return;
        }
        let lines = body.brace_token.span.close().end().line - start + 1;
        let advice = format!("lines in `{}`: move the leaves into functions of their own", signature.ident);
        self.found.extend(Finding::over(&self.file.path, start, lines, WARN_LINES, FAIL_LINES, &advice));
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.measure(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function of exactly `lines` lines inside `open` and `close`.
    fn function(open: &str, lines: usize, close: &str) -> Tree {
        let body = "    work();\n".repeat(lines - 2);
        Tree::of(&[("crates/x/src/a.rs", &format!("{open}fn long() {{\n{body}}}\n{close}"))])
    }

    fn verdict(tree: &Tree) -> Option<bool> {
        check(tree).first().map(Finding::is_failure)
    }

    #[test]
    fn free_functions_methods_and_default_methods_are_measured() {
        for (open, close) in [("", ""), ("impl A {\n", "}\n"), ("trait A {\n", "}\n"), ("mod a {\n", "}\n")] {
            assert_eq!(verdict(&function(open, 60, close)), None, "{open}");
            assert_eq!(verdict(&function(open, 61, close)), Some(false), "{open}");
            assert_eq!(verdict(&function(open, 101, close)), Some(true), "{open}");
        }
    }

    #[test]
    fn test_functions_may_be_long() {
        assert_eq!(verdict(&function("#[cfg(test)]\nmod tests {\n", 200, "}\n")), None);
    }
}
