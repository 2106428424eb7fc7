//! Branches, the store, and what is left when the node is gone.
//!
//! Written against the contract in `dormouse_tests::storage`. The tests are compiled always and run with
//! the feature `storage-e2e` of this package (`cargo test -p dormouse-tests --features storage-e2e`);
//! when that is in its `default`, they run in CI.
//!
//! [`sleep`] is suspend, evict and wake, [`streams`] the same with the other source of WAL; [`branches`],
//! [`past`], [`reset`], [`readers`] and [`deletion`] are what people do with branches, [`clones`] how some begin;
//! [`contents`] is what a database may hold; [`holes`] is WAL that is held, or was lost; [`damage`], [`disk`],
//! [`copies`], [`refusals`], [`outage`], [`kills`], [`crashes`], [`halfway`] and [`failpoints`] are what goes wrong;
//! [`imports`] is a
//! branch that begins with a foreign directory; [`upkeep`] is fsck, gc and the status of the store; [`recovery`] begins
//! with the store alone; [`s3`] with another one.

mod branches;
mod clones;
mod contents;
mod copies;
mod crashes;
mod damage;
mod deletion;
mod disk;
mod failpoints;
mod halfway;
mod holes;
mod imports;
mod kills;
mod outage;
mod past;
mod readers;
mod recovery;
mod refusals;
mod reset;
mod s3;
mod sleep;
mod streams;
mod upkeep;

use std::path::PathBuf;

use dormouse_tests::storage::url_of;
use dormouse_tests::{Project, Server, free_port, passable_dir};
use tokio_postgres::Client;

/// A server with a store beside its data directory, and fixed ports, so that connection strings
/// survive a restart.
struct Site {
    server: Server,
    store: PathBuf,
    dir: tempfile::TempDir,
}

impl Site {
    fn new(arguments: &[&str]) -> Self {
        Self::with(arguments, &[])
    }

    fn with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let dir = passable_dir();
        let store = dir.path().join("store");
        let url = url_of(&store);
        let ports = [free_port().to_string(), free_port().to_string()];
        let fixed = ["--store", &url, "--pg-port", &ports[0], "--http-port", &ports[1]];
        let data = dir.path().join("data");
        let server = Server::start_in(&data, &[&fixed, arguments].concat(), environment);
        Self { server, store, dir }
    }

    /// Connects to any branch.
    async fn open(&self, at: &Project) -> Client {
        self.server.try_connect(&at.dsn).await.unwrap()
    }

    /// Runs statements in any branch.
    async fn run(&self, at: &Project, sql: &str) {
        self.open(at).await.batch_execute(sql).await.unwrap();
    }

    /// A number that any branch answers with.
    async fn number(&self, at: &Project, sql: &str) -> i64 {
        self.open(at).await.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// A text that any branch answers with.
    async fn text(&self, at: &Project, sql: &str) -> String {
        self.open(at).await.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// The position up to which everything is on disk.
    async fn place(&self, at: &Project) -> String {
        self.text(at, "select pg_current_wal_flush_lsn()::text").await
    }

    /// The time, as the database tells it.
    async fn time(&self, at: &Project) -> String {
        let now = "select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
        self.text(at, now).await
    }

    /// Sleeps, leaves nothing on the node, and is whole in the store.
    fn only_in_the_store(&self, at: &Project) {
        self.server.evict(at);
        self.server.fsck();
    }
}

/// Rows of the table `t` of [`FILL`].
const ROWS: &str = "select count(*) from t where t = md5(n::text)";

/// 1000 rows with something to compare.
const FILL: &str = "create table t(n int primary key, t text); insert into t select g, md5(g::text) from generate_series(1, 1000) g";
