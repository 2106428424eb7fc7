//! The bytes of one version: a line of JSON and a line with the checksum of the first.
//!
//! ```text
//! {"format":1,"seq":7,"writer":"01k…","written_at":"2026-11-25T20:00:00Z","value":{…}}
//! blake3:5f1d…
//! ```
//!
//! JSON, so that a person with nothing but a listing can read it; the checksum, because a flipped bit in a
//! number is still JSON.

use bytes::Bytes;
use dormouse_base::{Timestamp, clock, rand};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{MAX_BYTES, RegisterError, Version};
use crate::key::{FORMAT_VERSION, Key};

/// What stands before the checksum.
const CHECKSUM: &str = "blake3:";

/// Characters of a writer's name; 5.9 bits each.
const WRITER: usize = 16;

#[derive(Serialize, Deserialize)]
struct Line<T> {
    format: u32,
    seq: u64,
    /// Nobody else has this name, so that equal bytes mean the same write.
    writer: String,
    written_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Timestamp>,
    value: T,
}

/// The part of a line that every version of Dormouse can read.
#[derive(Deserialize)]
struct Outline {
    format: u64,
}

/// A version as it was found.
pub(super) struct Sealed<T> {
    pub(super) version: Version<T>,
    pub(super) writer: String,
}

/// The bytes of a version, and the name of its writer in them.
pub(super) fn seal<T: Serialize>(key: &Key, version: &Version<T>) -> Result<(String, Bytes), RegisterError> {
    let line = Line {
        format: FORMAT_VERSION,
        seq: version.seq,
        writer: rand::token(WRITER),
        written_at: clock::now(),
        deleted_at: version.deleted_at,
        value: &version.value,
    };
    let wrong = |error: serde_json::Error| damaged(key, &error.to_string());
    let mut text = serde_json::to_string(&line).map_err(wrong)?;
    let checksum = blake3::hash(text.as_bytes()).to_hex();
    text.extend(["\n", CHECKSUM, checksum.as_str(), "\n"]);
    if text.len() > MAX_BYTES {
        return Err(RegisterError::TooLarge { key: key.clone(), bytes: text.len(), limit: MAX_BYTES });
    }
    Ok((line.writer, Bytes::from(text)))
}

/// Reads and checks the bytes of version `seq`.
pub(super) fn open<T: DeserializeOwned>(
    key: &Key,
    seq: u64,
    bytes: &[u8],
) -> Result<Sealed<T>, RegisterError> {
    let text = std::str::from_utf8(bytes).map_err(|_| damaged(key, "it is no text"))?;
    let (line, last) = text.split_once('\n').ok_or_else(|| damaged(key, "the checksum is missing"))?;
    let told = last.strip_suffix('\n').and_then(|last| last.strip_prefix(CHECKSUM));
    if told != Some(blake3::hash(line.as_bytes()).to_hex().as_str()) {
        return Err(damaged(key, "the checksum does not fit"));
    }
    let wrong = |error: serde_json::Error| damaged(key, &error.to_string());
    let outline: Outline = serde_json::from_str(line).map_err(wrong)?;
    if outline.format > u64::from(FORMAT_VERSION) {
        return Err(RegisterError::Newer { key: key.clone(), found: outline.format, known: FORMAT_VERSION });
    }
    let line: Line<T> = serde_json::from_str(line).map_err(wrong)?;
    if line.seq != seq {
        return Err(damaged(key, &format!("it says that it is version {}", line.seq)));
    }
    let version = Version { seq, value: line.value, deleted_at: line.deleted_at };
    Ok(Sealed { version, writer: line.writer })
}

fn damaged(key: &Key, reason: &str) -> RegisterError {
    RegisterError::Damaged { key: key.clone(), reason: reason.to_owned() }
}
