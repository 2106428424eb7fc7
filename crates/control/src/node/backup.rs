//! The backup of a running compute, in a session of its own.

use dormouse_base::{Lsn, Timeline};
use dormouse_compute::postgres::ADMIN_DATABASE;
use dormouse_compute::postgres::admin::{AdminClient, Door};
use dormouse_storage::snapshot::{Backup, BackupCause, StartInfo, StopInfo};
use tokio_postgres::Client;

/// A checkpoint of a busy compute takes its time, and so does the copy: no limit by PostgreSQL.
const PATIENT: &str = "SET statement_timeout = 0";

const START: &str = "SELECT pg_catalog.pg_backup_start('dormouse', true)::text";

/// Asked after the start: the checkpoint that it made, and where it would replay from.
const STARTED: &str = "SELECT redo_lsn::text, timeline_id FROM pg_catalog.pg_control_checkpoint()";

const STOP: &str = "SELECT lsn::text, labelfile, spcmapfile FROM pg_catalog.pg_backup_stop(false)";

/// Runs `pg_backup_start` and `pg_backup_stop`. Ending it ends the backup, whatever state it is in.
pub(super) struct SqlBackup {
    client: Client,
    /// The compute stays awake as long as its backup runs.
    _awake: AdminClient,
}

impl SqlBackup {
    /// A session for one backup.
    ///
    /// # Errors
    /// When PostgreSQL refuses.
    pub(super) async fn open(door: &Door, awake: AdminClient) -> Result<Self, BackupCause> {
        let client = door.open(ADMIN_DATABASE).await?;
        client.batch_execute(PATIENT).await?;
        Ok(Self { client, _awake: awake })
    }
}

#[async_trait::async_trait]
impl Backup for SqlBackup {
    async fn start(&mut self) -> Result<StartInfo, BackupCause> {
        let started: String = self.client.query_one(START, &[]).await?.get(0);
        let row = self.client.query_one(STARTED, &[]).await?;
        let redo: Lsn = row.get::<_, String>(0).parse()?;
        let timeline = Timeline(u32::try_from(row.get::<_, i32>(1))?);
        // The start position is the redo pointer of the checkpoint that the start made; another checkpoint
        // may have followed, but never an older one.
        let started: Lsn = started.parse()?;
        Ok(StartInfo { redo: started.min(redo), timeline })
    }

    async fn stop(&mut self) -> Result<StopInfo, BackupCause> {
        let row = self.client.query_one(STOP, &[]).await?;
        Ok(StopInfo {
            lsn: row.get::<_, String>(0).parse()?,
            backup_label: row.get(1),
            tablespace_map: row.get::<_, Option<String>>(2).unwrap_or_default(),
        })
    }
}
