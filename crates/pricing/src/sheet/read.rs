//! Reading a sheet: what is refused, and how it is said: file, line, field, what is wrong.

use jiff::civil::Date;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::{MAX_ID, Sheet, Size};
use crate::money::Fixed;

/// The largest file that is read as a sheet, bytes.
pub const MAX_SHEET: u64 = 256 * 1024;
/// The longest text of a field, characters.
const MAX_TEXT: usize = 400;
/// The most sizes.
const MAX_SIZES: usize = 100;
/// Time is billed in pieces of at most a day.
const MAX_PIECE: u32 = 86_400;

/// A sheet that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}{}: {message}", field.as_ref().map(|field| format!(", field `{field}`")).unwrap_or_default())]
pub struct SheetError {
    /// Where it was read.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The field, such as `storage.tiers[1].up_to`.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl Sheet {
    /// Reads a sheet. `file` is for errors only.
    ///
    /// # Errors
    /// When it is not TOML, a field is missing, unknown or of another kind, or a number makes no sense.
    pub fn read(file: &str, text: &str) -> Result<Self, SheetError> {
        let refused = |span: Option<std::ops::Range<usize>>, field: Option<String>, message: &str| {
            let before = text.get(..span.map_or(0, |span| span.start)).unwrap_or_default();
            let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
            // The parser explains over several lines; an error of ours is one.
            let message = message.trim().replace('\n', "; ");
            SheetError { file: file.to_owned(), line, field, message }
        };
        let document =
            toml::Deserializer::parse(text).map_err(|error| refused(error.span(), None, error.message()))?;
        serde_path_to_error::deserialize(document).map_err(|error| {
            let path = error.path().to_string();
            let field = Some(path).filter(|path| path != ".");
            let error = error.into_inner();
            refused(error.span(), field, error.message())
        })
    }
}

pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let clean =
        !text.trim().is_empty() && text.chars().count() <= MAX_TEXT && !text.chars().any(char::is_control);
    if clean {
        Ok(text)
    } else {
        Err(D::Error::custom(format!("must be one line of 1 to {MAX_TEXT} characters")))
    }
}

pub(super) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let id = String::deserialize(deserializer)?;
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(good) {
        return Err(D::Error::custom(format!(
            "`{id}` must be 1 to {MAX_ID} lower-case letters, digits and `-`"
        )));
    }
    Ok(id)
}

pub(super) fn currency<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let code = String::deserialize(deserializer)?;
    if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(code);
    }
    Err(D::Error::custom(format!("`{code}` must be a code of three capital letters, such as USD")))
}

/// `2026-11-12`, with quotes or without.
pub(super) fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
    let written = match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text,
        toml::Value::Datetime(date) => date.to_string(),
        other => other.type_str().to_owned(),
    };
    written.parse().map_err(|_| D::Error::custom(format!("`{written}` must be a day, such as 2026-11-12")))
}

pub(super) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Fixed, D::Error> {
    let number = Fixed::deserialize(deserializer)?;
    if number > Fixed::ZERO { Ok(number) } else { Err(D::Error::custom("must be more than 0")) }
}

pub(super) fn some_positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Fixed>, D::Error> {
    positive(deserializer).map(Some)
}

pub(super) fn ascending<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Fixed>, D::Error> {
    let sizes = Vec::<Fixed>::deserialize(deserializer)?;
    check_order::<D>(&sizes)?;
    Ok(sizes)
}

pub(super) fn sizes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Size>, D::Error> {
    let sizes = Vec::<Size>::deserialize(deserializer)?;
    check_order::<D>(&sizes.iter().map(|size| size.cu).collect::<Vec<_>>())?;
    Ok(sizes)
}

fn check_order<'de, D: Deserializer<'de>>(sizes: &[Fixed]) -> Result<(), D::Error> {
    if sizes.len() > MAX_SIZES {
        return Err(D::Error::custom(format!("there are more than {MAX_SIZES} sizes")));
    }
    let grows = sizes.first().is_none_or(|first| *first > Fixed::ZERO) && sizes.is_sorted_by(|a, b| a < b);
    if grows {
        Ok(())
    } else {
        Err(D::Error::custom("sizes must be more than 0 and grow from one to the next"))
    }
}

pub(super) const fn one() -> u32 {
    1
}

pub(super) fn piece<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let seconds = u32::deserialize(deserializer)?;
    if (1..=MAX_PIECE).contains(&seconds) {
        return Ok(seconds);
    }
    Err(D::Error::custom(format!("must be 1 to {MAX_PIECE} seconds")))
}

#[cfg(test)]
mod tests;
