//! A store and a place for directories; takes snapshots of clusters and restores them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use dormouse_base::{BranchId, Epoch, ProjectId, Timeline};
use dormouse_storage::Store;
use dormouse_storage::key::Key;
use dormouse_storage::manifest::{Manifest, Owner};
use dormouse_storage::restore::{self, From, Materialised, Mode, Order};
use dormouse_storage::snapshot::{
    self, Backup, BackupCause, Base, Options, Request, StartInfo, StopInfo, Taken,
};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, Session, owner, run, scratch};

pub(crate) struct Lab {
    pub(crate) store: Store,
    pub(crate) store_dir: PathBuf,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) owner: Owner,
    pub(crate) level: i32,
    made: std::cell::Cell<u32>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let dir = scratch();
        let store_dir = dir.path().join("store");
        std::fs::create_dir(&store_dir).unwrap();
        let backend = object_store::local::LocalFileSystem::new_with_prefix(&store_dir).unwrap();
        let owner = Owner::Branch { project: ProjectId::generate(), branch: BranchId::generate() };
        Self {
            store: Store::new(Arc::new(backend)),
            store_dir,
            dir,
            owner,
            level: 1,
            made: std::cell::Cell::new(0),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn request(&self, cluster: &Cluster, base: Option<Base>) -> Request {
        let name = cluster.data.file_name().unwrap().to_str().unwrap();
        Request {
            store: self.store.clone(),
            dir: cluster.data.clone(),
            owner: self.owner.clone(),
            epoch: Epoch(1),
            base,
            state: Some(self.path().join(format!("{name}.state"))),
            missing: None,
            hot: Vec::new(),
            options: Options { level: self.level, threads: 0 },
            cancel: CancellationToken::new(),
        }
    }

    pub(crate) async fn clean(&self, cluster: &Cluster, base: Option<&Taken>) -> Taken {
        snapshot::clean(self.request(cluster, base.map(Taken::base))).await.unwrap()
    }

    pub(crate) async fn online(&self, cluster: &Cluster, base: Option<&Taken>) -> Taken {
        let mut backup = SqlBackup::new(cluster);
        snapshot::online(self.request(cluster, base.map(Taken::base)), &mut backup).await.unwrap()
    }

    pub(crate) fn new_dir(&self) -> PathBuf {
        self.made.set(self.made.get() + 1);
        self.path().join(format!("r{}", self.made.get()))
    }

    pub(crate) fn order(&self, taken: &Taken, mode: Mode) -> Order {
        Order {
            store: self.store.clone(),
            from: From::Boot(taken.record.boot.clone()),
            dir: self.new_dir(),
            base: None,
            mode,
            owner: owner(),
            durable: false,
        }
    }

    pub(crate) async fn eager(&self, taken: &Taken, bin: &Path) -> (Cluster, Materialised) {
        let order = self.order(taken, Mode::Eager);
        let dir = order.dir.clone();
        let made = restore::materialise(order).await.unwrap();
        assert!(made.lazy.is_empty());
        (Cluster::at(bin.to_owned(), dir), made)
    }

    /// Restores a snapshot; it must answer what was recorded, and be sound.
    pub(crate) async fn proves(&self, taken: &Taken, source: &Cluster, recorded: &str) {
        let (mut copy, _) = self.eager(taken, &source.bin).await;
        if taken.manifest.wal.is_empty() {
            // The WAL of an online snapshot comes from elsewhere.
            for entry in std::fs::read_dir(source.data.join("pg_wal")).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    run(std::process::Command::new("cp")
                        .arg("-p")
                        .arg(entry.path())
                        .arg(copy.data.join("pg_wal")));
                }
            }
        } else {
            copy.check_files();
        }
        copy.start();
        let content = copy.content();
        assert!(content == recorded, "the restored content differs:\n{recorded}\n----\n{content}");
        copy.amcheck();
        copy.stop();
        copy.check_files();
        std::fs::remove_dir_all(&copy.data).unwrap();
    }

    /// The file of an object.
    pub(crate) fn object(&self, key: &Key) -> PathBuf {
        self.store_dir.join(key.as_str())
    }
}

pub(crate) fn template_owner() -> Owner {
    Owner::Template { template: "pg-test".to_owned() }
}

/// A backup through a session of psql.
pub(crate) struct SqlBackup(Session);

impl SqlBackup {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        Self(cluster.session())
    }
}

#[async_trait]
impl Backup for SqlBackup {
    async fn start(&mut self) -> Result<StartInfo, BackupCause> {
        let row =
            self.0.rows("select pg_backup_start('snapshot', true), timeline_id from pg_control_checkpoint()");
        let (lsn, timeline) = row.trim().split_once('|').ok_or("no row")?;
        Ok(StartInfo { redo: lsn.parse()?, timeline: Timeline(timeline.parse()?) })
    }

    async fn stop(&mut self) -> Result<StopInfo, BackupCause> {
        let sql = "select lsn, encode(labelfile::bytea, 'hex'), spcmapfile from pg_backup_stop(false)";
        let row = self.0.rows(sql);
        let mut fields = row.trim_end_matches('\n').split('|');
        let mut next = || fields.next().ok_or("no field");
        let (lsn, label) = (next()?.parse()?, next()?);
        let bytes: Vec<u8> = (0..label.len() / 2)
            .map(|i| u8::from_str_radix(&label[2 * i..2 * i + 2], 16))
            .collect::<Result<_, _>>()?;
        Ok(StopInfo { lsn, backup_label: String::from_utf8(bytes)?, tablespace_map: next()?.to_owned() })
    }
}

/// Two directories hold the same snapshot: the same files with the same bytes.
pub(crate) fn same_files(manifest: &Manifest, a: &Path, b: &Path) {
    for file in &manifest.files {
        let (x, y) = (std::fs::read(a.join(&file.path)).unwrap(), std::fs::read(b.join(&file.path)).unwrap());
        assert!(x == y, "{} differs", file.path);
    }
}
