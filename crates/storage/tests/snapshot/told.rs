//! What the WAL tells of changes, against the bytes of every file: after each step of a life drawn at random,
//! an incremental snapshot names exactly what is on the disk. `DORMOUSE_TOLD=<seed>,<steps>` draws another life,
//! or a longer one.

use dormouse_base::rand;
use dormouse_storage::chunk::{self, CHUNK, Hash};
use dormouse_storage::pack::PackReader;
use dormouse_storage::snapshot::Taken;
use dormouse_storage::snapshot::rules::{Fork, Verdict, verdict};

use crate::cluster::Cluster;
use crate::lab::Lab;

/// Steps of a life in CI.
const STEPS: u64 = 5;

/// `a` is large enough that WAL is cheaper than looking at it; `m` has an index of each kind.
const SCHEMA: &str = "
    create table a (id int primary key, k int default 0, t text) with (fillfactor = 90);
    insert into a select g, 0, repeat(md5(g::text), 18) from generate_series(1, 30000) g;
    create table b (id int, t text); insert into b select g, repeat('b', 400) from generate_series(1, 4000) g;
    create table m (id int, p point, r int4range, arr int[], t text);
    insert into m select g, point(g, -g), int4range(g, g + 9), array[g, g % 7], md5(g::text) from generate_series(1, 3000) g;
    create index on m using hash (id); create index on m using gist (p); create index on m using spgist (t);
    create index on m using gin (arr); create index on m using brin (id); create index on m using gist (r);
    create sequence q; create unlogged table u as select generate_series(1, 3000) n; vacuum a, b, m; checkpoint;";

/// What happens; `$` is a number.
const EVENTS: [&str; 16] = [
    "update a set k = k + 1 where id % 3001 = $ % 3001",
    "update a set k = k + 1 where id between $ % 30000 and $ % 30000 + 40; checkpoint; update a set k = 0 where id = $ % 30000",
    "delete from a where id > (select max(id) - 700 from a); vacuum a",
    "insert into a select max(id) + g, 1, repeat(md5($::text), 18) from a, generate_series(1, 500) g group by g",
    "delete from b where id > $ % 3000; vacuum b; insert into b select 4000 + g, repeat('c', 400) from generate_series(1, 900) g",
    "delete from b; vacuum b; insert into b select g, repeat('d', $ % 500) from generate_series(1, 3000) g",
    "truncate b; insert into b select g, repeat('e', 400) from generate_series(1, 100 + $ % 900) g",
    "begin; insert into b select g, repeat('f', 400) from generate_series(1, 800) g; rollback",
    "begin; truncate b; insert into b select g, 'g' from generate_series(1, 800) g; rollback; select count(*) from b",
    "insert into m select $ % 99999 + g, point(g, $), int4range(g, g + 9), array[g, $ % 77], md5($::text || g) from generate_series(1, 200) g",
    "update m set p = point($, id), t = md5(t), arr = arr || ($ % 9) where id % 50 = $ % 50; vacuum m",
    "delete from m where id % 11 = $ % 11; vacuum m; reindex table m",
    "select sum(nextval('q')) from generate_series(1, 100); select count(*) from a where k > $ % 3",
    "select lo_from_bytea(0, convert_to(repeat(md5($::text), 4000), 'UTF8')); update u set n = n + 1",
    "alter table u set logged; insert into u values (1); alter table u set unlogged; vacuum full m",
    "create table if not exists n (id int, t text); insert into n select g, 'n' from generate_series(1, 3000) g; analyze n; cluster a using a_pkey",
];

