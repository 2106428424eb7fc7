//! A crowd of pooled clients on one endpoint, while its compute is killed, suspended, paused and restarted.
//!
//! ```text
//!   connect ─► load + chaos ─► storm: all at once on a sleeper ─► a noisy neighbour ─► everybody works
//! ```
//!
//! What must hold: no client gets another's row; who is idle keeps its connection whatever happens; who is in the
//! middle of something goes on, or is told one of [`client::DOCUMENTED`]; a suspended endpoint is started once for
//! all; a neighbour of thousands who wait is served as if they were not there; and memory stays bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_runtime::task::Scope;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;

use crate::seed::Seed;
use crate::{Project, Server};

mod chaos;
mod client;
mod options;

pub use options::{Options, USAGE};

use client::{Client, Order};

/// Logins at the same time.
const LOGINS: usize = 50;

/// All are in after this: proving a password takes its time, twice in this process and in the server.
const LOGGED_IN_WITHIN: Duration = Duration::from_secs(900);

/// Whoever has not carried an order out within this time hangs.
const DONE_WITHIN: Duration = Duration::from_secs(180);

/// Bytes of the server for each client, at most, beyond what it has anyhow. Generous: a debug build in bad times.
const BYTES_EACH: u64 = 40 << 10;

/// The same, for everything that does not depend on how many clients there are.
const BYTES_ANYHOW: u64 = 300 << 20;

/// Failures that are told.
const TOLD: usize = 5;

/// Statements of the neighbour that are timed.
const NEIGHBOURLY: usize = 40;

/// What all clients share.
#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    /// Clients that have carried the order out.
    done: AtomicU64,
    asked: AtomicU64,
    told: Mutex<std::collections::BTreeMap<String, u64>>,
    failures: Mutex<Vec<String>>,
    slowest: AtomicU64,
}

impl Shared {
    fn fail(&self, what: String) {
        self.failures.lock().push(what);
    }

    fn first_failure(&self) -> Result<(), String> {
        let failures = self.failures.lock();
        match failures.len() {
            0 => Ok(()),
            count => Err(format!("{count} failures: {}", failures[..count.min(TOLD)].join("; "))),
        }
    }
}

/// What a run was like.
#[derive(Debug)]
pub struct Report {
    /// Lines of figures.
    pub summary: String,
}

/// One run.
///
/// # Errors
/// What was wrong, with what repeats it.
pub fn run(options: &Options, seed: u64) -> Result<Report, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let done = {
        let _inside = runtime.enter();
        Crowd::gather(options, seed).and_then(|mut crowd| crowd.live(options, seed))
    };
    // Clients whose server is gone.
    runtime.shutdown_background();
    done.map(|summary| Report { summary })
        .map_err(|why| format!("{why}\nto repeat: {}", options.to_repeat(seed)))
}

struct Crowd {
    server: Server,
    project: Project,
    orders: watch::Sender<(u64, Order)>,
    shared: Arc<Shared>,
    size: u64,
    lines: Vec<String>,
    empty: u64,
    _scope: Scope,
}

impl Crowd {
    /// Everybody logs in.
    fn gather(options: &Options, seed: u64) -> Result<Self, String> {
        let most = format!("max_client_conn={}", options.clients + 500);
        let server = Server::start(&["--pool-setting", &most, "--pool-setting", "query_wait_timeout=150"]);
        let project = server.default_project();
        let (shared, scope, start) = (Arc::new(Shared::default()), Scope::new(), Mono::now());
        let first = client::wire(&project, 0);
        tokio::runtime::Handle::current().block_on(client::prepare(first))?;
        let empty = resident(server.pid());
        let (orders, listen) = watch::channel((0, Order::Rest));
        let gate = Arc::new(tokio::sync::Semaphore::new(LOGINS));
        let seed = Seed::new(seed);
        for number in 0..options.clients {
            let (gate, shared, listen) = (Arc::clone(&gate), Arc::clone(&shared), listen.clone());
            let login = client::wire(&project, number);
            let seed = seed.of(&format!("client {number}"));
            scope.spawn("crowd-client", async move {
                let wire = {
                    let _turn = gate.acquire().await.expect("it is not closed");
                    login.await
                };
                match wire {
                    Ok(wire) => Client::new(number, wire, seed, shared).live(listen).await,
                    Err(why) => shared.fail(format!("client {number} cannot log in: {why}")),
                }
            });
        }
        let size = options.clients as u64;
        let mut crowd =
            Self { server, project, orders, shared, size, lines: Vec::new(), empty, _scope: scope };
        crowd.give(Order::Rest);
        crowd.wait(LOGGED_IN_WITHIN)?;
        let now = resident(crowd.server.pid());
        crowd.note(format!(
            "{size} clients logged in within {:.1} s; the server grew from {} to {} MiB: {} bytes each",
            start.elapsed().as_secs_f64(),
            empty >> 20,
            now >> 20,
            now.saturating_sub(empty) / size
        ));
        Ok(crowd)
    }

    fn note(&mut self, line: String) {
        crate::note(&line);
        self.lines.push(line);
    }

    /// Gives an order, and waits until all have carried it out.
    fn order(&mut self, order: Order) -> Result<Duration, String> {
        self.give(order);
        self.wait(DONE_WITHIN)
    }

    fn give(&self, order: Order) {
        self.shared.done.store(0, Ordering::Relaxed);
        self.shared.over.store(false, Ordering::Relaxed);
        self.orders.send_modify(|(number, current)| (*number, *current) = (*number + 1, order));
    }

