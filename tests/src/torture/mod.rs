//! Random torture that can be repeated: a seed decides the PostgreSQL version, what clients write, and
//! what is broken while they do. Afterwards everything that was acknowledged must be there, nothing
//! that was not, and all of it whole: in the main branch, in each branch, and in the store alone.
//!
//! ```text
//!  options, seed     what is asked for; numbers
//!  work              what clients do, as statements           client   does it
//!  ledger, history   what was acknowledged; what a branch must therefore hold
//!  site, weather     the server, and what it is started into
//!  chaos             breaks things                            check    looks
//! ```
//!
//! The seed fixes what each actor wants to do, not when the operating system lets it; so a seed that
//! failed fails again often, not always. Run it with a higher `--runs` of the same seed by hand then.
//!
//! To torture something new, add an action to [`chaos`], work to [`work`], or a look to [`check`].

mod chaos;
mod check;
mod client;
mod history;
mod ledger;
mod options;

mod site;
mod timeline;
mod weather;
mod work;
mod world;

use crate::seed;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dormouse_runtime::task::Scope;

pub use options::{Options, USAGE};
use site::Site;
use world::World;

/// Clients that do not end within this time hang.
const CLIENTS_END_WITHIN: Duration = Duration::from_secs(60);

/// What a run that went wrong leaves behind.
#[derive(Debug)]
pub struct Failure {
    /// What is wrong.
    pub complaints: Vec<String>,
    /// How to do it again.
    pub repeat: String,
    /// Everything of the run: `timeline.txt`, `ledger.txt`, `data.log`, the data and the store.
    pub dir: PathBuf,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} complaints:", self.complaints.len())?;
        self.complaints.iter().try_for_each(|complaint| writeln!(f, "  {complaint}"))?;
        write!(f, "what happened: {}\nagain: {}", self.dir.join("timeline.txt").display(), self.repeat)
    }
}

/// What a good run did, for people.
#[derive(Debug)]
pub struct Report {
    /// One line.
    pub summary: String,
}

/// Runs one seed.
///
/// # Errors
/// What went wrong; the directory of the run is kept.
pub fn run(options: &Options, seed: u64) -> Result<Report, Failure> {
    let holder = match &options.dir {
        Some(parent) => crate::passable_dir_in(parent),
        None => crate::passable_dir(),
    };
    let dir = holder.path().to_owned();
    let world = Arc::new(World::new(options.clone(), seed, dir.clone()));
    let repeat = options.to_repeat(seed);
    world.say("torture", &format!("seed {seed}: {}", world.plan));
    world.say("torture", &repeat);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // A panic in here is a failure like any other: the directory has to be kept.
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut site = Site::open(Arc::clone(&world), runtime.handle().clone());
        load_and_chaos(&mut site);
        check::end::run(&mut site);
        world.say("torture", &format!("commands, done + refused: {}", site.tally()));
        site.server.stop();
    }));
    if ran.is_err() {
        world.complain("torture", "it panicked; the reason is above");
    }
    drop(runtime);
    let complaints = world.complaints();
    let took = world.timeline.elapsed();
    if !complaints.is_empty() || options.keep {
        let dir = holder.keep();
        crate::note(&format!("kept: {}", dir.display()));
    }
    if complaints.is_empty() {
        let entries = world.ledger.entries().len();
        let acknowledged = world.ledger.acknowledged();
        let summary = format!(
            "seed {seed}: {}: {acknowledged} of {entries} transactions acknowledged, {took:.0?}",
            world.plan
        );
        return Ok(Report { summary });
    }
    Err(Failure { complaints, repeat, dir })
}

/// Clients work while things break.
fn load_and_chaos(site: &mut Site) {
    let world = Arc::clone(&site.world);
    let vector = site.runtime.block_on(prepare(&site.project.dsn));
    let clients = Scope::new();
    site.runtime.block_on(async {
        for number in 1..=world.plan.clients {
            let dsn = site.project.dsn.clone();
            clients.spawn("torture-client", client::run(Arc::clone(&world), number, dsn, vector));
        }
    });
    chaos::run(site);
    world.say("torture", "clients are asked to end");
    world.stop.store(true, Ordering::Relaxed);
    if !site.runtime.block_on(clients.close(CLIENTS_END_WITHIN)) {
        world.complain("clients", "they do not end");
    }
    let (entries, acknowledged) = (world.ledger.entries().len(), world.ledger.acknowledged());
    world.say("torture", &format!("{acknowledged} of {entries} transactions were acknowledged"));
}

/// Makes the tables; tells whether there are vectors.
async fn prepare(dsn: &str) -> bool {
    let client = world::connect(dsn).await.unwrap();
    for statement in work::schema::statements() {
        client.batch_execute(&statement).await.unwrap();
    }
    let vector = client.batch_execute(work::schema::VECTOR).await.is_ok();
    let origin = world::connect(&check::consistency::with_database(dsn, "origin")).await.unwrap();
    origin.batch_execute(work::schema::ORIGIN).await.unwrap();
    vector
}
