//! Reads from packs what a directory needs and no boot pack has, and writes it as it arrives.

use std::sync::Arc;

use bytes::Bytes;
use dormouse_runtime::task;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::make::Making;
use super::{RestoreError, Stats};
use crate::chunk::{self, ChunkRef};
use crate::pack::PackReader;
use crate::pack::reader::{PARALLEL, Stretch, Wanted, ranges};

/// What is fetched ahead, while files are being made, at most this many stored bytes.
const AHEAD: u64 = 16 * 1024 * 1024;

/// Chunks to fetch, and the requests that do so.
pub(super) struct Fetch {
    chunks: Arc<Vec<(usize, u32, ChunkRef)>>,
    stretches: Vec<Stretch>,
    ahead: Vec<Bytes>,
}

impl Fetch {
    pub(super) fn new(chunks: Vec<(usize, u32, ChunkRef)>) -> Self {
        let refs: Vec<ChunkRef> = chunks.iter().map(|(_, _, at)| at.clone()).collect();
        Self { stretches: ranges(&refs), chunks: Arc::new(chunks), ahead: Vec::new() }
    }

    /// Fetches the first requests before there are files to write to.
    pub(super) async fn ahead(&mut self, reader: &PackReader) -> Result<(), RestoreError> {
        let mut bytes = 0;
        let fits = |stretch: &&Stretch| {
            bytes += stretch.range.len() as u64;
            bytes <= AHEAD
        };
        let first = self.stretches.iter().take_while(fits).map(|stretch| reader.stretch(stretch));
        self.ahead =
            stream::iter(first).buffered(PARALLEL).try_collect().await.map_err(RestoreError::Data)?;
        Ok(())
    }

    /// Writes everything.
    pub(super) async fn write(
        self,
        reader: &PackReader,
        making: &Arc<Making>,
        stats: &mut Stats,
    ) -> Result<(), RestoreError> {
        let mut ahead = self.ahead.into_iter();
        let chunks = self.chunks;
        let work = self.stretches.into_iter().map(|stretch| {
            let (ready, chunks, making) = (ahead.next(), Arc::clone(&chunks), Arc::clone(making));
            async move {
                let bytes = match ready {
                    Some(bytes) => bytes,
                    None => reader.stretch(&stretch).await.map_err(RestoreError::Data)?,
                };
                let fetched = bytes.len() as u64;
                let written = task::blocking(move || place(&making, &chunks, &stretch, &bytes)).await?;
                Ok::<_, RestoreError>((fetched, written))
            }
        });
        let mut done = stream::iter(work).buffer_unordered(PARALLEL);
        while let Some((fetched, written)) = done.try_next().await? {
            stats.requests += 1;
            stats.fetched_bytes += fetched;
            stats.written_bytes += written;
        }
        Ok(())
    }
}

fn place(
    making: &Making,
    chunks: &[(usize, u32, ChunkRef)],
    stretch: &Stretch,
    bytes: &Bytes,
) -> Result<u64, RestoreError> {
    let parts = stretch.members.iter().map(|member| {
        let (file, number, at) = &chunks[*member];
        let from = (at.offset - stretch.range.start) as usize;
        let plain = chunk::plain_len(making.manifest.files[*file].size, *number);
        (*file, *number, Wanted { at: at.clone(), plain }, bytes.slice(from..from + at.len as usize))
    });
    making.fetched(&parts.collect::<Vec<_>>())
}
