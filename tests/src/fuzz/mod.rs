//! The protocol's fuzzer: clients that say anything at all through a pool, and a man in the middle between the pool
//! and PostgreSQL.
//!
//! ```text
//!   players ──┐                                 ┌── whole, in pieces, late, cut, or lying
//!   vandals ──┼──► pool (the real proxy) ──► middle ──► PostgreSQL
//!             │                                              ▲
//!   players ──┴────────── the same, directly ────────────────┘
//! ```
//!
//! A [`player`] draws rounds of messages from its seed ([`script`]), plays each through the pool and directly, and
//! both must answer the same ([`compare`]). Every value carries its client's tag, so that a foreign row shows even
//! where nothing can be compared. A [`vandal`] says what is not the protocol. What the [`middle`] does is the
//! [`Weather`] of a phase:
//!
//! | weather | the middle                             | what must hold                                           |
//! |---------|----------------------------------------|----------------------------------------------------------|
//! | calm    | passes everything on, in odd pieces    | the pool answers as PostgreSQL does                      |
//! | cuts    | also cuts connections anywhere         | no foreign row, no hang, documented errors               |
//! | lies    | also changes, adds and repeats bytes   | no hang, no panic                                        |
//!
//! After the phases everything must be calm again: all players agree with PostgreSQL, no backend is left in a
//! transaction, and memory has not grown beyond [`MAX_GROWTH`]. A new kind of message is a line in [`script`], what a
//! session can have of its own one in [`session`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_runtime::task::Scope;
use futures_util::future::join_all;

use crate::foreign::Foreign;
use crate::pooled::Pooler;
use crate::seed::Seed;

mod compare;
mod middle;
mod options;
mod player;
mod script;
mod session;
mod vandal;

pub use middle::Weather;
pub use options::{Options, USAGE};

use middle::Middle;
use player::{Failure, Player};

/// Bytes by which the memory of this process, clients and all, may grow over a run.
const MAX_GROWTH: u64 = 400 << 20;

/// A pool so small that its clients always want each other's backends.
const POOL_SIZE: &str = "5";

/// After the last phase nothing may be open any more within this time.
const QUIET_WITHIN: Duration = Duration::from_secs(20);

/// What a run was like.
#[derive(Debug)]
pub struct Report {
    /// In one line.
    pub summary: String,
}

/// Counts what happened.
#[derive(Debug, Default)]
struct Tally {
    rounds: AtomicU64,
    replies: AtomicU64,
    ended: AtomicU64,
    vandals: AtomicU64,
}

/// Panics that any thread of this process had.
static PANICS: AtomicU64 = AtomicU64::new(0);

fn count_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            before(info);
        }));
    });
}

/// One run.
///
/// # Errors
/// What was wrong, with what repeats it.
pub fn run(options: &Options, seed: u64) -> Result<Report, String> {
    count_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let done = runtime.block_on(phases(options, &Seed::new(seed)));
    done.map_err(|why| format!("{why}\nto repeat: {}", options.to_repeat(seed)))
}

async fn phases(options: &Options, seed: &Seed) -> Result<Report, String> {
    let (panics, start) = (PANICS.load(Ordering::Relaxed), Mono::now());
    let foreign = Foreign::start(options.pg).ok_or("this version of PostgreSQL is not installed")?;
    let scope = Scope::new();
    let middle = Middle::start(&foreign.socket(), seed, &scope);
    let settings = [
        ("default_pool_size", POOL_SIZE),
        ("max_prepared_statements", "12"),
        ("server_login_retry", "0"),
        ("query_wait_timeout", "60"),
    ];
    let pooler = Arc::new(Pooler::start_in_front_of(foreign, &middle.socket(), &settings));
    prepare(&pooler.foreign);
    let tally = Arc::new(Tally::default());
    let mut before = 0;
    for weather in options.weathers() {
        middle.set(weather);
        let seconds = options.seconds_of(weather);
        let over = AtomicBool::new(false);
        let players = join_all((0..options.clients).map(|number| {
            let actor = format!("{weather:?} {number}");
            Player::new(&pooler, number, seed.of(&actor), weather, Arc::clone(&tally)).play(&over)
        }));
        let vandals = vandal::rage(&pooler, seed.of(&format!("vandal {weather:?}")), &over, &tally);
        let timer = async {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            over.store(true, Ordering::Relaxed);
        };
        let (ends, (), ()) = tokio::join!(players, vandals, timer);
        if let Some(failure) = ends.into_iter().find_map(Result::err) {
            return Err(describe(weather, &failure));
        }
        middle.set(Weather::Calm);
        let now = resident();
        if before == 0 {
            before = now;
        }
        if now > before + MAX_GROWTH {
            return Err(format!("memory grew from {} to {} MiB", before >> 20, now >> 20));
        }
        nothing_is_left(&pooler.foreign).await?;
        if PANICS.load(Ordering::Relaxed) > panics {
            return Err(format!("something panicked in {weather:?}: see above"));
        }
    }
    let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let summary = format!(
        "{} rounds, {} replies, {} connections ended, {} vandals, {} s, {} MiB",
        count(&tally.rounds),
        count(&tally.replies),
        count(&tally.ended),
        count(&tally.vandals),
        start.elapsed().as_secs(),
        resident() >> 20,
    );
    Ok(Report { summary })
}

fn describe(weather: Weather, failure: &Failure) -> String {
    format!("{weather:?}: {}\n{}", failure.what, failure.story)
}

/// What the scripts find in PostgreSQL.
fn prepare(foreign: &Foreign) {
    let schemas =
        (0..player::MAX_PLAYERS).flat_map(|number| ['p', 'd'].map(|side| format!("{side}{number}")));
    let sql = schemas.map(|name| {
        format!(
            "create schema {name}; create table {name}.t (v text);
             grant all on schema {name} to public; grant all on {name}.t to public;"
        )
    });
    let sql = [session::GROUND.to_owned()].into_iter().chain(sql).collect::<String>();
    foreign.sql("postgres", &sql);
}

/// No session of a client is in a transaction any more.
async fn nothing_is_left(foreign: &Foreign) -> Result<(), String> {
    let sql = "select count(*) from pg_stat_activity where pid <> pg_backend_pid()
        and backend_type = 'client backend' and state <> 'idle'";
    let start = Mono::now();
    while foreign.sql("postgres", sql).trim() != "0" {
        if start.elapsed() > QUIET_WITHIN {
            let what = "select state, application_name, query from pg_stat_activity where state <> 'idle'";
            return Err(format!("still at work: {}", foreign.sql("postgres", what)));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Bytes of memory that this process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) << 10
}
