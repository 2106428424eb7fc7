//! System calls of a pooler for each transaction: a figure that noise does not reach.
//!
//! `perf` counts them in the kernel and costs little; where it is missing or may not, `strace` counts them
//! and costs much, which changes how many events one wait returns, so read its figure with care.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::sandbox::process;
use rustix::process::Signal;

use super::case::{self, Case, Work};
use super::stage::{Stage, Way};
use super::{Found, Plan};
use crate::error::Error;
use crate::report::{Row, Section, Target};
use crate::stats::ratio;
use crate::talk;

/// The load.
const CASE: Case = Case { work: Work::Select, mode: "simple", clients: 16, reconnect: false };

/// Target.
const CALLS: f64 = 4.3;

/// Until a counter has attached itself to all threads.
const ATTACH: Duration = Duration::from_millis(500);

/// A counter that was told to end does so.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Programs that count another's system calls.
#[derive(Debug, Clone, Copy)]
enum Counter {
    Perf,
    Strace,
}

/// Measures all poolers.
///
/// # Errors
/// When the end is asked for.
pub(super) fn measure(stage: &Stage, plan: &Plan) -> Result<Found, Error> {
    talk::say("pool: counting system calls");
    let mut found = Found::default();
    let Some((counter, bouncer)) = first_that_counts(stage, plan)? else {
        found
            .notes
            .push("system calls per transaction: not available (neither perf nor strace can count)".into());
        return Ok(found);
    };
    let mut all = vec![(Way::Bouncer, Some(bouncer))];
    for way in [Way::InPlace, Way::BouncerToo, Way::Dormouse] {
        all.push((way, count(stage, plan, counter, way)?));
    }
    let title = format!("system calls, {}, counted by {}", CASE.name(), counter.name());
    found
        .sections
        .push(Section { title, rows: all.iter().map(|(way, calls)| row(*way, *calls, &all)).collect() });
    found.targets.extend(all.iter().filter(|(way, _)| way.rival().is_some()).filter_map(|(way, calls)| {
        let what = format!("{}: system calls per transaction", way.name());
        calls.map(|calls| Target::at_most(&what, calls, CALLS, ""))
    }));
    Ok(found)
}

fn row(way: Way, calls: Option<f64>, all: &[(Way, Option<f64>)]) -> Row {
    let rival = all.iter().find(|(other, _)| Some(*other) == way.rival());
    Row {
        what: way.name().to_owned(),
        unit: "calls",
        figures: calls.map(|calls| vec![("per transaction", calls)]).unwrap_or_default(),
        baseline: rival.map(|(rival, _)| rival.name().to_owned()),
        ratio: calls.zip(rival.and_then(|(_, calls)| *calls)).and_then(|(calls, rival)| ratio(calls, rival)),
    }
}

/// A counter that works, and what it counts of PgBouncer.
fn first_that_counts(stage: &Stage, plan: &Plan) -> Result<Option<(Counter, f64)>, Error> {
    for counter in [Counter::Perf, Counter::Strace] {
        if let Some(calls) = count(stage, plan, counter, Way::Bouncer)? {
            return Ok(Some((counter, calls)));
        }
    }
    Ok(None)
}

/// Calls per transaction; `None` when they cannot be counted.
fn count(stage: &Stage, plan: &Plan, counter: Counter, way: Way) -> Result<Option<f64>, Error> {
    let Some(pid) = stage.pooler(way) else { return Ok(None) };
    stage.settle()?;
    let dir = tempfile::tempdir().map_err(Error::system("make a temporary directory"))?;
    let told = dir.path().join("counts");
    let Ok(child) = counter.command(pid, &told).spawn() else { return Ok(None) };
    let attached = Attached { child };
    std::thread::sleep(ATTACH);
    let run = case::run(stage, CASE, way, plan.seconds);
    drop(attached);
    let run = match run {
        Ok(run) => run,
        Err(Error::Interrupted) => return Err(Error::Interrupted),
        Err(_) => return Ok(None),
    };
    let calls = counter.read(&fs::read_to_string(told).unwrap_or_default());
    Ok(calls.filter(|calls| *calls > 0.0).map(|calls| calls / run.transactions.max(1.0)))
}

impl Counter {
    fn name(self) -> &'static str {
        match self {
            Counter::Perf => "perf",
            Counter::Strace => "strace",
        }
    }

    fn command(self, pid: u32, told: &Path) -> Command {
        let mut command = Command::new(self.name());
        match self {
            Counter::Perf => command.args(["stat", "-x,", "-e", "raw_syscalls:sys_enter"]),
            Counter::Strace => command.args(["-f", "-c", "-q"]),
        };
        command.arg("-o").arg(told).arg("-p").arg(pid.to_string());
        // Ctrl-C is ours to pass on.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn read(self, text: &str) -> Option<f64> {
        match self {
            // value,unit,event,…
            Counter::Perf => {
                let line = text.lines().find(|line| line.contains("raw_syscalls:sys_enter"))?;
                line.split(',').next()?.parse().ok()
            }
            // % time, seconds, usecs/call, calls, [errors,] name
            Counter::Strace => {
                let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
                let calls = lines.filter(|words| words.len() >= 5 && words.last() != Some(&"total"));
                Some(calls.filter_map(|words| words[3].parse::<f64>().ok()).sum())
            }
        }
    }
}

/// A counter at work. Dropping it makes it write down what it counted.
struct Attached {
    child: Child,
}

impl Drop for Attached {
    fn drop(&mut self) {
        process::signal(self.child.id(), Signal::INT);
        let start = Mono::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < END_WITHIN {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_counters_write() {
        let perf = "# started on a day\n\n123456,,raw_syscalls:sys_enter,2000,100.00,,\n";
        assert_eq!(Counter::Perf.read(perf), Some(123_456.0));
        assert_eq!(Counter::Perf.read("<not supported>,,raw_syscalls:sys_enter,0,0,,"), None);
        let strace = "% time     seconds  usecs/call     calls    errors syscall\n\
                      ------ ----------- ----------- --------- --------- ----------------\n \
                      60.00    0.000300           3       100         7 recvfrom\n \
                      40.00    0.000200           2       100           sendto\n\
                      ------ ----------- ----------- --------- --------- ----------------\n\
                      100.00    0.000500           2       200         7 total\n";
        assert_eq!(Counter::Strace.read(strace), Some(200.0));
    }
}