/// Knuth's generator: the same life for the same seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// Every chunk of the snapshot is what the file holds; of a running cluster, those of relations' data.
pub(crate) async fn same_as_disk(lab: &Lab, taken: &Taken, cluster: &Cluster, running: bool, what: &str) {
    let reader = PackReader::new(lab.store.clone());
    for file in &taken.manifest.files {
        let data = matches!(verdict(&file.path), Verdict::Relation(relation) if relation.fork == Fork::Main);
        if (running && !data) || file.path == "backup_label" {
            continue;
        }
        let bytes = std::fs::read(cluster.data.join(&file.path)).unwrap();
        assert_eq!(bytes.len() as u64, file.size, "{what}: {}", file.path);
        let refs = file.resolve(&reader).await.unwrap();
        for (number, (at, plain)) in refs.iter().zip(bytes.chunks(CHUNK as usize)).enumerate() {
            let same = if chunk::is_zeros(plain) { at.is_zeros() } else { at.hash == Hash::of(plain) };
            assert!(same, "{what}: chunk {number} of {} is not what is on the disk", file.path);
        }
    }
}

async fn life(major: u16) {
    let lab = Lab::new();
    let Some(mut cluster) = Cluster::new(major, lab.path(), "c") else { return };
    let given = std::env::var("DORMOUSE_TOLD").unwrap_or_default();
    let (seed, steps) = given.split_once(',').unwrap_or_default();
    let seed = seed.parse().unwrap_or_else(|_| u64::from(u16::from_be_bytes(rand::bytes())));
    let steps = steps.parse().unwrap_or(STEPS);
    let mut draw = Draw(seed ^ u64::from(major));
    cluster.start();
    cluster.sql(SCHEMA);
    cluster.stop();
    let mut last = lab.clean(&cluster, None).await;
    let mut told = 0;
    for step in 0..steps {
        let mut what = format!("DORMOUSE_TOLD={seed},{steps} {major} step {step}");
        cluster.start();
        for _ in 0..=draw.below(3) {
            let event = EVENTS[draw.below(EVENTS.len())].replace('$', &draw.below(30_000).to_string());
            what = format!("{what} | {event}");
            cluster.sql(&event);
        }
        match draw.below(5) {
            0 => {
                what += " | killed";
                cluster.halt("immediate");
                cluster.start();
            }
            1 => {
                what += " | a new timeline";
                cluster.stop();
                let (conf, signal) =
                    (cluster.data.join("postgresql.auto.conf"), cluster.data.join("recovery.signal"));
                std::fs::write(conf, "restore_command = '/bin/false'\n").unwrap();
                std::fs::write(&signal, "").unwrap();
                crate::cluster::own(&cluster.data);
                cluster.start();
                cluster.sql("select 1");
            }
            _ => {}
        }
        if draw.below(3) == 0 {
            what += " | online";
            last = lab.online(&cluster, Some(&last)).await;
            // Nobody works, and what the backup's own checkpoint wrote was there before.
            same_as_disk(&lab, &last, &cluster, true, &what).await;
            println!("{what}: {:?}", last.stats);
            told += last.stats.told_files;
            cluster.sql("update a set k = k + 2 where id % 5000 = 7");
        }
        cluster.stop();
        last = lab.clean(&cluster, Some(&last)).await;
        same_as_disk(&lab, &last, &cluster, false, &what).await;
        println!("{what}: {:?}", last.stats);
        told += last.stats.told_files;
    }
    // Whatever was drawn: here little changes in much, and the WAL is there.
    cluster.start();
    cluster.sql("update a set k = k + 3 where id % 9000 = 9");
    cluster.stop();
    last = lab.clean(&cluster, Some(&last)).await;
    same_as_disk(&lab, &last, &cluster, false, "the last step").await;
    assert!(last.stats.told_files > 0, "the WAL was not asked: {:?}, {told} files before", last.stats);
}

#[tokio::test]
async fn the_wal_tells_all_changes_15() {
    life(15).await;
}

#[tokio::test]
async fn the_wal_tells_all_changes_16() {
    life(16).await;
}

#[tokio::test]
async fn the_wal_tells_all_changes_17() {
    life(17).await;
}

#[tokio::test]
async fn the_wal_tells_all_changes_18() {
    life(18).await;
}
