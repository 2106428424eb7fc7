//! Manifests as bytes, version 1.
//!
//! ```text
//!  DMMANIF\1, length, hash, zstd of:
//!     header (JSON, with its length)        readable by people, and new optional fields do no harm
//!     table of packs
//!     directories: path, mode
//!     files: path, mode, size, 0 = chunks │ 1 = maps, references
//!     WAL pages: position, bytes
//! ```
//!
//! A path is written as "so many bytes of the one before, then these": 30,000 names of a database differ
//! in their last digits.

use super::envelope::{self, EnvelopeError};
use super::refs::{self, Packs};
use super::segment::MAP_CHUNKS;
use super::wire::{Reader, Short, put_bytes, put_number};
use super::{Content, Directory, FileEntry, INLINE_CHUNKS, MAX_ENTRIES, MAX_PATH, Manifest, WalPages};
use crate::chunk;
use crate::key::Key;
use crate::pack::DataError;

/// What a manifest begins with; the last byte is the version.
pub const MAGIC: [u8; 8] = *b"DMMANIF\x01";

/// The longest manifest that is read, plain bytes: some four million files.
pub const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// Bytes that are not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not a manifest, too long, or damaged.
    #[error("the manifest cannot be used")]
    Envelope(#[source] EnvelopeError),
    /// Its header is not one.
    #[error("the manifest's header cannot be understood")]
    Header(#[source] serde_json::Error),
    /// The rest makes no sense.
    #[error("the manifest makes no sense")]
    Malformed(#[source] Short),
}

impl Manifest {
    /// The form in the store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (mut packs, mut body, mut out) = (Packs::default(), Vec::new(), Vec::new());
        put_number(&mut body, self.dirs.len() as u64);
        let mut before = "";
        for dir in &self.dirs {
            put_path(&mut body, &mut before, &dir.path);
            put_number(&mut body, u64::from(dir.mode));
        }
        put_number(&mut body, self.files.len() as u64);
        before = "";
        for file in &self.files {
            put_path(&mut body, &mut before, &file.path);
            put_number(&mut body, u64::from(file.mode));
            put_number(&mut body, file.size);
            let (tag, list) = match &file.content {
                Content::Chunks(list) => (0, list),
                Content::Maps(list) => (1, list),
            };
            body.push(tag);
            refs::put(&mut body, &mut packs, list);
        }
        put_number(&mut body, self.wal.len() as u64);
        for pages in &self.wal {
            put_number(&mut body, pages.at.0);
            put_bytes(&mut body, &pages.bytes);
        }
        let header = serde_json::to_vec(&self.header).expect("a header is plain data");
        put_bytes(&mut out, &header);
        packs.encode(&mut out);
        out.append(&mut body);
        envelope::wrap(MAGIC, &out)
    }

    /// Reads what [`Manifest::encode`] made.
    ///
    /// # Errors
    /// When it is damaged, of another version, or impossible.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let plain = envelope::unwrap(MAGIC, bytes, MAX_BYTES).map_err(ManifestError::Envelope)?;
        let mut reader = Reader::new(&plain);
        let header = reader.bytes().map_err(ManifestError::Malformed)?;
        let header = serde_json::from_slice(header).map_err(ManifestError::Header)?;
        let (dirs, files, wal) = body(&mut reader).map_err(ManifestError::Malformed)?;
        Ok(Self { header, dirs, files, wal })
    }

    /// Reads a manifest object.
    ///
    /// # Errors
    /// When the store does not give it, or it cannot be used.
    pub async fn load(store: &crate::Store, key: &Key) -> Result<Self, DataError> {
        let bytes = store.get(key).await.map_err(DataError::Store)?;
        Self::decode(&bytes).map_err(|error| DataError::damaged(key, 0, error))
    }
}

type Body = (Vec<Directory>, Vec<FileEntry>, Vec<WalPages>);

fn body(reader: &mut Reader<'_>) -> Result<Body, Short> {
    let packs = Packs::decode(reader)?;
    let mut before = String::new();
    let mut dirs = Vec::with_capacity(reader.count(3)?);
    for _ in 0..dirs.capacity() {
        dirs.push(Directory { path: path(reader, &mut before)?, mode: reader.small()? });
    }
    before.clear();
    let count = reader.count(5)?;
    if count + dirs.len() > MAX_ENTRIES {
        return Err(Short);
    }
    let mut files = Vec::with_capacity(count);
    for _ in 0..count {
        let (path, mode, size) = (path(reader, &mut before)?, reader.small()?, reader.number()?);
        let (tag, list) = (reader.u8()?, refs::get(reader, &packs)?);
        let chunks = size.div_ceil(chunk::CHUNK);
        let (content, expected) = match tag {
            0 if chunks <= u64::from(INLINE_CHUNKS) => (Content::Chunks(list), chunks),
            1 => (Content::Maps(list), chunks.div_ceil(u64::from(MAP_CHUNKS))),
            _ => return Err(Short),
        };
        let (Content::Chunks(list) | Content::Maps(list)) = &content;
        if list.len() as u64 != expected || chunks > u64::from(u32::MAX) {
            return Err(Short);
        }
        files.push(FileEntry { path, mode, size, content });
    }
    let wal = (0..reader.count(2)?)
        .map(|_| Ok(WalPages { at: dormouse_base::Lsn(reader.number()?), bytes: reader.bytes()?.to_vec() }));
    let wal = wal.collect::<Result<_, Short>>()?;
    reader.end()?;
    Ok((dirs, files, wal))
}

pub(crate) fn put_path<'a>(out: &mut Vec<u8>, before: &mut &'a str, path: &'a str) {
    let same = before.bytes().zip(path.bytes()).take_while(|(a, b)| a == b).count();
    put_number(out, same as u64);
    put_bytes(out, &path.as_bytes()[same..]);
    *before = path;
}

/// A path that is greater than the one before, and stays below the directory it belongs to.
pub(crate) fn path(reader: &mut Reader<'_>, before: &mut String) -> Result<String, Short> {
    let same: usize = reader.small()?;
    let rest = reader.bytes()?;
    let bytes = [before.as_bytes().get(..same).ok_or(Short)?, rest].concat();
    let text = String::from_utf8(bytes).map_err(|_| Short)?;
    if !is_safe(&text) || *before >= text {
        return Err(Short);
    }
    before.clone_from(&text);
    Ok(text)
}

/// Whether a path is a plain one below the cluster's directory.
pub(crate) fn is_safe(path: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    path.len() <= MAX_PATH && path.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_out_of_the_directory_are_refused() {
        for bad in ["", "/etc/passwd", "../x", "base/../../x", "base//x", "./x", "x/", &"x".repeat(600)] {
            assert!(!is_safe(bad), "{bad}");
        }
        assert!(is_safe("base/1/1259_fsm.1") && is_safe("postgresql.auto.conf"));
    }
}
