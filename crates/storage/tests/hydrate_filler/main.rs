//! The filler by itself: tests that speak the front's language. A program of its own, and one test at a time,
//! because failpoints are armed for a whole process.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test ends where it fails")]

#[path = "../hydrate/source.rs"]
mod source;
mod trust;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use dormouse_hydrate::layout::{CHUNK, FILL, REPLY_LEN, Request, TRUNCATE, TRUNCATED, UNLINKED};
use dormouse_runtime::failpoint;
use dormouse_runtime::task::Scope;
use dormouse_storage::hydrate::{
    Bits, HydrateError, Hydration, LazyFile, Life, Metrics, Place, Plan, Source, Tuning,
};
use tempfile::TempDir;

use source::Original;

const SIZE: u64 = 5 * CHUNK + 12_345;

/// One test at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

struct Small {
    place: Place,
    plan: Plan,
    source: Arc<Original>,
    scope: Scope,
    _dir: TempDir,
}

impl Small {
    /// One file of six chunks.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (original, data) = (dir.path().join("original"), dir.path().join("data"));
        for place in [&original, &data] {
            fs::create_dir_all(place.join("global")).unwrap();
            fs::write(place.join("global/pg_control"), "control").unwrap();
            fs::write(place.join("PG_VERSION"), "18\n").unwrap();
        }
        let bytes: Vec<u8> = (0..SIZE).map(|at| (at / 1000 % 250) as u8 + 1).collect();
        fs::write(original.join("file"), bytes).unwrap();
        File::create(data.join("file")).unwrap().set_len(SIZE).unwrap();
        let files = vec![LazyFile { path: "file".into(), size: SIZE, present: Bits::none(6) }];
        let plan = Plan { files, hot: Vec::new() };
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let place =
            Place { data, state: dir.path().join("state"), runtime: dir.path().join("run"), uid, gid };
        let source = Original::new(original, plan.clone());
        Self { place, plan, source, scope: Scope::new(), _dir: dir }
    }

    async fn begin(&self) -> Hydration {
        let source: Arc<dyn Source> = Arc::clone(&self.source) as _;
        let tuning = Tuning { background: 0, ..Tuning::default() };
        let (place, plan) = (self.place.clone(), self.plan.clone());
        Hydration::begin(place, plan, source, tuning, Metrics::default(), &self.scope).await.unwrap()
    }

    async fn resume(&self) -> Hydration {
        self.try_resume(Life::Runs).await.unwrap().unwrap()
    }

    async fn try_resume(&self, life: Life) -> Result<Option<Hydration>, HydrateError> {
        let source: Arc<dyn Source> = Arc::clone(&self.source) as _;
        let tuning = Tuning { background: 0, ..Tuning::default() };
        let (place, metrics) = (self.place.clone(), Metrics::default());
        Hydration::resume(place, life, source, tuning, metrics, &self.scope).await
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.place.runtime.join("socket")).unwrap()
    }

    fn file(&self) -> File {
        File::options().read(true).write(true).open(self.place.data.join("file")).unwrap()
    }

    /// Whether these bytes are the original's.
    fn is_original(&self, at: u64, len: usize) -> bool {
        let original = File::open(self.place.data.parent().unwrap().join("original/file")).unwrap();
        let (mut have, mut want) = (vec![0; len], vec![0; len]);
        self.file().read_exact_at(&mut have, at).unwrap();
        original.read_exact_at(&mut want, at).unwrap();
        have == want
    }
}

fn ask(stream: &mut UnixStream, op: u32, a: u64, b: u64) -> u32 {
    tokio::task::block_in_place(|| {
        stream.write_all(&Request { op, file: 0, a, b, sequence: 5 }.encode()).unwrap();
        let mut reply = [0; REPLY_LEN];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(reply[..4], 5u32.to_ne_bytes());
        u32::from_ne_bytes(reply[4..].try_into().unwrap())
    })
}

