//! Processor time and memory of other processes, from `/proc`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use dormouse_compute::sandbox::process;

/// `/proc` counts in ticks of this length on every Linux architecture that has a Rust target.
const TICK: Duration = Duration::from_millis(10);

/// What one process has used.
#[derive(Debug, Clone, Copy, Default)]
struct Ticks {
    own: u32,
    /// Of children that have ended.
    children: u32,
}

/// Fields 14 to 17 of `/proc/PID/stat`. The command name before them may contain blanks.
fn parse(stat: &str) -> Option<Ticks> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u32>().ok();
    Some(Ticks { own: number(11)? + number(12)?, children: number(13)? + number(14)? })
}

fn ticks(pid: u32) -> Ticks {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    parse(&stat).unwrap_or_default()
}

/// Processor time of one process with all its threads, without its children.
pub(crate) fn of_process(pid: u32) -> Duration {
    TICK * ticks(pid).own
}

/// Processor time of the children of this process that have ended, theirs included.
pub(crate) fn of_ended_children() -> Duration {
    TICK * ticks(std::process::id()).children
}

/// Processor time of a postmaster and all its children, those that ended included.
pub(crate) fn of_compute(postmaster: u32, data: &Path) -> Duration {
    let running: u32 = process::in_directory(data).into_iter().map(|pid| ticks(pid).own).sum();
    TICK * (running + ticks(postmaster).children)
}

/// Resident memory of a process, MiB.
pub(crate) fn resident_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default();
    kib / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let found = parse("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16").unwrap();
        assert_eq!((found.own, found.children), (23, 27));
        assert!(parse("7 (short) S 1").is_none());
    }

    #[test]
    fn this_process_has_memory() {
        assert!(resident_mib(std::process::id()) > 0.1);
    }
}
