//! What limits a compute: the CPU and memory controllers of cgroups, found once at start.
//!
//! | | version 2 | version 1 |
//! |---|---|---|
//! | a compute's group | the one that freezes it | one in each hierarchy, entered after the first row |
//! | processors | `cpu.max`, `cpu.max.burst` | `cpu.cfs_quota_us`, `cpu.cfs_burst_us` |
//! | a share of them when all are busy | `cpu.weight` | `cpu.shares` |
//! | memory of its size | `memory.high` | `memory.soft_limit_in_bytes` |
//! | memory of its largest size | `memory.max` | `memory.limit_in_bytes` |
//!
//! In version 2 a group with processes cannot hand its controllers down, so the server moves itself into a group
//! beside those of its computes, where that helps. A hybrid system (version 2 without controllers, version 1 with
//! them) freezes by one and limits by the other.
//!
//! No crate: `cgroups-rs` (0.5) opens and parses anew for each value, which is most of what a sample costs, and
//! knows neither groups that a process is born into nor delegated or hybrid hierarchies; the rest is a dozen files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::sizing::Machine;
use super::sizing::processors::{self, ALL_WEIGH};
use crate::sandbox::cgroup::{self, Cgroups, Choice, MOVES, PREFIX, SERVER, v1_base, v2_places};
use crate::sandbox::priority;

/// What a version-2 group hands down.
const HANDED_DOWN: &str = "+cpu +memory";

/// How long a group may stay in use by processes that have just ended.
const FORGET_WITHIN: Duration = Duration::from_millis(300);

/// A process that was refused is tried again after this long.
const REFUSED_WAIT: Duration = Duration::from_millis(2);

/// The controllers that were found, and where groups are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Controllers {
    /// Each compute's own version-2 group has them.
    V2,
    /// Version 1: the server's group in the hierarchy of each controller.
    V1(V1),
    /// None; why, for people.
    Missing(String),
}

/// The server's groups in version-1 hierarchies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V1 {
    /// Limits processors.
    pub cpu: PathBuf,
    /// Counts CPU time; perhaps the same.
    pub cpuacct: Option<PathBuf>,
    /// Limits memory.
    pub memory: Option<PathBuf>,
}

impl V1 {
    /// The directories of one endpoint, or of the server, without doubles.
    fn all(&self) -> Vec<&PathBuf> {
        let mut all: Vec<_> =
            [Some(&self.cpu), self.cpuacct.as_ref(), self.memory.as_ref()].into_iter().flatten().collect();
        all.dedup();
        all
    }

    /// The groups of one endpoint.
    #[must_use]
    pub fn of(&self, endpoint: &str) -> V1 {
        let of = |dir: &PathBuf| dir.join(endpoint);
        V1 {
            cpu: of(&self.cpu),
            cpuacct: self.cpuacct.as_ref().map(of),
            memory: self.memory.as_ref().map(of),
        }
    }
}

/// Where this process stands, as the kernel tells.
struct Standing {
    mounts: String,
    own: String,
}

impl Controllers {
    /// Finds controllers that this process may use, for a server that freezes its computes by `cgroups`.
    #[must_use]
    pub fn detect(choice: Choice, cgroups: &Cgroups, instance: &str) -> Self {
        if choice == Choice::Off {
            return Self::Missing("cgroups are turned off".to_owned());
        }
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let standing = Standing { mounts: read("/proc/self/mounts"), own: read("/proc/self/cgroup") };
        let found = Self::find(cgroups, instance, &standing);
        found.weigh(cgroups, Machine::this().cores);
        found
    }

    /// Gives all computes together their weight beside others.
    fn weigh(&self, cgroups: &Cgroups, cores: f64) {
        match (self, cgroups) {
            (Self::V2, Cgroups::V2(base)) => processors::weigh_v2(base, ALL_WEIGH * cores),
            (Self::V1(groups), _) => processors::weigh_v1(&groups.cpu, ALL_WEIGH * cores),
            _ => {}
        }
    }