async fn until(mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_is_fetched_once_and_ends_with_the_file() {
    let _alone = ALONE.lock().await;
    let small = Small::new();
    small.source.latency_millis.store(50, std::sync::atomic::Ordering::Relaxed);
    let hydration = small.begin().await;
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = small.connect();
            dormouse_runtime::task::thread("front", move || {
                stream.write_all(&Request { op: FILL, file: 0, a: 5, b: 5, sequence: 1 }.encode()).unwrap();
                stream.read_exact(&mut [0; REPLY_LEN]).unwrap();
            })
        })
        .collect();
    tokio::task::block_in_place(|| threads.into_iter().for_each(|thread| thread.join().unwrap()));
    assert_eq!(small.source.asked.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert!(small.is_original(5 * CHUNK, 12_345));
    assert_eq!(small.file().metadata().unwrap().len(), SIZE);
    assert_eq!(hydration.missing(0).iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    // Out of range, unknown file, nonsense.
    let mut stream = small.connect();
    assert_ne!(ask(&mut stream, FILL, 0, 6), 0);
    assert_ne!(ask(&mut stream, FILL, 3, 2), 0);
    assert_ne!(ask(&mut stream, 99, 0, 0), 0);
    hydration.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_absent_of_another_file_that_took_the_path() {
    let _alone = ALONE.lock().await;
    let small = Small::new();
    let hydration = small.begin().await;
    assert_eq!(hydration.missing(0).count(), 6);
    // A database that is dropped, and another one with the same OID; nobody has told the filler yet.
    let path = small.place.data.join("file");
    fs::remove_file(&path).unwrap();
    fs::write(&path, vec![7; 3 * 262_144]).unwrap();
    assert_eq!(hydration.missing(0).count(), 0);
    until(|| hydration.is_complete()).await;
    hydration.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_that_succeeds_leaves_the_rest_to_postgresql() {
    let _alone = ALONE.lock().await;
    let small = Small::new();
    let hydration = small.begin().await;
    let mut stream = small.connect();
    assert_eq!(ask(&mut stream, TRUNCATE, 2 * CHUNK + 8192, 0), 0);
    assert!(small.is_original(2 * CHUNK, 8192), "the boundary chunk is filled before");
    // Fills wait meanwhile.
    let mut other = small.connect();
    other.write_all(&Request { op: FILL, file: 0, a: 1, b: 1, sequence: 1 }.encode()).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(hydration.missing(0).get(1));
    small.file().set_len(2 * CHUNK + 8192).unwrap();
    assert_eq!(ask(&mut stream, TRUNCATED, 0, 0), 0);
    tokio::task::block_in_place(|| other.read_exact(&mut [0; REPLY_LEN])).unwrap();
    assert_eq!(hydration.missing(0).iter().collect::<Vec<_>>(), [0]);
    // Extended by PostgreSQL: nothing of the original comes back.
    small.file().set_len(SIZE).unwrap();
    assert_eq!(ask(&mut stream, FILL, 0, 5), 0);
    let mut page = [1; 8192];
    small.file().read_exact_at(&mut page, 2 * CHUNK + 8192).unwrap();
    assert_eq!(page, [0; 8192]);
    until(|| hydration.is_complete()).await;
    assert!(small.place.data.join("global/pg_control").exists());
    hydration.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_that_nobody_reports_is_decided_by_the_size() {
    let _alone = ALONE.lock().await;
    for (cut, left) in [(false, 4), (true, 0)] {
        for restart in [false, true] {
            let small = Small::new();
            let mut hydration = small.begin().await;
            let mut stream = small.connect();
            assert_eq!(ask(&mut stream, TRUNCATE, 2 * CHUNK, 0), 0);
            if cut {
                small.file().set_len(2 * CHUNK).unwrap();
            }
            if restart {
                // As if the server had been killed: nobody settles it.
                failpoint::arm("hydrate.truncate.before_settle=error").unwrap();
                hydration.stop().await;
                failpoint::disarm();
                hydration = small.resume().await;
            } else {
                drop(stream);
            }
            until(|| hydration.missing(0).iter().filter(|chunk| *chunk >= 2).count() == left).await;
            if !cut {
                assert_eq!(ask(&mut small.connect(), FILL, 0, 5), 0);
                assert!(small.is_original(0, SIZE as usize));
            }
            hydration.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_replaced_is_not_filled() {
    let _alone = ALONE.lock().await;
    let small = Small::new();
    let hydration = small.begin().await;
    let mut stream = small.connect();
    // A lie changes nothing.
    assert_eq!(ask(&mut stream, UNLINKED, 0, 0), 0);
    assert_eq!(ask(&mut stream, FILL, 0, 0), 0);
    let path = small.place.data.join("file");
    for replacement in ["link", "other"] {
        fs::rename(&path, small.place.data.join(format!("moved-{replacement}"))).unwrap();
        match replacement {
            "link" => std::os::unix::fs::symlink("/etc/passwd", &path).unwrap(),
            _ => File::create(&path).unwrap().set_len(SIZE).unwrap(),
        }
        assert_eq!(ask(&mut stream, FILL, 1, 1), 5);
    }
    assert_eq!(hydration.progress().absent, 0, "a file that is gone is not waited for");
    let mut first = [1];
    small.file().read_exact_at(&mut first, CHUNK).unwrap();
    assert_eq!(first, [0]);
    hydration.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn completion_may_be_interrupted_anywhere() {
    let _alone = ALONE.lock().await;
    let moments = ["before_sync", "before_seal", "before_rename", "after_rename", "after_unmark"];
    for moment in moments {
        let small = Small::new();
        let hydration = small.begin().await;
        failpoint::arm(&format!("hydrate.complete.{moment}=error")).unwrap();
        assert_eq!(ask(&mut small.connect(), FILL, 0, 5), 0);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!hydration.is_complete());
        hydration.stop().await;
        failpoint::disarm();
        let source: Arc<dyn Source> = Arc::clone(&small.source) as _;
        let tuning = Tuning::default();
        let resumed = Hydration::resume(
            small.place.clone(),
            Life::Runs,
            source,
            tuning,
            Metrics::default(),
            &small.scope,
        );
        if let Some(hydration) = resumed.await.unwrap() {
            until(|| hydration.is_complete()).await;
            hydration.stop().await;
        }
        assert!(small.place.data.join("global/pg_control").exists(), "{moment}");
        assert!(!small.place.state.join("plan").exists(), "{moment}");
        assert!(small.is_original(0, SIZE as usize));
    }
}

/// Whoever stops it may remove the directory: nothing of it is under way any more, also nothing that cannot be cut.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_stop_nothing_touches_the_directory() {
    let _alone = ALONE.lock().await;
    let small = Small::new();
    let hydration = small.begin().await;
    let control = small.place.data.join("global/pg_control");
    failpoint::arm("hydrate.complete.before_seal=sleep:600").unwrap();
    assert_eq!(ask(&mut small.connect(), FILL, 0, 5), 0);
    // It is about to be completed.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(hydration.stop().await);
    let before = control.exists();
    tokio::time::sleep(Duration::from_millis(900)).await;
    failpoint::disarm();
    assert_eq!(control.exists(), before, "it was completed after its end");
}

/// Whatever a fill is interrupted by, the bytes are right in the end, with the bits or without.
#[tokio::test(flavor = "multi_thread")]
async fn a_fill_may_be_interrupted_anywhere() {
    let _alone = ALONE.lock().await;
    for moment in ["before_fetch", "before_write", "after_write", "before_bit", "after_bit"] {
        for restart in [false, true] {
            let small = Small::new();
            let mut hydration = small.begin().await;
            // Something that PostgreSQL wrote before a crash of the machine is newer.
            if restart {
                small.file().write_all_at(&[9; 4096], CHUNK + 8192).unwrap();
            }
            failpoint::arm(&format!("hydrate.fill.{moment}=error@1")).unwrap();
            assert_eq!(ask(&mut small.connect(), FILL, 1, 1), 5, "{moment}");
            failpoint::disarm();
            if restart {
                hydration.stop().await;
                fs::remove_dir_all(&small.place.runtime).unwrap();
                hydration = small.resume().await;
            }
            assert_eq!(ask(&mut small.connect(), FILL, 0, 5), 0);
            if restart {
                let mut page = [0; 4096];
                small.file().read_exact_at(&mut page, CHUNK + 8192).unwrap();
                assert_eq!(page, [9; 4096], "{moment}");
                assert!(
                    small.is_original(CHUNK, 8192) && small.is_original(CHUNK + 12288, SIZE as usize / 2)
                );
            } else {
                assert!(small.is_original(0, SIZE as usize), "{moment}");
            }
            hydration.stop().await;
        }
    }
}

/// A hole behind the watermark is PostgreSQL's, also when nothing but the log of watermarks remembers it.
#[tokio::test(flavor = "multi_thread")]
async fn the_watermark_survives_without_the_bits() {
    let _alone = ALONE.lock().await;
    let small = Small::new();
    let hydration = small.begin().await;
    let mut stream = small.connect();
    assert_eq!(ask(&mut stream, TRUNCATE, 2 * CHUNK + 8192, 0), 0);
    small.file().set_len(2 * CHUNK + 8192).unwrap();
    assert_eq!(ask(&mut stream, TRUNCATED, 0, 0), 0);
    small.file().set_len(SIZE).unwrap();
    hydration.stop().await;
    fs::remove_dir_all(&small.place.runtime).unwrap();
    let hydration = small.resume().await;
    assert_eq!(ask(&mut small.connect(), FILL, 0, 5), 0);
    assert!(small.is_original(0, 2 * CHUNK as usize + 8192));
    let mut rest = vec![1; (SIZE - 2 * CHUNK) as usize - 8192];
    small.file().read_exact_at(&mut rest, 2 * CHUNK + 8192).unwrap();
    assert!(rest.iter().all(|byte| *byte == 0));
    hydration.stop().await;
}
