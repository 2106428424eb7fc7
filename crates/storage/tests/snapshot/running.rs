//! Online snapshots while the database works.

use std::process::{Command, Stdio};

use async_trait::async_trait;
use dormouse_base::{Timestamp, clock};
use dormouse_storage::restore::Mode;
use dormouse_storage::snapshot::{self, Backup, BackupCause, StartInfo, StopInfo};

use crate::cluster::{Cluster, bin, program};
use crate::lab::{Lab, SqlBackup};

/// Accounts, tellers and history always agree; one transaction moves all three.
const BALANCES: &str = "select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history), \
    (select sum(tbalance) from pgbench_tellers) = (select sum(delta) from pgbench_history), (select count(*) > 0 from pgbench_history)";

async fn under_load(major: u16) {
    let lab = Lab::new();
    let Some(pgbench) = bin(15).map(|bin| bin.join("pgbench")) else { return };
    let Some(mut cluster) = Cluster::new(major, lab.path(), "c") else { return };
    cluster.start();
    let bench = |args: &[&str]| {
        let mut command: Command = program(&pgbench);
        command.args(args).args(["-U", "postgres", "-h"]).arg(cluster.sockets()).arg("postgres");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    assert!(bench(&["-i", "-q", "-s", "2"]).status().unwrap().success());
    let mut load = bench(&["-n", "-c", "3", "-T", "60"]).spawn().unwrap();
    let mut before = None;
    for round in 0..3 {
        let taken = lab.online(&cluster, before.as_ref()).await;
        println!("{major} round {round}: {:?}", taken.stats);
        cluster.sql("select pg_switch_wal()");
        let (mut copy, _) = lab.eager(&taken, &cluster.bin).await;
        let order = lab.order(&taken, Mode::Eager);
        assert!(!order.dir.exists());
        // The WAL from redo to the stop, as the segments were at that time.
        let timeline = taken.record.timeline;
        let (first, last) =
            (timeline.segment_name(taken.record.redo), timeline.segment_name(taken.record.lsn));
        for entry in std::fs::read_dir(cluster.data.join("pg_wal")).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name >= first && name <= last {
                std::fs::copy(entry.path(), copy.data.join("pg_wal").join(name)).unwrap();
            }
        }
        crate::cluster::own(&copy.data.join("pg_wal"));
        copy.start();
        assert_eq!(copy.sql(BALANCES).trim(), "t|t|t");
        if round == 2 {
            copy.amcheck();
        }
        copy.stop();
        copy.check_files();
        before = Some(taken);
    }
    load.kill().unwrap();
    load.wait().unwrap();
    cluster.halt("immediate");
}

#[tokio::test]
async fn balances_agree_in_snapshots_under_load_15() {
    under_load(15).await;
}

#[tokio::test]
async fn balances_agree_in_snapshots_under_load_18() {
    under_load(18).await;
}

/// Notes when the backup was asked to stop.
struct Noting(SqlBackup, Timestamp);

#[async_trait]
impl Backup for Noting {
    async fn start(&mut self) -> Result<StartInfo, BackupCause> {
        self.0.start().await
    }

    async fn stop(&mut self) -> Result<StopInfo, BackupCause> {
        self.1 = clock::now();
        self.0.stop().await
    }
}

#[tokio::test]
async fn the_time_of_a_snapshot_is_not_before_the_last_commit_in_it() {
    let lab = Lab::new();
    let Some(mut cluster) = Cluster::new(18, lab.path(), "c") else { return };
    cluster.start();
    let mut backup = Noting(SqlBackup::new(&cluster), Timestamp::MIN);
    let taken = snapshot::online(lab.request(&cluster, None), &mut backup).await.unwrap();
    let at = taken.record.taken_at;
    assert!(at >= backup.1, "{at} is before the stop at {}", backup.1);
    assert_eq!(at, taken.manifest.header.taken_at);
    cluster.halt("immediate");
}