    fn find(cgroups: &Cgroups, instance: &str, standing: &Standing) -> Self {
        let v2 = match cgroups {
            Cgroups::V2(base) => hand_down(base),
            Cgroups::V1(_) | Cgroups::Signals => Err("computes are not in groups of version 2".to_owned()),
        };
        let why = match v2 {
            Ok(()) => return Self::V2,
            Err(why) => why,
        };
        match standing.v1(instance) {
            Ok(found) => Self::V1(found),
            Err(no_v1) => Self::Missing(format!("version 2: {why}; version 1: {no_v1}")),
        }
    }

    /// Looks what a server that is started like this process would find. Changes nothing.
    #[must_use]
    pub fn examine() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let standing = Standing { mounts: read("/proc/self/mounts"), own: read("/proc/self/cgroup") };
        Self::look(&standing)
    }

    fn look(standing: &Standing) -> Self {
        let mut why = "not mounted".to_owned();
        for place in v2_places(&standing.mounts, &standing.own) {
            match would_hand_down(&place) {
                Ok(()) => return Self::V2,
                Err(no) => why = no,
            }
        }
        match standing.v1("doctor") {
            Ok(found) => {
                Self::V1(found.clone()).remove();
                Self::V1(found)
            }
            Err(no_v1) => Self::Missing(format!("version 2: {why}; version 1: {no_v1}")),
        }
    }

    /// The name used in logs and by `doctor`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::V2 => "cgroup2",
            Self::V1(_) => "cgroup1",
            Self::Missing(_) => "none",
        }
    }

    /// Makes the groups of an endpoint, where it does not have them already.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn make(&self, endpoint: &str) -> io::Result<()> {
        let Self::V1(base) = self else { return Ok(()) };
        base.of(endpoint).all().into_iter().try_for_each(fs::create_dir_all)
    }

    /// Moves processes in, until nobody is outside. Only version 1 needs it. The first move waits 5–20 ms for the
    /// kernel; those that follow at once cost nothing to speak of.
    ///
    /// # Errors
    /// When the kernel refuses one. Whoever is outside has no limit, and what it uses is not seen.
    pub fn enter(&self, endpoint: &str, members: impl Fn() -> Vec<u32>) -> io::Result<()> {
        let Self::V1(base) = self else { return Ok(()) };
        base.of(endpoint).all().into_iter().try_for_each(|dir| enter_one(dir, &members))
    }

    /// Removes an endpoint's groups; those that are in use stay. Blocks for a moment.
    pub fn forget(&self, endpoint: &str) {
        if let Self::V1(base) = self {
            for dir in base.of(endpoint).all() {
                let gone = || matches!(fs::remove_dir(dir), Ok(()) | Err(_) if !dir.exists());
                if cgroup::wait_until(FORGET_WITHIN, gone) {
                    continue;
                }
                // Who is still in it belongs to a run that ends, or to the next one, which has it already.
                let in_use = fs::read_to_string(dir.join("cgroup.procs")).is_ok_and(|pids| !pids.is_empty());
                if !in_use && dir.exists() {
                    tracing::warn!(group = %dir.display(), "cannot remove the cgroup");
                }
            }
        }
    }

    /// Removes the server's own groups at its end. They stay while computes are left running in them.
    pub fn remove(&self) {
        if let Self::V1(base) = self {
            base.all().into_iter().for_each(|dir| cgroup::remove_tree(dir));
        }
    }
}

impl Standing {
    fn v1(&self, instance: &str) -> Result<V1, String> {
        let usable = |controller: &str, file: &str| -> Result<PathBuf, String> {
            let base = v1_base(&self.mounts, &self.own, controller)
                .ok_or_else(|| format!("no {controller} controller"))?;
            let group = base.join(format!("{PREFIX}{instance}"));
            let no = |error: io::Error| format!("{}: {error}", group.display());
            fs::create_dir_all(&group).map_err(no)?;
            fs::OpenOptions::new().write(true).open(group.join(file)).map_err(no)?;
            Ok(group)
        };
        Ok(V1 {
            cpu: usable("cpu", "cpu.cfs_quota_us")?,
            cpuacct: usable("cpuacct", "cgroup.procs").ok(),
            memory: usable("memory", "memory.limit_in_bytes").ok(),
        })
    }
}

