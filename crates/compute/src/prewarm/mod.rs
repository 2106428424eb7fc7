//! The working set of a database, remembered from one run to the next.
//!
//! ```text
//!  stop  ──► which chunks of its relations are in memory? ──► `working-set` beside the data directory
//!  start ──► first row ──► the machine is asked to read them (and PostgreSQL's `pg_prewarm`, where it is
//!                          installed, reads what it had in its shared buffers)
//! ```
//!
//! Only where an endpoint wants it: most start quickly enough, and reading costs others. What is in memory anyway is
//! not read again. A directory that is being filled from the store needs none of it: the chunks that earlier starts
//! read come with its boot pack.
//!
//! A compute may write its own directory, so it is walked without following links, and nothing but the number of
//! cached pages is taken from a file.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use dormouse_base::clock::Mono;
use rustix::fs::{Advice, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use serde::{Deserialize, Serialize};

mod cached;

/// The file beside the data directory.
const FILE: &str = "working-set";

/// The same while it is written.
const DRAFT: &str = ".working-set";

/// What is remembered of a file: pieces of this many bytes, as the store has them.
const CHUNK: u64 = 256 * 1024;

/// A piece counts when so much of it is in memory: one in eight.
const ENOUGH: u64 = CHUNK / 8;

/// The most that is remembered, chunks (1 GiB).
const MAX_CHUNKS: u64 = 4096;

/// Looking for what is in memory may take so long; a stop waits for it.
const LOOK_WITHIN: Duration = Duration::from_millis(200);

/// The library that remembers shared buffers.
pub const LIBRARY: &str = "pg_prewarm";

/// Where that library keeps what it remembers, in the data directory.
const LIBRARY_FILE: &str = "autoprewarm.blocks";

/// A run of chunks of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Span {
    /// The file, relative to the data directory.
    path: String,
    /// The first chunk.
    first: u64,
    /// How many.
    chunks: u64,
}

/// Writes down what of a cluster is in memory. Blocks, for a fifth of a second at most.
///
/// # Errors
/// When the directory cannot be read, the file not be written, or the kernel is older than 6.5.
pub fn record(home: &Path, data: &Path) -> io::Result<u64> {
    let start = Mono::now();
    let root = open_root(data)?;
    let mut relations = relations(&root)?;
    // Small ones first: indexes and catalogs, and whatever is read most often for its size.
    relations.sort();
    let (mut spans, mut count) = (Vec::new(), 0);
    for (size, path) in relations {
        if count >= MAX_CHUNKS || start.elapsed() > LOOK_WITHIN {
            break;
        }
        let Some(file) = open_file(&root, &path) else { continue };
        if cached::bytes(&file, 0, size)? > 0 {
            count += spans_of(&file, size, &path, &mut spans)?;
        }
    }
    let text = serde_json::to_vec(&spans)?;
    std::fs::write(home.join(DRAFT), text)?;
    std::fs::rename(home.join(DRAFT), home.join(FILE))?;
    Ok(count)
}

fn spans_of(file: &File, size: u64, path: &str, spans: &mut Vec<Span>) -> io::Result<u64> {
    let mut count = 0;
    for chunk in 0..size.div_ceil(CHUNK).min(MAX_CHUNKS) {
        let length = (size - chunk * CHUNK).min(CHUNK);
        if cached::bytes(file, chunk * CHUNK, length)? < ENOUGH.min(length) {
            continue;
        }
        count += 1;
        match spans.last_mut() {
            Some(last) if last.path == path && last.first + last.chunks == chunk => last.chunks += 1,
            _ => spans.push(Span { path: path.to_owned(), first: chunk, chunks: 1 }),
        }
    }
    Ok(count)
}

/// Asks the machine to read what was written down. Blocks as long as it takes to ask, not to read.
///
/// # Errors
/// When nothing was written down, or it cannot be understood.
pub fn replay(home: &Path, data: &Path) -> io::Result<u64> {
    let spans: Vec<Span> = serde_json::from_slice(&std::fs::read(home.join(FILE))?)?;
    let root = open_root(data)?;
    let mut count = 0;
    for span in spans {
        // It may be gone, or shorter: another branch is here now, or one that was restored.
        let Some(file) = open_file(&root, &span.path) else { continue };
        let there = file.metadata()?.len().div_ceil(CHUNK).saturating_sub(span.first);
        let chunks = span.chunks.min(there);
        let Some(length) = std::num::NonZeroU64::new(chunks.saturating_mul(CHUNK)) else { continue };
        rustix::fs::fadvise(&file, span.first.saturating_mul(CHUNK), Some(length), Advice::WillNeed)?;
        count += chunks;
    }
    Ok(count)
}

/// Blocks that PostgreSQL's own library will read.
#[must_use]
pub fn blocks_of_library(data: &Path) -> u64 {
    use io::BufRead;
    let first = open_root(data).ok().and_then(|root| {
        let file = open_file(&root, LIBRARY_FILE)?;
        io::BufReader::new(io::Read::take(file, 64)).lines().next()?.ok()
    });
    let number = first.as_deref().and_then(|line| line.strip_prefix("<<")?.strip_suffix(">>"));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn open_root(data: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, data, flags, Mode::empty())?)
}

/// A regular file below the data directory, by a way without links; anything else is not there.
fn open_file(root: &OwnedFd, path: &str) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = beneath(root, path, flags).ok()?;
    let is_file = rustix::fs::fstat(&file).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file());
    is_file.then(|| File::from(file))
}

