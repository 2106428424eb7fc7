//! kill -9 at any failpoint of the storage: what was acknowledged is there afterwards, and the server goes on.
//!
//! ```text
//!  for each name:  a server that dies there ─► the steps that lead there ─► one that does not ─► rows, branches
//!  every few names: everything evicted ─► rows of the store alone, fsck
//! ```
//!
//! The names come from `docs/reference/failpoints.md`; [`PLANS`] says which steps lead to which, and a new name
//! begins with one of those or is reached by all steps. A run in CI draws some, with a seed that it prints;
//! `DORMOUSE_FAILPOINT_SEED=7` repeats one, `DORMOUSE_FAILPOINT_NAMES=all` (or a list of beginnings, with commas)
//! takes them one after the other, and then each must be reached. Those of [`ELSEWHERE`] are not drawn.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::rand;
use dormouse_tests::foreign::Foreign;
use dormouse_tests::{Project, checkout, note};
use serde_json::Value;

use super::{FILL, ROWS, Site};

/// Names that one test draws; each costs a few seconds.
const DRAWN: usize = 4;

/// After so many deaths the store alone is looked at.
const PROVED_AFTER: usize = 6;

/// A death comes within this time after the step that leads to it.
const DIES_WITHIN: Duration = Duration::from_millis(1500);

/// One thing that a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A row is acknowledged.
    Write,
    /// A snapshot of the running database.
    Snapshot,
    /// The database sleeps, and what is to be stored then is.
    Suspend,
    /// It leaves this node.
    Evict,
    /// Somebody connects to it.
    Wake,
    /// A branch of it, and its first row.
    Branch,
    /// That branch cuts a table before all of its pages have come.
    Cut,
    /// It is set back to where it is.
    Restore,
    /// That branch goes.
    Delete,
    /// Garbage collection.
    Collect,
    /// The directory of a stopped cluster is imported.
    Import,
    /// Another project is made.
    Project,
    /// What goes on in the background goes on for a moment.
    Wait,
}

/// What leads to the names that begin so; the first that fits counts. The others are reached by [`LIFE`].
const PLANS: [(&str, &[Step]); 14] = [
    ("import.", &[Step::Import]),
    ("node.import.", &[Step::Import]),
    ("control.restore.", &[Step::Restore]),
    ("control.delete_branch.", &[Step::Branch, Step::Delete]),
    ("branch.delete.", &[Step::Branch, Step::Delete]),
    ("branch.root.", &[Step::Project]),
    ("gc.", &[Step::Snapshot, Step::Branch, Step::Delete, Step::Collect]),
    ("snapshot.", &[Step::Write, Step::Snapshot, Step::Suspend]),
    ("restore.clone.", &[Step::Write, Step::Suspend, Step::Branch]),
    ("restore.sync.", &[Step::Write, Step::Suspend, Step::Branch]),
    ("hydrate.", &[Step::Branch, Step::Cut, Step::Evict, Step::Wake]),
    ("wal.stream.", &STREAM),
    ("wal.spool.", &STREAM),
    ("node.evict.", &[Step::Evict]),
];

/// A stream begins a moment after the first rows.
const STREAM: [Step; 6] = [Step::Write, Step::Wait, Step::Write, Step::Wait, Step::Evict, Step::Wake];

/// Everything, in an order in which one thing gives the next something to do.
const LIFE: [Step; 13] = [
    Step::Write,
    Step::Branch,
    Step::Cut,
    Step::Snapshot,
    Step::Write,
    Step::Delete,
    Step::Evict,
    Step::Wake,
    Step::Restore,
    Step::Suspend,
    Step::Branch,
    Step::Collect,
    Step::Import,
];

/// Names that this test does not come to, and who does.
const ELSEWHERE: [(&str, &str); 11] = [
    ("gc.delete.", "objects are kept for an hour: storage::gc::tests::crashes"),
    ("gc.rewrite.", "packs must be mostly dead: storage::gc::tests::rewriting"),
    ("register.trim.", "versions are kept for an hour: storage::branch::register::tests"),
    ("store.create.compare", "the answer of a create must get lost: storage::object::tests, the torture"),
    ("store.delete.before", "objects are kept for an hour: storage::gc::tests"),
    ("hydrate.truncate.", "a file must get shorter and stay: storage/tests/hydrate_filler"),
    ("wal.filer.gap", "WAL must be lost: storage/tests/wal"),
    ("wal.hand.read", "filing must be slow just then: kills, the torture"),
    ("wal.spool.remove", "a spool file must be full: the torture, with its bulk loads"),
    ("store.delete.batch", "objects are kept for an hour: storage::object::tests"),
    ("store.sweep.remove", "leftovers are kept for a while: storage::object::tests"),
];

