//! What earlier versions wrote is still understood, and what this one writes is what the format says.
//!
//! `golden/v<N>/` holds what format N looks like: `keys.txt`, all kinds of keys, and `store/`, a small
//! directory store. Files of a released format never change: a new format gets a new directory, and the
//! old ones stay readable. (To begin one: `GOLDEN_WRITE=1 cargo test -p dormouse-storage --test golden`
//! writes what is missing.)

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use dormouse_base::{BranchId, Epoch, Lsn, ProjectId, Timeline, Timestamp};
use dormouse_storage::branch::record::{
    BranchRecord, Origin, ProjectRecord, SnapshotKind, SnapshotRecord, Span,
};
use dormouse_storage::branch::register::{BranchRegister, ProjectRegister, kinds};
use dormouse_storage::key::{self, FORMAT_VERSION, Key, PieceName};
use dormouse_storage::object::{Store, StoreOptions};

fn golden(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{version}"))
}

fn project() -> ProjectId {
    "quiet-meadow-k3v9x2ab".parse().unwrap()
}

fn main_branch() -> BranchId {
    "br-quiet-meadow-k3v9x2ab".parse().unwrap()
}

fn child_branch() -> BranchId {
    "br-silent-fern-m7q2w4zz".parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn writes() -> bool {
    std::env::var_os("GOLDEN_WRITE").is_some()
}

/// One key of each kind.
fn keys() -> Vec<(&'static str, Key)> {
    let (project, branch) = (project(), main_branch());
    let (lsn, epoch) = (Lsn(0x16_B374_D848), Epoch(3));
    let register = key::branch_register(&project, &branch);
    let piece = PieceName { start: Lsn(0x1600_0000), end: Lsn(0x1700_0000), last_commit: 0x2_D3A1_F0C2_8000 };
    vec![
        ("format", key::format()),
        ("template manifest", key::template_manifest("pg18-c-1")),
        ("template pack", key::pack(&key::template_packs("pg18-c-1"), "00000001-01k0")),
        ("project register", key::register_version(&key::project_register(&project), 1)),
        ("branch register", key::register_version(&register, 0x1234)),
        ("manifest", key::manifest(&project, &branch, lsn, epoch)),
        ("boot pack", key::boot(&project, &branch, lsn, epoch)),
        ("wal", piece.key(&key::wal(&project, &branch, epoch))),
        ("pack", key::pack(&key::packs(&project), "00000003-01k0")),
    ]
}

fn project_record() -> ProjectRecord {
    ProjectRecord {
        format: 1,
        project: project(),
        created_at: at("2026-11-25T20:00:00Z"),
        pg_version: 18,
        meta: serde_json::json!({"name": "app", "settings": {"history": "7d"}}),
    }
}

fn main_record() -> BranchRecord {
    let (project, branch) = (project(), main_branch());
    let (lsn, epoch) = (Lsn(0x17_0000_0028), Epoch(2));
    BranchRecord {
        format: 1,
        created_at: at("2026-11-25T20:00:01Z"),
        origin: Origin::Template { template: "pg18-c-1".to_owned() },
        epoch,
        spans: vec![
            Span {
                epoch: Epoch(1),
                timeline: Timeline(1),
                from: Lsn(0x100_0000),
                to: Some(Lsn(0x16_B374_D848)),
                mark: None,
            },
            Span { epoch, timeline: Timeline(2), from: Lsn(0x16_B374_D848), to: None, mark: None },
        ],
        snapshots: vec![SnapshotRecord {
            kind: SnapshotKind::Clean,
            lsn,
            redo: lsn,
            timeline: Timeline(2),
            epoch,
            manifest: key::manifest(&project, &branch, lsn, epoch),
            boot: key::boot(&project, &branch, lsn, epoch),
            taken_at: at("2026-11-25T21:00:00Z"),
            logical_bytes: 30_000_000,
            added_bytes: 123_456,
        }],
        retired: Vec::new(),
        history_start: Lsn(0x100_0000),
        history_start_at: at("2026-11-25T20:00:00Z"),
        meta: serde_json::json!({"name": "main"}),
        project,
        branch,
    }
}

fn child_record() -> BranchRecord {
    let lsn = Lsn(0x17_0000_0028);
    BranchRecord {
        branch: child_branch(),
        origin: Origin::Branch {
            parent: main_branch(),
            lsn,
            at: Some(at("2026-11-25T21:00:00Z")),
            writer: None,
        },
        epoch: Epoch(0),
        spans: vec![],
        snapshots: vec![],
        retired: Vec::new(),
        history_start: lsn,
        history_start_at: at("2026-11-25T20:00:00Z"),
        meta: serde_json::Value::Null,
        ..main_record()
    }
}

async fn make(store: &Store) {
    ProjectRegister::of(store, &project()).create_first(project_record()).await.unwrap();
    let main = BranchRegister::of(store, &project(), &main_branch());
    main.create_first(BranchRecord { epoch: Epoch(1), snapshots: vec![], ..main_record() }).await.unwrap();
    main.update(|_| Ok::<_, Infallible>(main_record())).await.unwrap();
    let child = BranchRegister::of(store, &project(), &child_branch());
    child.create_first(child_record()).await.unwrap();
    child.delete(|_| Ok::<_, Infallible>(())).await.unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::write(target, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

async fn opened(path: &Path) -> Store {
    Store::open(path.to_str().unwrap(), StoreOptions::default()).await.unwrap()
}

#[test]
fn keys_are_those_of_the_format() {
    let lines: Vec<String> = keys().iter().map(|(kind, key)| format!("{kind}: {key}")).collect();
    let (text, path) = (lines.join("\n") + "\n", golden(FORMAT_VERSION).join("keys.txt"));
    if writes() && !path.exists() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(path).unwrap());
    let wal = keys().into_iter().find(|(kind, _)| *kind == "wal").unwrap().1;
    let piece = PieceName::parse(&wal).unwrap();
    assert_eq!((piece.start, piece.end), (Lsn(0x1600_0000), Lsn(0x1700_0000)));
    assert_eq!(PieceName::parse(&Key::from_store("x/1-2-3.wal")), None);
}

#[tokio::test]
async fn stores_of_all_formats_are_read_and_written_on() {
    for version in 1..=FORMAT_VERSION {
        let from = golden(version).join("store");
        if writes() && !from.exists() {
            make(&opened(&from).await).await;
        }
        let dir = tempfile::tempdir().unwrap();
        copy(&from, dir.path());
        let store = opened(dir.path()).await;
        assert_eq!(store.format().await.unwrap().format, version);
        assert_eq!(kinds::projects(&store).await.unwrap(), [project()]);
        assert_eq!(kinds::branches(&store, &project()).await.unwrap(), [main_branch(), child_branch()]);
        let register = ProjectRegister::of(&store, &project());
        assert_eq!(register.read().await.unwrap(), (1, project_record()));
        let register = BranchRegister::of(&store, &project(), &main_branch());
        assert_eq!(register.read().await.unwrap(), (2, main_record()));
        let child = BranchRegister::of(&store, &project(), &child_branch()).version().await.unwrap();
        assert_eq!((child.seq, child.deleted_at.is_some(), child.value), (2, true, child_record()));
        let grown = register.update(|record| Ok::<_, Infallible>(BranchRecord { epoch: Epoch(9), ..record }));
        assert_eq!(grown.await.unwrap().0, 3);
    }
}

/// The value as this version writes it; the rest of a line differs each time.
#[tokio::test]
async fn what_is_written_has_the_shape_of_the_format() {
    let dir = tempfile::tempdir().unwrap();
    make(&opened(dir.path()).await).await;
    let mut compared = 0;
    for (_, key) in registers() {
        let line = |root: &Path| -> serde_json::Value {
            let text = fs::read_to_string(root.join(&key)).unwrap();
            serde_json::from_str(text.lines().next().unwrap()).unwrap()
        };
        let (mut now, mut then) = (line(dir.path()), line(&golden(FORMAT_VERSION).join("store")));
        for line in [&mut now, &mut then] {
            for changing in ["writer", "written_at", "deleted_at"] {
                if let Some(value) = line.get_mut(changing) {
                    *value = serde_json::Value::String(String::new());
                }
            }
        }
        assert_eq!(now, then, "{key}");
        compared += 1;
    }
    assert_eq!(compared, 5);
}

fn registers() -> Vec<(u64, String)> {
    let project_register = key::project_register(&project());
    let branch = |id| key::branch_register(&project(), &id);
    [
        (project_register, 1),
        (branch(main_branch()), 1),
        (branch(main_branch()), 2),
        (branch(child_branch()), 1),
        (branch(child_branch()), 2),
    ]
    .into_iter()
    .map(|(register, seq)| (seq, key::register_version(&register, seq).to_string()))
    .collect()
}
