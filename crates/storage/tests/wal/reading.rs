//! The reader and `pg_waldump` see the same records.

use dormouse_base::Lsn;
use dormouse_storage::wal::blocks::{BlockRef, RelationName, blocks};
use dormouse_storage::wal::{Kind, Reader, Record};

use crate::cluster::Cluster;
use crate::load::{lsn, work};

/// A block reference as text: record, relation, fork, block, whether there is an image.
fn shown(record: Lsn, block: BlockRef) -> String {
    let fork = ["main", "fsm", "vm", "init"][usize::from(block.fork)];
    let RelationName { space, database, node } = block.relation;
    format!("{record} {space}/{database}/{node} {fork} {} {}", block.block, block.image)
}

/// The same of a line of `pg_waldump`.
fn references(line: &str) -> Vec<String> {
    let Some(record) = line.split("lsn: ").nth(1).and_then(|rest| rest.split(',').next()) else {
        return Vec::new();
    };
    let record: Lsn = record.parse().unwrap();
    let one = |text: &str| {
        let word =
            |name: &str| text.split(name).nth(1).map(|rest| rest.split([' ', ',', ';']).next().unwrap());
        let (relation, block) = (word(": rel ").unwrap(), word(" blk ").unwrap());
        format!("{record} {relation} {} {block} {}", word(" fork ").unwrap_or("main"), text.contains("FPW"))
    };
    line.split("blkref #").skip(1).map(one).collect()
}

async fn same_records(major: u32) {
    let Some(cluster) = Cluster::new(major) else { return };
    let (redo, timeline, end) = cluster.stopped_at();
    cluster.start();
    let client = cluster.client().await;
    // Nothing is recycled between writing and reading.
    client.batch_execute("select pg_create_physical_replication_slot('hold', true)").await.unwrap();
    work(&client).await;
    // Images that are compressed are packed in another way.
    for how in ["pglz", "lz4", "zstd"] {
        // The first is part of every PostgreSQL, the others of those that were built with them.
        let can = client.batch_execute(&format!("set wal_compression = {how}")).await;
        if can.is_err() && how != "pglz" {
            continue;
        }
        for statement in ["checkpoint", "update t set note = 'z' where id % 5 = 0", "vacuum t"] {
            client.batch_execute(statement).await.unwrap();
        }
    }
    client.batch_execute("begin; insert into t (note) values ('p'); commit").await.unwrap();
    let to = lsn(&client, "pg_current_wal_flush_lsn").await;
    cluster.stop("immediate");

    let bytes = cluster.bytes(timeline, redo, to);
    let (mut records, mut touched) = (Vec::new(), Vec::new());
    let mut reader = Reader::at(cluster.major, redo);
    for chunk in bytes.chunks(100_003) {
        let each = |record: &Record, parts: &[u8]| {
            records.push(*record);
            touched.extend(blocks(parts).map(|block| shown(record.start, block.unwrap())));
        };
        reader.push_parts(chunk, each).unwrap();
    }
    assert_eq!((reader.end(), reader.position()), (to, to));
    assert_eq!((records[0].start, records[0].end), (redo, end));

    if !cluster.has("pg_waldump") {
        return;
    }
    let wal = cluster.data.join("pg_wal");
    let dump = cluster
        .run("pg_waldump", &["-p", wal.to_str().unwrap(), "-s", &redo.to_string(), "-e", &to.to_string()]);
    let theirs: Vec<Lsn> =
        dump.lines().filter_map(|l| l.split("lsn: ").nth(1)?.split(',').next()?.parse().ok()).collect();
    let ours: Vec<Lsn> = records.iter().map(|record| record.start).collect();
    assert_eq!(ours, theirs);
    let theirs: Vec<String> = dump.lines().flat_map(references).collect();
    assert!(theirs.len() > 10_000 && theirs.iter().any(|text| text.ends_with("true")));
    assert_eq!(touched, theirs);
    let theirs = dump.lines().filter(|l| l.contains("desc: COMMIT")).count();
    let commits: Vec<u64> = records
        .iter()
        .filter_map(|r| if let Kind::Commit { time } = r.kind { Some(time) } else { None })
        .collect();
    assert_eq!(commits.len(), theirs);
    let last = dump.lines().rfind(|l| l.contains("desc: COMMIT")).unwrap();
    let shown = last.split("COMMIT ").nth(1).unwrap();
    let shown = format!("{}Z", shown.split(" UTC").next().unwrap().replace(' ', "T"));
    let shown: dormouse_base::Timestamp = shown.parse().unwrap();
    let expected = u64::try_from(shown.as_microsecond() - 946_684_800_000_000).unwrap();
    assert_eq!((commits.last().copied(), reader.last_commit()), (Some(expected), expected));
    let checkpoints = records.iter().filter(|r| matches!(r.kind, Kind::Checkpoint { .. })).count();
    assert!(checkpoints >= 2 && records.iter().any(|r| r.kind == Kind::Switch));

    // From anywhere, seeking comes to the same records.
    for at in [9_000, 100_000, 3_000_000, 20_000_000] {
        let mut seek = Reader::seek(cluster.major, redo.plus(at as u64));
        let mut first = None;
        seek.push(&bytes[at..], |record| {
            first.get_or_insert(record.start);
        })
        .unwrap();
        assert!(ours.contains(&first.unwrap()) && seek.end() == to);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_pg_waldump_15() {
    same_records(15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_pg_waldump_16() {
    same_records(16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_pg_waldump_17() {
    same_records(17).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_pg_waldump_18() {
    same_records(18).await;
}
