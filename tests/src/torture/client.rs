//! A client: draws work, does it, and writes down what it was told.
//!
//! What it may be told is limited. A lost connection and the words for a stop, a crash or a start are
//! daily life; so are time-outs on locks and objects that another client just dropped. Anything else
//! is a complaint, above all a word about corrupted data.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::SinkExt;
use tokio_postgres::{Client, Error};

use super::ledger::{Id, Outcome};
use super::seed::Seed;
use super::work::{self, Abilities, End, Step, Work};
use super::world::{World, connect};

/// For every session: nobody waits for ever.
const SESSION: &str = "set lock_timeout = '2s'; set statement_timeout = '25s'; \
     set client_min_messages = warning; set idle_in_transaction_session_timeout = '60s'";

/// After this the client gives its session up, whatever the server does.
const PATIENCE: Duration = Duration::from_secs(45);

/// Bytes of one COPY message.
const COPY_PART: usize = 64 << 10;

/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(30);

/// Daily life: shut down, crash, start, too many connections, serialisation, deadlock, lock and
/// statement time-outs, objects that came or went, a database in use, prepared transactions at their
/// limit or ended by somebody else.
const EXPECTED: [&str; 24] = [
    "57P01", "57P02", "57P03", "57P05", "53300", "40001", "40P01", "55P03", "57014", "42P01", "42P07",
    "42704", "42710", "42703", "42701", "55006", "3D000", "42P04", "23505", "53400", "53200", "08006",
    "08003", "55000",
];

/// More of it while the store or a failpoint is made to fail.
const EXPECTED_WHEN_ROUGH: [&str; 3] = ["58030", "53100", "58000"];

/// Works until the run is over.
pub(crate) async fn run(world: Arc<World>, number: i32, dsn: String, vector: bool) {
    let mut client = Worker {
        draw: world.seed.of(&format!("client {number}")),
        name: format!("client {number}"),
        world,
        dsn,
    };
    let mut session: Option<Client> = None;
    let mut n = 0;
    while !client.world.is_over() {
        let Some(open) = &session else {
            session = client.open(number).await;
            continue;
        };
        n += 1;
        let can = Abilities { vector, room: client.world.room.load(Ordering::Relaxed) };
        let work = work::next(&mut client.draw, (number, n), &client.world.plan, can);
        if !client.one(open, (number, n), &work).await {
            session = None;
        }
    }
}

struct Worker {
    world: Arc<World>,
    draw: Seed,
    name: String,
    dsn: String,
}

/// How far it came before it failed.
struct Failed {
    /// The end had been asked for.
    at_end: bool,
    /// What the server or the driver said; `None` = nothing within the patience.
    error: Option<Error>,
}

impl Worker {
    async fn open(&self, number: i32) -> Option<Client> {
        let opened = match connect(&self.dsn).await {
            Ok(client) => client.batch_execute(SESSION).await.map(|()| client),
            Err(error) => Err(error),
        };
        match opened {
            Ok(client) => {
                self.settle(&client, number).await;
                Some(client)
            }
            Err(error) => {
                self.look_at(&error, "connecting");
                tokio::time::sleep(PAUSE).await;
                None
            }
        }
    }

    /// Ends what this client left in its second phase, as a transaction manager does.
    async fn settle(&self, client: &Client, number: i32) {
        let mine = format!("select gid from pg_prepared_xacts where gid like 't\\_{number}\\_%'");
        for row in client.query(&mine, &[]).await.unwrap_or_default() {
            let gid: String = row.get(0);
            let Some(n) = gid.rsplit('_').next().and_then(|n| n.parse().ok()) else { continue };
            if client.batch_execute(&format!("commit prepared '{gid}'")).await.is_ok() {
                self.world.ledger.end((number, n), Outcome::Acknowledged, "prepared");
            }
        }
    }

