//! A Rust file, parsed once for all checks.
//!
//! Checks look at tokens and syntax, not at raw text, so that a comment which *talks* about a forbidden thing
//! is not mistaken for the thing. What counts as test code is decided here and nowhere else.

use std::ops::RangeInclusive;

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// One parsed `.rs` file.
pub(crate) struct RustFile {
    /// Path from the workspace root, with `/`.
    pub(crate) path: String,
    /// Number of lines.
    pub(crate) lines: usize,
    /// Every token; ordinary comments are gone, doc comments are string literals.
    pub(crate) tokens: TokenStream,
    /// The syntax tree of the same tokens.
    pub(crate) syntax: syn::File,
    /// Lines of the inline `#[cfg(test)]` modules, outermost ones only.
    pub(crate) test_modules: Vec<RangeInclusive<usize>>,
}

impl RustFile {
    /// Parses `text`.
    ///
    /// # Errors
    /// The parser's own complaint, when the text is not Rust.
    pub(crate) fn parse(path: &str, text: &str) -> Result<Self, String> {
        let tokens: TokenStream = text.parse().map_err(|error| format!("{error}"))?;
        let syntax: syn::File = syn::parse2(tokens.clone()).map_err(|error| format!("{error}"))?;
        let mut modules = TestModules { found: Vec::new() };
        modules.visit_file(&syntax);
        let lines = text.lines().count();
        Ok(Self { path: path.to_owned(), lines, tokens, syntax, test_modules: modules.found })
    }

    /// Whether the whole file is test code: `tests.rs`, or anything under a directory called `tests`.
    pub(crate) fn is_test_file(&self) -> bool {
        let mut parts = self.path.rsplit('/');
        parts.next() == Some("tests.rs") || parts.any(|part| part == "tests")
    }

    /// Whether `line` is test code.
    pub(crate) fn is_test_line(&self, line: usize) -> bool {
        self.is_test_file() || self.test_modules.iter().any(|range| range.contains(&line))
    }

    /// Lines of this file that are not test code.
    pub(crate) fn non_test_lines(&self) -> usize {
        if self.is_test_file() {
            return 0;
        }
        let tests: usize = self.test_modules.iter().map(|range| range.end() - range.start() + 1).sum();
        self.lines - tests
    }

    /// Every string literal outside test code and outside comments, without its quotes.
    pub(crate) fn string_literals(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.collect_strings(self.tokens.clone(), &mut found);
        found
    }

    fn collect_strings(&self, tokens: TokenStream, found: &mut Vec<String>) {
        for token in tokens {
            match token {
                TokenTree::Group(group) if is_doc(&group.stream()) => {}
                TokenTree::Group(group) => self.collect_strings(group.stream(), found),
                TokenTree::Literal(literal) if !self.is_test_line(literal.span().start().line) => {
                    if let syn::Lit::Str(text) = syn::Lit::new(literal) {
                        found.push(text.value());
                    }
                }
                _ => {}
            }
        }
    }
}

/// Whether the inside of an attribute is `doc = "…"`, which is how the parser sees a doc comment.
fn is_doc(attribute: &TokenStream) -> bool {
    let mut tokens = attribute.clone().into_iter();
    let first = matches!(tokens.next(), Some(TokenTree::Ident(name)) if name == "doc");
    first && matches!(tokens.next(), Some(TokenTree::Punct(sign)) if sign.as_char() == '=')
}

/// Whether an attribute switches something on for tests only: `cfg(test)`, `cfg(all(test, …))`.
fn is_test_only(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && matches!(&attribute.meta, syn::Meta::List(list)
            if has_ident(list.tokens.clone(), "test") && !has_ident(list.tokens.clone(), "not"))
}

fn has_ident(tokens: TokenStream, wanted: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(name) => name == wanted,
        TokenTree::Group(group) => has_ident(group.stream(), wanted),
        _ => false,
    })
}

struct TestModules {
    found: Vec<RangeInclusive<usize>>,
}

impl<'ast> Visit<'ast> for TestModules {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let test_only = module.attrs.iter().any(is_test_only);
        match &module.content {
            Some((braces, _)) if test_only => {
                let start = module.span().start().line;
                self.found.push(start..=braces.span.close().end().line);
            }
            _ => visit::visit_item_mod(self, module),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "//! Says \"quoted\".\n\nconst A: &str = \"code\";\n\n/// One.\n#[cfg(test)]\nmod tests {\n    const B: &str = \"test\";\n}\n";

    fn parse(path: &str, text: &str) -> RustFile {
        RustFile::parse(path, text).expect("the text of the test is Rust")
    }

    #[test]
    fn an_inline_test_module_is_found_with_its_attributes() {
        let file = parse("crates/x/src/a.rs", TEXT);
        assert_eq!(file.test_modules, vec![5..=9]);
        assert_eq!(file.non_test_lines(), 4);
        assert!(file.is_test_line(8) && !file.is_test_line(3));
    }

    #[test]
    fn cfg_not_test_is_product_code() {
        let file = parse("crates/x/src/a.rs", "#[cfg(not(test))]\nmod real {\n}\n");
        assert!(file.test_modules.is_empty());
    }

    #[test]
    fn files_named_tests_and_directories_named_tests_are_test_code() {
        for path in ["crates/x/src/a/tests.rs", "crates/x/tests/a.rs", "tests/src/lib.rs"] {
            assert!(parse(path, TEXT).is_test_file(), "{path}");
        }
        assert!(!parse("crates/x/src/contests.rs", TEXT).is_test_file());
    }

    #[test]
    fn strings_come_from_code_only() {
        let file = parse("crates/x/src/a.rs", TEXT);
        assert_eq!(file.string_literals(), vec!["code".to_owned()]);
    }

    #[test]
    fn text_that_is_not_rust_is_an_error() {
        assert!(RustFile::parse("a.rs", "fn (").is_err());
    }
}
