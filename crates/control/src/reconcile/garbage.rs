//! `garbage`: deletes from the store what nothing needs, once an hour. It trims registers, and removes what
//! interrupted writes left in a directory store. `dormouse gc` does the same at once.

use std::sync::Arc;
use std::time::Duration;

use super::{Reconciler, Report, Trouble};
use crate::vault::{CollectWish, Collected, Vault};

/// From one run to the next.
const PERIOD: Duration = Duration::from_secs(3600);
/// From the start of the server to the first run: the first minutes are for people who wait.
const AFTER_START: Duration = Duration::from_secs(300);
/// After a run that failed.
const RETRY: Duration = Duration::from_secs(600);

/// See the module.
#[derive(Debug)]
pub struct Garbage {
    /// The store.
    pub vault: Arc<dyn Vault>,
    /// Whether the server has been up for a while.
    pub settled: bool,
}

#[async_trait::async_trait]
impl Reconciler for Garbage {
    fn name(&self) -> &'static str {
        "garbage"
    }

    fn retry(&self) -> Duration {
        RETRY
    }

    async fn run(&mut self) -> Result<Report, Trouble> {
        if !std::mem::replace(&mut self.settled, true) {
            return Ok(Report { text: "waits until the start is over".to_owned(), next: AFTER_START });
        }
        let done = self.vault.collect(CollectWish::default()).await;
        let done = done.map_err(Trouble::in_doing("collect garbage"))?;
        Ok(Report { text: told(&done), next: PERIOD })
    }
}

fn told(done: &Collected) -> String {
    let Collected { deleted, deleted_bytes, waiting, retired, rewritten, leftovers, frozen, strange } = done;
    let mut text = format!(
        "{deleted} objects ({deleted_bytes} bytes) deleted, {waiting} wait, {retired} snapshots retired, \
         {rewritten} packs rewritten, {leftovers} leftovers removed"
    );
    if !frozen.is_empty() || *strange > 0 {
        text += &format!("; left alone: {} projects, {strange} strange objects", frozen.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::recorder::Recorder;

    #[tokio::test]
    async fn the_first_run_waits_and_the_next_one_collects() {
        let vault = Arc::new(Recorder::default());
        let mut garbage = Garbage { vault: Arc::clone(&vault) as Arc<dyn Vault>, settled: false };
        assert_eq!(garbage.run().await.unwrap().next, AFTER_START);
        assert!(vault.calls_of("collect").is_empty());
        let report = garbage.run().await.unwrap();
        assert_eq!(report.next, PERIOD);
        assert!(report.text.starts_with("3 objects (4096 bytes) deleted, 1 wait"), "{report:?}");
        assert_eq!(vault.calls_of("collect"), ["dry_run=false grace=None"]);
        *vault.fails.lock() = Some("collect");
        assert!(garbage.run().await.is_err());
    }
}
