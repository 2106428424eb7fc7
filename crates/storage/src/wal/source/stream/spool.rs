//! WAL that was received and is not filed yet, in files of our own. Blocking code, no tasks.
//!
//! ```text
//!  <dir>/<start>.spool    frames: start u64 · timeline u32 · length u32 · CRC-32C of all others u32 · bytes
//! ```
//!
//! Only what was synced is acknowledged. After a crash, frames count up to the first that is not whole: what
//! follows was not acknowledged, and the server sends it again.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dormouse_base::{Lsn, Timeline};
use dormouse_runtime::failpoint;

/// Bytes of WAL in one file before the next is begun.
const FILE: u64 = 16 * 1024 * 1024;
/// Bytes in one frame.
pub(super) const MAX_FRAME: usize = 1024 * 1024;
const HEADER: usize = 20;

/// Some WAL in a file.
#[derive(Debug, Clone)]
struct Extent {
    start: Lsn,
    len: u64,
    timeline: Timeline,
    file: Arc<File>,
    offset: u64,
    path: Arc<PathBuf>,
}

impl Extent {
    fn end(&self) -> Lsn {
        self.start.plus(self.len)
    }
}

/// The spool of one compute.
#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    extents: VecDeque<Extent>,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    file: Arc<File>,
    path: Arc<PathBuf>,
    len: u64,
}

impl Spool {
    /// Opens a spool, making the directory. Frames that are not whole are forgotten.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        // It holds what clients wrote: nobody else's business.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut paths: Vec<PathBuf> = std::fs::read_dir(dir)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_some_and(|ext| ext == "spool"));
        paths.sort();
        let mut spool = Self { dir: dir.to_owned(), extents: VecDeque::new(), current: None };
        for path in paths {
            if !spool.load(&path)? {
                // Behind a frame that was torn, or older than one that was received again.
                std::fs::remove_file(&path)?;
            }
        }
        Ok(spool)
    }

    /// Reads the frames of a file. False when it has none that count.
    fn load(&mut self, path: &Path) -> io::Result<bool> {
        let mut bytes = Vec::new();
        let file = Arc::new(File::open(path)?);
        (&*file).read_to_end(&mut bytes)?;
        let path = Arc::new(path.to_owned());
        let (mut at, mut counts) = (0, false);
        while let Some((start, timeline, len)) = frame(&bytes[at..]) {
            let (offset, len) = ((at + HEADER) as u64, len as u64);
            at += HEADER + len as usize;
            // A hole is where the server had removed WAL. A frame that the disk did not take when it was to, and that
            // was received again, may be there all the same: its bytes are those of the second one.
            let known = self.end().map_or(0, |end| end.since(start));
            if known >= len {
                continue;
            }
            let (file, path) = (Arc::clone(&file), Arc::clone(&path));
            let (start, len, offset) = (start.plus(known), len - known, offset + known);
            self.extents.push_back(Extent { start, len, timeline, file, offset, path });
            counts = true;
        }
        Ok(counts)
    }

    /// Behind the last byte; `None` when there is none.
    pub(super) fn end(&self) -> Option<Lsn> {
        self.extents.back().map(Extent::end)
    }

    /// The first byte; `None` when there is none.
    pub(super) fn start(&self) -> Option<Lsn> {
        self.extents.front().map(|extent| extent.start)
    }

    /// Bytes of WAL in it.
    pub(super) fn len(&self) -> u64 {
        self.start().zip(self.end()).map_or(0, |(start, end)| end.since(start))
    }

    /// The start of the first bytes at or behind `from`.
    pub(super) fn next_start(&self, from: Lsn) -> Option<Lsn> {
        let at = self.extents.partition_point(|extent| extent.end() <= from);
        self.extents.get(at).map(|extent| extent.start.max(from))
    }

    /// The timeline of the last bytes.
    pub(super) fn timeline(&self) -> Option<Timeline> {
        self.extents.back().map(|extent| extent.timeline)
    }

    /// Adds bytes behind the last ones and makes them durable.
    pub(super) fn append(&mut self, start: Lsn, timeline: Timeline, bytes: &[u8]) -> io::Result<()> {
        failpoint::hit_blocking("wal.spool.append")?;
        if self.current.as_ref().is_some_and(|current| current.len >= FILE) {
            self.current = None;
        }
        if self.current.is_none() {
            self.begin(start)?;
        }
        let current = self.current.as_mut().expect("it was begun");
        let (mut out, mut extents) = (Vec::with_capacity(bytes.len() + HEADER), Vec::new());
        for (i, part) in bytes.chunks(MAX_FRAME).enumerate() {
            let at = start.plus((i * MAX_FRAME) as u64);
            let offset = current.len + (out.len() + HEADER) as u64;
            write_frame(&mut out, at, timeline, part);
            let (file, path) = (Arc::clone(&current.file), Arc::clone(&current.path));
            extents.push(Extent { start: at, len: part.len() as u64, timeline, file, offset, path });
        }
        let written = (&*current.file).write_all(&out).and_then(|()| {
            failpoint::hit_blocking("wal.spool.sync")?;
            current.file.sync_data()
        });
        if let Err(error) = written {
            // What is in the file now is unknown: never write behind it.
            self.current = None;
            return Err(error);
        }
        current.len += out.len() as u64;
        self.extents.extend(extents);
        Ok(())
    }

    fn begin(&mut self, start: Lsn) -> io::Result<()> {
        failpoint::hit_blocking("wal.spool.begin")?;
        let path = self.dir.join(format!("{}.spool", start.key()));
        // A file of this name can only hold frames that did not count.
        let mut options = OpenOptions::new();
        let file = options.create(true).write(true).read(true).truncate(true).mode(0o600).open(&path)?;
        File::open(&self.dir)?.sync_all()?;
        self.current = Some(Current { file: Arc::new(file), path: Arc::new(path), len: 0 });
        Ok(())
    }

    /// Reads from `from` on, at most `max` bytes, of one frame. `None`: not here.
    pub(super) fn read(&self, from: Lsn, max: usize) -> io::Result<Option<(Timeline, Vec<u8>)>> {
        let at = self.extents.partition_point(|extent| extent.end() <= from);
        let Some(extent) = self.extents.get(at).filter(|extent| extent.start <= from) else {
            return Ok(None);
        };
        let skip = from.since(extent.start);
        let len = usize::try_from(extent.len - skip).unwrap_or(max).min(max);
        let mut bytes = vec![0; len];
        extent.file.read_exact_at(&mut bytes, extent.offset + skip)?;
        Ok(Some((extent.timeline, bytes)))
    }

    /// Forgets what ends at or before `upto`.
    pub(super) fn release(&mut self, upto: Lsn) -> io::Result<()> {
        while let Some(extent) = self.extents.front().filter(|extent| extent.end() <= upto) {
            let path = Arc::clone(&extent.path);
            self.extents.pop_front();
            if self.extents.front().is_none_or(|next| next.path != path) {
                if self.current.as_ref().is_some_and(|current| current.path == path) {
                    self.current = None;
                }
                failpoint::hit_blocking("wal.spool.remove")?;
                std::fs::remove_file(&*path)?;
            }
        }
        Ok(())
    }
}

