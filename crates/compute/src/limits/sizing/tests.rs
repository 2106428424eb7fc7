//! Version 1 and, where a machine has its controllers, version 2 with the real kernel; and the files of version 2
//! in a directory that looks like a group, on any machine.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dormouse_base::clock::Mono;

use super::*;
use crate::sandbox::cgroup::{Cgroups, Choice};
use crate::sandbox::priority;

const MACHINE: Machine = Machine { cores: 4.0, memory: 16 << 30 };

fn cu(units: f64) -> Cu {
    Cu::new(units).unwrap()
}

/// A directory with the files of a version-2 group.
fn group(dir: &Path) {
    for (name, text) in [
        ("cpu.stat", "usage_usec 5000\nuser_usec 1\n"),
        ("cpu.max", "max 100000\n"),
        ("cpu.max.burst", "0\n"),
        ("cpu.weight", "100\n"),
        ("memory.current", "9000\n"),
        ("memory.stat", "anon 4000\nfile 5000\nshmem 100\ninactive_file 2000\n"),
        ("memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=77\n"),
        ("memory.high", "max\n"),
        ("memory.max", "max\n"),
    ] {
        fs::write(dir.join(name), text).unwrap();
    }
}

#[test]
fn the_files_of_version_2_are_read_and_written() {
    let dir = tempfile::tempdir().unwrap();
    group(dir.path());
    let sizing = Sizing::open(&Controllers::V2, "ep-a-b-c", Some(dir.path()), MACHINE).unwrap();
    let read = sizing.read(true).unwrap();
    let memory = MemoryUsage { working_set: 7000, held: 4100, stalled_us: 77 };
    assert_eq!(read, Usage { cpu_us: 5000, memory: Some(memory) });
    assert_eq!(sizing.read(false).unwrap().memory, None);
    assert_eq!(sizing.limit(), Some(f64::INFINITY));

    // Files of the kernel are overwritten whole; these are not.
    let wipe = || {
        ["cpu.max", "cpu.max.burst", "cpu.weight", "memory.high", "memory.max"]
            .map(|name| fs::write(dir.path().join(name), ""))
    };
    let said = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let _wiped = wipe();
    sizing.apply(cu(0.25), cu(2.0)).unwrap();
    assert_eq!((said("cpu.max"), sizing.limit()), ("5000 20000".to_owned(), Some(0.25)));
    assert!(said("cpu.max.burst").ends_with("5000"));
    assert_eq!(said("cpu.weight"), "25");
    assert_eq!(
        (said("memory.high"), said("memory.max")),
        ((1_u64 << 30).to_string(), (8_u64 << 30).to_string())
    );
    // What the machine does not have is no limit.
    let _wiped = wipe();
    sizing.apply(cu(4.0), cu(8.0)).unwrap();
    assert_eq!((said("cpu.max").as_str(), said("cpu.weight").as_str()), ("max 20000", "400"));
    assert_eq!((said("memory.high"), said("memory.max")), ("max".to_owned(), "max".to_owned()));
}

