//! The formats of version 1, frozen: files that were written once must be read for ever. (That the same
//! content becomes the same bytes is not asked: another version of zstd may pack it better.) A change of a format makes a directory `v2` beside this one
//! and keeps reading `v1`. `UPDATE_GOLDEN=1` writes them anew, which is right only before a release.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use dormouse_base::{BranchId, Epoch, Lsn, ProjectId, Timeline, Timestamp};
use dormouse_storage::branch::record::SnapshotKind;
use dormouse_storage::chunk::{self, ChunkRef, Compressor, Hash};
use dormouse_storage::key::{self, Key};
use dormouse_storage::manifest::{Content, Directory, FileEntry, Header, Manifest, Owner, WalPages};
use dormouse_storage::pack::boot::{self, BootPack};
use dormouse_storage::pack::index::{self, Kind};

fn golden(name: &str, made: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    std::fs::read(&path).unwrap()
}

fn at(pack: &str, offset: u32, len: u32, seed: &str) -> ChunkRef {
    let packs = key::packs(&"quiet-meadow-k3v9x2ab".parse::<ProjectId>().unwrap());
    ChunkRef { pack: Arc::new(key::pack(&packs, pack)), offset, len, hash: Hash::of(seed.as_bytes()) }
}

fn manifest() -> Manifest {
    let file = |path: &str, size, content| FileEntry { path: path.to_owned(), mode: 0o600, size, content };
    let boot = [at("00000001-a", 8, 100, "1"), at("00000001-a", 108, 50, "2"), ChunkRef::zeros()];
    let maps = vec![at("00000002-b", 8, 70_000, "map 1"), at("00000002-b", 90_000, 99, "map 2")];
    Manifest {
        header: Header {
            owner: Owner::Branch {
                project: "quiet-meadow-k3v9x2ab".parse().unwrap(),
                branch: "br-quiet-meadow-k3v9x2ab".parse::<BranchId>().unwrap(),
            },
            pg_major: 18,
            system_identifier: 7_500_000_000_000_000_001,
            checksums: true,
            wal_segment: 16 * 1024 * 1024,
            kind: SnapshotKind::Clean,
            lsn: Lsn(0x1_0000_1078),
            redo: Lsn(0x1_0000_1000),
            checkpoint: Lsn(0x1_0000_1000),
            timeline: Timeline(2),
            epoch: Epoch(7),
            taken_at: Timestamp::from_second(1_790_000_000).unwrap(),
            base: Some(key::template_manifest("18-c-utf8")),
        },
        dirs: ["base", "base/5", "global", "pg_wal"]
            .map(|path| Directory { path: path.to_owned(), mode: 0o700 })
            .to_vec(),
        files: vec![
            file("PG_VERSION", 3, Content::Chunks(vec![boot[0].clone()])),
            file("base/5/16384", 3 * 256 * 1024, Content::Chunks(boot.to_vec())),
            file("base/5/16385", 5000 * 256 * 1024, Content::Maps(maps)),
            file("base/5/16386", 0, Content::Chunks(Vec::new())),
        ],
        wal: vec![WalPages { at: Lsn(0x1_0000_0000), bytes: vec![7; 8192] }],
    }
}

#[test]
fn a_manifest_of_version_1() {
    let made = manifest().encode();
    let kept = golden("snapshot.manifest", &made);
    assert_eq!(Manifest::decode(&kept).unwrap(), manifest());
    assert_eq!(Manifest::decode(&made).unwrap(), manifest());
    for at in 0..kept.len() {
        let mut bad = kept.clone();
        bad[at] ^= 4;
        // A few bits of a zstd frame mean nothing; a wrong manifest must never come out.
        assert!(Manifest::decode(&bad).ok().is_none_or(|m| m == manifest()), "byte {at}");
        assert!(Manifest::decode(&kept[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_boot_pack_of_version_1() {
    let key = Key::from_store("boot");
    let chunks: Vec<(Hash, Bytes)> =
        ["one", "two"].map(|t| (Hash::of(t.as_bytes()), Bytes::from(t))).to_vec();
    let made = boot::encode(&manifest().encode(), &chunks);
    let kept = Bytes::from(golden("start.boot", &made));
    assert_eq!(kept[..8], made[..8]);
    let pack = BootPack::decode(&key, &kept).unwrap();
    assert_eq!(*pack.manifest, manifest());
    assert_eq!((pack.len(), pack.stored(chunks[1].0).unwrap().as_ref()), (2, &b"two"[..]));
    for at in 0..kept.len() {
        let mut bad = kept.to_vec();
        bad[at] ^= 4;
        assert!(BootPack::decode(&key, &Bytes::from(bad)).is_err(), "byte {at}");
    }
}

#[tokio::test]
async fn a_pack_of_version_1() {
    let lab = crate::lab::Lab::new();
    let packs = key::template_packs("golden");
    let mut writer = dormouse_storage::pack::PackWriter::new(lab.store.clone(), packs.clone(), Epoch(1));
    let plain: Vec<u8> =
        (0..100_000u32).map(|i| i / 997).flat_map(u32::to_le_bytes).take(256 * 1024).collect();
    let stored = Compressor::new(1).unwrap().compress(&plain).unwrap();
    let at = writer.add(Kind::Chunk, 256 * 1024, Hash::of(&plain), &stored).await.unwrap();
    assert_eq!(writer.finish().await.unwrap().packs, 1);
    let made = std::fs::read(lab.object(&at.pack)).unwrap();
    let kept = golden("chunks.pack", &made);
    assert_eq!(kept[..8], made[..8]);
    let entries = index::parse(&at.pack, &kept).unwrap();
    assert_eq!(
        (entries.len(), entries[0].offset, entries[0].len, entries[0].kind),
        (1, 8, u32::try_from(kept.len()).unwrap() - 8 - 29 - 32, Kind::Chunk)
    );
    let stored = &kept[8..8 + entries[0].len as usize];
    assert_eq!(chunk::expand(stored, plain.len(), entries[0].hash).unwrap(), plain);
    for at in (0..8).chain(kept.len() - 32..kept.len()) {
        let mut bad = kept.clone();
        bad[at] ^= 4;
        assert!(index::parse(&Key::from_store("x"), &bad).is_err(), "byte {at}");
    }
}
