//! Whether all that a snapshot refers to is there and is what was written: the question of fsck.

use futures_util::stream::{self, StreamExt};

use super::Manifest;
use crate::chunk::{self, ChunkRef};
use crate::key::Key;
use crate::pack::reader::{PARALLEL, Stretch, Wanted, expand, ranges};
use crate::pack::{DataError, PackReader};

/// The most findings of one snapshot; a lost pack would otherwise be told a thousand times.
pub const MAX_FINDINGS: usize = 100;

/// Something is wrong with a snapshot.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The object that is wrong.
    pub object: Key,
    /// A file of the cluster that is lost by it.
    pub path: String,
    /// What is wrong.
    pub error: DataError,
}

/// What was looked at, and what is wrong.
#[derive(Debug, Clone, Default)]
pub struct Verified {
    /// Chunks that were read and are right.
    pub chunks: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// What is wrong, at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
}

/// Reads everything that a snapshot refers to and proves every hash.
pub async fn verify(manifest: &Manifest, reader: &PackReader) -> Verified {
    let mut verified = Verified::default();
    // Files in groups: small ones share requests, and no group is larger than one file.
    let mut group: Vec<(usize, Wanted)> = Vec::new();
    for (at, file) in manifest.files.iter().enumerate() {
        match file.resolve(reader).await {
            Ok(refs) => group.extend(refs.into_iter().enumerate().map(|(i, at_ref)| {
                let index = u32::try_from(i).unwrap_or(u32::MAX);
                (at, Wanted { at: at_ref, plain: chunk::plain_len(file.size, index) })
            })),
            Err(error) => verified.note(&file.path, error),
        }
        if group.len() >= super::segment::MAP_CHUNKS as usize {
            prove(manifest, reader, std::mem::take(&mut group), &mut verified).await;
        }
        if verified.findings.len() >= MAX_FINDINGS {
            return verified;
        }
    }
    prove(manifest, reader, group, &mut verified).await;
    verified
}

async fn prove(
    manifest: &Manifest,
    reader: &PackReader,
    group: Vec<(usize, Wanted)>,
    verified: &mut Verified,
) {
    let refs: Vec<ChunkRef> = group.iter().map(|(_, wanted)| wanted.at.clone()).collect();
    let group = std::sync::Arc::new(group);
    let work = ranges(&refs).into_iter().map(|stretch| {
        let group = std::sync::Arc::clone(&group);
        async move {
            let read = reader.stretch(&stretch).await;
            dormouse_runtime::task::blocking(move || check(&group, &stretch, read)).await
        }
    });
    let mut answers = stream::iter(work).buffer_unordered(PARALLEL);
    while let Some((chunks, bytes, wrong)) = answers.next().await {
        verified.chunks += chunks;
        verified.bytes += bytes;
        for (file, error) in wrong {
            verified.note(&manifest.files[file].path, error);
        }
    }
}

type Checked = (u64, u64, Vec<(usize, DataError)>);

fn check(group: &[(usize, Wanted)], stretch: &Stretch, read: Result<bytes::Bytes, DataError>) -> Checked {
    let (mut chunks, mut bytes, mut wrong) = (0, 0, Vec::new());
    match read {
        // One finding for the range; its first chunk names a file.
        Err(error) => wrong.push((group[stretch.members[0]].0, error)),
        Ok(data) => {
            for member in &stretch.members {
                let (file, wanted) = &group[*member];
                let from = (wanted.at.offset - stretch.range.start) as usize;
                match expand(wanted, &data[from..from + wanted.at.len as usize]) {
                    Ok(_) => (chunks, bytes) = (chunks + 1, bytes + u64::from(wanted.at.len)),
                    Err(error) => wrong.push((*file, error)),
                }
            }
        }
    }
    (chunks, bytes, wrong)
}

impl Verified {
    fn note(&mut self, path: &str, error: DataError) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { object: error.object().clone(), path: path.to_owned(), error });
        }
    }
}