/// The names of the storage, of all areas that make data durable.
fn names() -> Vec<String> {
    let list = std::fs::read_to_string(checkout().join("docs/reference/failpoints.md")).unwrap();
    let rows = list.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let names: Vec<String> = rows.map(|(name, _)| name.to_owned()).collect();
    assert!(names.len() > 90, "the list is read");
    let here = |name: &String| !ELSEWHERE.iter().any(|(beginning, _)| name.starts_with(beginning));
    names.into_iter().filter(here).collect()
}

fn begins(name: &str, beginnings: &str) -> bool {
    beginnings.split(',').any(|beginning| name.starts_with(beginning))
}

/// The names of this run, and whether each must be reached.
fn chosen(all: Vec<String>) -> (Vec<String>, bool) {
    match std::env::var("DORMOUSE_FAILPOINT_NAMES") {
        Ok(wanted) if wanted == "all" => (all, true),
        Ok(wanted) => (all.into_iter().filter(|name| begins(name, &wanted)).collect(), true),
        Err(_) => {
            let given = std::env::var("DORMOUSE_FAILPOINT_SEED").ok().and_then(|text| text.parse().ok());
            let seed = given.unwrap_or_else(|| u64::from(u16::from_be_bytes(rand::bytes())));
            note(&format!("DORMOUSE_FAILPOINT_SEED={seed} repeats this run"));
            let mut left = all;
            let mut state = seed;
            let mut draw = || {
                // Knuth's generator: good enough to draw four of a hundred.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                left.swap_remove(usize::try_from(state >> 33).unwrap() % left.len())
            };
            ((0..DRAWN).map(|_| draw()).collect(), false)
        }
    }
}

/// A server that dies again and again, and what it promised.
struct Trial {
    site: Site,
    main: Project,
    /// Rows that were acknowledged, and the last that was tried.
    acknowledged: BTreeSet<i64>,
    tried: i64,
    branch: Option<(String, Project)>,
    made: usize,
    source: Option<(Foreign, PathBuf)>,
}

impl Trial {
    async fn new(arguments: &[&str]) -> Self {
        let site = Site::new(arguments);
        let main = site.server.default_project();
        site.run(&main, FILL).await;
        // A table that is more than one chunk, for what is cut.
        site.run(
            &main,
            "create table wide as select repeat(md5(g::text), 30) from generate_series(1, 9000) g",
        )
        .await;
        let (acknowledged, tried, branch) = (BTreeSet::new(), 0, None);
        Self { site, main, acknowledged, tried, branch, made: 0, source: None }
    }

    /// Does a step as far as the server lives.
    async fn step(&mut self, step: Step) {
        let (server, id, endpoint) = (&self.site.server, self.main.id.clone(), self.main.endpoint.clone());
        let _died = match step {
            Step::Write => return self.write().await,
            Step::Branch => return self.branch().await,
            Step::Cut => return self.cut().await,
            Step::Restore => return self.restore().await,
            Step::Import => return self.import(),
            Step::Project => {
                self.made += 1;
                server.ask(&["project", "create", &format!("imported{}", self.made)]).map(drop)
            }
            Step::Wait => {
                self.died();
                return;
            }
            Step::Snapshot => server.branch_verb(&self.main, "snapshot", "main", &[]).map(drop),
            Step::Suspend => server.ask(&["endpoint", "suspend", &endpoint, "--project", &id]).map(drop),
            Step::Evict => server.ask(&["endpoint", "evict", &endpoint, "--project", &id]).map(drop),
            Step::Collect => server.ask(&["gc"]).map(drop),
            Step::Delete => {
                let name = self.branch.as_ref().map_or_else(String::new, |(name, _)| name.clone());
                server.branch_verb(&self.main, "delete", &name, &["--yes"]).map(drop)
            }
            Step::Wake => {
                let _died = server.try_connect(&self.main.dsn).await;
                return;
            }
        };
    }