#[test]
fn weights_are_those_that_the_kernel_takes() {
    let dir = tempfile::tempdir().unwrap();
    for (threads, v1, v2) in [(4.0, "4096", "400"), (400.0, "262144", "10000"), (0.001, "2", "1")] {
        for name in ["cpu.shares", "cpu.weight"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        processors::weigh_v1(dir.path(), threads);
        processors::weigh_v2(dir.path(), threads);
        let said = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!((said("cpu.shares").as_str(), said("cpu.weight").as_str()), (v1, v2));
    }
    // What is not there is no reason to fail, and is not made.
    processors::weigh_v1(&dir.path().join("none"), 2.0);
    assert!(!dir.path().join("none").exists());
}

#[test]
fn memory_that_is_in_use_is_never_limited_away() {
    let dir = tempfile::tempdir().unwrap();
    group(dir.path());
    let sizing = Sizing::open(&Controllers::V2, "ep-a-b-c", Some(dir.path()), MACHINE).unwrap();
    let said = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let apply = |used: u64| {
        fs::write(dir.path().join("memory.current"), format!("{used}\n")).unwrap();
        for name in ["memory.high", "memory.max"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        sizing.apply(cu(0.25), cu(0.5)).unwrap()
    };
    // 3 GiB are used, the largest size has 2: whoever wrote those would have a process killed.
    assert_eq!(apply(3 << 30), Fit::Later);
    // Files of the kernel are overwritten whole; this one has what was written first and then.
    let most = (3_u64 << 30) + (3 << 28) + (64 << 20);
    assert!(said("memory.max").ends_with(&most.to_string()), "{}", said("memory.max"));
    assert_eq!(said("memory.high"), (1_u64 << 30).to_string(), "what can be dropped is dropped");
    assert_eq!(apply(2 << 30), Fit::Now);
    assert_eq!(said("memory.max"), (2_u64 << 30).to_string());
}

/// With the real kernel: a process that holds more than its group may have lives on.
#[test]
fn version_1_kills_nobody_for_a_smaller_limit() {
    let instance = format!("memory-{}", std::process::id());
    let controllers = Controllers::detect(Choice::V1, &Cgroups::Signals, &instance);
    let base = if let Controllers::V1(base) = &controllers { base.memory.clone() } else { None };
    if let Some(base) = base {
        let dir = base.join("ep-a-b-c");
        controllers.make("ep-a-b-c").unwrap();
        let script =
            "echo $$ > \"$0/cgroup.procs\"; head -c 60000000 /dev/zero | tail -c 60000000 | sleep 60";
        let mut holds = Command::new("sh").arg("-c").arg(script).arg(&dir).process_group(0).spawn().unwrap();
        let used =
            || fs::read_to_string(dir.join("memory.usage_in_bytes")).unwrap().trim().parse::<u64>().unwrap();
        let start = Mono::now();
        while used() < 60_000_000 && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(used() >= 60_000_000, "{}", used());
        let members = || fs::read_to_string(dir.join("cgroup.procs")).unwrap().lines().count();
        let (before, small) = (members(), 16 << 20);
        let fit = memory::of_v1(&dir, Some(small), Some(small)).unwrap();
        assert_eq!(members(), before, "somebody was killed");
        let limit = fs::read_to_string(dir.join("memory.limit_in_bytes")).unwrap();
        assert_eq!(fit == Fit::Now, limit.trim() == small.to_string(), "{fit:?}, {limit}");
        let soft = fs::read_to_string(dir.join("memory.soft_limit_in_bytes")).unwrap();
        assert_eq!(soft.trim(), small.to_string());
        let group = rustix::process::Pid::from_child(&holds);
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        holds.wait().unwrap();
    }
    controllers.forget("ep-a-b-c");
    controllers.remove();
}

/// Two processes that take what they get, and their end.
struct Busy(Vec<Child>);

impl Busy {
    fn start() -> Self {
        let one =
            || Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap();
        Self(vec![one(), one()])
    }

    fn pids(&self) -> Vec<u32> {
        self.0.iter().map(Child::id).collect()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }
}

/// Processors used in half a second.
fn used(sizing: &Sizing) -> f64 {
    let (start, before) = (Mono::now(), sizing.read(false).unwrap().cpu_us);
    std::thread::sleep(Duration::from_millis(500));
    let us = sizing.read(false).unwrap().cpu_us - before;
    us as f64 / 1e6 / start.elapsed().as_secs_f64()
}

/// With the real kernel: two busy processes get what their size says, and more when it grows.
fn really_limits(choice: Choice) {
    let instance = format!("sizing-{}-{choice:?}", std::process::id());
    let Ok(cgroups) = Cgroups::detect(choice, &instance) else { return };
    let controllers = Controllers::detect(choice, &cgroups, &instance);
    let wanted =
        matches!((&controllers, choice), (Controllers::V2, Choice::V2) | (Controllers::V1(_), Choice::V1));
    if wanted {
        let group = cgroups.group("ep-a-b-c", Path::new("/nowhere")).unwrap();
        controllers.make("ep-a-b-c").unwrap();
        let busy = Busy::start();
        if let Some(dir) = group.v2_dir() {
            busy.pids().iter().for_each(|pid| fs::write(dir.join("cgroup.procs"), pid.to_string()).unwrap());
        }
        // One still has the priority of a wake, which some kernels do not let in (only root can give it).
        let first = busy.pids()[0].to_string();
        let _given = Command::new("chrt").args(["--rr", "--pid", "1", &first]).stderr(Stdio::null()).status();
        controllers.enter("ep-a-b-c", || busy.pids()).unwrap();
        // Others let it in, and real time has no quota.
        priority::calm(&busy.pids());
        let machine = Machine { cores: 64.0, ..MACHINE };
        let sizing = Sizing::open(&controllers, "ep-a-b-c", group.v2_dir(), machine).unwrap();
        sizing.apply(cu(0.25), cu(1.0)).unwrap();
        assert_eq!(sizing.limit(), Some(0.25));
        let _savings = used(&sizing);
        let small = used(&sizing);
        assert!(small < 0.35, "{small} processors of 0.25");
        sizing.apply(cu(1.0), cu(1.0)).unwrap();
        let large = used(&sizing);
        // Others want processors too.
        assert!(large > small * 1.3 && large < 1.4, "{large} processors of 1, {small} before");
        assert!(sizing.read(true).unwrap().memory.is_some());
        drop(busy);
        group.remove();
    }
    controllers.forget("ep-a-b-c");
    controllers.remove();
    cgroups.remove();
    let skipped = if wanted { "" } else { " (this machine has no such controllers: skipped)" };
    tracing::info!(by = controllers.name(), "real limits tested{skipped}");
}

#[test]
fn version_1_really_limits() {
    really_limits(Choice::V1);
}

#[test]
fn version_2_really_limits() {
    really_limits(Choice::V2);
}