    /// Does one piece of work; tells whether the session can go on.
    async fn one(&self, client: &Client, id: Id, work: &Work) -> bool {
        if work.end != End::None {
            self.world.ledger.begin(id);
        }
        let done = tokio::time::timeout(PATIENCE, attempt(client, id, work)).await;
        let failed = match done {
            Ok(Ok(())) => {
                if work.end != End::None {
                    self.world.ledger.end(id, Outcome::Acknowledged, work.kind);
                }
                for step in &work.after {
                    let _does_not_matter = tokio::time::timeout(PATIENCE, do_step(client, step)).await;
                }
                return true;
            }
            Ok(Err(failed)) => failed,
            Err(_) => Failed { at_end: true, error: None },
        };
        if work.end != End::None {
            let outcome = if failed.at_end { Outcome::Unknown } else { Outcome::Refused };
            self.world.ledger.end(id, outcome, work.kind);
        }
        let Some(error) = failed.error else {
            self.world
                .complain(&self.name, &format!("no answer within {PATIENCE:?} to {} {id:?}", work.kind));
            return false;
        };
        self.look_at(&error, work.kind);
        !client.is_closed() && client.batch_execute("rollback").await.is_ok()
    }

    /// Complains about an error that no client should see.
    fn look_at(&self, error: &Error, during: &str) {
        let Some(told) = error.as_db_error() else { return };
        let code = told.code().code();
        let rough = self.world.rough.load(Ordering::Relaxed);
        let expected = EXPECTED.contains(&code)
            || (rough && EXPECTED_WHEN_ROUGH.contains(&code))
            // Two that change one definition at once; PostgreSQL has no better code for it.
            || (code == "XX000" && told.message().contains("concurrently"))
            // PostgreSQL's bugs 18351 and 19519: VACUUM FULL, CLUSTER and CREATE INDEX look at row versions that nobody
            // sees, whose TOAST was vacuumed under a later horizon. Whoever reads a row is told so in any other work.
            || (during == "upkeep" && code == "XX001" && told.message().starts_with("missing chunk number 0 "))
            // PostgreSQL refuses to move on while the template has a session.
            || (during == "connecting" && matches!(code, "08004" | "28000" | "08001") && rough);
        if !expected {
            self.world.complain(&self.name, &format!("{during}: {code} {}", told.message()));
        }
    }
}

async fn attempt(client: &Client, (number, n): Id, work: &Work) -> Result<(), Failed> {
    let early = |error| Failed { at_end: false, error: Some(error) };
    let late = |error| Failed { at_end: true, error: Some(error) };
    for step in &work.before {
        do_step(client, step).await.map_err(early)?;
    }
    if work.end == End::None {
        for step in &work.steps {
            do_step(client, step).await.map_err(early)?;
        }
        return Ok(());
    }
    client.batch_execute("begin").await.map_err(early)?;
    for step in &work.steps {
        do_step(client, step).await.map_err(early)?;
    }
    let note = format!(
        "insert into ledger(client, n, kind, rows) values ({number}, {n}, '{}', {})",
        work.kind, work.rows
    );
    client.batch_execute(&note).await.map_err(early)?;
    if work.end == End::TwoPhases {
        let gid = format!("t_{number}_{n}");
        client.batch_execute(&format!("prepare transaction '{gid}'")).await.map_err(late)?;
        client.batch_execute(&format!("commit prepared '{gid}'")).await.map_err(late)
    } else {
        client.batch_execute("commit").await.map_err(late)
    }
}

async fn do_step(client: &Client, step: &Step) -> Result<(), Error> {
    match step {
        Step::Sql(text) => client.batch_execute(text).await,
        Step::Copy(statement, data) => {
            let sink = client.copy_in::<_, bytes::Bytes>(statement.as_str()).await?;
            let mut sink = pin!(sink);
            for part in data.chunks(COPY_PART) {
                sink.send(bytes::Bytes::copy_from_slice(part)).await?;
            }
            sink.close().await
        }
        Step::DropForgotten(number) => {
            let list = format!(
                "select format('drop database if exists %I with (force)', datname) from pg_database \
                 where datname like 'db\\_{number}\\_%' and datname not in (select name from databases_made)"
            );
            for row in client.query(&list, &[]).await? {
                client.batch_execute(row.get(0)).await?;
            }
            Ok(())
        }
    }
}
