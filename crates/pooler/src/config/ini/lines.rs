//! A file as lines: what stands on each, before anybody asks what it means.
//!
//! ```text
//!  ; comment   # comment   [section]   %include FILE   key = value   "a ""quoted"" key" = value
//! ```
//!
//! A comment is a whole line: in a value, `;` and `#` are themselves.

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
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { lines: text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, Result<Line<'a>, Problem>);

    fn next(&mut self) -> Option<Self::Item> {
        self.lines.find_map(|(index, text)| {
            let text = text.trim();
            let silent = text.is_empty() || text.starts_with([';', '#']);
            (!silent).then(|| (index + 1, line(text)))
        })
    }
}

fn line(text: &str) -> Result<Line<'_>, Problem> {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.strip_suffix(']').map(|name| Line::Section(name.trim())).ok_or(Problem::Syntax);
    }
    if let Some(rest) = text.strip_prefix("%include") {
        let name = rest.trim();
        let separated = rest.starts_with(char::is_whitespace);
        return if separated && !name.is_empty() { Ok(Line::Include(name)) } else { Err(Problem::Syntax) };
    }
    let (key, rest) = if text.starts_with('"') {
        quoted(text, '"')?
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