fn write_frame(out: &mut Vec<u8>, start: Lsn, timeline: Timeline, bytes: &[u8]) {
    let begin = out.len();
    out.extend_from_slice(&start.0.to_le_bytes());
    out.extend_from_slice(&timeline.0.to_le_bytes());
    out.extend_from_slice(&u32::try_from(bytes.len()).expect("a frame is small").to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&out[begin..]), bytes);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// The first frame of `bytes`, when it is whole.
fn frame(bytes: &[u8]) -> Option<(Lsn, Timeline, usize)> {
    let (head, rest) = bytes.split_at_checked(HEADER)?;
    let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let start = u64::from(word(0)) | u64::from(word(4)) << 32;
    let len = word(12) as usize;
    if len == 0 || len > MAX_FRAME {
        return None;
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c(&head[..16]), rest.get(..len)?);
    (crc == word(16)).then_some((Lsn(start), Timeline(word(8)), len))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Timeline = Timeline(1);

    fn all(spool: &Spool) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some((_, bytes)) = spool.read(Lsn(100 + out.len() as u64), 7).unwrap() {
            out.extend(bytes);
        }
        out
    }

    #[test]
    fn what_was_synced_is_there_again_and_a_torn_frame_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(dir.path()).unwrap();
        spool.append(Lsn(100), ONE, b"hello ").unwrap();
        spool.append(Lsn(106), ONE, b"world").unwrap();
        drop(spool);
        let mut spool = Spool::open(dir.path()).unwrap();
        assert_eq!((all(&spool), spool.end(), spool.len()), (b"hello world".to_vec(), Some(Lsn(111)), 11));
        spool.append(Lsn(111), ONE, b"!").unwrap();
        drop(spool);
        let last = dir.path().join(format!("{}.spool", Lsn(111).key()));
        let bytes = std::fs::read(&last).unwrap();
        std::fs::write(&last, &bytes[..bytes.len() - 1]).unwrap();
        let mut spool = Spool::open(dir.path()).unwrap();
        assert_eq!((all(&spool), last.exists()), (b"hello world".to_vec(), false));
        spool.release(Lsn(106)).unwrap();
        assert_eq!((spool.start(), spool.read(Lsn(100), 9).unwrap()), (Some(Lsn(106)), None));
        spool.release(Lsn(111)).unwrap();
        assert_eq!((spool.end(), std::fs::read_dir(dir.path()).unwrap().count()), (None, 0));
    }

    #[test]
    fn a_frame_that_was_refused_and_is_there_hides_nothing_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(dir.path()).unwrap();
        spool.append(Lsn(100), ONE, b"hello ").unwrap();
        // Written, but the disk said no when it was asked to keep it.
        let mut refused = Vec::new();
        write_frame(&mut refused, Lsn(106), ONE, b"wor");
        let current = spool.current.take().unwrap();
        (&*current.file).write_all(&refused).unwrap();
        spool.append(Lsn(106), ONE, b"world").unwrap();
        spool.append(Lsn(111), ONE, b"!").unwrap();
        drop(spool);
        let spool = Spool::open(dir.path()).unwrap();
        assert_eq!((all(&spool), spool.end()), (b"hello world!".to_vec(), Some(Lsn(112))));
    }

    #[test]
    fn a_failed_write_is_not_written_behind() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(dir.path()).unwrap();
        spool.append(Lsn(100), ONE, b"hello ").unwrap();
        spool.current = Some(Current {
            file: Arc::new(File::open("/dev/null").unwrap()),
            path: Arc::new(dir.path().join("x")),
            len: 5,
        });
        assert!(spool.append(Lsn(106), ONE, b"lost").is_err());
        spool.append(Lsn(106), ONE, &vec![b'x'; MAX_FRAME + 5]).unwrap();
        drop(spool);
        assert_eq!(all(&Spool::open(dir.path()).unwrap()).len(), 6 + MAX_FRAME + 5);
    }
}
