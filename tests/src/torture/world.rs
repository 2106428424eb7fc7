//! What everybody in a run shares: the plan, the ledger, the timeline, and what went wrong so far.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use dormouse_runtime::task::Scope;
use tokio_postgres::{Client, NoTls};

use super::history::History;
use super::ledger::Ledger;
use super::options::{Options, Plan};
use super::seed::Seed;
use super::timeline::Timeline;

/// So many complaints are kept; what comes later is a consequence.
const COMPLAINTS: usize = 40;

/// A session that is not there within this time is a failure of the client, to be tried again.
const CONNECT_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

/// A run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) seed: Seed,
    pub(crate) plan: Plan,
    pub(crate) dir: PathBuf,
    pub(crate) timeline: Timeline,
    pub(crate) ledger: Ledger,
    pub(crate) history: Mutex<History>,
    /// Clients are to end.
    pub(crate) stop: AtomicBool,
    /// There is room for bulk loads.
    pub(crate) room: AtomicBool,
    /// The store, or a failpoint, is made to fail: clients may see errors of storage.
    pub(crate) rough: AtomicBool,
    complaints: Mutex<Vec<String>>,
}

impl World {
    /// Before anything runs.
    pub(crate) fn new(options: Options, number: u64, dir: PathBuf) -> Self {
        let seed = Seed::new(number);
        Self {
            plan: Plan::of(&seed, options.pg),
            timeline: Timeline::new(&dir, options.loud),
            ledger: Ledger::new(&dir),
            options,
            seed,
            dir,
            history: Mutex::default(),
            stop: AtomicBool::new(false),
            room: AtomicBool::new(true),
            rough: AtomicBool::new(false),
            complaints: Mutex::default(),
        }
    }

    /// Adds a line to the timeline.
    pub(crate) fn say(&self, who: &str, what: &str) {
        self.timeline.say(who, what);
    }

    /// Something is wrong. The run goes on to its checks, which may tell more.
    pub(crate) fn complain(&self, who: &str, what: &str) {
        self.timeline.say(who, &format!("WRONG: {what}"));
        let mut complaints = self.complaints.lock().unwrap();
        if complaints.len() < COMPLAINTS {
            complaints.push(format!("{who}: {what}"));
        }
    }

    /// What went wrong.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap().clone()
    }

    /// Whether clients are to end.
    pub(crate) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Opens a session.
pub(crate) async fn connect(dsn: &str) -> Result<Client, tokio_postgres::Error> {
    let mut config: tokio_postgres::Config = dsn.parse()?;
    config.connect_timeout(CONNECT_WITHIN);
    let (client, connection) = config.connect(NoTls).await?;
    Scope::new().spawn("torture-connection", async move {
        let _ended = connection.await;
    });
    Ok(client)
}
