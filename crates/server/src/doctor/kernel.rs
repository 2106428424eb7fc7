//! What the kernel offers: cgroups, Landlock, priorities, huge pages, limits.

use dormouse_compute::limits::Controllers;
use dormouse_compute::sandbox::cgroup::{Cgroups, Choice};
use dormouse_compute::sandbox::landlock;
use rustix::process::Resource;

use super::{Finding, Level};

/// Descriptors for ten thousand clients and their backends.
const WANTED_DESCRIPTORS: u64 = 20_000;

pub(super) fn examine() -> Vec<Finding> {
    vec![cgroups(), sizes(), landlocked(), priority(), huge_pages(), descriptors()]
}

fn cgroups() -> Finding {
    match Cgroups::detect(Choice::Auto, "doctor") {
        Ok(found) => {
            if let Cgroups::V1(dir) | Cgroups::V2(dir) = &found {
                // It was only made to see whether that works.
                let _in_use = std::fs::remove_dir(dir);
            }
            describe_cgroups(&found)
        }
        Err(error) => Finding::new("cgroup", Level::Warn, format!("cgroups cannot be examined: {error}")),
    }
}

fn describe_cgroups(found: &Cgroups) -> Finding {
    match found {
        Cgroups::V2(_) => Finding::new("cgroup", Level::Ok, "computes are paused by cgroup version 2"),
        Cgroups::V1(_) => {
            Finding::new("cgroup", Level::Ok, "computes are paused by the cgroup version 1 freezer")
        }
        Cgroups::Signals => Finding::new(
            "cgroup",
            Level::Note,
            "computes are paused by signals: no cgroup can be made here",
        )
        .advice(
            "run as root, or in a delegated cgroup: systemd-run --user --scope -p Delegate=yes dormouse up",
        ),
    }
}

fn sizes() -> Finding {
    match Controllers::examine() {
        Controllers::V2 => {
            Finding::new("sizes", Level::Ok, "computes are limited and measured by cgroup version 2")
        }
        Controllers::V1(found) => {
            let memory = if found.memory.is_some() { "" } else { ", but not in their memory" };
            let text = format!("computes are limited and measured by cgroup version 1{memory}");
            Finding::new("sizes", Level::Ok, text)
        }
        Controllers::Missing(why) => Finding::new(
            "sizes",
            Level::Note,
            format!("computes are not limited, do not grow, and are metered by their smallest size: {why}"),
        )
        .advice(
            "run as root, or in a delegated cgroup of its own: systemd-run --user --scope -p Delegate=yes dormouse up",
        ),
    }
}

fn landlocked() -> Finding {
    if landlock::is_supported() {
        return Finding::new("landlock", Level::Ok, "Landlock closes each compute into its own directory");
    }
    Finding::new(
        "landlock",
        Level::Warn,
        "this kernel has no Landlock: computes are kept apart by users only",
    )
    .advice("boot a kernel from 5.13 on with `landlock` among its security modules")
}

fn priority() -> Finding {
    if rustix::process::geteuid().is_root() {
        return Finding::new(
            "priority",
            Level::Ok,
            "a waking compute goes ahead of the queue until its first row",
        );
    }
    Finding::new(
        "priority",
        Level::Note,
        "waking computes get no priority: wakes are slower on a busy machine",
    )
    .advice("give the binary the right: setcap cap_sys_nice+ep dormouse")
}

fn huge_pages() -> Finding {
    let text = std::fs::read_to_string("/proc/sys/vm/nr_hugepages").unwrap_or_default();
    let count: u64 = text.trim().parse().unwrap_or_default();
    let what = if count == 0 {
        "no huge pages are reserved, which is fine: small shared buffers do not gain from them".to_owned()
    } else {
        format!("{count} huge pages are reserved; computes do not use them, to stay small while paused")
    };
    Finding::new("huge pages", Level::Ok, what)
}

fn descriptors() -> Finding {
    let limit = rustix::process::getrlimit(Resource::Nofile).maximum;
    match limit {
        Some(limit) if limit < WANTED_DESCRIPTORS => Finding::new(
            "limits",
            Level::Warn,
            format!("at most {limit} open files: about {} clients", limit / 2),
        )
        .advice(format!("raise the hard limit: ulimit -Hn {WANTED_DESCRIPTORS}")),
        _ => Finding::new("limits", Level::Ok, "enough open files for ten thousand clients"),
    }
}
