//! Gives the absent chunks of a lazily made directory.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OnceCell;

use crate::chunk::{self, ChunkRef};
use crate::manifest::segment::{self, MAP_CHUNKS};
use crate::manifest::{Content, FileEntry};
use crate::pack::boot::BootPack;
use crate::pack::reader::Wanted;
use crate::pack::{DataError, PackReader};

/// The most chunks of one [`ChunkSource::chunks`] call; bounds memory at 16 MiB.
pub const MAX_RUN: u32 = 64;

/// A chunk cannot be given.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    /// There is no such chunk.
    #[error("file {file} has no chunk {chunk}")]
    NoSuchChunk {
        /// The file.
        file: u32,
        /// The chunk.
        chunk: u32,
    },
    /// It cannot be read.
    #[error("cannot read a chunk")]
    Data(#[source] DataError),
}

impl SourceError {
    /// Whether asking again may help: the store did not answer, which is not the same as a wrong answer.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Data(DataError::Store(error)) if !error.is_not_found())
    }
}

/// Gives chunks of the files of [`super::Materialised::lazy`], by their number there. Segment maps are
/// loaded when they are first needed, each once; that bounds memory at 230 KB for each GiB of the database.
#[derive(Debug)]
pub struct ChunkSource {
    reader: PackReader,
    files: Vec<SourceFile>,
    boot: Option<Arc<BootPack>>,
}

#[derive(Debug)]
struct SourceFile {
    size: u64,
    refs: Refs,
}

#[derive(Debug)]
enum Refs {
    Inline(Vec<ChunkRef>),
    Maps(Vec<(ChunkRef, OnceCell<Vec<ChunkRef>>)>),
}

impl ChunkSource {
    /// A source of these files.
    pub fn new<'a>(
        reader: PackReader,
        files: impl Iterator<Item = &'a FileEntry>,
        boot: Option<Arc<BootPack>>,
    ) -> Self {
        let files = files.map(|file| SourceFile {
            size: file.size,
            refs: match &file.content {
                Content::Chunks(refs) => Refs::Inline(refs.clone()),
                Content::Maps(maps) => {
                    Refs::Maps(maps.iter().map(|at| (at.clone(), OnceCell::new())).collect())
                }
            },
        });
        Self { reader, files: files.collect(), boot }
    }

    /// The plain bytes of one chunk, checked.
    ///
    /// # Errors
    /// When there is no such chunk, or it cannot be read.
    pub async fn chunk(&self, file: u32, chunk: u32) -> Result<Bytes, SourceError> {
        Ok(self.chunks(file, chunk, 1).await?.swap_remove(0))
    }

    /// The plain bytes of neighbouring chunks, at most [`MAX_RUN`], with as few requests as possible; fewer
    /// at the end of the file.
    ///
    /// # Errors
    /// When the first does not exist, or one cannot be read.
    pub async fn chunks(&self, file: u32, first: u32, count: u32) -> Result<Vec<Bytes>, SourceError> {
        let none = || SourceError::NoSuchChunk { file, chunk: first };
        let entry = self.files.get(file as usize).ok_or_else(none)?;
        let end = chunk::count(entry.size).min(first.saturating_add(count.clamp(1, MAX_RUN)));
        let mut wanted = Vec::new();
        for number in first..end {
            let at = self.at(entry, number).await.map_err(SourceError::Data)?.ok_or_else(none)?;
            wanted.push(Wanted { at: at.clone(), plain: chunk::plain_len(entry.size, number) });
        }
        if wanted.is_empty() {
            return Err(none());
        }
        self.reader.plain(&wanted).await.map_err(SourceError::Data)
    }

    async fn at<'a>(&'a self, file: &'a SourceFile, chunk: u32) -> Result<Option<&'a ChunkRef>, DataError> {
        let maps = match &file.refs {
            Refs::Inline(refs) => return Ok(refs.get(chunk as usize)),
            Refs::Maps(maps) => maps,
        };
        let Some((map, loaded)) = maps.get((chunk / MAP_CHUNKS) as usize) else { return Ok(None) };
        let refs = loaded.get_or_try_init(|| self.load(map)).await?;
        Ok(refs.get((chunk % MAP_CHUNKS) as usize))
    }

    async fn load(&self, map: &ChunkRef) -> Result<Vec<ChunkRef>, DataError> {
        let here = self.boot.as_ref().and_then(|boot| boot.stored(map.hash));
        match here.and_then(|stored| segment::decode(stored, map.hash).ok()) {
            Some(refs) => Ok(refs),
            None => self.reader.map(map).await,
        }
    }
}