    async fn write(&mut self) {
        self.tried += 1;
        let row = 1000 + self.tried;
        let Ok(client) = self.site.server.try_connect(&self.main.dsn).await else { return };
        let insert = format!("insert into t values ({row}, md5('{row}'))");
        if client.batch_execute(&insert).await.is_ok() {
            self.acknowledged.insert(row);
        }
    }

    async fn branch(&mut self) {
        self.made += 1;
        let name = format!("b{}", self.made);
        self.branch = Some((name.clone(), self.main.clone()));
        if let Ok(branch) = self.site.server.try_branch(&self.main, &name, &[]) {
            self.branch = Some((name, branch.at.clone()));
            let _died = self.site.server.try_connect(&branch.at.dsn).await;
        }
    }

    async fn cut(&mut self) {
        let Some((_, at)) = self.branch.clone() else { return };
        let Ok(client) = self.site.server.try_connect(&at.dsn).await else { return };
        for sql in ["truncate wide", "drop table wide"] {
            let _died = client.batch_execute(sql).await;
        }
    }

    /// To where it is, so that nothing is lost.
    async fn restore(&mut self) {
        let Ok(client) = self.site.server.try_connect(&self.main.dsn).await else { return };
        let Ok(place) = client.query_one("select pg_current_wal_flush_lsn()::text", &[]).await else {
            return;
        };
        let place: String = place.get(0);
        drop(client);
        let _died = self.site.server.branch_verb(&self.main, "restore", "main", &["--at", &place]);
    }

    fn import(&mut self) {
        if self.source.is_none() {
            let Some(mut source) = Foreign::start(15) else { return };
            source.stop();
            let data = source.data();
            self.source = Some((source, data));
        }
        let Some((_, data)) = &self.source else { return };
        self.made += 1;
        let name = format!("imported{}", self.made);
        let words = ["import", data.to_str().unwrap(), "--name", &name, "--owner", "postgres"];
        let _died = self.site.server.ask(&words);
    }