    fn wait(&self, limit: Duration) -> Result<Duration, String> {
        let start = Mono::now();
        loop {
            self.shared.first_failure()?;
            let done = self.shared.done.load(Ordering::Relaxed);
            if done == self.size {
                return Ok(start.elapsed());
            }
            if start.elapsed() > limit {
                return Err(format!("{} of {} clients hang", self.size - done, self.size));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn live(&mut self, options: &Options, seed: u64) -> Result<String, String> {
        self.under_load(options, &Seed::new(seed))?;
        self.storm()?;
        self.neighbour()?;
        let took = self.order(Order::Ask)?;
        self.note(format!(
            "after all that everybody works: {:.2} s for {} answers",
            took.as_secs_f64(),
            self.size
        ));
        self.bounded()?;
        Ok(self.lines.join("\n"))
    }

    fn under_load(&mut self, options: &Options, seed: &Seed) -> Result<(), String> {
        self.give(Order::Load);
        let (start, mut peak, mut draw, mut broken) = (Mono::now(), 0, seed.of("chaos"), Vec::new());
        while start.elapsed() < Duration::from_secs(options.seconds) {
            broken.push(chaos::once(&self.server, &self.project, &mut draw));
            let until = Mono::now().plus(Duration::from_millis(draw.between(200, 2500)));
            while Mono::now() < until {
                peak = peak.max(resident(self.server.pid()));
                self.shared.first_failure()?;
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        self.shared.over.store(true, Ordering::Relaxed);
        let settled = self.wait(DONE_WITHIN)?;
        let told = self.shared.told.lock().clone();
        let count = |what: &str| broken.iter().filter(|b| **b == what).count();
        let chaos: Vec<_> = chaos::ALL.iter().map(|(_, name)| format!("{name} {}", count(name))).collect();
        self.note(format!(
            "{} s of load: {} answers, slowest {} ms; {}; told: {told:?}; settled in {:.1} s; peak {} MiB",
            options.seconds,
            self.shared.asked.load(Ordering::Relaxed),
            self.shared.slowest.load(Ordering::Relaxed),
            chaos.join(", "),
            settled.as_secs_f64(),
            peak >> 20,
        ));
        Ok(())
    }

    /// All at once, on an endpoint that sleeps.
    fn storm(&mut self) -> Result<(), String> {
        chaos::suspend(&self.server, &self.project);
        let wakes = |crowd: &Self| {
            crowd.server.events_of(&crowd.project).iter().filter(|e| e["kind"] == "woke").count()
        };
        let before = wakes(self);
        let took = self.order(Order::Ask)?;
        let woke = wakes(self).saturating_sub(before);
        self.note(format!(
            "storm: {} clients on a sleeper all served in {:.2} s",
            self.size,
            took.as_secs_f64()
        ));
        // The list of events has an end, so nothing may be seen of a wake any more; twice is too often anyhow.
        if woke > 1 { Err(format!("it was started {woke} times")) } else { Ok(()) }
    }

    /// Half of the crowd stands in line; another endpoint must not notice.
    fn neighbour(&mut self) -> Result<(), String> {
        let other = self.server.create_project(&json!({}));
        let quiet = self.neighbourly(&other)?;
        self.give(Order::Noise);
        std::thread::sleep(Duration::from_secs(1));
        let noisy = self.neighbourly(&other);
        self.shared.over.store(true, Ordering::Relaxed);
        self.wait(DONE_WITHIN)?;
        let noisy = noisy?;
        self.note(format!("a neighbour, alone and beside {} who wait: wake {} and {} ms; statement, median {:.1} and {:.1} ms, worst {:.1} and {:.1} ms",
            self.size / 2, quiet.0.as_millis(), noisy.0.as_millis(),
            ms(quiet.1), ms(noisy.1), ms(quiet.2), ms(noisy.2)));
        let limit = quiet.1 * 10 + Duration::from_secs(1);
        if noisy.1 > limit {
            return Err(format!("a neighbour's statement takes {:?} instead of {:?}", noisy.1, quiet.1));
        }
        if noisy.0 > quiet.0 * 3 + Duration::from_secs(10) {
            return Err(format!("a neighbour's wake takes {:?} instead of {:?}", noisy.0, quiet.0));
        }
        Ok(())
    }

    /// Time of a wake, and of a statement: the median and the worst.
    fn neighbourly(&self, other: &Project) -> Result<(Duration, Duration, Duration), String> {
        chaos::suspend(&self.server, other);
        let login = client::wire(other, 0);
        tokio::runtime::Handle::current().block_on(async {
            let start = Mono::now();
            let mut wire = login.await.map_err(|why| why.to_string())?;
            client::time(&mut wire).await?;
            let wake = start.elapsed();
            let mut times = Vec::new();
            for _ in 0..NEIGHBOURLY {
                times.push(client::time(&mut wire).await?);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            times.sort_unstable();
            Ok((wake, times[NEIGHBOURLY / 2], times[NEIGHBOURLY - 1]))
        })
    }

    fn bounded(&mut self) -> Result<(), String> {
        let now = resident(self.server.pid());
        let limit = self.empty + BYTES_ANYHOW + self.size * BYTES_EACH;
        self.note(format!("at the end the server has {} MiB", now >> 20));
        if now > limit {
            Err(format!("the server has {} MiB, more than {}", now >> 20, limit >> 20))
        } else {
            Ok(())
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Bytes of memory that a process has.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) << 10
}
