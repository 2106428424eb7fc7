//! A file as lines: what stands on each, before anybody asks what it means.
//!
//! ```text
//!  ; comment   # comment   [section]   %include FILE   key = value   "a ""quoted"" key" = value   'another key' = value
//! ```
//!
//! A comment is a whole line: in a value, `;` and `#` are themselves. What follows a `]` is a line of its own.

use super::Problem;

/// What stands on a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Section(&'a str),
    Include(&'a str),
    Key(String, &'a str),
}

/// The lines that say something, with their numbers.
pub(super) struct Lines<'a> {
    lines: std::iter::Enumerate<std::str::Lines<'a>>,
    /// What stands behind a section, and on which line.
    rest: Option<(usize, &'a str)>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { lines: text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate(), rest: None }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, Result<Line<'a>, Problem>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (index, text) = self.rest.take().or_else(|| self.lines.next())?;
            let text = text.trim();
            if text.is_empty() || text.starts_with([';', '#']) {
                continue;
            }
            let found = match text.strip_prefix('[') {
                Some(section) => section.split_once(']').ok_or(Problem::Syntax).map(|(name, rest)| {
                    self.rest = Some((index, rest));
                    Line::Section(name.trim())
                }),
                None => line(text),
            };
            return Some((index + 1, found));
        }
    }
}

fn line(text: &str) -> Result<Line<'_>, Problem> {
    if let Some(rest) = text.strip_prefix("%include") {
        let name = rest.trim();
        let separated = rest.starts_with(char::is_whitespace);
        return if separated && !name.is_empty() { Ok(Line::Include(name)) } else { Err(Problem::Syntax) };
    }
    let (key, rest) = if text.starts_with('"') {
        quoted(text, '"')?
    } else if let Some(inside) = text.strip_prefix('\'') {
        let (key, rest) = inside.split_once('\'').ok_or(Problem::OpenQuote)?;
        (key.to_owned(), rest)
    } else {
        let end = text.find(|c: char| c == '=' || c.is_whitespace()).ok_or(Problem::Syntax)?;
        (text[..end].to_owned(), &text[end..])
    };
    let value = rest.trim_start().strip_prefix('=').ok_or(Problem::Syntax)?;
    if key.is_empty() { Err(Problem::Syntax) } else { Ok(Line::Key(key, value.trim())) }
}

/// A text in quotes at the start, where a doubled quote is one; and what comes after it.
pub(in crate::config) fn quoted(text: &str, quote: char) -> Result<(String, &str), Problem> {
    let mut rest = text.strip_prefix(quote).ok_or(Problem::Syntax)?;
    let mut out = String::new();
    loop {
        let (before, after) = rest.split_once(quote).ok_or(Problem::OpenQuote)?;
        out.push_str(before);
        match after.strip_prefix(quote) {
            Some(more) => {
                out.push(quote);
                rest = more;
            }
            None => return Ok((out, after)),
        }
    }
}