    fn died(&mut self) -> bool {
        let start = Mono::now();
        while start.elapsed() < DIES_WITHIN {
            if self.site.server.ended().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Dies at this name, if the steps that are said to lead there do.
    async fn die_at(&mut self, name: &str) -> bool {
        let steps = PLANS.iter().find(|(beginning, _)| name.starts_with(beginning));
        let steps = steps.map_or(&LIFE[..], |(_, steps)| *steps);
        // The server must not be gone before something happened in it.
        self.site.server.kill_9();
        // Pages come slowly, so that something is cut before they are there.
        let slowly = if begins(name, "hydrate.watermark,hydrate.truncate") { LATE } else { "" };
        let armed = format!("{name}=kill@1{slowly}");
        if self.site.server.try_start_again(&[("DORMOUSE_FAILPOINTS", &armed)]).is_err() {
            return true;
        }
        for step in steps {
            self.step(*step).await;
            if self.site.server.ended().is_some() {
                return true;
            }
        }
        self.died()
    }

    /// A server that does not die finds everything.
    async fn check(&mut self, name: &str) {
        if self.site.server.ended().is_none() {
            self.site.server.kill_9();
        }
        self.site.server.try_start_again(&[]).unwrap_or_else(|why| panic!("after {name}: {why}"));
        self.rows(&self.main, name).await;
        self.clear(name).await;
    }

    /// Every row that was acknowledged is there, and none that nobody wrote.
    async fn rows(&self, at: &Project, name: &str) {
        let client = self.site.server.try_connect(&at.dsn).await;
        let client = client.unwrap_or_else(|error| panic!("after {name}: {error}"));
        let rows = client.query("select n::bigint from t where t = md5(n::text)", &[]).await.unwrap();
        let rows: BTreeSet<i64> = rows.iter().map(|row| row.get(0)).collect();
        let written = |row: &i64| *row > 1000;
        assert_eq!(rows.iter().filter(|row| !written(row)).count(), 1000, "after {name}");
        let lost: Vec<_> = self.acknowledged.difference(&rows).collect();
        assert!(lost.is_empty(), "after {name} these are lost: {lost:?}");
        assert!(rows.iter().all(|row| *row <= 1000 + self.tried), "after {name}: {rows:?}");
        let wide: i64 = client.query_one("select count(*) from wide", &[]).await.unwrap().get(0);
        assert_eq!(wide, 9000, "after {name}");
    }

    /// Branches and projects that were left behind answer, and go.
    async fn clear(&mut self, name: &str) {
        let list = self.site.server.ask(&["branch", "list", "--project", &self.main.id]).unwrap();
        for branch in list["branches"].as_array().unwrap().iter().filter_map(|b| b["name"].as_str()) {
            // What a restore has left behind is the parent of what there is now.
            if branch.starts_with('b') {
                let gone = self.site.server.branch_verb(&self.main, "delete", branch, &["--yes"]);
                assert!(gone.is_ok(), "after {name}: {branch}: {gone:?}");
            }
        }
        self.branch = None;
        let projects = self.site.server.ask(&["project", "list"]).unwrap();
        let names = projects["projects"].as_array().unwrap().iter().filter_map(|p| p["name"].as_str());
        for project in names.filter(|name| name.starts_with("imported")) {
            let gone = self.site.server.ask(&["project", "delete", project, "--yes"]);
            assert!(gone.is_ok(), "after {name}: {project}: {gone:?}");
        }
        self.site.server.until_true("its operations have ended", || {
            let list = self.site.server.ask(&["operation", "list", "--project", &self.main.id]);
            let open = |o: &Value| matches!(o["status"].as_str(), Some("running" | "scheduling"));
            list.is_ok_and(|list| !list["operations"].as_array().is_some_and(|all| all.iter().any(open)))
        });
    }

    /// The store alone has it too.
    async fn prove(&self, name: &str) {
        self.site.only_in_the_store(&self.main);
        self.rows(&self.main, name).await;
    }
}

/// Every chunk comes late.
const LATE: &str = ";hydrate.fill.before_fetch=sleep:1500";

/// Gives the names that were not reached and should have been.
async fn killed_at(names: Vec<String>, arguments: &[&str]) -> Vec<String> {
    if names.is_empty() {
        return names;
    }
    let mut trial = Trial::new(arguments).await;
    let mut missed = Vec::new();
    for (round, name) in names.iter().enumerate() {
        let start = Mono::now();
        let died = trial.die_at(name).await;
        note(&format!(
            "{name}: {} after {:?}",
            if died { "died there" } else { "not reached" },
            start.elapsed()
        ));
        if !died {
            missed.push(name.clone());
        }
        trial.check(name).await;
        if round % PROVED_AFTER == PROVED_AFTER - 1 {
            trial.prove(name).await;
        }
    }
    trial.prove("the last").await;
    assert_eq!(trial.site.number(&trial.main, ROWS).await, 1000 + rows_of(&trial).await);
    assert!(trial.site.server.stop().1);
    missed
}

async fn rows_of(trial: &Trial) -> i64 {
    trial.site.number(&trial.main, "select count(*) from t where n > 1000").await
}

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_failpoint() {
    let (chosen, every) = chosen(names());
    let (streamed, others): (Vec<_>, Vec<_>) =
        chosen.into_iter().partition(|name| begins(name, "wal.stream.,wal.spool."));
    let (first, others): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|name| begins(name, "store.format."));
    for name in first {
        killed_at_its_first_start(&name).await;
    }
    let mut missed = killed_at(streamed, &["--wal-source", "stream"]).await;
    missed.extend(killed_at(others, &["--local-clone", "always"]).await);
    assert!(!every || missed.is_empty(), "no step leads to {missed:?}");
}

/// A server without data begins with an empty store, dies, and begins again.
async fn killed_at_its_first_start(name: &str) {
    let mut site = Site::new(&[]);
    assert!(site.server.stop().1);
    let data = site.server.data().to_owned();
    for dir in [&site.store, &data] {
        std::fs::remove_dir_all(dir).unwrap();
    }
    let died = site.server.try_start_again(&[("DORMOUSE_FAILPOINTS", &format!("{name}=kill@1"))]);
    note(&format!("{name}: {}", if died.is_err() { "died there" } else { "not reached" }));
    assert!(died.is_err(), "an empty store was opened without {name}");
    site.server.try_start_again(&[]).unwrap_or_else(|why| panic!("after {name}: {why}"));
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    site.only_in_the_store(&main);
    assert_eq!(site.number(&main, ROWS).await, 1000, "after {name}");
    assert!(site.server.stop().1);
}
