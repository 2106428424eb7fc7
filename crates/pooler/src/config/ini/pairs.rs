//! `key=value key='a value'`: how an entry of a section is written.
//!
//! It looks like libpq's connection string, but a quote inside quotes is doubled, and `\` is itself.

use super::Problem;
use super::lines::quoted;

/// How much of a text that is wrong is shown. Never what comes after a `=`: it could be a password.
const SHOWN: usize = 20;

/// The pairs, in order.
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>, Problem> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let wrong = || {
            let key = rest.split(|c: char| c == '=' || c.is_whitespace()).next().unwrap_or_default();
            Problem::Pairs(key.chars().take(SHOWN).collect())
        };
        let (key, after) = rest.split_once('=').ok_or_else(wrong)?;
        let key = key.trim_end();
        if key.is_empty() || !key.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_') {
            return Err(wrong());
        }
        let after = after.trim_start();
        let (value, after) = if after.starts_with('\'') {
            quoted(after, '\'')?
        } else {
            let end = after.find(char::is_whitespace).unwrap_or(after.len());
            (after[..end].to_owned(), &after[end..])
        };
        if after.starts_with(|c: char| !c.is_whitespace()) {
            return Err(wrong());
        }
        out.push((key.to_ascii_lowercase(), value));
        rest = after.trim_start();
    }
    Ok(out)
}
