//! `key=value key='a value'`: how an entry of a section is written.
//!
//! It looks like libpq's connection string, but a quote inside quotes is doubled, and `\` is itself. Of a text that is wrong
//! nothing is shown: it could be the rest of a password that has a space in it.

use super::Problem;
use super::lines::quoted;

/// The pairs, in order.
pub(super) fn pairs(text: &str) -> Result<Vec<(String, String)>, Problem> {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let wrong = || Problem::Pairs(last(&out));
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
        out.push((key.to_ascii_lowercase(), value));
        if after.starts_with(|c: char| !c.is_whitespace()) {
            return Err(Problem::Pairs(last(&out)));
        }
        rest = after.trim_start();
    }
    Ok(out)
}

/// The key behind which something is wrong. Behind a password even what looks like a key may be a part of it.
fn last(pairs: &[(String, String)]) -> Option<String> {
    let password = pairs.iter().find(|(key, _)| key == "password");
    password.or_else(|| pairs.last()).map(|(key, _)| key.clone())
}
