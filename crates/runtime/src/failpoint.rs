//! Named places where a test makes the process die, fail or wait.
//!
//! A failpoint costs one relaxed load unless `DORMOUSE_FAILPOINTS` is set when the process starts (or a
//! test arms one in its own process). The variable is a list: `name=action[@n]`, separated by `;`, where
//! the action is `kill` (SIGKILL to this process: no destructor runs), `error`, or `sleep:<ms>`, and
//! `@n` means "the n-th time it is reached" (default: every time).
//!
//! ```text
//! DORMOUSE_FAILPOINTS="wal.piece.put=kill@3;snapshot.manifest.put=error"
//! ```
//!
//! Every name is listed in `docs/reference/failpoints.md`; the torture test draws from that list.

use std::collections::BTreeMap;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Signal, getpid, kill_process};

/// The environment variable that arms failpoints.
pub const VARIABLE: &str = "DORMOUSE_FAILPOINTS";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    Error,
    Sleep(Duration),
}

#[derive(Debug, Clone, Copy)]
struct Armed {
    action: Action,
    /// Act only at this visit, counted from one.
    only: Option<u64>,
    visits: u64,
}

static ANY: AtomicBool = AtomicBool::new(false);

fn table() -> &'static Mutex<BTreeMap<String, Armed>> {
    static TABLE: OnceLock<Mutex<BTreeMap<String, Armed>>> = OnceLock::new();
    TABLE.get_or_init(Mutex::default)
}

/// Arms what the environment names. Called once, at the start of the process.
///
/// # Errors
/// A text that cannot be understood, so that a test with a typing error does not pass by accident.
pub fn arm_from_environment() -> Result<(), String> {
    std::env::var(VARIABLE).map_or(Ok(()), |text| arm(&text))
}

/// Arms failpoints of this process.
///
/// # Errors
/// A text that cannot be understood.
pub fn arm(text: &str) -> Result<(), String> {
    for part in text.split(';').filter(|part| !part.trim().is_empty()) {
        let (name, armed) = parse(part.trim()).ok_or_else(|| format!("not a failpoint: `{part}`"))?;
        table().lock().insert(name, armed);
        ANY.store(true, Ordering::Relaxed);
    }
    Ok(())
}

/// Disarms all failpoints of this process.
pub fn disarm() {
    table().lock().clear();
    ANY.store(false, Ordering::Relaxed);
}

fn parse(part: &str) -> Option<(String, Armed)> {
    let (name, what) = part.split_once('=')?;
    let (action, only) = match what.split_once('@') {
        Some((action, n)) => (action, Some(n.parse().ok()?)),
        None => (what, None),
    };
    let action = match action {
        "kill" => Action::Kill,
        "error" => Action::Error,
        other => Action::Sleep(Duration::from_millis(other.strip_prefix("sleep:")?.parse().ok()?)),
    };
    Some((name.to_owned(), Armed { action, only, visits: 0 }))
}

fn due(name: &str) -> Option<Action> {
    if !ANY.load(Ordering::Relaxed) {
        return None;
    }
    let mut table = table().lock();
    let armed = table.get_mut(name)?;
    armed.visits += 1;
    armed.only.is_none_or(|n| n == armed.visits).then_some(armed.action)
}

fn die(name: &str) {
    tracing::error!(name, "failpoint: killed");
    let _dead = kill_process(getpid(), Signal::KILL);
}

fn injected(name: &str) -> io::Error {
    io::Error::other(format!("failpoint {name}"))
}

/// A failpoint in asynchronous code.
///
/// # Errors
/// When it is armed with `error`.
pub async fn hit(name: &'static str) -> io::Result<()> {
    match due(name) {
        None => Ok(()),
        Some(Action::Kill) => {
            die(name);
            Ok(())
        }
        Some(Action::Error) => Err(injected(name)),
        Some(Action::Sleep(pause)) => {
            tokio::time::sleep(pause).await;
            Ok(())
        }
    }
}

/// A failpoint in code that may block.
///
/// # Errors
/// When it is armed with `error`.
pub fn hit_blocking(name: &'static str) -> io::Result<()> {
    match due(name) {
        None => Ok(()),
        Some(Action::Kill) => {
            die(name);
            Ok(())
        }
        Some(Action::Error) => Err(injected(name)),
        Some(Action::Sleep(pause)) => {
            std::thread::sleep(pause);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_visit_only() {
        arm("a.b=error@2; c=sleep:1").unwrap();
        let results: Vec<bool> = (0..3).map(|_| hit_blocking("a.b").is_err()).collect();
        assert_eq!(results, [false, true, false]);
        assert!(hit_blocking("c").is_ok() && hit_blocking("unknown").is_ok());
        for bad in ["x", "x=", "x=explode", "x=error@soon", "x=sleep:"] {
            assert!(arm(bad).is_err(), "{bad}");
        }
        disarm();
        assert!(hit_blocking("a.b").is_ok());
    }
}