fn beneath(root: &OwnedFd, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)?)
}

/// All relations' main files, with their sizes.
fn relations(root: &OwnedFd) -> io::Result<Vec<(u64, String)>> {
    let mut found = Vec::new();
    let mut dirs = vec!["global".to_owned()];
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for name in names(&beneath(root, "base", flags)?)? {
        if name.bytes().all(|b| b.is_ascii_digit()) {
            dirs.push(format!("base/{name}"));
        }
    }
    for dir in dirs {
        let Ok(open) = beneath(root, &dir, flags) else { continue };
        for name in names(&open)?.into_iter().filter(|name| is_relation(name)) {
            let path = format!("{dir}/{name}");
            if let Some(file) = open_file(root, &path) {
                found.push((file.metadata()?.len(), path));
            }
        }
    }
    Ok(found)
}

fn names(dir: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        names.extend(entry?.file_name().to_str().ok().map(str::to_owned));
    }
    Ok(names)
}

/// `16384` or `16384.1`.
fn is_relation(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    name.split_once('.').map_or_else(|| digits(name), |(node, segment)| digits(node) && digits(segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory on a disk, where files can leave memory. A file system in memory has none to leave.
    fn cluster() -> (tempfile::TempDir, std::path::PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        std::fs::create_dir_all(data.join("base/5")).unwrap();
        std::fs::create_dir_all(data.join("global")).unwrap();
        (home, data)
    }

    fn cached_bytes(path: &Path) -> u64 {
        cached::bytes(&File::open(path).unwrap(), 0, 1 << 30).unwrap()
    }

    /// Takes a file out of memory; tells whether that is possible here.
    fn forget(path: &Path) -> bool {
        let file = File::open(path).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        cached_bytes(path) == 0
    }

    #[test]
    fn what_was_in_memory_is_read_again_and_nothing_else() {
        let (home, data) = cluster();
        let (hot, cold) = (data.join("base/5/16384"), data.join("base/5/16385.1"));
        for path in [&hot, &cold, &data.join("base/5/16384_vm"), &data.join("base/5/pg_filenode.map")] {
            std::fs::write(path, vec![7; 600_000]).unwrap();
        }
        if let Err(error) = cached::bytes(&File::open(&hot).unwrap(), 0, 1) {
            assert_eq!(error.raw_os_error(), Some(libc::ENOSYS), "an old kernel, and nothing else: {error}");
            return;
        }
        assert!(cached_bytes(&hot) >= 600_000);
        let can_forget = forget(&cold);
        let recorded = record(home.path(), &data).unwrap();
        let spans: Vec<Span> =
            serde_json::from_slice(&std::fs::read(home.path().join(FILE)).unwrap()).unwrap();
        assert!(spans.contains(&Span { path: "base/5/16384".to_owned(), first: 0, chunks: 3 }), "{spans:?}");
        if can_forget {
            assert_eq!((recorded, spans.len()), (3, 1), "only what was in memory: {spans:?}");
            assert!(forget(&hot));
            assert_eq!(replay(home.path(), &data).unwrap(), 3);
            let start = Mono::now();
            while cached_bytes(&hot) < 600_000 && start.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(cached_bytes(&hot) >= 600_000, "it comes back");
            assert_eq!(cached_bytes(&cold), 0, "nobody asked for this one");
        }
    }

    #[test]
    fn what_is_gone_or_shorter_is_not_read() {
        let (home, data) = cluster();
        for (name, size) in [("base/5/16384", 600_000), ("base/5/16385", 600_000)] {
            std::fs::write(data.join(name), vec![7; size]).unwrap();
        }
        let span = |path: &str, first, chunks| Span { path: path.to_owned(), first, chunks };
        let all = [span("base/5/16384", 0, 3), span("base/5/16385", 1, 2), span("base/9/1", 0, 1)];
        std::fs::write(home.path().join(FILE), serde_json::to_vec(&all).unwrap()).unwrap();
        assert_eq!(replay(home.path(), &data).unwrap(), 5);
        // Another branch is here now.
        std::fs::write(data.join("base/5/16384"), vec![7; 300_000]).unwrap();
        std::fs::write(data.join("base/5/16385"), []).unwrap();
        assert_eq!(replay(home.path(), &data).unwrap(), 2);
        std::fs::remove_dir_all(data.join("base/5")).unwrap();
        assert_eq!(replay(home.path(), &data).unwrap(), 0);
    }

    #[test]
    fn links_out_of_the_directory_are_not_followed() {
        let (home, data) = cluster();
        let outside = home.path().join("outside");
        std::fs::write(&outside, vec![7; 300_000]).unwrap();
        std::os::unix::fs::symlink(&outside, data.join("base/5/16384")).unwrap();
        std::os::unix::fs::symlink(home.path(), data.join("base/6")).unwrap();
        let root = open_root(&data).unwrap();
        assert!(open_file(&root, "base/5/16384").is_none() && open_file(&root, "../outside").is_none());
        assert_eq!(relations(&root).unwrap(), []);
    }

    #[test]
    fn what_the_library_remembers_is_counted() {
        let (_home, data) = cluster();
        assert_eq!(blocks_of_library(&data), 0);
        std::fs::write(data.join(LIBRARY_FILE), "<<1234>>\n5,1663,16384,0,1\n").unwrap();
        assert_eq!(blocks_of_library(&data), 1234);
    }
}
