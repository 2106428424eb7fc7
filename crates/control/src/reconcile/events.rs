//! `events`: writes the queue of events and states into the metadata, many in one transaction.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::sync::mpsc::Receiver;

use super::{Reconciler, Report, Trouble};
use crate::control::Foundation;
use crate::db::{Db, endpoints, events};
use crate::keeper::{Note, Noted};

/// The most notes in one transaction.
pub const BATCH: usize = 256;

/// Between two batches, so that a storm of wakes costs few transactions.
const GATHER: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Debug)]
pub struct Events {
    db: Db,
    notes: Mutex<(Receiver<Note>, Vec<Note>)>,
}

impl Events {
    pub(super) fn new(foundation: &Foundation) -> Option<Self> {
        let notes = foundation.keeper().take_notes()?;
        Some(Self { db: foundation.db.clone(), notes: Mutex::new((notes, Vec::new())) })
    }
}

#[async_trait::async_trait]
impl Reconciler for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    fn retry(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn signalled(&self) {
        let mut guard = self.notes.lock().await;
        let (receiver, batch) = &mut *guard;
        if receiver.recv_many(batch, 1).await == 0 {
            // The keeper is gone; only the scope's end is left to come.
            std::future::pending::<()>().await;
        }
    }

    async fn last(&mut self) {
        loop {
            match self.write_batch().await {
                Ok(BATCH) => {}
                Ok(_) => return,
                Err(trouble) => {
                    tracing::warn!(error = &trouble as &dyn std::error::Error, "the last events are lost");
                    return;
                }
            }
        }
    }

    async fn run(&mut self) -> Result<Report, Trouble> {
        tokio::time::sleep(GATHER).await;
        let count = self.write_batch().await?;
        let next = if count == BATCH { Duration::ZERO } else { Duration::from_secs(3600) };
        Ok(Report { text: format!("{count} written"), next })
    }
}

impl Events {
    /// Writes what waits, at most [`BATCH`], and tells how much that was.
    async fn write_batch(&mut self) -> Result<usize, Trouble> {
        let (receiver, batch) = self.notes.get_mut();
        while batch.len() < BATCH {
            let Ok(note) = receiver.try_recv() else { break };
            batch.push(note);
        }
        let notes = std::mem::take(batch);
        let count = notes.len();
        if count > 0 {
            let write = self.db.write("write events", move |db| store(db, &notes));
            write.await.map_err(Trouble::in_doing("write events"))?;
        }
        Ok(count)
    }
}

fn store(db: &rusqlite::Connection, notes: &[Note]) -> rusqlite::Result<()> {
    let mut grown = BTreeSet::new();
    for note in notes {
        match &note.what {
            Noted::Event(happening) => {
                events::insert(db, &note.endpoint, note.at, happening)?;
                grown.insert(&note.endpoint);
            }
            Noted::Started => endpoints::note_started(db, &note.endpoint, note.at)?,
            Noted::Suspended => endpoints::note_suspended(db, &note.endpoint, note.at)?,
        }
    }
    grown.into_iter().try_for_each(|endpoint| events::trim(db, endpoint))
}