fn enter_one(dir: &Path, members: impl Fn() -> Vec<u32>) -> io::Result<()> {
    // A fork during the move may leave a newborn outside: look again until all are in. One that was born while its
    // parent went back to ordinary priority may still have the wake's, and kernels with groups for real-time
    // scheduling refuse those (EINVAL).
    let mut refused = None;
    for _ in 0..MOVES {
        let inside = processes(dir);
        let outside: Vec<u32> = members().into_iter().filter(|pid| !inside.contains(pid)).collect();
        if outside.is_empty() {
            return Ok(());
        }
        if refused.take().is_some() {
            std::thread::sleep(REFUSED_WAIT);
        }
        for pid in outside {
            if let Err(error) = cgroup::move_to(dir, pid) {
                priority::calm(&[pid]);
                refused = Some((pid, error));
            }
        }
    }
    match refused {
        Some((pid, error)) => Err(io::Error::new(
            error.kind(),
            format!("{} does not take {}: {error}", dir.display(), described(pid)),
        )),
        // It makes new ones all the time; those are children of members.
        None => Ok(()),
    }
}

/// A process in the words of the kernel: number, name, state and the numbers after them, of which the scheduler's are
/// the 18th, 19th, 40th and 41st.
fn described(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or_else(|_| format!("process {pid}, which is gone"), |text| format!("process {}", text.trim()))
}

fn processes(dir: &Path) -> Vec<u32> {
    let list = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    list.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Whether a version-2 group has the controllers at all.
fn offers(group: &Path) -> Result<(), String> {
    let offered = fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
    let has = |name: &str| offered.split_whitespace().any(|one| one == name);
    match ["cpu", "memory"].into_iter().find(|name| !has(name)) {
        None => Ok(()),
        Some(missing) => Err(format!("no {missing} controller in {}", group.display())),
    }
}

/// Whether [`hand_down`] would succeed for a server in the place of this process. Leaves nothing behind.
fn would_hand_down(place: &Path) -> Result<(), String> {
    offers(place)?;
    let no = |error: io::Error| format!("{}: {error}", place.display());
    let probe = place.join(format!("{PREFIX}probe"));
    fs::create_dir_all(&probe).map_err(no)?;
    let _removed = fs::remove_dir(&probe);
    let switch = place.join("cgroup.subtree_control");
    let closed = |error: io::Error| format!("{}: {error}", switch.display());
    fs::OpenOptions::new().write(true).open(&switch).map_err(closed)?;
    let on = fs::read_to_string(&switch).unwrap_or_default();
    let is_on = |name: &str| on.split_whitespace().any(|one| one == name);
    // Only the root of all groups has no type, and only there do processes not stand in the way.
    let is_root = !place.join("cgroup.type").exists();
    let others = processes(place).into_iter().any(|pid| pid != std::process::id());
    if is_root || !others || (is_on("cpu") && is_on("memory")) {
        return Ok(());
    }
    Err(format!("other processes are in {}: the server needs a group of its own", place.display()))
}

/// Has the groups below the server's group `base` get controllers.
fn hand_down(base: &Path) -> Result<(), String> {
    let own = base.parent().ok_or("it has no place")?;
    offers(own)?;
    let switch = |group: &Path| fs::write(group.join("cgroup.subtree_control"), HANDED_DOWN);
    let refused = |group: &Path| {
        let group = group.display().to_string();
        move |error: io::Error| format!("{group} does not hand its controllers down: {error}")
    };
    if switch(own).is_err() {
        // Probably because we are in it.
        let aside = base.join(SERVER);
        let go = |to: &Path| fs::write(to.join("cgroup.procs"), std::process::id().to_string());
        fs::create_dir_all(&aside).and_then(|()| go(&aside)).map_err(refused(own))?;
        if let Err(error) = switch(own) {
            let _there_already = go(own);
            let _in_use = fs::remove_dir(&aside);
            return Err(refused(own)(error));
        }
    }
    switch(base).map_err(refused(base))
}

#[cfg(test)]
mod tests;
